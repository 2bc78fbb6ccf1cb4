"""The shift handover: the report as a page and as PDF, notes and signatures. Only parses, asks and calls `pilots.shift`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from pilots.audit.services import record_event
from pilots.domain.shift import LONGEST, Preset, Shift, running_at, shift_of
from pilots.models import Pilot, Role, ShiftNote, Side, User
from pilots.shift.selectors import facts_of
from pilots.shift.services import HandoverRefused, sign, write_note
from pilots.ui.access import signed_in
from pilots.ui.filters import BadFilter, window
from pilots.ui.handover_pdf import handover_pdf
from pilots.ui.handover_sections import Block, block_of
from pilots.ui.time_zones import zone_label
from pilots.ui.words import page_words


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which report a query means. `preset` is empty for a window of the reader's own; times are of `zone`."""

    pilots: list[Pilot]
    code: str
    zone: ZoneInfo
    day: date
    preset: str
    shift: Shift

    @property
    def query(self) -> str:
        """The same report once more."""
        own = (
            {"shift": self.preset, "day": self.day.isoformat()}
            if self.preset
            else {"from": _iso(self.start), "to": _iso(self.end)}
        )
        return urlencode(({"pilot": self.code} if self.code else {}) | own)

    @property
    def start(self) -> datetime:
        return self.shift.start

    @property
    def end(self) -> datetime:
        return self.shift.end


@signed_in
@require_safe
def handover_page(request: HttpRequest) -> HttpResponse:
    """The report of a shift that the reader may see; without a query, of the shift that runs."""
    return _page(request, request.GET)


@signed_in
@require_safe
def handover_report(request: HttpRequest) -> HttpResponse:
    """The same report as PDF. Exporting stands in the audit trail."""
    user, now = cast(User, request.user), timezone.now()
    try:
        asked = _asked(request.GET, user, now)
    except BadFilter as error:
        return HttpResponse(str(error), status=400, content_type="text/plain; charset=utf-8")
    record_event(at=now, actor=user.get_username(), action="export handover report", details={"query": asked.query})
    body = handover_pdf(_blocks(asked, user, now), asked.shift, zone=asked.zone, by=user.get_username(), now=now)
    response = HttpResponse(body, content_type="application/pdf")
    name = f"handover-{asked.code or 'all'}-{asked.start:%Y%m%dT%H%MZ}.pdf"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@signed_in
@require_POST
def write_shift_note(request: HttpRequest) -> HttpResponse:
    """A new note, or one in place of `corrects`; back to the report."""
    corrects = request.POST.get("corrects", "")

    def write(pilot: Pilot, shift: Shift, by: str, now: datetime) -> None:
        notes = ShiftNote.objects.filter(pilot=pilot).select_related("corrects")
        wrong = (
            get_object_or_404(notes, pk=int(corrects))
            if corrects.isascii() and corrects.isdigit() and len(corrects) < 19
            else None
        )
        write_note(pilot, shift, by=by, text=request.POST.get("text", "").replace("\0", ""), now=now, corrects=wrong)

    return _deed(request, write)


@signed_in
@require_POST
def sign_shift(request: HttpRequest) -> HttpResponse:
    """The reader signs for one side; back to the report."""
    side = request.POST.get("side", "")
    if side not in Side.values:
        raise Http404
    return _deed(request, lambda pilot, shift, by, now: sign(pilot, shift, Side(side), by=by, now=now))


def _deed(request: HttpRequest, act: Callable[[Pilot, Shift, str, datetime], object]) -> HttpResponse:
    """Only operators of the pilot; a refusal shows the report with its sentence and what was typed."""
    user, now = cast(User, request.user), timezone.now()
    query = QueryDict(request.POST.get("query", "")[:500])
    pilot = get_object_or_404(user.visible_pilots(), code=request.POST.get("of", ""))
    if not user.has_role(Role.OPERATOR, pilot):
        raise PermissionDenied(_("Notes and signatures of a shift are for the pilot's operators."))
    try:
        asked = _asked(query, user, now)
        act(pilot, asked.shift, user.get_username(), now)
    except (BadFilter, HandoverRefused) as refusal:
        return _page(request, query, refused=str(refusal), of=pilot.code, text=request.POST.get("text", "")[:2000])
    return HttpResponseRedirect(f"{reverse('handover')}?{asked.query}#{pilot.code}")


