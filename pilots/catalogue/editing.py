"""One row changed by hand: checked as a pilot file would be, told to the gateways, and kept in the audit trail."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Model

from pilots.audit.services import record_events
from pilots.catalogue.alarm_rules import put_default_rules
from pilots.catalogue.capability_check import capability_faults
from pilots.catalogue.checks import address_fault, profile_fault, way_fault
from pilots.catalogue.documents import check_documents
from pilots.catalogue.edit_history import keep_history
from pilots.catalogue.includes import serves
from pilots.catalogue.loader import load_profile, resolve_points
from pilots.catalogue.services import check_fallback, missing_references, note_change, point_columns, put_points
from pilots.domain.errors import CatalogueError
from pilots.domain.fallback import FallbackError, plan_of
from pilots.domain.guards import range_of
from pilots.domain.point import Capability, PointSpec
from pilots.domain.topology import ConnectionSpec, DeviceKind, DeviceSpec, Protocol, Way
from pilots.models import Connection, Device, Link, Pilot, Point, PointTest, Setpoint

#: OCPP 1.6 security whitepaper, 3.2.1: the AuthorizationKey has 16 to 20 bytes, written as hexadecimal.
KEY_BYTES = 20
POINT_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
#: Keys of a capability that hold words; the others are numbers.
_CAPABILITY_WORDS = {"modes", "minimum_from", "maximum_from", "soc", "soc_min", "soc_max"}
_CAPABILITY_WORDS |= {"interlock", "interlock_words", "command_class", "ramp_by"}
_PERIODS = ("F", "N", "S", "E")


@dataclass(frozen=True, kw_only=True, slots=True)
class Edit:
    """One row changed by a person, as the audit trail tells it."""

    action: str
    subject: str
    details: Mapping[str, Any]
    row: Model | None = None


def record_edit(
    pilot: Pilot, *, actor: str, action: str, subject: str, details: Mapping[str, Any] | None = None, now: datetime
) -> None:
    """The pilot's revision has risen, so gateways and pages notice, and the audit trail says who changed what."""
    record_edits(pilot, [Edit(action=action, subject=subject, details=details or {})], actor=actor, reason="", now=now)


def record_edits(pilot: Pilot, edits: Collection[Edit], *, actor: str, reason: str, now: datetime) -> None:
    """The same of many rows: one revision, and of each an audit event and, where its row is named, an entry of its history."""
    put_default_rules(pilot)
    note_change(pilot)
    told = {"at": now, "actor": actor, "pilot": pilot.code, "reason": reason}
    record_events([{**told, "action": each.action, "subject": each.subject, "details": each.details} for each in edits])
    keep_history([each.row for each in edits if each.row is not None], by=actor, reason=reason, now=now)


def check_pilot_row(pilot: Pilot) -> None:
    """The pilot's clock exists. Raises CatalogueError naming the field."""
    try:
        ZoneInfo(pilot.time_zone)
    except (KeyError, ValueError, OSError) as error:
        raise CatalogueError(f"{pilot.time_zone!r} is no time zone; write one as Europe/Madrid", field="time_zone") from error


def check_link(link: Link) -> None:
    """Both ends and the connection belong to the link's pilot. Raises CatalogueError naming the field."""
    for field, other in (("end_a", link.end_a), ("end_b", link.end_b), ("connection", link.connection)):
        if other is not None and other.pilot_id != link.pilot_id:
            raise CatalogueError(f"{other} belongs to another pilot", field=field)
    if link.end_a_id == link.end_b_id:
        raise CatalogueError("a link has two different ends", field="end_b")


def check_connection(connection: Connection) -> None:
    """The connection can be opened as it is written. Raises CatalogueError naming the field."""
    options = _mapping(connection.options, "options")
    fault = way_fault(_connection_spec(connection), simulated=connection.simulated)
    if fault is not None:
        raise CatalogueError(fault[1], field=fault[0])
    _check_backups(connection)
    if not connection.host.strip() or any(char.isspace() or char in "/@" for char in connection.host):
        raise CatalogueError("a host name or an address, without spaces and without http://", field="host")
    periods = _mapping(options.get("periods", {}), "options", "periods")
    for name, seconds in periods.items():
        if name not in _PERIODS:
            raise CatalogueError(f"periods knows {', '.join(_PERIODS)}, not {name}", field="options")
        _number(seconds, "options", f"periods.{name}", above=0)


