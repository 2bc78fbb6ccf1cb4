"""Replay: a pilot's diagram and alarms as they were at a moment of the past. Nothing on these pages commands anything."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, cast

import orjson
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.safestring import mark_safe
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from pilots.acquisition.sorting import MIN_SAMPLE_INTERVAL_S
from pilots.acquisition.supply import supply_then
from pilots.catalogue.link_points import STATE_CODES, field_end, point_names
from pilots.control.substitutions import standing_at
from pilots.domain.alarm import AlarmState, Priority
from pilots.domain.quality import Quality, Source
from pilots.domain.topology import DeviceKind, LinkState
from pilots.history.replay import LINK_STATE_S, Held, values_at
from pilots.journal.selectors import Key, Wanted, alarms_at, entries, link_since, reach_of_pilot
from pilots.journal.services import link_subject
from pilots.live.frames import milliseconds
from pilots.models import Device, JournalEntry, Link, Pilot, Role, User
from pilots.ui.access import requires, signed_in
from pilots.ui.alarm_rows import STATE_WORDS, subject_words
from pilots.ui.faceplates import value_rows
from pilots.ui.filters import BadFilter, moment_of_form
from pilots.ui.journal_rows import alarm_glyph, milliseconds_after, rows_of
from pilots.ui.single_line import drawing_of
from pilots.ui.single_line_symbols import symbol
from pilots.ui.time_zones import page_zone, speak_for
from pilots.ui.topology import topology_of
from pilots.ui.views import pilot_of
from pilots.ui.words import KIND_NAMES, page_words

#: Entries of the journal shown on either side of the moment.
NEIGHBOURS = 6
ALARMS_SHOWN = 50
_STATES = {code: state for state, code in STATE_CODES.items()}


@signed_in
@require_safe
def replay_page(request: HttpRequest) -> HttpResponse:
    """`pilot` and `at` choose; without them the first pilot, ten minutes ago."""
    user, now, refusal = cast(User, request.user), timezone.now(), ""
    code = request.GET.get("pilot", "")
    pilot = get_object_or_404(user.visible_pilots(), code=code) if code else user.visible_pilots().first()
    at = now - timedelta(minutes=10)
    if pilot is None:
        return render(request, "pilots/replay.html", {"page": "replay"})
    speak_for(request, pilot)
    try:
        at = moment_of_form(request.GET.get("at", ""), page_zone()) or at
    except BadFilter as error:
        refusal = str(error)
    topology = topology_of(pilot)
    context = {
        "page": "replay",
        "pilot": pilot,
        "at_ms": milliseconds(min(at, now)),
        "now_ms": milliseconds(now),
        "refusal": refusal,
        "drawing": drawing_of(topology),
        "switch": None,  # no switch of anything stands on a page of the past
        "words": page_words() | replay_words(),
    }
    return render(request, "pilots/replay.html", context, status=400 if refusal else 200)


@requires(Role.VIEWER)
@require_safe
def replay_frame(request: HttpRequest, **_route: str) -> HttpResponse:
    """The pilot at the moment `at`, shaped as a live snapshot, with its alarms and what the journal says around it."""
    pilot, now = pilot_of(request), timezone.now()
    try:
        at = moment_of_form(request.GET.get("at", ""), page_zone())
    except BadFilter as error:
        return JsonResponse({"code": "bad_moment", "reason": str(error), "field": "at"}, status=400)
    if at is None or at > now:
        reason = _("Replay shows what was: give a time that has been.")
        return JsonResponse({"code": "bad_moment", "reason": reason, "field": "at"}, status=400)
    return HttpResponse(orjson.dumps(frame(pilot, at)), content_type="application/json")


def frame(pilot: Pilot, at: datetime) -> dict[str, Any]:
    """What the page shows of the moment."""
    held = values_at(pilot, at, kept_every_s=MIN_SAMPLE_INTERVAL_S) | _by_hand(pilot, at)
    points = [each.row() for each in held.values()]
    standing = alarms_at(pilot, at)
    reach, wanted = reach_of_pilot(pilot), Wanted()
    before = entries(reach, wanted, limit=NEIGHBOURS, after=Key(at, -1, 0))
    after = entries(reach, wanted, limit=NEIGHBOURS, after=Key(at, -1, 0), oldest_first=True)
    # An entry's link leads to the millisecond after it: going back from there must not find it again.
    earlier = at - timedelta(milliseconds=1)
    previous = [entry for entry in before if entry.at < earlier]
    if before and not previous:
        previous = entries(reach, wanted, limit=1, after=Key(earlier, -1, 0))
    past = {"alarms": _alarm_rows(pilot, standing), "hidden": sum(bool(row.hidden) for row in standing)}
    past |= {"before": rows_of(before, [pilot]), "after": rows_of(after, [pilot])}
    return {
        "type": "snapshot",
        "pilot": pilot.code,
        "epoch": "replay",
        "n": 0,
        "now_ms": milliseconds(at),
        "points": points,
        "supply": supply_then(pilot.code, points, at),
        "links": _link_rows(pilot, held, at),
        "marks": _marks(standing),
        "previous_ms": milliseconds_after(previous[0]) if previous else None,
        "next_ms": milliseconds_after(after[0]) if after else None,
        "past": render_to_string("pilots/replay_past.html", past),
    }


@requires(Role.VIEWER)
@require_safe
def replay_faceplate(request: HttpRequest, device: str, **_route: str) -> HttpResponse:
    """The values of one device, to be filled by the frame; no set-point, no switch, no acknowledgement."""
    pilot = pilot_of(request)
    row = Device.objects.filter(pilot=pilot, code=device).first()
    if row is None:
        raise Http404
    kind = DeviceKind(row.kind)
    lead, more = value_rows(row)
    context = {"pilot": pilot, "device": row, "kind": KIND_NAMES[kind], "values": lead, "more": more}
    context["symbol"] = mark_safe(symbol(kind, row.name))  # noqa: S308  our own drawing, no input in it
    return render(request, "pilots/replay_faceplate.html", context)


def replay_words() -> dict[str, object]:
    """What the live page's scripts say here instead: nothing on this page is live."""
    return {
        "live": _("As it was"),
        "partlyLive": _("PARTLY NOT REACHED THEN"),
        "nothingLive": _("NOT REACHED THEN"),
        "lag": _("not live"),
        "never": _("no value then"),
        "lost": _("The server does not answer. The picture is that of the last moment it gave."),
        "lostTrying": _("The server does not answer. The picture is that of the last moment it gave."),
        "replay": {"copied": _("Copied"), "none": _("No event that way"), "play": _("Play"), "pause": _("Pause")}
        | {"skipped": _("There is no such time here: clocks are put forward then.")},
    }


