"""The rationalisation table of a pilot's alarm rules as CSV or XLSX, compared first, applied only whole. Engineers."""

from __future__ import annotations

from typing import cast

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from pilots.catalogue.alarm_table import COLUMNS, RuleChanges, apply_rules, plan_rules, write_rules
from pilots.catalogue.table_files import MAX_BYTES, MAX_ROWS
from pilots.domain.errors import CatalogueError
from pilots.models import AlarmRule, Pilot, Role, User
from pilots.ui.access import requires
from pilots.ui.commissioning_views import commissioning_parts
from pilots.ui.table_views import WRITERS, comparison, refusal, uploaded
from pilots.ui.views import pilot_of
from pilots.ui.words import page_words


@requires(Role.ENGINEER)
@require_safe
def alarm_table(request: HttpRequest, **_route: str) -> HttpResponse:
    pilot = pilot_of(request)
    rules = AlarmRule.objects.filter(pilot=pilot)
    context = {
        "page": "commissioning",
        "part": "alarms",
        "parts": commissioning_parts(pilot),
        "pilot": pilot,
        "columns": COLUMNS,
        "rules": rules.count(),
        "unreasoned": rules.filter(consequence="").count(),
        "most_rows": MAX_ROWS,
        "most_megabytes": MAX_BYTES // 1024 // 1024,
        "words": page_words(),
    }
    return render(request, "pilots/commissioning/alarms.html", context)


@requires(Role.ENGINEER)
@require_safe
def alarm_table_export(request: HttpRequest, kind: str, **_route: str) -> HttpResponse:
    """The pilot's rules as they are, in the form that can be read again."""
    pilot = pilot_of(request)
    write, content_type = WRITERS[kind]
    response = HttpResponse(write_rules(pilot, write), content_type=content_type)
    response["Content-Disposition"] = f'attachment; filename="{pilot.code}-alarm-rules.{kind}"'
    return response


@requires(Role.ENGINEER)
@require_POST
def compare_alarm_table(request: HttpRequest, **_route: str) -> JsonResponse:
    """What the file would change, and every fault of it by row and column. Nothing is changed."""
    try:
        return JsonResponse(comparison(_plan(request, pilot_of(request))))
    except CatalogueError as error:
        return refusal(error)


@requires(Role.ENGINEER)
@require_POST
def apply_alarm_table(request: HttpRequest, **_route: str) -> JsonResponse:
    """The rules are what the file says, if they are still those that were compared."""
    try:
        changes = _plan(request, pilot_of(request))
        if changes.fingerprint != request.POST.get("fingerprint", ""):
            raise CatalogueError(_("Nothing was changed: the rules changed since the comparison. Compare again."))
        source = str(request.FILES["file"])[:100]
        apply_rules(changes, by=cast(User, request.user).get_username(), now=timezone.now(), source=source)
    except CatalogueError as error:
        return refusal(error)
    return JsonResponse({"added": len(changes.added), "changed": len(changes.changed), "removed": 0})


def _plan(request: HttpRequest, pilot: Pilot) -> RuleChanges:
    return plan_rules(pilot, *uploaded(request))