def _check_backups(connection: Connection) -> None:
    """Each backup is a way to the same equipment, written as in a pilot file."""
    if not isinstance(connection.backups, list):
        raise CatalogueError('a list of ways: [{"protocol": "iec101", "serial_line": "/dev/ttyUSB0"}]', field="backups")
    for number, form in enumerate(connection.backups, start=1):
        try:
            way = Way(**{**_mapping(form, "backups", f"way {number}"), "protocol": Protocol(form.get("protocol", ""))})
        except (TypeError, ValueError) as error:
            raise CatalogueError(f"way {number}: protocol, host, port, serial_line, options; {error}", field="backups") from error
        fault = way_fault(way, simulated=connection.simulated)
        if fault is None and not serves(Protocol(connection.protocol), way.protocol):
            fault = "protocol", f"{way.protocol} carries other addresses than {connection.protocol}"
        if fault is not None:
            raise CatalogueError(f"way {number}: {fault[0]}: {fault[1]}", field="backups")


def check_device(device: Device) -> None:
    """The device hangs together with its relatives, profile and connection. Raises CatalogueError naming the field."""
    _check_relatives(device)
    if device.kind != DeviceKind.PLATFORM and not device.code.startswith(f"{device.pilot.code}-"):
        raise CatalogueError(f"a device id of this pilot starts with {device.pilot.code}-", field="code")
    nameplate = _mapping(device.nameplate, "nameplate")
    for name in ("rated_power_w", "capacity_wh"):
        if name in nameplate:
            _number(nameplate[name], "nameplate", name, above=0)
    if "export_limit_w" in nameplate:
        _number(nameplate["export_limit_w"], "nameplate", "export_limit_w", above=-1)
    check_documents(device.documents)
    _mapping(device.address, "address")
    _mapping(device.fallback, "fallback")
    _check_fallback(device)
    if bool(device.profile) != bool(device.connection):
        missing = "connection" if device.profile else "profile"
        raise CatalogueError("profile and connection go together", field=missing)
    if device.connection is not None:
        _check_profile(device, device.connection)


def _check_fallback(device: Device) -> None:
    try:
        plan_of(device.fallback)
    except FallbackError as error:
        raise CatalogueError(str(error), field="fallback") from error
    if device.pk:
        check_fallback(device)


def check_point_name(point: Point) -> None:
    """A new point has a name of our form. Raises CatalogueError naming the field."""
    if point._state.adding and not POINT_NAME.fullmatch(point.name):
        raise CatalogueError("a name has small letters, digits and _, as active_power", field="name")


def check_point(point: Point) -> None:
    """The row makes a point the domain accepts. Raises CatalogueError naming the field."""
    _mapping(point.address, "address")
    for code, label in _mapping(point.labels, "labels").items():
        if not code.lstrip("-").isdigit() or not isinstance(label, str):
            raise CatalogueError('labels go from whole numbers to words, as {"0": "open", "1": "closed"}', field="labels")
    if point.low is not None and point.high is not None and point.low > point.high:
        raise CatalogueError("plausible from is above plausible to", field="low")
    _check_capability(point)
    if point.feedback and point.device.pk and not point.device.points.filter(name=point.feedback).exists():
        raise CatalogueError(f"{point.feedback!r} is no point of {point.device.code}", field="feedback")
    _check_record_kept(point)


@transaction.atomic
def add_point(point: Point, *, actor: str, now: datetime) -> None:
    """The device has one more point. Raises CatalogueError naming the field; the driver's own check is the caller's."""
    device = point.device
    check_point_name(point)
    if Point.objects.filter(device=device, name=point.name).exists():
        raise CatalogueError(f"{device.code} has a point of this name already", field="name")
    check_point(point)
    try:
        point.full_clean()
    except ValidationError as error:
        field, (sentence, *_) = next(iter(error.message_dict.items()))
        raise CatalogueError(sentence, field=field) from error
    point.save(force_insert=True)
    made = Edit(action="create point", subject=str(point), details={"address": point.address}, row=point)
    record_edits(device.pilot, [made], actor=actor, reason="", now=now)


