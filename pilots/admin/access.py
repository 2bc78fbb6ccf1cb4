"""Pages of who may do what: users, role grants, service tokens, and the audit trail of who did."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from pilots.admin.editing import ReadOnlyAdmin, related_filter
from pilots.admin.rights import ByPilot, Everywhere, ModelAdmin, TabularInline, actor_of, acts_everywhere, person, pilots_where
from pilots.api.services import TokenError, check_token, create_token, revoke_token
from pilots.audit.services import record_event
from pilots.models import AuditEvent, Role, RoleGrant, Scope, ServiceToken, User

if TYPE_CHECKING:
    BaseUserAdmin = DjangoUserAdmin[User]
    ModelForm = forms.ModelForm[Any]
else:
    BaseUserAdmin = DjangoUserAdmin
    ModelForm = forms.ModelForm


def note(request: HttpRequest, action: str, subject: object, *, pilot: str = "", **details: Any) -> None:
    """The audit trail has the event."""
    record_event(at=datetime.now(UTC), actor=actor_of(request), action=action, pilot=pilot, subject=str(subject), details=details)


class RoleGrantInline(Everywhere, TabularInline):
    """A person's roles, on the page of the person."""

    model = RoleGrant
    editors = (Role.RBACMNT,)
    viewers = (Role.SECADM,)
    fields = ("role", "pilot")
    extra = 0

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_add_permission(request, obj) and _is_other(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and _is_other(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and _is_other(request, obj)


@admin.register(User)
class UserAdmin(Everywhere, BaseUserAdmin):
    """Accounts. What a person may do stands in the role grants; only a superuser makes or touches a superuser."""

    viewers = (Role.SECADM, Role.RBACMNT)
    list_display = ("username", "first_name", "last_name", "is_active", "is_staff", "is_superuser", "roles", "last_login")
    list_filter = ("is_active", "is_staff", "is_superuser", "grants__role", related_filter("grants__pilot"))
    search_fields = ("username", "first_name", "last_name", "email")
    filter_horizontal = ()
    readonly_fields = ("last_login", "date_joined")
    inlines = (RoleGrantInline,)
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        (gettext_lazy("Person"), {"fields": ("first_name", "last_name", "email", "language", "clock", "time_zone", "theme")}),
        (gettext_lazy("Access"), {"fields": ("is_active", "is_staff", "is_superuser", "last_login", "date_joined")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        # A kiosk is no person: it is made and revoked on its own page.
        return super().get_queryset(request).filter(is_kiosk=False).prefetch_related("grants__pilot")

    def get_inlines(self, request: HttpRequest, obj: User | None) -> list[Any]:
        return [] if obj is None else list(self.inlines)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        fixed = () if getattr(request.user, "is_superuser", False) else ("is_superuser",)
        return (*super().get_readonly_fields(request, obj), *fixed)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and _may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and _may_touch(request, obj) and obj != person(request)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)  # one person at a time, with a look at who it is
        return actions

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        note(request, "create user", obj)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        note(request, "change user", obj, changes=message if isinstance(message, list) else [str(message)])
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        for user in queryset:
            note(request, "delete user", user)
        return super().log_deletions(request, queryset)

    @admin.display(description=gettext_lazy("roles"))
    def roles(self, user: User) -> str:
        return ", ".join(f"{grant.role} @ {grant.pilot.code if grant.pilot else _('all')}" for grant in user.grants.all()) or "–"


@admin.register(RoleGrant)
class RoleGrantAdmin(ByPilot, ModelAdmin):
    """Grants at a pilot belong to its role administrator, grants everywhere to the one everywhere. Nobody serves themselves."""

    roles = (Role.RBACMNT,)
    list_display = ("user", "role", "pilot")
    list_filter = ("role", related_filter("pilot"))
    search_fields = ("user__username", "user__last_name")
    list_select_related = ("user", "pilot")
    actions = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[RoleGrant]:
        rows: QuerySet[RoleGrant] = super().get_queryset(request)
        return rows.filter(user__is_kiosk=False)

    def _may(self, request: HttpRequest, obj: Model | None = None) -> bool:
        if isinstance(obj, RoleGrant) and obj.pk is not None and obj.pilot is None:
            return acts_everywhere(request, *self.roles)
        return super()._may(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and _is_other(request, getattr(obj, "user", None))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and _is_other(request, getattr(obj, "user", None))

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        everywhere = acts_everywhere(request, *self.roles)
        if db_field.name == "pilot":
            kwargs["queryset"] = pilots_where(request, *self.roles)
            kwargs["required"] = not everywhere
        if db_field.name == "user":
            people = User.objects.filter(is_kiosk=False)
            superuser = getattr(request.user, "is_superuser", False)
            kwargs["queryset"] = people if superuser else people.exclude(username=actor_of(request))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: RoleGrant, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        note(request, "change role grant" if change else "grant role", obj, pilot=obj.pilot.code if obj.pilot else "")

    def delete_model(self, request: HttpRequest, obj: RoleGrant) -> None:
        note(request, "take role back", obj, pilot=obj.pilot.code if obj.pilot else "")
        super().delete_model(request, obj)


class NewTokenForm(ModelForm):
    """What a new token is for; its secret is made by the service."""

    scopes = forms.MultipleChoiceField(choices=Scope.choices, widget=forms.CheckboxSelectMultiple, label=gettext_lazy("scopes"))
    days = forms.IntegerField(
        min_value=1, max_value=3650, required=False, label=gettext_lazy("days"), help_text=gettext_lazy("empty: until revoked")
    )

    class Meta:
        model = ServiceToken
        fields = ("name", "scopes", "all_pilots", "pilots", "all_devices", "devices")

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        if not self.errors:
            try:
                check_token(**wanted_token(given))
            except TokenError as error:
                raise forms.ValidationError(str(error)) from error
        return given


def wanted_token(given: Mapping[str, Any]) -> dict[str, Any]:
    """What a filled-in form asks of the service."""
    codes = {name: None if given[f"all_{name}"] else [row.code for row in given[name]] for name in ("pilots", "devices")}
    return {"name": given["name"], "scopes": given["scopes"], "days": given["days"], **codes}


@admin.register(ServiceToken)
class ServiceTokenAdmin(Everywhere, ModelAdmin):
    """Made here and shown once; afterwards it can only be revoked."""

    list_display = ("name", "scope_words", "created_at", "expires_at", "revoked_at", "last_used_at")
    list_filter = (("revoked_at", admin.EmptyFieldListFilter), related_filter("pilots"))
    search_fields = ("name",)
    form = NewTokenForm
    autocomplete_fields = ()
    filter_horizontal = ("pilots", "devices")
    actions = ("revoke",)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # The list's actions ask without a row; a token that exists is never edited.
        return obj is None and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        if obj is None:
            return ("name", "scopes", "all_pilots", "pilots", "all_devices", "devices", "days")
        reach = ("all_pilots", "pilots", "all_devices", "devices")
        return ("name", "scope_words", *reach, "created_at", "expires_at", "revoked_at", "last_used_at")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return () if obj is None else self.get_fields(request, obj)

    def save_model(self, request: HttpRequest, obj: ServiceToken, form: Any, change: bool) -> None:
        secret = create_token(**wanted_token(form.cleaned_data), actor=actor_of(request), now=datetime.now(UTC))
        made = ServiceToken.objects.get(name=form.cleaned_data["name"])
        obj.pk, obj._state.adding = made.pk, False
        messages.success(request, _("The secret of %(name)s, shown only now: %(secret)s") % {"name": obj.name, "secret": secret})

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Nothing: the service has saved pilots and devices with the token."""

    @admin.display(description=gettext_lazy("scopes"))
    def scope_words(self, token: ServiceToken) -> str:
        return ", ".join(token.scopes)

    @admin.action(description=gettext_lazy("Revoke now"), permissions=["change"])
    def revoke(self, request: HttpRequest, tokens: QuerySet[ServiceToken]) -> None:
        count = sum(revoke_token(token, actor=actor_of(request), now=datetime.now(UTC)) for token in tokens)
        messages.success(request, _("%(n)s tokens are revoked.") % {"n": count})


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    """Who did what; security people see all of it, or that of their pilots."""

    list_display = ("number", "at", "actor", "action", "pilot", "subject", "reason")
    list_filter = ("action", "pilot", "at")
    search_fields = ("actor", "action", "subject", "reason")
    readers = (Role.SECAUD, Role.SECADM)

    def _codes(self, request: HttpRequest) -> list[str]:
        return list(pilots_where(request, *self.readers).values_list("code", flat=True))

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEvent]:
        rows = super().get_queryset(request)
        return rows if acts_everywhere(request, *self.readers) else rows.filter(pilot__in=self._codes(request))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return acts_everywhere(request, *self.readers) or bool(self._codes(request))

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if acts_everywhere(request, *self.readers):
            return True
        codes = self._codes(request)
        return bool(codes) if obj is None else obj.pilot in codes


def _may_touch(request: HttpRequest, user: Any) -> bool:
    """Only a superuser changes a superuser: a new password would be a way in."""
    return bool(getattr(request.user, "is_superuser", False)) or not getattr(user, "is_superuser", False)


def _is_other(request: HttpRequest, user: Any) -> bool:
    return bool(getattr(request.user, "is_superuser", False)) or user is None or user.pk != request.user.pk
