"""What every configuration page does: check like a pilot file, save only what was changed, tell gateways and audit trail."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponseRedirect
from django.utils.translation import gettext as _

from pilots.admin.rights import ByPilot, ModelAdmin, actor_of, pilots_where
from pilots.admin.row_edits import audited_changes
from pilots.catalogue.edit_history import keep_history, note_found, note_removed
from pilots.catalogue.editing import Edit, record_edits, why_kept
from pilots.domain.errors import CatalogueError, PilotsError
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
            note_found([obj, *self.followers(obj, changed)], now=datetime.now(UTC))
            obj.save(update_fields=changed)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        now, kept = datetime.now(UTC), [each.instance for each in formset.initial_forms if each.has_changed()]
        going = [each.instance for each in formset.deleted_forms if each.instance.pk is not None]
        note_found([row for row in kept if row not in going], now=now)
        note_removed(going, by=actor_of(request), reason="", now=now)
        super().save_formset(request, form, formset, change)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().changeform_view(request, *args, **kwargs)
        except CatalogueError as error:
            # What follows from the row is refused, so the row was not saved either.
            messages.error(request, str(error))
            return HttpResponseRedirect(request.get_full_path())

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if change and not form.has_changed() and not any(formset.has_changed() for formset in formsets):
            return
        self.after_save(form.instance, form.changed_data, created=not change)
        details = audited_changes(form) if change else {}
        details |= dict(_inline_changes(formsets))
        self._record(request, form.instance, "change" if change else "create", details)
        followed = [*self.followers(form.instance, form.changed_data), *_inline_rows(formsets)]
        keep_history(followed, by=actor_of(request), reason="", now=datetime.now(UTC))

    def after_save(self, row: Any, changed: Sequence[str], *, created: bool) -> None:
        """What follows from a saved row, in the same transaction."""

    def followers(self, row: Any, changed: Sequence[str]) -> Iterable[Model]:
        """Rows that `after_save` may change with it."""
        return ()

    def delete_model(self, request: HttpRequest, obj: Model) -> None:
        self._remove(request, obj)
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for row in queryset:
            self._remove(request, row)
        super().delete_queryset(request, queryset)

    def _remove(self, request: HttpRequest, row: Model) -> None:
        note_removed([row], by=actor_of(request), reason="", now=datetime.now(UTC))
        self._record(request, row, "delete", {})

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
        now, by = datetime.now(UTC), actor_of(request)
        kept = None if action.startswith("delete ") else row
        record_edits(pilot, [Edit(action=action, subject=subject, details=details, row=kept)], actor=by, reason="", now=now)


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


def related_filter(path: str) -> tuple[str, Any]:
    """A list filter that offers only what the reader may see."""
    return path, admin.RelatedOnlyFieldListFilter


def _inline_rows(formsets: Any) -> list[Model]:
    return [row for formset in formsets for row in (*formset.new_objects, *(row for row, _fields in formset.changed_objects))]


def _inline_changes(formsets: Any) -> Iterator[tuple[str, Any]]:
    for formset in formsets:
        for row in formset.new_objects:
            yield str(row), "created"
        for row, _fields in formset.changed_objects:
            changed = next(form for form in formset.initial_forms if form.instance is row)
            yield str(row), audited_changes(changed)
        for row in formset.deleted_objects:
            yield str(row), "deleted"