def why_kept(points: Any) -> str:
    """A sentence naming the points that set-points or point tests refer to, empty when there are none."""
    for who, what, condition in (
        ("Set-points refer", "what was ordered", {"setpoints__isnull": False}),
        ("Schedules refer", "what was planned", {"schedules__isnull": False}),
        ("Point tests refer", "what was tested", {"tests__isnull": False}),
    ):
        used = list(Point.objects.filter(pk__in=points, **condition).select_related("device").distinct()[:6])
        if used:
            listed = ", ".join(map(str, used[:5])) + (" and others" if len(used) > 5 else "")
            return (
                f"{who} to {listed}. They are the record of {what}, so these points stay. "
                "Switch off the connection, or leave the device without one, to take them out of use."
            )
    return ""


@transaction.atomic
def adopt_profile(device: Device) -> None:
    """The device has the points and options of its profile. Raises CatalogueError when set-points hold an old point."""
    if not device.profile or device.connection is None:
        return
    profile = load_profile(device.profile)
    Device.objects.filter(pk=device.pk).update(profile_options=dict(profile.options))
    put_points(device, resolve_points(_device_spec(device), profile, _connection_spec(device.connection)))


@transaction.atomic
def resolve_again(device: Device) -> None:
    """Numbers that the profile declares in percent of rated power, and periods by poll class, fit the device as it is now."""
    if not device.profile or device.connection is None:
        return
    declared = load_profile(device.profile).points
    resolved = resolve_points(_device_spec(device), load_profile(device.profile), _connection_spec(device.connection))
    for point in device.points.all():
        columns = _depending_columns(declared.get(point.name), resolved.get(point.name))
        if columns:
            Point.objects.filter(pk=point.pk).update(**columns)


@transaction.atomic
def new_charge_point_key(device: Device, *, actor: str, now: datetime) -> str:
    """The key a charge point must show from now on, 40 hexadecimal digits; only its digest is kept.

    Raises CatalogueError for a device that is no real charge point.
    """
    if device.connection is None or device.connection.protocol != Protocol.OCPP16:
        raise CatalogueError(f"{device.code} is no charge point of ours: only OCPP devices have a key")
    if device.connection.simulated:
        raise CatalogueError(f"{device.code} is simulated, its key belongs to the simulators")
    key = secrets.token_hex(KEY_BYTES)
    Device.objects.filter(pk=device.pk).update(key_sha256=hashlib.sha256(key.encode()).hexdigest())
    record_edit(device.pilot, actor=actor, action="new charge point key", subject=device.code, now=now)
    return key


def _check_relatives(device: Device) -> None:
    relatives = {"parent": device.parent, "measured_by": device.measured_by, "connection": device.connection}
    for field, other in relatives.items():
        if other is not None and other.pilot_id != device.pilot_id:
            raise CatalogueError(f"{other} belongs to another pilot", field=field)
        if isinstance(other, Device) and other.pk == device.pk and device.pk is not None:
            raise CatalogueError("a device cannot be its own", field=field)
    seen, parent = {device.pk}, device.parent
    while parent is not None:
        if parent.pk in seen:
            raise CatalogueError(f"{device.code} would be its own ancestor through {parent.code}", field="parent")
        seen.add(parent.pk)
        parent = parent.parent


def _check_profile(device: Device, connection: Connection) -> None:
    before = Device.objects.filter(pk=device.pk).values_list("profile", flat=True).first()
    if "/" in device.profile or device.profile.endswith((".yaml", ".yml")):
        # A path is a file of the server's: pilot files bring those, pages do not open them.
        if device.profile == before:
            return
        raise CatalogueError("own profile files come with a pilot file (manage.py commission), not from here", field="profile")
    profile = load_profile(device.profile)
    sentence = profile_fault(profile, _connection_spec(connection))
    if sentence is not None:
        raise CatalogueError(sentence, field="profile")
    fault = address_fault(device.address, Protocol(connection.protocol))
    if fault is not None:
        raise CatalogueError(": ".join(part for part in fault if part), field="address")
    try:
        resolve_points(_device_spec(device), profile, _connection_spec(connection))
    except CatalogueError as error:
        raise CatalogueError(str(error), field="nameplate") from error


