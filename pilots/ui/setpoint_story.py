"""What lists and pages say of a set-point: its steps, what became of it, how long it holds and what comes then."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from django.utils import timezone
from django.utils.translation import gettext as _

from pilots.control.ending import ending_of
from pilots.domain.setpoint import Issuer, SetpointState
from pilots.live.frames import milliseconds
from pilots.models import Point, Setpoint
from pilots.ui.quantities import point_name, shown_duration, shown_quantity
from pilots.ui.words import setpoint_words, then_words

S = SetpointState
ORDER = [S.RECEIVED, S.VALIDATED, S.DISPATCHED, S.EXECUTED]
STOPPED = frozenset({S.REJECTED, S.FAILED, S.EXPIRED, S.CANCELLED})
OPEN = frozenset({S.RECEIVED, S.VALIDATED, S.DISPATCHED})


@dataclass(frozen=True, slots=True)
class Dot:
    """One of the four steps as it is drawn: reached, stopped at, or neither; `line` tells of the way to it."""

    x: int
    reached: bool
    stopped: bool
    line: bool


def dots(setpoint: Setpoint) -> list[Dot]:
    """The four steps; a cross stands where it stopped."""
    reached = max((ORDER.index(S(event.state)) for event in setpoint.events.all() if event.state in ORDER), default=0)
    return dots_of(reached, stopped=setpoint.state in STOPPED)


def dots_of(reached: int, *, stopped: bool) -> list[Dot]:
    """The four steps of a set-point that came to the one with this number."""
    cross = min(reached + 1, 3) if stopped else -1
    last = reached if cross < 0 else cross
    return [Dot(6 + 21 * n, n <= reached and n != cross, n == cross, 0 < n <= last) for n in range(4)]


def said(setpoint: Setpoint) -> str:
    """What became of it, in words."""
    words = setpoint_words()
    if setpoint.state != S.EXECUTED:
        return str(cast(dict[str, str], words["state"])[setpoint.state])
    key = "in" if setpoint.released_at is None else "over" if setpoint.superseded_by_id is None else "replaced"
    sent = setpoint.dispatched_at or setpoint.received_at
    took = (setpoint.finished_at or sent) - sent
    return str(words[key]).replace("%s", shown_duration(took.total_seconds()))


def issuer_name(issuer: str) -> str:
    names = {
        Issuer.OPERATOR: _("operator"),
        Issuer.PLATFORM: _("INVADE"),
        Issuer.SCHEDULE: _("schedule"),
        Issuer.FALLBACK: _("giving back"),
        Issuer.CONTROL_CENTRE: _("control centre"),
    }
    return names.get(Issuer(issuer), issuer)


def value_words(point: Point, value: float | None, unit: str) -> str:
    """The value in its shown unit; a switch's by its label.

    >>> value_words(Point(kind="command", labels={"1": "open"}), 1.0, "")
    'open'
    """
    if point.labels and value is not None and value.is_integer():
        return str(point.labels.get(str(int(value)), f"{value:g}"))
    return shown_quantity(value, unit)


def is_active(setpoint: Setpoint) -> bool:
    """On its way, or holding its point."""
    return setpoint.released_at is None and (setpoint.state in OPEN or setpoint.state in (S.UNKNOWN, S.EXECUTED))


def can_end(setpoint: Setpoint) -> bool:
    """Whether cancelling still changes something."""
    over = setpoint.state == S.UNKNOWN or (setpoint.kind == "command" and setpoint.state == S.EXECUTED)
    return is_active(setpoint) and not over


def then(setpoint: Setpoint) -> str:
    """What happens when its time is over."""
    value = value_words(setpoint.point, ending_of(setpoint).value, setpoint.unit)
    return then_what(setpoint).replace("%s", value)


def then_what(setpoint: Setpoint) -> str:
    """The same with `%s` where the value stands that is written."""
    ending = ending_of(setpoint)
    ceiling = ending.action == "lets_go" or (ending.action == "release" and setpoint.mode == "limit")
    key = "command" if setpoint.kind == "command" else "ceiling" if ceiling else ending.action
    return then_words().get(key, ending.action)


def story(setpoint: Setpoint) -> dict[str, Any]:
    """What a row or the head of a page shows of it. Times in the zone that is active."""
    point, device = setpoint.point, setpoint.point.device
    return {
        "setpoint": setpoint,
        "device": device,
        "pilot": device.pilot,
        "point": point_name(point.name),
        "value": value_words(point, setpoint.value, setpoint.unit),
        "before": "" if setpoint.before is None else value_words(point, setpoint.before, setpoint.unit),
        "dots": dots(setpoint),
        "said": said(setpoint),
        "stopped": setpoint.state in (S.REJECTED, S.FAILED, S.EXPIRED),
        "unsure": setpoint.state == S.UNKNOWN,
        "issuer": issuer_name(setpoint.issuer),
        "active": is_active(setpoint),
        "can_end": can_end(setpoint),
        "until": clock(setpoint.valid_until, setpoint.received_at),
        "until_ms": milliseconds(setpoint.valid_until),
        "left": str(setpoint_words()["left"]).replace(
            "%s", shown_duration((setpoint.valid_until - timezone.now()).total_seconds())
        ),
        "then": then(setpoint) if is_active(setpoint) else "",
    }


def clock(moment: datetime, beside: datetime) -> str:
    """Time of day, with the date where it is another than `beside`'s."""
    shown, other = timezone.localtime(moment), timezone.localtime(beside)
    return shown.strftime("%H:%M:%S" if shown.date() == other.date() else "%d %b %H:%M:%S")