def _page(request: HttpRequest, query: QueryDict, *, refused: str = "", of: str = "", text: str = "") -> HttpResponse:
    user, now = cast(User, request.user), timezone.now()
    context: dict[str, Any] = {"page": "handover", "pilots": list(user.visible_pilots()), "form": query, "words": page_words()}
    context |= {"presets": list(Preset), "refused": refused, "of": of, "text": text, "longest_note": 2000}
    try:
        asked = _asked(query, user, now)
    except BadFilter as error:
        return render(request, "pilots/handover.html", context | {"refusal": str(error)} | _typed_zone(query), status=400)
    context |= {"asked": asked, "query": asked.query, "blocks": _blocks(asked, user, now)}
    context |= {
        "zone": asked.zone.key,
        "zone_name": zone_label(asked.zone, asked.start, asked.end),
        "runs": asked.end > now,
        "before": _neighbour(asked, -1),
        "after": _neighbour(asked, 1) if asked.end <= now else "",
    }
    with timezone.override(asked.zone):
        return render(request, "pilots/handover.html", context, status=409 if refused else 200)


def _typed_zone(query: QueryDict) -> dict[str, str]:
    """What was refused keeps the clock it was typed by."""
    return {"zone": query.get("zone", ""), "zone_name": query.get("zone", "")}


def _blocks(asked: Asked, user: User, now: datetime) -> list[Block]:
    return [block_of(facts_of(pilot, asked.shift, now), may_write=user.has_role(Role.OPERATOR, pilot)) for pilot in asked.pilots]


def _asked(query: QueryDict, user: User, now: datetime) -> Asked:
    """Raises BadFilter; Http404 for a pilot that may not be seen."""
    pilots, code = list(user.visible_pilots()), query.get("pilot", "")
    chosen = [pilot for pilot in pilots if code in ("", pilot.code)]
    if code and not chosen:
        raise Http404
    zone = ZoneInfo(chosen[0].time_zone if code else user.time_zone or (chosen[0].time_zone if chosen else "UTC"))
    day, running = running_at(now, zone)
    preset: str = query.get("shift", "")
    if not preset and (query.get("from") or query.get("to")):
        with timezone.override(zone):
            return Asked(pilots=chosen, code=code, zone=zone, day=day, preset="", shift=_own_window(query, now))
    if preset and preset not in list(Preset):
        raise BadFilter(_("%(text)s is no %(what)s.") % {"text": preset[:40], "what": _("shift")})
    day, which = _day(query.get("day", ""), day), Preset(preset or running)
    shift = shift_of(day, which, zone)
    if shift.start > now:
        raise BadFilter(_("This shift has not begun yet."))
    return Asked(pilots=chosen, code=code, zone=zone, day=day, preset=which.value, shift=shift)


def _own_window(query: QueryDict, now: datetime) -> Shift:
    start, end = window(query)
    if start is None or end is None:
        raise BadFilter(_("Give both the beginning and the end of the shift."))
    if end - start > LONGEST:
        raise BadFilter(_("A handover report is of seven days at most."))
    if start > now:
        raise BadFilter(_("This shift has not begun yet."))
    return Shift(start, end)


def _day(text: str, default: date) -> date:
    try:
        day = date.fromisoformat(text) if text else default
    except ValueError as error:
        raise BadFilter(_("Give the day as year-month-day.")) from error
    if not 1970 < day.year < 2200:
        raise BadFilter(_("Give the day as year-month-day."))
    return day


def _neighbour(asked: Asked, step: int) -> str:
    """The query of the shift before or after; empty for a window of the reader's own."""
    if not asked.preset:
        return ""
    order = list(Preset)
    place = order.index(Preset(asked.preset)) + step
    day = asked.day + timedelta(days=place // len(order))
    form = {"pilot": asked.code} if asked.code else {}
    return urlencode(form | {"shift": order[place % len(order)].value, "day": day.isoformat()})


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
