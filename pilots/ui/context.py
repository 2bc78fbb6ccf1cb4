"""What the frame of every page needs: the reader's pilots, their alarms, whether anything is simulated or commands are off."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext as _

from pilots.audit.selectors import READERS
from pilots.control.guards import off_words, switches_off
from pilots.models import Connection, Pilot, Role, User
from pilots.ui.access import rights_of
from pilots.ui.alarm_strip import strip_of
from pilots.ui.handbook import topic_of
from pilots.ui.help_views import OFFERED_ON, tour_address
from pilots.ui.time_zones import clock_of
from pilots.ui.training import TRAINERS, simulator


def navigation(request: HttpRequest) -> dict[str, Any]:
    """Context processor: lazy, so that pages without the frame ask the database nothing."""
    user = getattr(request, "user", None)
    if not isinstance(user, User):
        return {"own_pilots": [], "simulated": False, "trains": False, "commissions": False, "audits": False, "approves": False}
    pilots = SimpleLazyObject(lambda: list(rights_of(request).visible_pilots()))
    pilot = getattr(request, "pilot", None)
    return {
        "own_pilots": pilots,
        "clock": SimpleLazyObject(lambda: clock_of(request)),
        "strip": SimpleLazyObject(lambda: strip_of(rights_of(request), list(pilots), timezone.now())),
        "switch": SimpleLazyObject(lambda: _switch(request, user, pilot)),
        "help_topic": "" if user.is_kiosk else topic_of(_route(request)),
        "tour": SimpleLazyObject(lambda: _tour(request, user, list(pilots))),
        "simulated": SimpleLazyObject(lambda: _any_simulated(list(pilots))),
        "commissions": SimpleLazyObject(lambda: rights_of(request).somewhere(Role.ENGINEER)),
        "approves": SimpleLazyObject(lambda: rights_of(request).somewhere(Role.APPROVER)),
        "audits": SimpleLazyObject(lambda: rights_of(request).somewhere(*READERS)),
        # The page's entry shows only where a simulation runs and its reader may break something of it.
        "trains": SimpleLazyObject(lambda: simulator().is_there and rights_of(request).somewhere(*TRAINERS)),
    }


def _switch(request: HttpRequest, user: User, pilot: Pilot | None) -> dict[str, Any]:
    """The commands-off switch of a pilot's pages, or of the others' (None): everybody's."""
    rows = list(switches_off(0 if pilot is None else pilot.pk))
    code = [] if pilot is None else [pilot.code]
    scope = "all_" if pilot is None else ""
    return {
        "pilot": pilot,
        "off_rows": [_("Commands are off")] * bool(rows) if user.is_kiosk else [off_words(row) for row in rows],
        "off_here": any(row.pilot_id == (None if pilot is None else pilot.pk) for row in rows),
        "may_switch": rights_of(request).has_role(Role.OPERATOR, pilot),
        "off_url": reverse(f"{scope}commands_off", args=code),
        "on_url": reverse(f"{scope}commands_on", args=code),
    }


def _route(request: HttpRequest) -> str:
    return request.resolver_match.view_name if request.resolver_match is not None else ""


def _tour(request: HttpRequest, user: User, pilots: list[Pilot]) -> dict[str, Any] | None:
    """Offered until it was walked or declined, and begun where the address asks for it."""
    if user.is_kiosk or not pilots or _route(request) not in OFFERED_ON:
        return None
    asked = "tour" in request.GET
    here = getattr(request, "pilot", None) or pilots[0]
    return {"start": tour_address(here.code), "now": asked} if asked or user.tour_ended_at is None else None


def _any_simulated(pilots: list[Pilot]) -> bool:
    return Connection.objects.filter(pilot__in=pilots, simulated=True).exists()
