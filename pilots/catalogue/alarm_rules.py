"""The alarm rules that equipment has from its commissioning on, until an engineer says otherwise. [operation]

Limits, delays and priorities are [assumed], as docs/admins.md lists them. Texts are English in the row and translated where
they are shown. A rule that an engineer changed (`own`) is left alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.utils.translation import gettext_noop as _

from pilots.catalogue.alarm_consequences import rationalised
from pilots.catalogue.link_points import field_end
from pilots.domain.alarm import AlarmKind, Priority
from pilots.domain.errors import CatalogueError
from pilots.domain.interlock import InterlockError, references
from pilots.domain.point import PointKind
from pilots.domain.topology import DeviceKind, LinkRole, Protocol
from pilots.journal.services import link_subject
from pilots.models import AlarmRule, Connection, Device, Link, Pilot, Point
from pilots.models.alarms import locked_rules

_K, _P, _D = AlarmKind, Priority, DeviceKind
BATTERY_KINDS = frozenset({_D.STORAGE_UNIT, _D.BATTERY_MANAGEMENT_SYSTEM, _D.POWER_ELECTRONICS})
METER_KINDS = frozenset({_D.METER, _D.SMART_METER, _D.TRANSFORMER})
POWER_KINDS = frozenset({_D.INVERTER, _D.POWER_ELECTRONICS, _D.STORAGE_UNIT, _D.GENERATING_UNIT})
ANY_KIND = frozenset(DeviceKind)
#: What has nothing behind it that could feed in, unless its nameplate says how much may be.
CONSUMERS = frozenset({_D.BOILER, _D.CHARGE_POINT})
#: Nominal phase voltage of the low-voltage grids (phase to phase in Norway's IT network).
NOMINAL_V = 230.0
PHASES = ("voltage", "voltage_l1", "voltage_l2", "voltage_l3")


@dataclass(frozen=True, kw_only=True, slots=True)
class Default:
    """One row of the defaults: which points of which devices, and the columns of their rule."""

    points: Sequence[str]
    devices: frozenset[DeviceKind]
    kind: AlarmKind
    priority: Priority
    what: str
    why: str
    todo: str
    limit: float | None = None
    limit_point: str = ""
    label: str = ""  # of a status: its codes are those with this label
    codes: Sequence[int] = field(default_factory=tuple)
    deadband: float = 0.0
    on_delay_s: float = 0.0


_TEMPERATURE = _("Look at the temperature's trend and lower the power. Above 55 °C the unit trips: have it looked at on site.")
_LOADING = _("Lower what is charged behind this transformer, or let storage units discharge there.")
_VOLTAGE = _("Compare the phases and the neighbouring meters. High by day is generation, low in the evening is load.")
_SOC = _("Compare with the limits set. A schedule or set-point that goes on in this direction should end now.")
DEFAULTS = (
    Default(points=["temperature"], devices=BATTERY_KINDS, kind=_K.HIGH_HIGH, priority=_P.CRITICAL, limit=55, deadband=2,
            what=_("Battery temperature: trip limit"), why=_("The battery is hotter than it may be; it disconnects itself."),
            todo=_("Check that active power is 0. Call who is on duty on site; do not reset from here above 45 °C.")),
    Default(points=["temperature"], devices=BATTERY_KINDS, kind=_K.HIGH, priority=_P.MEDIUM, limit=45, deadband=2,
            what=_("Battery temperature high"), why=_("The battery is hotter than is good for its life."), todo=_TEMPERATURE),
    Default(points=["soc"], devices=BATTERY_KINDS, kind=_K.HIGH, priority=_P.MEDIUM, limit=90, limit_point="soc_max_set_feedback",
            deadband=2, on_delay_s=60, what=_("State of charge above its limit"), todo=_SOC,
            why=_("The battery is charged beyond the highest state of charge set for it.")),
    Default(points=["soc"], devices=BATTERY_KINDS, kind=_K.LOW, priority=_P.MEDIUM, limit=10, limit_point="soc_min_set_feedback",
            deadband=2, on_delay_s=60, what=_("State of charge below its limit"), todo=_SOC,
            why=_("The battery is discharged beyond the lowest state of charge set for it.")),
    Default(points=["loading"], devices=ANY_KIND, kind=_K.HIGH_HIGH, priority=_P.HIGH, limit=100, deadband=10, on_delay_s=900,
            what=_("Overloaded for 15 minutes"), why=_("More than the rated power flows; insulation ages fast."), todo=_LOADING),
    Default(points=["loading"], devices=ANY_KIND, kind=_K.HIGH, priority=_P.MEDIUM, limit=80, deadband=8, on_delay_s=60,
            what=_("Loading high"), why=_("The rated power is used to more than 80 %."), todo=_LOADING),
    Default(points=["hotspot_temperature"], devices=ANY_KIND, kind=_K.HIGH_HIGH, priority=_P.CRITICAL, limit=120, deadband=5,
            what=_("Hot spot: trip limit"), why=_("The winding is too hot; its protection trips it."), todo=_LOADING),
    Default(points=["hotspot_temperature"], devices=ANY_KIND, kind=_K.HIGH, priority=_P.HIGH, limit=100, deadband=5,
            what=_("Hot spot temperature high"), why=_("The transformer's winding is hotter than 100 °C."), todo=_LOADING),
    Default(points=PHASES, devices=METER_KINDS, kind=_K.HIGH_HIGH, priority=_P.HIGH, limit=1.15 * NOMINAL_V, deadband=4.6,
            what=_("Voltage far too high"), why=_("More than 15 % above the nominal voltage."), todo=_VOLTAGE),
    Default(points=PHASES, devices=METER_KINDS, kind=_K.HIGH, priority=_P.HIGH, limit=1.1 * NOMINAL_V, deadband=4.6,
            on_delay_s=600, what=_("Voltage too high for 10 minutes"), why=_("More than 10 % above nominal."), todo=_VOLTAGE),
    Default(points=PHASES, devices=METER_KINDS, kind=_K.LOW, priority=_P.HIGH, limit=0.9 * NOMINAL_V, deadband=4.6,
            on_delay_s=600, what=_("Voltage too low for 10 minutes"), why=_("More than 10 % below nominal."), todo=_VOLTAGE),
    Default(points=PHASES, devices=METER_KINDS, kind=_K.LOW_LOW, priority=_P.HIGH, limit=0.85 * NOMINAL_V, deadband=4.6,
            what=_("Voltage far too low"), why=_("More than 15 % below the nominal voltage."), todo=_VOLTAGE),
    Default(points=["connector_state"], devices=ANY_KIND, kind=_K.STATE, priority=_P.MEDIUM, label="Faulted",
            what=_("Charge point reports a fault"), why=_("Its own protection or self-test found something (OCPP errorCode)."),
            todo=_("Tag it: do not operate. Look at its text points for the error, and send somebody if a reset does not help.")),
    Default(points=["inverter_state"], devices=POWER_KINDS, kind=_K.STATE, priority=_P.MEDIUM, label="fault",
            what=_("Inverter reports a fault"), why=_("The inverter has stopped by itself."),
            todo=_("Read its alarm word and its maker's manual. What it generated is missing: tell who plans with it.")),
    Default(points=["device_health"], devices=ANY_KIND, kind=_K.STATE, priority=_P.MEDIUM, label="alarm",
            what=_("Device reports an alarm"), why=_("The device judges itself to be in alarm."),
            todo=_("Open its faceplate and look at all its values, then at the maker's manual.")),
    Default(points=["alarm_word"], devices=ANY_KIND, kind=_K.NOT_STATE, priority=_P.MEDIUM, codes=[0],
            what=_("Device reports alarms"), why=_("At least one bit of the device's own alarm word is set."),
            todo=_("Look the bits up in the maker's manual; the number is the value of alarm_word.")),
    Default(points=["active_power"], devices=frozenset({_D.GENERATING_UNIT, _D.INVERTER}), kind=_K.FROZEN, priority=_P.MEDIUM,
            on_delay_s=900, what=_("Power has not moved for 15 minutes"), why=_("A running unit's power never stands still."),
            todo=_("Compare with its meter. A gateway or a device that hangs repeats its last value.")),
)  # fmt: skip


@transaction.atomic
def put_default_rules(pilot: Pilot) -> int:
    """The pilot has its default rules, changed ones left as they are; returns how many rows changed."""
    existing = {(rule.subject, rule.kind): rule for rule in AlarmRule.objects.filter(pilot=pilot)}
    wanted = {(columns["subject"], columns["kind"]): rationalised(columns) for columns in _wanted(pilot)}
    new = [AlarmRule(pilot=pilot, **columns) for key, columns in wanted.items() if key not in existing]
    AlarmRule.objects.bulk_create(new, batch_size=500, ignore_conflicts=True)  # two processes may start at once
    changed = len(new)
    keys = [rule.pk for key, rule in existing.items() if not rule.own and _differs(rule, wanted.get(key))]
    locked_rules(keys)
    for key, rule in existing.items():
        if rule.pk not in keys:
            continue
        if key not in wanted:
            rule.delete()
            changed += 1
        else:
            for name, value in wanted[key].items():
                setattr(rule, name, value)
            rule.save(update_fields=list(wanted[key]))
            changed += 1
    return changed


def _differs(rule: AlarmRule, wanted: Mapping[str, Any] | None) -> bool:
    return wanted is None or any(getattr(rule, name) != value for name, value in wanted.items())


def check_rule(rule: AlarmRule) -> None:
    """The rule can be judged; a new one has its names from its point. Raises CatalogueError naming the field."""
    kind = AlarmKind(rule.kind)
    if rule._state.adding:
        if rule.point is None or not kind.is_of_values:
            raise CatalogueError("a rule is added for a point and one of its limits or states", field="point")
        device = rule.point.device
        rule.pilot, rule.device, rule.subject = device.pilot, device, f"{device.code}/{rule.point.name}"
        if AlarmRule.objects.filter(pilot=rule.pilot, subject=rule.subject, kind=rule.kind).exists():
            raise CatalogueError("the point has a rule of this kind: change that one", field="kind")
    if rule.limit_point is not None and rule.limit_point.device.pilot_id != rule.pilot_id:
        raise CatalogueError("that point belongs to another pilot", field="limit_point")
    if kind.needs_limit and (rule.limit is None or not math.isfinite(rule.limit)):
        raise CatalogueError(
            "this kind needs a limit, also where it is taken from a point: it holds until that has a value", field="limit"
        )
    codes = rule.codes if isinstance(rule.codes, list) else [None]
    if any(type(code) is not int or not 0 <= code < 2**31 for code in codes):
        raise CatalogueError("codes are a list of whole numbers, as [2, 3]", field="codes")
    if kind in (AlarmKind.STATE, AlarmKind.NOT_STATE) and not codes:
        raise CatalogueError("a status needs the codes that are its alarm", field="codes")
    _check_condition(rule)


def condition_references(condition: str, device: str) -> dict[str, str]:
    """What a condition refers to, as written -> `device/point`. Raises InterlockError.

    >>> condition_references("soc > 5", "es-STO01")
    {'soc': 'es-STO01/soc'}
    """
    return {name: name if "/" in name else f"{device}/{name}" for name in references(condition)}


def _check_condition(rule: AlarmRule) -> None:
    """The condition can be read and all it needs is a point of the pilot. Raises CatalogueError."""
    if not rule.suppress_when:
        return
    try:
        names = condition_references(rule.suppress_when, rule.device.code if rule.device is not None else "")
    except InterlockError as error:
        raise CatalogueError(f"the condition cannot be read: {error}", field="suppress_when") from error
    own = {f"{device}/{name}" for device, name in _names_of(rule.pilot)}
    if missing := sorted(set(names.values()) - own):
        raise CatalogueError(f"the condition needs {missing[0]}, which is no point of this pilot", field="suppress_when")


def _names_of(pilot: Pilot) -> Iterator[tuple[str, str]]:
    yield from Point.objects.filter(device__pilot=pilot).values_list("device__code", "name")


def _wanted(pilot: Pilot) -> Iterator[dict[str, Any]]:
    devices = list(Device.objects.filter(pilot=pilot).prefetch_related("points"))
    for device in devices:
        points = {point.name: point for point in device.points.all() if "link" not in point.address}
        yield from _of_points(device, points)
        if _is_renewed(device):
            yield _of_device(device)
        if device.connection_id is not None:
            yield from _of_clock(device)
    links = list(Link.objects.filter(pilot=pilot).select_related("end_a", "end_b", "connection"))
    for connection in Connection.objects.filter(pilot=pilot):
        yield _of_connection(connection, [link for link in links if link.connection_id == connection.pk])
    yield from _of_links(links, {device.pk for device in devices if _is_renewed(device)})
    yield _of_pilot()
    yield from _of_ourselves()


def _is_renewed(device: Device) -> bool:
    """Whether it promises values that can fail to come."""
    return any((point.max_interval_s or point.period_s) and "link" not in point.address for point in device.points.all())


def _of_points(device: Device, points: Mapping[str, Point]) -> Iterator[dict[str, Any]]:
    kind = DeviceKind(device.kind)
    for default in DEFAULTS:
        for name in default.points if kind in default.devices else ():
            codes = _codes(default, points[name]) if name in points else None
            if codes is not None:
                yield _columns(default, device, points[name], points.get(default.limit_point), codes)
    yield from _of_export(device, points)
    for point in points.values():
        if PointKind(point.kind).writable:
            yield _of_setpoint(device, point)


def _codes(default: Default, point: Point) -> list[int] | None:
    """The codes of its status; None where it has no such label."""
    if not default.label:
        return list(default.codes)
    return [int(code) for code, label in point.labels.items() if str(label).lower() == default.label.lower()] or None


def _columns(default: Default, device: Device, point: Point, limit_point: Point | None, codes: list[int]) -> dict[str, Any]:
    subject = {"subject": f"{device.code}/{point.name}", "point": point, "device": device, "kind": default.kind.value}
    limits = {"limit": default.limit, "limit_point": limit_point, "codes": codes, "deadband": default.deadband}
    return {
        **subject,
        **limits,
        "on_delay_s": default.on_delay_s,
        **_told(default.priority, default.what, default.why, default.todo),
    }


def _told(priority: Priority, what: str, why: str, todo: str) -> dict[str, Any]:
    return {"priority": priority.value, "what": what, "why": why, "todo": todo}


def _of_setpoint(device: Device, point: Point) -> dict[str, Any]:
    why = _("The device took it and does not show it, or nobody knows whether it took it.")
    todo = _("Open the set-point: its timeline says what the device answered. Read the device before you send it again.")
    told = _told(Priority.MEDIUM, _("Set-point failed"), why, todo)
    subject = {"subject": f"{device.code}/{point.name}", "point": point, "device": device}
    return {**subject, "kind": AlarmKind.SETPOINT_FAILED.value, **told}


def _of_device(device: Device) -> dict[str, Any]:
    why = _("None of its values was renewed for three periods, although what it hangs on may be up.")
    todo = _("Values shown are old and nothing can be sent to it. See its link, then its power and its address.")
    told = _told(Priority.MEDIUM, _("Device not reachable"), why, todo)
    return {"subject": device.code, "device": device, "kind": AlarmKind.DEVICE_LOST.value, "on_delay_s": 10.0, **told}


def _of_clock(device: Device) -> Iterator[dict[str, Any]]:
    todo = _("Set the device's clock, or have its head-end system do it; look whether it takes time from us.")
    whys = {
        AlarmKind.CLOCK_WRONG: (60.0, Priority.MEDIUM, _("Its stamps cannot be meant: the time of receipt stands in for them.")),
        AlarmKind.CLOCK_OFF: (5.0, Priority.LOW, _("Its values are stamped ahead of our clock.")),
    }
    for kind, (limit, priority, why) in whys.items():
        told = _told(priority, _("Device's clock is wrong") if limit > 5 else _("Device's clock is off"), why, todo)
        yield {"subject": device.code, "device": device, "kind": kind.value, "limit": limit, "off_delay_s": 60.0, **told}


def _of_export(device: Device, points: Mapping[str, Point]) -> Iterator[dict[str, Any]]:
    """What only consumes feeds nothing back; what has an export limit on its nameplate keeps to it."""
    limit_w = device.nameplate.get("export_limit_w", 0 if DeviceKind(device.kind) in CONSUMERS else None)
    if limit_w is None or "active_power" not in points:
        return
    margin_w = max(100.0, 0.05 * float(limit_w))
    point = points["active_power"]
    subject = {"subject": f"{device.code}/active_power", "point": point, "device": device, "kind": AlarmKind.LOW.value}
    why = _("More flows back into the grid than this connection may feed in.")
    todo = _("Limit the generation behind it or let storage charge. Check the meter's wiring where nothing generates.")
    told = _told(Priority.MEDIUM, _("Export limit exceeded"), why, todo)
    yield {**subject, "limit": -(float(limit_w) + margin_w), "deadband": margin_w / 2, "on_delay_s": 60.0, **told}


def _of_ourselves() -> Iterator[dict[str, Any]]:
    """What is wrong at our own side stands at every pilot: who sees one pilot only hears of it too."""
    why = _("The platform takes nothing, or does not answer: what it must get waits in the outbox.")
    todo = _("Look at its address, token and network; nothing is lost while there is room on the disk.")
    told = _told(Priority.HIGH, _("INVADE platform not reached"), why, todo)
    yield {"subject": "", "kind": AlarmKind.OUTBOX_WAITING.value, "limit": 300.0, "on_delay_s": 5.0, **told}
    why = _("When it is full nothing is stored any more, and no set-point can be sent.")
    todo = _("Free room or enlarge the disk; shorten the history's retention if nothing else helps.")
    told = _told(Priority.HIGH, _("Disk nearly full"), why, todo)
    yield {"subject": "", "kind": AlarmKind.DISK_FULL.value, "limit": 2.0, "on_delay_s": 5.0, "off_delay_s": 60.0, **told}


def _of_connection(connection: Connection, links: list[Link]) -> dict[str, Any]:
    what = _("Link down") if links else _("Connection down")
    why = _("What hangs on it cannot be read nor commanded. Its devices' own alarms are members of this one.")
    todo = _("See the link's page for the last error and frames. Values that come another way stay live.")
    told = _told(Priority.HIGH, what, why, todo)
    columns = {"subject": f"connection {connection.name}", "connection": connection, "kind": AlarmKind.CONNECTION_LOST.value}
    return {**columns, "on_delay_s": 5.0, **told}


def _of_links(links: list[Link], measured: set[int]) -> Iterator[dict[str, Any]]:
    """Links that no connection and no device tells of have an alarm of their own; weak is said of those we hold."""
    for link in links:
        columns = {"subject": link_subject(link), "link": link, "device": field_end(link)}
        if link.connection is None and field_end(link).pk not in measured:
            why, todo = _("Nothing crosses this link any more."), _("See the link's page, then who runs its far end.")
            told = _told(Priority.HIGH, _("Link down"), why, todo)
            yield {**columns, "kind": AlarmKind.LINK_DOWN.value, "on_delay_s": 10.0, **told}
        elif link.role == LinkRole.OURS and _is_asked(link.connection):
            why = _("It loses or delays more than its medium should.")
            todo = _("Compare its round trip and loss with yesterday's on the link's page.")
            told = _told(Priority.LOW, _("Link weak"), why, todo)
            yield {**columns, "kind": AlarmKind.LINK_DEGRADED.value, "on_delay_s": 60.0, **told}


def _is_asked(connection: Connection | None) -> bool:
    """Whether we measure the connection ourselves."""
    return connection is not None and connection.protocol not in (Protocol.OCPP16, Protocol.PUSH)


def _of_pilot() -> dict[str, Any]:
    why = _("So much at once has one cause: our own network, the pilot's SCADA, or its supply.")
    todo = _("Look at our own way to the pilot first, then call the pilot.")
    told = _told(Priority.HIGH, _("Much of the pilot not reachable"), why, todo)
    return {"subject": "", "kind": AlarmKind.PILOT_LOST.value, "on_delay_s": 5.0, **told}
