"""Import with preview, and export, of one kind of rows: file, what it would change, then all of it or nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_POST, require_safe

from pilots.admin.editing import ConfigurationAdmin
from pilots.admin.previews import preview_of
from pilots.admin.rights import actor_of, pilots_where
from pilots.admin.row_edits import Edits, Outcome, edit_rows, fingerprint, refused
from pilots.admin.tables import Table
from pilots.catalogue.table_files import MAX_BYTES, MAX_ROWS, write_csv, write_xlsx
from pilots.domain.errors import CatalogueError
from pilots.models import Upload

#: How long a file waits for its import.
KEPT = timedelta(hours=1)
WRITERS = {
    "csv": (write_csv, "text/csv; charset=utf-8"),
    "xlsx": (write_xlsx, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
}


class FileForm(forms.Form):
    """The file to look at."""

    file = forms.FileField(label=gettext_lazy("File"), widget=forms.FileInput(attrs={"accept": ".csv,.xlsx,.tsv,.txt"}))

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > MAX_BYTES:
            raise ValidationError(_("The file has more than %s MB.") % (MAX_BYTES // 1024 // 1024))
        return file


class ImportPages(ConfigurationAdmin):
    """A page whose rows come and go as files too."""

    table: ClassVar[Table]

    def get_urls(self) -> list[URLPattern]:
        name, view = f"pilots_{self.opts.model_name}", self.admin_site.admin_view
        return [
            path("import/", view(self.import_view), name=f"{name}_import"),
            path("import/<uuid:upload>/", view(require_POST(self.apply_view)), name=f"{name}_apply"),
            path("export/<str:kind>/", view(require_safe(self.export_view)), name=f"{name}_export"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        name = f"admin:pilots_{self.opts.model_name}"
        urls = {f"{kind}_url": reverse(f"{name}_export", args=[kind]) for kind in WRITERS}
        urls["import_url"] = reverse(f"{name}_import")
        return super().changelist_view(request, urls | (extra_context or {}))

    def export_view(self, request: HttpRequest, kind: str) -> HttpResponse:
        """The rows of the reader's pilots, in the form that can be read again."""
        self._check_right(request)
        if kind not in WRITERS:
            raise Http404
        write, content_type = WRITERS[kind]
        response = HttpResponse(self.table.write(self.get_queryset(request), write), content_type=content_type)
        response["Content-Disposition"] = f'attachment; filename="{self.opts.model_name}s.{kind}"'
        return response

    def import_view(self, request: HttpRequest) -> HttpResponse:
        """Asks for a file; with one, shows what it would change. Nothing is changed."""
        self._check_right(request)
        form = FileForm(request.POST or None, request.FILES or None)
        if request.method != "POST" or not form.is_valid():
            return self._file_page(request, "import", {"form": form, "columns": self.table.columns(), "bounds": _bounds()})
        file = form.cleaned_data["file"]
        upload = _keep(self.opts.model_name or "", actor_of(request), file.name, file.read())
        return self._preview_file(request, upload, self._file_outcomes(request, upload, dry_run=True))

    def apply_view(self, request: HttpRequest, upload: Any) -> HttpResponse:
        """The rows are what the file says, if that is still what the preview showed."""
        self._check_right(request)
        kept = Upload.objects.filter(pk=upload, of=self.opts.model_name, by=actor_of(request), at__gt=_oldest()).first()
        if kept is None:
            messages.error(request, _("The file is not kept any more: choose it again."))
            return HttpResponseRedirect(reverse(f"admin:pilots_{self.opts.model_name}_import"))
        expected = request.POST.get("fingerprint", "") or "-"
        try:
            outcomes = self._file_outcomes(request, kept, dry_run=False, expected=expected)
        except CatalogueError as error:
            messages.error(request, str(error))
            return self._preview_file(request, kept, self._file_outcomes(request, kept, dry_run=True))
        if refused(outcomes):
            return self._preview_file(request, kept, outcomes)
        kept.delete()
        count = sum(outcome.kind != "unchanged" for outcome in outcomes)
        messages.success(request, ngettext("%(n)s row was imported.", "%(n)s rows were imported.", count) % {"n": count})
        return HttpResponseRedirect(reverse(f"admin:pilots_{self.opts.model_name}_changelist"))

    def _file_outcomes(self, request: HttpRequest, upload: Upload, *, dry_run: bool, expected: str = "") -> list[Outcome]:
        read = self.table.read(bytes(upload.content), upload.name, pilots_where(request, *self.roles))
        edits = Edits(self, request, reason=f"import {upload.name}")
        # A file with a row that cannot be read is never applied: what the others would do is shown all the same.
        done = edit_rows(edits, read.wanted, dry_run=dry_run or bool(read.refused), expected=expected)
        return sorted([*read.refused, *done], key=lambda outcome: outcome.number)

    def _preview_file(self, request: HttpRequest, upload: Upload, outcomes: list[Outcome]) -> HttpResponse:
        confirm = reverse(f"admin:pilots_{self.opts.model_name}_apply", args=[upload.pk])
        back = reverse(f"admin:pilots_{self.opts.model_name}_import")
        hidden = {"fingerprint": fingerprint(outcomes)}
        title = _("Import %(file)s: preview") % {"file": upload.name}
        return self._file_page(request, "preview", preview_of(outcomes, title=title, confirm=confirm, back=back, hidden=hidden))

    def _file_page(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
        frame = {**self.admin_site.each_context(request), "opts": self.opts, "title": _("Import from a file")}
        return TemplateResponse(request, f"admin/pilots/{template}.html", frame | context)

    def _check_right(self, request: HttpRequest) -> None:
        if not self.has_change_permission(request):
            raise PermissionDenied


def _keep(of: str, by: str, name: str, content: bytes) -> Upload:
    """The file waits for its import; older ones of the same person, and anybody's beyond their hour, go."""
    Upload.objects.filter(by=by, of=of).delete()
    Upload.objects.filter(at__lte=_oldest()).delete()
    return Upload.objects.create(of=of, by=by, name=name[:100], content=content, at=datetime.now(UTC))


def _oldest() -> datetime:
    return datetime.now(UTC) - KEPT


def _bounds() -> dict[str, int]:
    return {"rows": MAX_ROWS, "megabytes": MAX_BYTES // 1024 // 1024}