def _by_hand(pilot: Pilot, at: datetime) -> dict[str, Held]:
    """The history keeps what the field sent beside them; pages showed these."""
    quality = Quality(source=Source.SUBSTITUTED).pack()
    return {
        reference: Held(reference, made.value, quality, made.set_at, at, None)
        for made in standing_at(pilot, at)
        for reference in [f"{made.point.device.code}/{made.point.name}"]
    }


def _link_rows(pilot: Pilot, held: dict[str, Held], at: datetime) -> list[list[Any]]:
    ends = [f"{end}__{column}" for end in ("end_a", "end_b") for column in ("code", "kind", "sgam")]
    links = list(Link.objects.filter(pilot=pilot).select_related("end_a", "end_b").only("letter", "role", *ends))
    suffixes = point_names(links)
    rows = []
    for link in links:
        state = _link_state(held.get(f"{field_end(link).code}/comm_state{suffixes[link.pk]}"), at)
        in_trouble = state in (LinkState.DOWN, LinkState.DEGRADED)
        since = link_since(link_subject(link), state, at) if in_trouble else None
        since_ms = None if since is None else milliseconds(since)
        rows.append([link.letter, link.end_a.code, link.end_b.code, state.value, since_ms, link.role])
    return rows


def _link_state(held: Held | None, at: datetime) -> LinkState:
    if held is None or held.value is None or (at - held.received_time).total_seconds() > LINK_STATE_S:
        return LinkState.UNKNOWN
    return _STATES.get(int(held.value), LinkState.UNKNOWN)


def _marks(standing: list[JournalEntry]) -> dict[str, list[Any]]:
    """Device -> [priority, state] of its most urgent alarm that asked for attention."""
    marks: dict[str, list[Any]] = {}
    for row in standing:
        device = row.subject.partition("/")[0]
        if not row.hidden and " " not in device:
            marks.setdefault(device, [row.priority, row.state])
    return marks


def _alarm_rows(pilot: Pilot, standing: list[JournalEntry]) -> list[dict[str, Any]]:
    announced = [row for row in standing if not row.hidden][:ALARMS_SHOWN]
    return [
        {
            "glyph": alarm_glyph(row.priority or Priority.LOW, row.state, ""),
            "subject": subject_words(row.subject, pilot.name),
            "what": _(row.what) if row.what else "",
            "state": STATE_WORDS[AlarmState(row.state)],
            "at": row.at,
        }
        for row in announced
    ]
