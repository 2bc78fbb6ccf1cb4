"""What a faceplate shows of a device: its values in order of use, its set-points, who holds it."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import mark_safe
from django.utils.translation import gettext as _

from pilots.control import selectors
from pilots.control.guards import fallbacks_at, holds_at, tags_on
from pilots.domain.guards import endings_offered, range_of
from pilots.domain.point import Capability, PointKind, PointSpec
from pilots.domain.setpoint import DEFAULT_PRIORITY, Issuer
from pilots.domain.topology import DeviceKind
from pilots.models import BlockingTag, Device, FallbackRun, OperatorHold, Pilot, Point, Setpoint, User
from pilots.ui.alarm_strip import device_alarms
from pilots.ui.faceplate_about import about
from pilots.ui.faceplate_forecasts import foreseen
from pilots.ui.holding import holding_context
from pilots.ui.quantities import expiries, point_name, shown_number, shown_unit
from pilots.ui.setpoint_chart import mini_trend
from pilots.ui.setpoint_story import then
from pilots.ui.single_line_symbols import symbol
from pilots.ui.substitutions import substitution_context
from pilots.ui.switching import switches_of
from pilots.ui.words import KIND_NAMES, direction_role, ending_words, then_words

#: Shown first, in this order; what a device has beyond them is one click away.
LEADING = [
    "position",
    "active_power",
    "dc_power",
    "reactive_power",
    "charging_power",
    "connector_state",
    "soc",
    "ev_soc",
    "storage_state",
    "inverter_state",
    "loading",
    "oil_temperature",
    "hotspot_temperature",
    "temperature",
    "irradiance_ghi",
    "temp_ambient",
    "temp_room",
    "temp_water",
    "voltage",
    "current",
    "frequency",
    "soh",
]
LEADING_ROWS = 8
#: Set-points with a form of their own; the others stand behind a fold.
LEADING_SETPOINTS = ("p_set", "p_limit")


def faceplate_context(device: Device, pilot: Pilot, user: User, now: datetime) -> dict[str, Any]:
    """The template's values for one device; live.js fills the numbers."""
    points = list(Point.objects.filter(device=device).select_related("device"))
    lead, more = _in_order(points)
    has_soc = any(point.name == "soc" for point in points)
    controls = [
        _control(point, point.spec, has_soc=has_soc) for point in points if point.kind == PointKind.SETPOINT and point.capability
    ]
    kind = DeviceKind(device.kind)
    held = _held(points, now)
    return {
        "pilot": pilot,
        "device": device,
        "kind": KIND_NAMES[kind],
        "symbol": mark_safe(symbol(kind, device.name)),  # noqa: S308  our own drawing, no input in it
        "rating": _rating(device),
        "values": [_value_row(point, kind) for point in lead],
        "more": [_value_row(point, kind) for point in more],
        "no_values": _no_values(device),
        "controls": [control for control in controls if control["point"] in LEADING_SETPOINTS],
        "more_controls": [control for control in controls if control["point"] not in LEADING_SETPOINTS],
        "switches": switches_of(points),
        "records": _records(device, held) if any(PointKind(point.kind).writable for point in points) else [],
        "nobody": bool(controls),
        "expiries": expiries(),
        "guards": _guards(device, pilot, now),
        "alarms": device_alarms(device.pk, user, pilot, now),
        "trend": _trend(points, now),
        "foreseen": foreseen(points, now),
        "about": about(device, now),
        **substitution_context(device, points, pilot, now),
        **holding_context(points, pilot, user, now),
        "holdable": sorted(_named(controls), key=lambda named: named[0] not in LEADING_SETPOINTS),
    }


def value_rows(device: Device) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The device's values alone: those shown first, and those behind the fold."""
    kind = DeviceKind(device.kind)
    lead, more = _in_order(list(Point.objects.filter(device=device).select_related("device")))
    return [_value_row(point, kind) for point in lead], [_value_row(point, kind) for point in more]


def _in_order(points: list[Point]) -> tuple[list[Point], list[Point]]:
    shown = [point for point in points if not PointKind(point.kind).writable]
    ordered = sorted(shown, key=lambda point: (_rank(point.name), point.name))
    lead = [point for point in ordered if point.name in LEADING][:LEADING_ROWS] or ordered[:LEADING_ROWS]
    return lead, [point for point in ordered if point not in lead]


def _rank(name: str) -> int:
    return LEADING.index(name) if name in LEADING else len(LEADING)


def _value_row(point: Point, kind: DeviceKind) -> dict[str, Any]:
    unit = shown_unit(point.unit)[0]
    return {
        "name": point.name,
        "label": point_name(point.name),
        "reference": f"{point.device.code}/{point.name}",
        "unit": point.unit,
        "shown": unit,
        "labels": json.dumps(point.labels) if point.labels else "",
        "role": direction_role(kind) if point.name in _directed(kind) else "",
    }


def _directed(kind: DeviceKind) -> tuple[str, ...]:
    """Points whose sign is told in words; an array behind an inverter has DC power only."""
    return ("active_power", "dc_power") if kind is DeviceKind.GENERATING_UNIT else ("active_power",)


def _rating(device: Device) -> str:
    plate = device.nameplate
    parts = [(plate.get("rated_power_w"), "W"), (plate.get("capacity_wh"), "Wh")]
    return ", ".join(shown_number(float(value), unit) for value, unit in parts if value)


