"""Commissioning by a table: points as CSV or XLSX, compared first, applied only whole. Engineers."""

from __future__ import annotations

from typing import Any, cast

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from pilots.catalogue.alarm_table import RuleChange, RuleChanges
from pilots.catalogue.point_changes import Changes, PointChange, apply_changes, plan_changes, table_of
from pilots.catalogue.point_table import column_names, read_table, write_table
from pilots.catalogue.table_files import MAX_BYTES, MAX_ROWS, write_csv, write_xlsx
from pilots.domain.errors import CatalogueError
from pilots.models import Pilot, Role, User
from pilots.ui.access import requires
from pilots.ui.commissioning_views import commissioning_parts
from pilots.ui.views import pilot_of
from pilots.ui.words import page_words

WRITERS = {
    "csv": (write_csv, "text/csv; charset=utf-8"),
    "xlsx": (write_xlsx, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
}
#: Rows of a comparison that a page shows; all of them are applied.
MOST_SHOWN = 500


@requires(Role.ENGINEER)
@require_safe
def table_page(request: HttpRequest, **_route: str) -> HttpResponse:
    pilot = pilot_of(request)
    context = {
        "page": "commissioning",
        "part": "table",
        "parts": commissioning_parts(pilot),
        "pilot": pilot,
        "columns": column_names(),
        "most_rows": MAX_ROWS,
        "most_megabytes": MAX_BYTES // 1024 // 1024,
        "words": page_words(),
    }
    return render(request, "pilots/commissioning/table.html", context)


@requires(Role.ENGINEER)
@require_safe
def table_export(request: HttpRequest, kind: str, **_route: str) -> HttpResponse:
    """The pilot's points as they are, in the form that can be read again."""
    pilot = pilot_of(request)
    write, content_type = WRITERS[kind]
    response = HttpResponse(write_table(table_of(pilot), write), content_type=content_type)
    response["Content-Disposition"] = f'attachment; filename="{pilot.code}-points.{kind}"'
    return response


@requires(Role.ENGINEER)
@require_POST
def compare_table(request: HttpRequest, **_route: str) -> JsonResponse:
    """What the file would change, and every fault of it by row and column. Nothing is changed."""
    try:
        return JsonResponse(comparison(_plan(request, pilot_of(request))))
    except CatalogueError as error:
        return refusal(error)


@requires(Role.ENGINEER)
@require_POST
def apply_table(request: HttpRequest, **_route: str) -> JsonResponse:
    """The rows are what the file says, if they are still those that were compared."""
    pilot = pilot_of(request)
    try:
        changes = _plan(request, pilot)
        if changes.fingerprint != request.POST.get("fingerprint", ""):
            raise CatalogueError(_("Nothing was changed: the points changed since the comparison. Compare again."))
        source = str(request.FILES["file"])[:100]
        apply_changes(changes, by=cast(User, request.user).get_username(), now=timezone.now(), source=source)
    except CatalogueError as error:
        return refusal(error)
    return JsonResponse({"added": len(changes.added), "changed": len(changes.changed), "removed": len(changes.removed)})


def _plan(request: HttpRequest, pilot: Pilot) -> Changes:
    return plan_changes(pilot, read_table(*uploaded(request)))


def uploaded(request: HttpRequest) -> tuple[bytes, str]:
    """Content and name of the file that came. Raises CatalogueError."""
    upload = request.FILES.get("file")
    if upload is None or isinstance(upload, list):
        raise CatalogueError(_("Choose a file first."), field="file")
    if (upload.size or 0) > MAX_BYTES:
        raise CatalogueError(_("The file has more than %s MB.") % (MAX_BYTES // 1024 // 1024), field="file")
    return upload.read(), upload.name or ""


def refusal(error: CatalogueError) -> JsonResponse:
    """Nothing was done, and why."""
    return JsonResponse({"code": "refused", "reason": str(error), "field": error.field}, status=422)


def comparison(changes: Changes | RuleChanges) -> dict[str, Any]:
    """For table.js: what would change, at most `MOST_SHOWN` of each, and how many there are."""
    return {
        "errors": [{"row": fault.row, "column": fault.column, "message": fault.message} for fault in changes.errors[:MOST_SHOWN]],
        "added": [_change(change) for change in changes.added[:MOST_SHOWN]],
        "changed": [_change(change) for change in changes.changed[:MOST_SHOWN]],
        "removed": [_change(change) for change in changes.removed[:MOST_SHOWN]],
        "counts": {
            "errors": len(changes.errors),
            "added": len(changes.added),
            "changed": len(changes.changed),
            "removed": len(changes.removed),
            "unchanged": len(changes.unchanged),
        },
        "fingerprint": changes.fingerprint,
    }


def _change(change: PointChange | RuleChange) -> dict[str, Any]:
    fields = [[each.field, _shown(each.old), _shown(each.new)] for each in change.fields]
    return {"row": change.row, "point": change.reference, "fields": fields}


def _shown(value: Any) -> str:
    return "–" if value in (None, "", {}, []) else str(value)
