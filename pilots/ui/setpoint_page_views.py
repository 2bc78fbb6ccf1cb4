"""One set-point: every transition with its proof, the measurement drawn over it, who holds the point now."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, cast
from urllib.parse import urlencode
from uuid import UUID

import orjson
from csp.decorators import csp_update
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from pilots.audit.selectors import may_read
from pilots.control.feedback import feedback_point
from pilots.control.selectors import with_record_data
from pilots.domain.guards import range_of
from pilots.domain.setpoint import SetpointState
from pilots.models import Setpoint, User
from pilots.northbound.messages import rfc3339
from pilots.ui.access import signed_in
from pilots.ui.holding import holding_context
from pilots.ui.plotly_files import plotly_version, style_hashes
from pilots.ui.quantities import shown_duration, shown_number
from pilots.ui.setpoint_chart import setpoint_figure
from pilots.ui.setpoint_story import story, then
from pilots.ui.time_zones import page_zone, speak_for
from pilots.ui.words import page_words, setpoint_words


@signed_in
@require_safe
def setpoint_page(request: HttpRequest, setpoint_id: UUID) -> HttpResponse:
    """Plotly writes two style sheets of its own: their hashes are allowed here too."""
    update = {"style-src": list(style_hashes()), "img-src": ["blob:"]}
    response: HttpResponse = csp_update(update)(lambda asked: _setpoint_page(asked, setpoint_id))(request)  # type: ignore[assignment]
    return response


def _setpoint_page(request: HttpRequest, setpoint_id: UUID) -> HttpResponse:
    setpoint = _setpoint(request, setpoint_id)
    pilot = setpoint.point.device.pilot
    # The frame shows the pilot's pages and its commands-off switch.
    request.pilot = pilot  # type: ignore[attr-defined]
    more = {"page": "setpoint", "pilot": pilot, "plotly_version": plotly_version(), "words": page_words()}
    return render(request, "pilots/setpoint.html", _told(request, setpoint) | more)


@signed_in
@require_safe
def setpoint_told(request: HttpRequest, setpoint_id: UUID) -> HttpResponse:
    """What the page says of it once more, for a page that has heard of a change."""
    return render(request, "pilots/setpoint_told.html", _told(request, _setpoint(request, setpoint_id)))


@signed_in
@require_safe
def setpoint_chart(request: HttpRequest, setpoint_id: UUID) -> HttpResponse:
    """The figure as JSON."""
    body = setpoint_figure(_setpoint(request, setpoint_id), page_zone(), timezone.now())
    return HttpResponse(orjson.dumps(body), content_type="application/json")


def _setpoint(request: HttpRequest, setpoint_id: UUID) -> Setpoint:
    """The set-point with all that its page reads, by its pilot's clock; one that the reader may not see does not exist."""
    pilots = cast(User, request.user).visible_pilots()
    found = Setpoint.objects.filter(pk=setpoint_id, point__device__pilot__in=pilots)
    setpoint = (
        with_record_data(found).select_related("point__device__pilot", "point__device__connection", "superseded_by").first()
    )
    if setpoint is None:
        raise Http404
    speak_for(request, setpoint.point.device.pilot)
    return setpoint


def _told(request: HttpRequest, setpoint: Setpoint) -> dict[str, Any]:
    user, now, point = cast(User, request.user), timezone.now(), setpoint.point
    holding = holding_context([point], point.device.pilot, user, now)
    holding["held"] = [row for row in holding["held"] if row["setpoint"].pk != setpoint.pk]
    told = story(setpoint)
    _one_button(setpoint, holding, told)
    return (
        holding
        | told
        | {
            "timeline": _timeline(setpoint),
            "limits": _limits(setpoint),
            "at_end": then(setpoint),
            "ended": list(setpoint.supersedes.order_by("-received_at")[:5]),
            "may_audit": may_read(user),
            "trend_query": _trend_query(setpoint, now),
            "cancel_words": _("Nothing has been sent yet.") if setpoint.claimed_at is None else f"{capfirst(then(setpoint))}.",
            "cancel_url": reverse("cancel_setpoint", args=[point.device.pilot.code, setpoint.pk]),
        }
    )


def _one_button(setpoint: Setpoint, holding: dict[str, Any], told: dict[str, Any]) -> None:
    """One button for one deed: what is on its way is cancelled, what is in force is given up."""
    if not told["can_end"] or not holding["automatic"] or holding["automatic"][0]["only"] != setpoint.pk:
        return
    if setpoint.state == SetpointState.EXECUTED:
        told["can_end"] = False
    else:
        holding["automatic"] = []


def _timeline(setpoint: Setpoint) -> list[dict[str, Any]]:
    """Every transition, oldest first, each with the time since the request."""
    states = cast(dict[str, str], setpoint_words()["state"])
    return [
        {
            "event": event,
            "at": timezone.localtime(event.at).strftime("%H:%M:%S.%f")[:-3],
            "after": shown_duration((event.at - setpoint.received_at).total_seconds()),
            "said": states.get(event.state, event.state),
            "stopped": event.state in ("rejected", "failed", "expired"),
        }
        for event in setpoint.events.all()
    ]


def _limits(setpoint: Setpoint) -> str:
    spec = setpoint.point.spec
    if spec.capability is None:
        return ""
    low, high = range_of(spec)
    return f"{shown_number(low, spec.unit)} … {shown_number(high, spec.unit)}"


def _trend_query(setpoint: Setpoint, now: datetime) -> str:
    """Parameters of the trends page that show the feedback from a quarter of an hour before to one after."""
    over = min(setpoint.released_at or setpoint.valid_until, now)
    window = (setpoint.received_at - timedelta(minutes=15), max(over, setpoint.received_at) + timedelta(minutes=15))
    start, end = (rfc3339(moment) for moment in window)
    feedback = feedback_point(setpoint.point)
    return urlencode({"points": f"{setpoint.point.device.code}/{feedback.name}", "from": start, "to": end})
