"""The forms in which pilots, devices, points and values leave through the API (docs/api.md)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pilots.control.circumstances import circumstances_for_anyone
from pilots.domain.guards import endings_offered, range_now, range_of
from pilots.domain.point import Capability, PointKind
from pilots.domain.quality import Quality, aged
from pilots.domain.switching import class_of
from pilots.models import BlockingTag, CommandsOff, Device, LatestValue, Link, Pilot, Point
from pilots.northbound.messages import rfc3339

#: Standard counterparts by kind of point: IEC 60870-5-104 monitor and control types (IEC 60870-5-101 7.3).
IEC104_TYPES = {
    "measurement": [36, 13],
    "status": [30, 31],
    "counter": [37],
    "setpoint": [50, 63],
    "command": [45, 46],
}


def pilot_record(pilot: Pilot, devices: int, links: int) -> dict[str, Any]:
    """A pilot with the number of its devices and links that the client may see."""
    return {
        "code": pilot.code,
        "name": pilot.name,
        "country": pilot.country,
        "time_zone": pilot.time_zone,
        "latitude": pilot.latitude,
        "longitude": pilot.longitude,
        "operator": pilot.operator,
        "summary": pilot.summary,
        "devices": devices,
        "links": links,
        "revision": pilot.revision,
    }


def topology_record(pilot: Pilot, devices: Iterable[Device], links: Iterable[Link]) -> dict[str, Any]:
    """The communication graph: nodes with their electrical parent, links with their letter and state."""
    return {
        "nodes": [
            {"id": device.code, "kind": device.kind, "sgam": device.sgam, "parent": _code(device.parent)} for device in devices
        ],
        "links": [link_record(link) for link in links],
        "revision": pilot.revision,
    }


def link_record(link: Link) -> dict[str, Any]:
    """An edge of the communication graph with its letter and state."""
    return {
        "letter": link.letter,
        "ends": [link.end_a.code, link.end_b.code],
        "protocol": link.protocol,
        "medium": link.medium,
        "sgam": link.sgam,
        "role": link.role,
        "state": link.state,
        "state_since": _time(link.state_since),
        "connection": None if link.connection is None else link.connection.name,
    }


def device_record(device: Device) -> dict[str, Any]:
    """A device with its nameplate and its place in pilot, grid and connections."""
    return {
        "id": device.code,
        "pilot": device.pilot.code,
        "kind": device.kind,
        "name": device.name,
        "sgam": device.sgam,
        "parent": _code(device.parent),
        "measured_by": _code(device.measured_by),
        "operator": device.operator or device.pilot.operator,
        "location": {"latitude": device.pilot.latitude, "longitude": device.pilot.longitude},
        "nameplate": device.nameplate,
        "profile": device.profile,
        "connection": None if device.connection is None else device.connection.name,
        "tags": [guard_record(tag) for tag in device.tags.all() if tag.removed_at is None],
    }


def guard_record(guard: BlockingTag | CommandsOff) -> dict[str, Any]:
    """Who set a tag or switched commands off, when and why."""
    return {"owner": guard.owner, "reason": guard.reason, "since": rfc3339(guard.set_at)}


def point_record(point: Point) -> dict[str, Any]:
    """A point: unit, kind and what may be expected of it."""
    spec = point.spec
    return {
        "pilot": point.device.pilot.code,
        "device": point.device.code,
        "point": point.name,
        "kind": point.kind,
        "unit": point.unit,
        "sign": "load",  # IEC load convention: P > 0 is consumption
        "period_s": point.period_s,
        "max_interval_s": point.max_interval_s,
        "max_age_s": spec.max_age_s,
        "deadband": point.deadband,
        "low": point.low,
        "high": point.high,
        "labels": point.labels,
        "writable": spec.kind.writable and spec.capability is not None,
        "feedback": point.feedback or None,
        "iec104_types": IEC104_TYPES.get(point.kind, []),
    }


def capability_record(point: Point, now: datetime) -> dict[str, Any] | None:
    """What a set-point or command of this point may ask, None when it takes none."""
    spec = point.spec
    if spec.capability is None or not spec.kind.writable:
        return None
    capability, around = spec.capability, circumstances_for_anyone(point, now)
    low, high = range_of(spec)
    low_now, high_now = range_now(spec, around)
    return {
        "point": point.name,
        "kind": point.kind,
        "unit": point.unit,
        "minimum": low,
        "maximum": high,
        "minimum_now": low_now,
        "maximum_now": high_now,
        "step": capability.step,
        "ramp": spec.ramp,
        "ramp_by": capability.ramp_by or "steps",
        "watchdog": watchdog_of(capability),
        "holder": None if around.holder_priority is None else {"priority": around.holder_priority, "words": around.holder},
        "min_duration_s": None,
        "min_interval_s": capability.min_interval_s,
        "max_per_hour": capability.max_per_hour or None,
        "interlock": capability.interlock or None,
        "interlock_words": capability.interlock_words,
        "command_class": class_of(spec) if spec.kind is PointKind.COMMAND else None,
        "response_time_s": capability.response_time_s,
        "tolerance": capability.tolerance_or_default,
        "modes": list(capability.modes),
        "default": capability.default,
        "watchdog_s": capability.watchdog_s or None,
        "on_expiry": endings_offered(capability),
        "labels": point.labels,
        "feedback": point.feedback or None,
        "schedules": point.kind == "setpoint",
    }


def watchdog_of(capability: Capability) -> str | None:
    """What takes the value off by itself when we fall silent: the device's reversion timer, or the end it was told."""
    return "reversion_timer" if capability.watchdog_s else "valid_to" if capability.self_expiring else None


def latest_record(latest: LatestValue, now: datetime) -> dict[str, Any]:
    """The newest value of a point with the quality it has now: what was not renewed in time is old."""
    point = latest.point
    quality = aged(latest.unpacked_quality, received=latest.received_time, max_age_s=point.spec.max_age_s, now=now)
    form = value_record(point, latest.source_time, latest.received_time, latest.value, quality)
    return form if latest.text is None else form | {"text": latest.text}


def value_record(
    point: Point, source_time: datetime, received_time: datetime, value: float | None, quality: Quality
) -> dict[str, Any]:
    """One value, `t` stamped by the device, `received` by us; a missing value is null and its quality says why."""
    return {
        "pilot": point.device.pilot.code,
        "device": point.device.code,
        "point": point.name,
        "t": rfc3339(source_time),
        "received": rfc3339(received_time),
        "value": value,
        "unit": point.unit,
        "quality": quality.as_dict(),
    }


def _code(device: Device | None) -> str | None:
    return None if device is None else device.code


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)
