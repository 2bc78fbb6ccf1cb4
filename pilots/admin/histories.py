"""The history of a row: who changed what when, and the way back through the same form, checks and audit as any change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import formats, timezone
from django.utils.translation import gettext as _

from pilots.admin.editing import ConfigurationAdmin
from pilots.admin.previews import preview_of
from pilots.admin.row_edits import Edits, Outcome, Wanted, edit_rows, fingerprint, refused
from pilots.catalogue.edit_history import FieldChange, differences
from pilots.domain.errors import CatalogueError

PER_PAGE = 30


class HistoryPages(ConfigurationAdmin):
    """A page whose rows keep a history (`models.edits.EditHistory`)."""

    def get_urls(self) -> list[URLPattern]:
        name = f"pilots_{self.opts.model_name}_revert"
        revert = path("<path:object_id>/history/<int:entry>/", self.admin_site.admin_view(self.revert_view), name=name)
        return [revert, *super().get_urls()]

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Newest first; each entry with what it changed."""
        row = self._row_of(request, object_id)
        found = Paginator(self._entries(row), PER_PAGE).get_page(request.GET.get("p"))
        entries = list(found)
        before = [*entries[1:], self._entries(row).filter(history_id__lt=entries[-1].history_id).first()] if entries else []
        context = {
            **self.admin_site.each_context(request),
            "title": _("History of %(name)s") % {"name": row},
            "opts": self.opts,
            "row": row,
            "rows": [self._told(entry, old) for entry, old in zip(entries, before, strict=True)],
            "page": found,
        }
        return TemplateResponse(request, "admin/pilots/history.html", context | (extra_context or {}))

    def revert_view(self, request: HttpRequest, object_id: str, entry: int) -> HttpResponse:
        """Shows what going back would change; on a yes the row is as it was then."""
        row = self._row_of(request, object_id)
        if not self.has_change_permission(request, row):
            raise PermissionDenied
        kept = self._entries(row).filter(history_id=entry).first()
        if kept is None:
            raise Http404
        if request.method == "POST":
            return self._revert(request, row, kept)
        return self._preview_revert(request, row, kept, self._revert_outcomes(request, row, kept, dry_run=True))

    def _revert(self, request: HttpRequest, row: Any, kept: Any) -> HttpResponse:
        try:
            expected = request.POST.get("fingerprint", "") or "-"
            outcomes = self._revert_outcomes(request, row, kept, dry_run=False, expected=expected)
        except CatalogueError as error:
            messages.error(request, str(error))
            row = self._row_of(request, str(row.pk))
            return self._preview_revert(request, row, kept, self._revert_outcomes(request, row, kept, dry_run=True))
        if refused(outcomes):
            return self._preview_revert(request, row, kept, outcomes)
        messages.success(request, _("%(name)s is as it was on %(when)s.") % {"name": row, "when": _moment(kept)})
        return HttpResponseRedirect(reverse(f"admin:pilots_{self.opts.model_name}_history", args=[row.pk]))

    def _revert_outcomes(
        self, request: HttpRequest, row: Any, kept: Any, *, dry_run: bool, expected: str = ""
    ) -> Sequence[Outcome]:
        edits = Edits(self, request, reason=f"back to {kept.history_date:%Y-%m-%d %H:%M:%S}Z")
        values = {field.name: getattr(kept, field.attname) for field in self.model.history.model.tracked_fields}
        return edit_rows(edits, [Wanted(0, str(row), row, lambda: values)], dry_run=dry_run, expected=expected)

    def _preview_revert(self, request: HttpRequest, row: Any, kept: Any, outcomes: Sequence[Outcome]) -> HttpResponse:
        name = f"admin:pilots_{self.opts.model_name}"
        context = preview_of(
            outcomes,
            title=_("%(name)s back to %(when)s?") % {"name": row, "when": _moment(kept)},
            confirm=reverse(f"{name}_revert", args=[row.pk, kept.history_id]),
            back=reverse(f"{name}_history", args=[row.pk]),
            hidden={"fingerprint": fingerprint(outcomes)},
        )
        frame = {**self.admin_site.each_context(request), "opts": self.opts}
        return TemplateResponse(request, "admin/pilots/preview.html", frame | context)

    def _row_of(self, request: HttpRequest, object_id: str) -> Any:
        row = self.get_object(request, object_id)
        if row is None or not self.has_view_permission(request, row):
            raise Http404
        return row

    def _entries(self, row: Any) -> Any:
        return self.model.history.filter(id=row.pk).order_by("-history_id")

    def _told(self, entry: Any, before: Any) -> dict[str, Any]:
        changes = () if before is None else differences(self.model, before, entry)
        revert = reverse(f"admin:pilots_{self.opts.model_name}_revert", args=[entry.id, entry.history_id])
        return {"entry": entry, "changes": [self._named(change) for change in changes], "revert_url": revert}

    def _named(self, change: FieldChange) -> FieldChange:
        """References by the name of what they refer to, as far as it still exists."""
        field = next((each for each in self.model._meta.concrete_fields if each.attname == change.field), None)
        if field is None or field.remote_field is None:
            return change
        model: Any = field.remote_field.model
        names = {row.pk: str(row) for row in model._base_manager.filter(pk__in=[key for key in (change.old, change.new) if key])}
        old, new = (None if key is None else names.get(key, _("removed since")) for key in (change.old, change.new))
        return FieldChange(field=field.name, old=old, new=new)


def _moment(entry: Any) -> str:
    return formats.date_format(timezone.localtime(entry.history_date), "DATETIME_FORMAT")
