"""Key figures of the alarm system, each beside its target and where that stands."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from pilots.alarms.performance import FLOOD, Performance, performance
from pilots.domain.alarm import Priority
from pilots.models import User
from pilots.ui.access import signed_in
from pilots.ui.alarm_rows import PRIORITY_WORDS, glyph, subject_words
from pilots.ui.filters import BadFilter, choice, texts

WINDOWS = ("1", "7", "30")
BARS, HEIGHT = 168, 60
#: Of fewer alarms shares say nothing.
FEW = 100
IEC, EEMUA = "IEC 62682 / ISA-18.2, 16", "EEMUA 191"
#: Share of each priority that IEC 62682 holds good, in percent at most (of low: at least).
SHARES = {Priority.CRITICAL: 1, Priority.HIGH: 5, Priority.MEDIUM: 15, Priority.LOW: 80}


@signed_in
@require_safe
def alarm_performance(request: HttpRequest) -> HttpResponse:
    """`pilot` and `days` choose."""
    pilots = list(cast(User, request.user).visible_pilots())
    context: dict[str, Any] = {"page": "alarms", "pilots": pilots, "windows": [int(days) for days in WINDOWS], "refusal": ""}
    try:
        wanted = texts(request.GET, ("pilot", "days"))
        code = choice(wanted["pilot"], [pilot.code for pilot in pilots], _("pilot"))
        days = int(choice(wanted["days"], WINDOWS, _("days")) or 7)
    except BadFilter as error:
        return render(request, "pilots/alarm_performance.html", context | {"refusal": str(error)}, status=400)
    now = timezone.now()
    found = performance([pilot for pilot in pilots if code in ("", pilot.code)], now - timedelta(days=days), now)
    context |= {"code": code, "days": days, "figures": _figures(found), "found": found, "bars": _bars(found), "height": HEIGHT}
    context |= {"shares": _shares(found), "top": _top(found)}
    return render(request, "pilots/alarm_performance.html", context)


def _figures(found: Performance) -> list[dict[str, Any]]:
    """Name, value, target, source and whether the target is met; None where the standards name none."""
    mean, p95 = _duration(found.mean_to_acknowledge_s), _duration(found.p95_to_acknowledge_s)
    flood, top = f"{100 * found.flood_share:.1f} %", f"{100 * found.top_share:.0f} %"
    two, fold, ours = _("1 at most; 2 can be managed"), _("144 at most; 288 can be managed"), _("the rule's time to respond")
    rows = [
        (_("Alarms in 10 min, mean"), f"{found.mean_a_period:.2f}", two, EEMUA, found.mean_a_period <= 1),
        (_("Alarms in 10 min, peak"), str(found.peak), _("10 at most"), IEC, found.peak <= FLOOD),
        (_("Alarms a day"), f"{found.a_day:.1f}", fold, IEC, found.a_day <= 144),
        (_("Time in flood, above 10 in 10 min"), flood, _("below 1 %"), IEC, found.flood_share < 0.01),
        (
            _("Share of the ten most frequent"),
            top,
            _("5 % at most"),
            IEC,
            found.top_share <= 0.05 if found.announced >= FEW else None,
        ),
        (_("Active for more than 24 h"), str(found.stale), _("below 5"), IEC, found.stale < 5),
        (_("Chattering"), str(found.chattering), _("none"), IEC, not found.chattering),
        (_("Time to acknowledge, mean"), mean, ours, "", None),
        (_("Time to acknowledge, 95 % within"), p95, ours, "", None),
    ]
    return [_figure(*row) for row in rows]


def _figure(name: str, value: str, target: str, source: str, met: bool | None) -> dict[str, Any]:
    return {"name": name, "value": value, "target": target, "source": source or _("no figure in the standards"), "met": met}


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    return _("%s s") % f"{seconds:.0f}" if seconds < 120 else _("%s min") % f"{seconds / 60:.0f}"


def _shares(found: Performance) -> list[dict[str, Any]]:
    rows = []
    for priority, count in found.priorities:
        share, target = 100 * count / found.announced if found.announced else 0.0, SHARES[priority]
        least = priority is Priority.LOW
        words = _("about %s %% or more") if least else _("about %s %% at most")
        met = None if found.announced < FEW else share >= target - 5 if least else share <= target + 5
        drawn = glyph(priority, "active", "")
        figure = _figure(str(PRIORITY_WORDS[priority]), f"{count} ({share:.0f} %)", words % target, IEC, met)
        rows.append(figure | {"glyph": drawn})
    return rows


def _top(found: Performance) -> list[dict[str, Any]]:
    return [
        {"subject": subject_words(subject, ""), "what": _(what), "count": count, "share": 100 * count / found.announced}
        for subject, what, count in found.top
    ]


def _bars(found: Performance) -> list[dict[str, Any]]:
    """The highest ten minutes of each stretch of the window, as bars of an SVG."""
    stretch = -(-len(found.periods) // BARS)
    peaks = [max(found.periods[start : start + stretch]) for start in range(0, len(found.periods), stretch)]
    most = max(20, *peaks)
    bars = []
    for place, peak in enumerate(peaks):
        high = round(HEIGHT * peak / most, 1)
        bars.append({"x": 4 * place, "y": HEIGHT - high, "high": high, "flood": peak > FLOOD})
    return [bar for bar in bars if bar["high"]]