def _check_capability(point: Point) -> None:
    if point.capability is None:
        if point.kind == "setpoint":
            raise CatalogueError('a set-point needs one, as {"minimum": -5000, "maximum": 5000}', field="capability")
        return
    form = _mapping(point.capability, "capability")
    for name in ("minimum", "maximum"):
        if name not in form:
            raise CatalogueError(f"{name} is missing", field="capability")
    for name, value in form.items():
        if name == "self_expiring" and not isinstance(value, bool):
            raise CatalogueError(f"{name} is true or false", field="capability")
        if name not in {*_CAPABILITY_WORDS, "self_expiring"} and not (name in ("tolerance", "default") and value is None):
            _number(value, "capability", name)
    modes = form.get("modes", ["absolute"])
    if not isinstance(modes, list) or not modes or not set(map(str, modes)) <= {"absolute", "limit"}:
        raise CatalogueError('modes is a list of "absolute" and "limit"', field="capability")
    _check_rules(point, form)


def _check_rules(point: Point, form: Mapping[str, Any]) -> None:
    """What its limits and its interlock refer to is there, and an engineer's limits lie inside the capability."""
    for name in _CAPABILITY_WORDS - {"modes"}:
        value = form.get(name, "")
        if not isinstance(value, str) and not (name in ("soc_min", "soc_max") and isinstance(value, int | float)):
            raise CatalogueError(f"{name} is a text", field="capability")
    try:
        capability = point.spec.capability
        assert capability is not None  # noqa: S101  the domain builds it from a form that is there
    except TypeError as error:
        known = ", ".join(each.name for each in fields(Capability))
        raise CatalogueError(f"it has only {known}", field="capability") from error
    own = {point.name, *point.device.points.values_list("name", flat=True)} if point.device.pk else {point.name}
    for key, sentence in capability_faults(capability, own):
        raise CatalogueError(f"{key}: {sentence}" if key else sentence, field="capability")
    if missing := sorted(missing_references(point)):
        raise CatalogueError(f"the interlock needs {missing[0]}, which is no point of this pilot", field="capability")
    for field in ("operating_minimum", "operating_maximum"):
        bound = getattr(point, field)
        if bound is not None and not capability.minimum <= bound <= capability.maximum:
            raise CatalogueError(f"outside {capability.minimum:g} to {capability.maximum:g}", field=field)
    if point.operating_ramp is not None and point.operating_ramp <= 0:
        raise CatalogueError("a ramp is above 0", field="operating_ramp")
    least, most = range_of(point.spec)
    if least > most:
        raise CatalogueError("operate from is above operate to", field="operating_minimum")


def _check_record_kept(point: Point) -> None:
    before = Point.objects.filter(pk=point.pk).first() if point.pk else None
    if before is None or (before.name, before.kind) == (point.name, point.kind):
        return
    records = {"set-points": Setpoint.objects.filter(point=point), "point tests": PointTest.objects.filter(point=point)}
    for what, rows in records.items():
        if rows.exists():
            field = "name" if before.name != point.name else "kind"
            sentence = f"{what} refer to {before}, and their record must keep saying so. Make another point instead"
            raise CatalogueError(sentence, field=field)


def _depending_columns(declared: PointSpec | None, resolved: PointSpec | None) -> dict[str, Any]:
    if declared is None or resolved is None:
        return {}
    columns = point_columns(resolved)
    names = set(declared.shares) & {"scale", "low", "high", "deadband"}
    names |= {"capability"} if set(declared.shares) - names else set()
    names |= {"period_s", "max_interval_s"} if declared.poll is not None else set()
    return {name: columns[name] for name in names}


def _device_spec(device: Device) -> DeviceSpec:
    return DeviceSpec(
        id=device.code,
        kind=DeviceKind(device.kind),
        sgam=device.sgam,
        profile=device.profile,
        address=device.address,
        nameplate=device.nameplate,
    )


def _connection_spec(connection: Connection) -> ConnectionSpec:
    return ConnectionSpec(
        name=connection.name,
        protocol=Protocol(connection.protocol),
        host=connection.host,
        port=connection.port,
        serial_line=connection.serial_line,
        options=connection.options,
    )


def _mapping(value: Any, field: str, part: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        raise CatalogueError(f'{part + " is" if part else "this is"} no JSON object: write {{"name": value}}', field=field)
    return value


def _number(value: Any, field: str, part: str, *, above: float | None = None) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise CatalogueError(f"{part} is no number", field=field)
    if above is not None and value <= above:
        raise CatalogueError(f"{part} must be above {above:g}", field=field)
