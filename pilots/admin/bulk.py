"""The same change to many rows at once: fields that stay as they are unless ticked, a preview, all of it or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_POST

from pilots.admin.editing import ConfigurationAdmin
from pilots.admin.previews import preview_of
from pilots.admin.row_edits import Edits, Outcome, Wanted, edit_rows, fingerprint, refused
from pilots.domain.errors import CatalogueError

MOST_ROWS = 5_000
#: Before a field's name: it is to be set.
SET = "set-"


class BulkPages(ConfigurationAdmin):
    """A page with fields that may be set for many rows at once."""

    bulk_fields: ClassVar[tuple[str, ...]]
    actions: Any = ("edit_chosen",)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_POST(self.bulk_view))
        return [path("edit-chosen/", view, name=f"pilots_{self.opts.model_name}_bulk"), *super().get_urls()]

    @admin.action(description=gettext_lazy("Edit the chosen together"), permissions=["change"])
    def edit_chosen(self, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponse | None:
        keys = list(rows.order_by("pk").values_list("pk", flat=True)[: MOST_ROWS + 1])
        if len(keys) > MOST_ROWS:
            messages.error(request, _("Choose at most %(n)s rows.") % {"n": MOST_ROWS})
            return None
        return self._ask_chosen(request, " ".join(map(str, keys)))

    def bulk_view(self, request: HttpRequest) -> HttpResponse:
        """What was filled in: asked again, previewed, or with a yes kept."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        keys = request.POST.get("keys", "")
        fields = self._bulk_form_fields(request)
        wanted = [name for name in fields if request.POST.get(SET + name)]
        errors = _errors(fields, wanted, request.POST)
        if not wanted:
            messages.warning(request, _("Tick at least one field: the others stay as they are."))
        if not wanted or errors:
            return self._ask_chosen(request, keys, errors)
        try:
            expected = request.POST.get("fingerprint", "")
            outcomes = self._chosen_outcomes(request, keys, wanted, dry_run=not expected, expected=expected)
        except CatalogueError as error:
            messages.error(request, str(error))
            expected, outcomes = "", self._chosen_outcomes(request, keys, wanted, dry_run=True)
        if not expected or refused(outcomes):
            return self._preview_chosen(request, keys, wanted, outcomes)
        count = sum(outcome.kind == "changed" for outcome in outcomes)
        messages.success(request, ngettext("%(n)s row was changed.", "%(n)s rows were changed.", count) % {"n": count})
        return HttpResponseRedirect(reverse(f"admin:pilots_{self.opts.model_name}_changelist"))

    def _chosen_outcomes(
        self, request: HttpRequest, keys: str, wanted: Sequence[str], *, dry_run: bool, expected: str = ""
    ) -> Sequence[Outcome]:
        chosen = [int(key) for key in keys.split() if key.isdecimal()][:MOST_ROWS]
        values = {name: self._bulk_form_fields(request)[name].clean(request.POST.get(name, "")) for name in wanted}
        rows = self.get_queryset(request).filter(pk__in=chosen).order_by("pk")
        edits = Edits(self, request, reason="edit together")
        return edit_rows(edits, [Wanted(0, str(row), row, lambda: values) for row in rows], dry_run=dry_run, expected=expected)

    def _bulk_form_fields(self, request: HttpRequest) -> dict[str, Any]:
        """The page's own form fields, none of them required here: what a row needs its form says."""
        fields = self.get_form(request, self.model(), change=True).base_fields
        return {name: fields[name] for name in self.bulk_fields}

    def _ask_chosen(self, request: HttpRequest, keys: str, errors: Mapping[str, str] | None = None) -> HttpResponse:
        given = request.POST if SET in " ".join(request.POST) else {}
        rows = []
        for name, field in self._bulk_form_fields(request).items():
            form = forms.Form(given or None)
            form.fields[name] = field
            value = {"name": name, "label": field.label, "control": form[name], "help": field.help_text}
            rows.append(value | {"ticked": bool(given.get(SET + name)), "error": (errors or {}).get(name, "")})
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Edit the chosen together"),
            "count": len(keys.split()),
            "keys": keys,
            "rows": rows,
            "action": reverse(f"admin:pilots_{self.opts.model_name}_bulk"),
        }
        return TemplateResponse(request, "admin/pilots/bulk.html", context)

    def _preview_chosen(
        self, request: HttpRequest, keys: str, wanted: Sequence[str], outcomes: Sequence[Outcome]
    ) -> HttpResponse:
        name = f"admin:pilots_{self.opts.model_name}"
        hidden = {"keys": keys, "fingerprint": fingerprint(outcomes)}
        hidden |= {SET + each: "on" for each in wanted} | {each: request.POST.get(each, "") for each in wanted}
        context = preview_of(
            outcomes,
            title=_("Edit the chosen together: preview"),
            confirm=reverse(f"{name}_bulk"),
            back=reverse(f"{name}_changelist"),
            hidden=hidden,
        )
        frame = {**self.admin_site.each_context(request), "opts": self.opts}
        return TemplateResponse(request, "admin/pilots/preview.html", frame | context)


def _errors(fields: Mapping[str, Any], wanted: Sequence[str], given: Mapping[str, Any]) -> dict[str, str]:
    errors = {}
    for name in wanted:
        try:
            fields[name].clean(given.get(name, ""))
        except forms.ValidationError as error:
            errors[name] = " ".join(error.messages)
    return errors