def _no_values(device: Device) -> str:
    if device.measured_by is not None:
        return _("%(meter)s measures for it: open that meter for its values.") % {"meter": device.measured_by.code}
    return _("This device has no points of its own. Its links say whether it answers.")


def _control(point: Point, spec: PointSpec, *, has_soc: bool) -> dict[str, Any]:
    shown, factor = shown_unit(point.unit)
    capability = spec.capability
    if capability is None:
        raise ValueError(f"{point} has no capability")
    low, high = range_of(spec)
    return {
        "point": point.name,
        "title": _("New limit") if "limit" in capability.modes else _("New set-point"),
        "label": point_name(point.name),
        "limits": _("limits %(low)s to %(high)s")
        % {"low": shown_number(low, point.unit), "high": shown_number(high, point.unit)},
        "unit": point.unit,
        "shown": shown,
        "factor": factor,
        "mode": capability.modes[0],
        "minimum": low,
        "maximum": high,
        "minimum_from": _bound(point, capability.minimum_from),
        "maximum_from": _bound(point, capability.maximum_from),
        "endings": _endings(point, capability),
        "priority": DEFAULT_PRIORITY[Issuer.OPERATOR],
        # What a target does to a battery until it ends; a ceiling promises nothing.
        "soc": f"{point.device.code}/soc" if has_soc and point.unit == "W" and "absolute" in capability.modes else "",
        "capacity_wh": point.device.nameplate.get("capacity_wh", ""),
        "feedback": f"{point.device.code}/{point.feedback}" if point.feedback else "",
        # Direction is a choice, never a sign to type.
        "directed": "1" if point.unit == "W" and low < 0 < high else "",
    }


def _endings(point: Point, capability: Capability) -> list[dict[str, str]]:
    """What may happen at the end of a set-point, the usual first, each with the sentence that says it (`%s`: the value typed)."""
    words, mode = ending_words(), capability.modes[0]
    shown = []
    for action in endings_offered(capability):
        made = Setpoint(point=point, kind="setpoint", value=capability.minimum, unit=point.unit, mode=mode, on_expiry=action)
        said = then_words()["fallback"] if action == "fallback" else then(made)
        shown.append({"action": action, "label": words[action], "then": said})
    return shown


def _bound(point: Point, name: str) -> str:
    """The reference of a point that bounds another now, its sign in front."""
    return f"{'-' if name.startswith('-') else ''}{point.device.code}/{name.removeprefix('-')}" if name else ""


def _trend(points: list[Point], now: datetime) -> dict[str, Any] | None:
    """The last hour of what the first set-point is measured by, and what was wished meanwhile; None without a set-point."""
    leading = sorted((point for point in points if point.kind == PointKind.SETPOINT and point.capability), key=_leads)
    by_name = {point.name: point for point in points}
    shown = next(((point, by_name[point.feedback]) for point in leading if point.feedback in by_name), None)
    if shown is None:
        return None
    wished, measured = shown
    return {
        "reference": f"{measured.device.code}/{measured.name}",
        "point": wished.name,
        "unit": measured.unit,
        "label": point_name(measured.name),
        "drawn": mini_trend(wished, measured, now),
    }


def _leads(point: Point) -> tuple[bool, str]:
    return point.name not in LEADING_SETPOINTS, point.name


def _held(points: list[Point], now: datetime) -> Setpoint | None:
    found = (selectors.holder(point, now) for point in points if point.name in LEADING_SETPOINTS)
    return next((held for held in found if held is not None), None)


def _named(controls: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(control["point"], control["label"]) for control in controls]


def _guards(device: Device, pilot: Pilot, now: datetime) -> list[dict[str, Any]]:
    """Fallback plans and holds of its points and the tags on the device, as the page words them."""
    tags = [_guard(tag) | {"kind": "tag", "url": reverse("remove_tag", args=[pilot.code, tag.pk])} for tag in tags_on(device.pk)]
    holds = holds_at(now).filter(point__device=device).select_related("point")
    plans = [
        _guard(run)
        | {"kind": "fallback", "url": reverse("take_from_fallback", args=[pilot.code, run.pk])}
        | {"label": point_name(run.point.name), "value": shown_number(run.value, run.point.unit)}
        for run in fallbacks_at(pilot).filter(point__device=device)
    ]
    return (
        plans
        + tags
        + [
            _guard(hold)
            | {"kind": "hold", "url": reverse("hand_back", args=[pilot.code, hold.pk])}
            | {"label": point_name(hold.point.name), "until": timezone.localtime(hold.until).strftime("%H:%M")}
            for hold in holds
        ]
    )


def _guard(guard: BlockingTag | FallbackRun | OperatorHold) -> dict[str, Any]:
    since = timezone.localtime(guard.set_at).strftime("%d %b %H:%M")
    return {"owner": guard.owner, "reason": guard.reason, "since": since}


def _records(device: Device, held: Setpoint | None) -> list[dict[str, Any]]:
    """The newest records and the holder's, which may be older: the page follows all of them by live frames."""
    found = selectors.recent(device)
    missing = [held] if held is not None and held not in found else []
    return [selectors.record(setpoint) for setpoint in found + missing]
