"""What every configuration page does: check like a pilot file, save only what was changed, tell gateways and audit trail."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _

from pilots.admin.rights import ByPilot, ModelAdmin, pilots_where
from pilots.catalogue.editing import record_edit, why_kept
from pilots.domain.errors import PilotsError
from pilots.models import AlarmRule, Connection, Device, Pilot, Point, Role

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[Any]
else:
    ModelForm = forms.ModelForm


class CheckedForm(ModelForm):
    """A form whose row passes `check` of its page; what the check refuses stands at the field it names."""

    def check(self, row: Any) -> None:
        """Raises a PilotsError whose `field` names the field."""

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if self.errors:
            return
        try:
            self.check(self.instance)
        except PilotsError as error:
            field = getattr(error, "field", "")
            self.add_error(field if field in self.fields else None, str(error))


class ConfigurationAdmin(ByPilot, ModelAdmin):
    """A page of the configuration: engineers of the row's pilot."""

    list_per_page = 50
    show_full_result_count = False

    class Media:
        css: ClassVar[dict[str, tuple[str, ...]]] = {"all": ("css/admin.css",)}

    fixed: ClassVar[tuple[str, ...]] = ("pilot",)  # what a row keeps for life

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        fields = tuple(super().get_readonly_fields(request, obj))
        return fields if obj is None else (*fields, *self.fixed)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        pilots = pilots_where(request, Role.ENGINEER)
        if db_field.related_model is Pilot:
            kwargs["queryset"] = pilots
        elif db_field.related_model in (Device, Connection):
            kwargs["queryset"] = db_field.related_model.objects.filter(pilot__in=pilots.values("pk"))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change:
            obj.save()
            return
        # Only what the form changed: states of the same row are written by the gateway meanwhile.
        columns = {field.name for field in obj._meta.concrete_fields}
        changed = [name for name in form.changed_data if name in columns]
        if changed:
            obj.save(update_fields=changed)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if change and not form.has_changed() and not any(formset.has_changed() for formset in formsets):
            return
        self.after_save(form.instance, form.changed_data, created=not change)
        details = _changes(form) if change else {}
        details |= dict(_inline_changes(formsets))
        self._record(request, form.instance, "change" if change else "create", details)

    def after_save(self, row: Any, changed: Sequence[str], *, created: bool) -> None:
        """What follows from a saved row, in the same transaction."""

    def delete_model(self, request: HttpRequest, obj: Model) -> None:
        self._record(request, obj, "delete", {})
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for row in queryset:
            self._record(request, row, "delete", {})
        super().delete_queryset(request, queryset)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[list[Any], dict[Any, Any], set[str], list[str]]:
        shown, counts, needed, protected = super().get_deleted_objects(objs, request)
        # Points and alarm rules go with their device: who may delete the one may delete the other.
        needed -= {str(Point._meta.verbose_name), str(AlarmRule._meta.verbose_name)}
        if not protected:
            return shown, counts, needed, []
        sentence = why_kept(self.points_of(objs))
        children = list(Device.objects.filter(parent__in=objs)) if self.model is Device else []
        going = {row.pk for row in objs} if self.model is Device else set()
        staying = [_("%(child)s hangs below it") % {"child": child} for child in children if child.pk not in going]
        reasons = ([sentence] if sentence else []) + staying
        # Why it cannot be done at all comes before who might do it.
        return shown, counts, set(), reasons or protected

    def points_of(self, objs: Any) -> Any:
        """The points that would go with these rows."""
        return Point.objects.none()

    def _record(self, request: HttpRequest, row: Any, action: str, details: dict[str, Any]) -> None:
        pilot = self.pilot_of(row)
        if pilot is None:
            return
        subject = f"{row._meta.verbose_name} {row}"
        action = f"{action} {row._meta.verbose_name}"
        record_edit(pilot, actor=actor_of(request), action=action, subject=subject, details=details, now=datetime.now(UTC))


class ReadOnlyAdmin(ModelAdmin):
    """A page that shows and changes nothing."""

    list_per_page = 50
    show_full_result_count = False
    actions: Any = None

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def actor_of(request: HttpRequest) -> str:
    """The name the audit trail gives who asks."""
    return request.user.get_username()


def related_filter(path: str) -> tuple[str, Any]:
    """A list filter that offers only what the reader may see."""
    return path, admin.RelatedOnlyFieldListFilter


def _changes(form: Any) -> dict[str, Any]:
    """`{field: [before, after]}` of what a form changed."""
    return {name: [_plain(_before(form, name)), _plain(form.cleaned_data.get(name))] for name in form.changed_data}


def _before(form: Any, name: str) -> Any:
    value = form.initial.get(name)
    choices = getattr(form.fields[name], "queryset", None)
    if choices is None or value is None:
        return value
    return choices.filter(pk=value).first() or value


def _inline_changes(formsets: Any) -> Iterator[tuple[str, Any]]:
    for formset in formsets:
        for row in formset.new_objects:
            yield str(row), "created"
        for row, _fields in formset.changed_objects:
            changed = next(form for form in formset.initial_forms if form.instance is row)
            yield str(row), _changes(changed)
        for row in formset.deleted_objects:
            yield str(row), "deleted"


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, (bool, int, float, str, dict, list)) else str(value)
