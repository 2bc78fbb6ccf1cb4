"""The form of a new schedule: wall clock of the zone it names, shown units, a column or step table from a spreadsheet."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _

from pilots.domain.errors import SetpointRejected
from pilots.domain.schedule import MAX_STEPS, RESOLUTIONS, Curve, OnExpiry
from pilots.models import Pilot, Point
from pilots.ui.quantities import shown_unit
from pilots.ui.time_zones import BadClock, given_zone, moment_of_wall, zone_named

_EMPTY = ("", "-", "–", "−")
_CLOCK = re.compile(r"(?:\d{4}-\d\d-\d\d[ T])?(\d{1,2}):(\d\d)(?::\d\d)?")


@dataclass(frozen=True, slots=True)
class ScheduleForm:
    """What the page sends, read."""

    point: Point
    curve: Curve
    reason: str
    draft: bool


def read_form(pilot: Pilot, form: Mapping[str, str]) -> ScheduleForm:
    """Raises SetpointRejected that names the field that cannot be read."""
    point = find_point(pilot, form.get("point", ""))
    seconds = RESOLUTIONS.get(form.get("resolution", ""))
    if seconds is None:
        raise SetpointRejected("malformed", _("Choose how long a step is."), field="resolution")
    zone = _zone(form.get("zone", ""), pilot)
    start = _start(form.get("start", ""), zone)
    on_expiry = form.get("on_expiry", OnExpiry.RELEASE)
    if on_expiry not in list(OnExpiry):
        raise SetpointRejected("malformed", _("Choose what is so in a gap."), field="on_expiry")
    factor = shown_unit(point.unit)[1]
    fallback = _fallback(form.get("fallback_value", ""), factor) if on_expiry == OnExpiry.FALLBACK else None
    curve = Curve(start=start, resolution_s=seconds, values=(), on_expiry=OnExpiry(on_expiry), fallback_value=fallback)
    values = read_values(form.get("values", ""), curve, factor=factor, zone=zone)
    curve = replace(curve, values=values)
    return ScheduleForm(point, curve, form.get("reason", "")[:300].replace("\0", ""), form.get("draft") == "1")


def find_point(pilot: Pilot, reference: str) -> Point:
    """The set-point `device/point` of the pilot. Raises SetpointRejected."""
    device, _slash, name = reference.partition("/")
    chosen = Point.objects.filter(device__pilot=pilot, device__code=device.replace("\0", ""), name=name.replace("\0", ""))
    point = chosen.select_related("device__pilot", "device__connection").first()
    if point is None:
        raise SetpointRejected("unknown_point", _("Choose the set-point."), field="point")
    return point


def read_values(text: str, curve: Curve, *, factor: int, zone: ZoneInfo) -> tuple[float | None, ...]:
    """One value a line in the shown unit, or `time; value`, whose time must be that of the step.

    A dash or nothing between two separators is a step without a value. Raises SetpointRejected naming the line.
    """
    lines = text.strip("\n\r ").splitlines()
    if not text.strip():
        raise SetpointRejected("malformed", _("Give the values, one a line."), field="values")
    if len(lines) > MAX_STEPS:
        words = _("A schedule has at most %(most)d steps; these are %(lines)d lines.") % {"most": MAX_STEPS, "lines": len(lines)}
        raise SetpointRejected("out_of_range", words, field="values")
    return tuple(_value(line, number, curve, factor, zone) for number, line in enumerate(lines))


def _value(line: str, number: int, curve: Curve, factor: int, zone: ZoneInfo) -> float | None:
    *clock, cell = [part.strip() for part in re.split(r"[;\t]", line)]
    if clock:
        _check_clock(clock[-1], number, curve, zone)
    if cell in _EMPTY:
        return None
    value = _number(cell, factor)
    if not math.isfinite(value):
        words = _("Line %(line)d: %(cell)s is no number.") % {"line": number + 1, "cell": cell[:40]}
        raise SetpointRejected("malformed", words, field="values")
    return value


def _fallback(text: str, factor: int) -> float:
    value = _number(text.strip(), factor)
    if not math.isfinite(value):
        raise SetpointRejected("malformed", _("Give the value that is wanted there."), field="fallback_value")
    return value


def _number(cell: str, factor: int) -> float:
    """In the stored unit; NaN where it is no number."""
    try:
        # 12.3 kW is 12 300 W and not 12300.000000000002.
        return round(float(cell.replace(",", ".").replace("−", "-")) * factor, 6)
    except ValueError:
        return math.nan


def _check_clock(cell: str, number: int, curve: Curve, zone: ZoneInfo) -> None:
    found, begins = _CLOCK.fullmatch(cell), curve.begin_of(number).astimezone(zone)
    if found is None or (int(found[1]), int(found[2])) != (begins.hour, begins.minute):
        words = _("Line %(line)d begins at %(begins)s, the table says %(cell)s.")
        told = {"line": number + 1, "begins": f"{begins:%H:%M}", "cell": cell[:40]}
        raise SetpointRejected("malformed", words % told, field="values")


def _zone(name: str, pilot: Pilot) -> ZoneInfo:
    """The clock that the form was filled by, which it names; the pilot's where it names none."""
    try:
        return given_zone(name, zone_named(pilot.time_zone))
    except BadClock as error:
        raise SetpointRejected("malformed", str(error), field="start") from error


def _start(text: str, zone: ZoneInfo) -> datetime:
    try:
        return moment_of_wall(text, zone)
    except BadClock as error:
        raise SetpointRejected("malformed", str(error), field="start") from error
    except (ValueError, OverflowError) as error:
        raise SetpointRejected("malformed", _("Give the start as date and time."), field="start") from error
