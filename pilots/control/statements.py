"""What every set-point on its way asks of the database, written by hand. [operation, station]

The ORM takes ten times longer to write these than the database to answer them, and each is asked several times for every
set-point. Everything else about set-points is asked through the ORM.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from pilots.control import age
from pilots.models import Device, Pilot, Point, Setpoint, SetpointEvent
from pilots.models.leases import HeldLease
from pilots.models.raw import adapted, places

_OPEN = """SELECT * FROM pilots_setpoint WHERE point_id = %s AND released_at IS NULL
AND state IN ('received', 'validated', 'dispatched', 'unknown', 'executed') ORDER BY received_at DESC"""
_POINTS = """SELECT point.*, device.code AS device_code, device.pilot_id AS device_pilot, pilot.code AS pilot_code
FROM pilots_point AS point JOIN pilots_device AS device ON device.id = point.device_id
JOIN pilots_pilot AS pilot ON pilot.id = device.pilot_id WHERE point.id IN ({})"""
_DUE = """SELECT setpoint.* FROM pilots_setpoint AS setpoint JOIN pilots_point AS point ON point.id = setpoint.point_id
JOIN pilots_device AS device ON device.id = point.device_id
WHERE setpoint.state = 'validated' AND setpoint.claimed_at IS NULL AND setpoint.valid_from <= %s
AND device.connection_id IN ({}) ORDER BY setpoint.received_at"""
_AWAITED = """SELECT setpoint.id, COALESCE((SELECT feedback.id FROM pilots_point AS feedback
WHERE feedback.device_id = point.device_id AND feedback.name = point.feedback), setpoint.point_id)
FROM pilots_setpoint AS setpoint JOIN pilots_point AS point ON point.id = setpoint.point_id
WHERE setpoint.released_at IS NULL AND ({}) ORDER BY setpoint.received_at"""
_SENT = "setpoint.state IN ('dispatched', 'unknown')"
#: The answer of a device may come sooner than we have noted that it was sent.
_SENT_OR_CLAIMED = f"{_SENT} OR setpoint.state = 'validated' AND setpoint.claimed_at IS NOT NULL"
_GUARDS = """SELECT
EXISTS (SELECT 1 FROM pilots_operatorhold WHERE point_id = %s AND removed_at IS NULL),
EXISTS (SELECT 1 FROM pilots_fallbackrun WHERE point_id = %s AND removed_at IS NULL),
EXISTS (SELECT 1 FROM pilots_blockingtag WHERE device_id = %s AND removed_at IS NULL),
EXISTS (SELECT 1 FROM pilots_commandsoff WHERE (pilot_id = %s OR pilot_id IS NULL) AND removed_at IS NULL)"""
_MEASURED = """SELECT 1 FROM pilots_latestvalue AS latest JOIN pilots_point AS shows ON shows.id = latest.point_id
WHERE shows.device_id = %s AND shows.name IN (%s, %s) AND latest.received_time > %s"""
#: Validated and its time come but not over by either clock (`control.age.over`); its group not aborted; the lease ours.
_CLAIMABLE = """id = %(id)s AND state = 'validated' AND claimed_at IS NULL AND valid_from <= %(now)s AND valid_until > %(now)s
AND (ends_since_boot_s IS NULL OR boot = '' OR boot <> %(boot)s OR ends_since_boot_s > %(since_boot_s)s)
AND NOT EXISTS (SELECT 1 FROM pilots_setpointgroup AS aborted
                WHERE aborted.id = pilots_setpoint.group_id AND aborted.aborted_at IS NOT NULL)
AND EXISTS (SELECT 1 FROM pilots_lease
            WHERE resource = %(resource)s AND owner = %(owner)s AND epoch = %(epoch)s AND until > %(now)s)"""
#: Nothing that people put between commands and the plant (`control.guards`); a switch does not stop what gives a point back.
_UNGUARDED = """NOT EXISTS (SELECT 1 FROM pilots_blockingtag WHERE device_id = %(device)s AND removed_at IS NULL)
AND (%(gives_back)s OR NOT EXISTS (SELECT 1 FROM pilots_commandsoff
                                   WHERE removed_at IS NULL AND (pilot_id = %(pilot)s OR pilot_id IS NULL)))"""


def open_of(point: int) -> list[Setpoint]:
    """Every set-point of a point that is on its way or whose value stands, newest first: nearly always one or none."""
    return list(Setpoint.objects.raw(_OPEN, [point]))


def by_key(keys: Collection[UUID]) -> dict[UUID, Setpoint]:
    """The set-points with these keys, without their points."""
    sql = f"SELECT * FROM pilots_setpoint WHERE id IN ({places(keys)})"
    return {setpoint.pk: setpoint for setpoint in Setpoint.objects.raw(sql, [_key(key) for key in keys])}


def points_by_key(keys: Collection[int]) -> dict[int, Point]:
    """The points with these keys; of their devices and pilots the code is read, the rest when it is asked for."""
    points, alias = {point.pk: point for point in Point.objects.raw(_POINTS.format(places(keys)), list(keys))}, connection.alias
    for point in points.values():
        told = vars(point)
        # In the order of the table's columns.
        columns = [point.device_id, told["device_pilot"], told["device_code"]]
        point.device = Device.from_db(alias, ["id", "pilot_id", "code"], columns)
        point.device.pilot = Pilot.from_db(alias, ["id", "code"], [told["device_pilot"], told["pilot_code"]])
    return points


def due_for(connections: Sequence[int], now: datetime) -> list[Setpoint]:
    """Validated, unclaimed set-points whose time has come, for devices on these connections, oldest first.

    Without their points: a claim reads those anew.
    """
    sql = _DUE.format(places(connections))
    return list(Setpoint.objects.raw(sql, [adapted(now), *connections])) if connections else []


def as_they_are(setpoints: Collection[Setpoint]) -> list[tuple[Setpoint, list[SetpointEvent]]]:
    """The same set-points read again, with the points known already, and the events of each in their order."""
    points = {setpoint.pk: setpoint.point for setpoint in setpoints}
    if not points:
        return []
    keys, where = [_key(key) for key in points], places(points)
    fresh = list(by_key(points).values())
    events = list(
        SetpointEvent.objects.raw(f"SELECT * FROM pilots_setpointevent WHERE setpoint_id IN ({where}) ORDER BY id", keys)
    )
    for setpoint in fresh:
        setpoint.point = points[setpoint.pk]
    return [(setpoint, [each for each in events if each.setpoint_id == setpoint.pk]) for setpoint in fresh]


def awaited(*, or_claimed: bool = False) -> list[tuple[UUID, int]]:
    """Keys of the set-points whose proof is awaited, oldest first, each with that of its feedback point."""
    with connection.cursor() as cursor:
        cursor.execute(_AWAITED.format(_SENT_OR_CLAIMED if or_claimed else _SENT))
        return [(key if isinstance(key, UUID) else UUID(key), feedback) for key, feedback in cursor.fetchall()]


def guards_there(point: Point) -> tuple[bool, bool, bool, bool]:
    """Whether there may be a hold or a fallback plan at the point, a tag on its device, commands switched off for it."""
    with connection.cursor() as cursor:
        cursor.execute(_GUARDS, [point.pk, point.pk, point.device_id, point.device.pilot_id])
        hold, plan, tag, off = cursor.fetchone()
    return bool(hold), bool(plan), bool(tag), bool(off)


def is_measured_since(point: Point, moment: datetime) -> bool:
    """Whether the point, or what is declared to show it, was heard after the moment."""
    with connection.cursor() as cursor:
        cursor.execute(_MEASURED, [point.device_id, point.name, point.feedback, adapted(moment)])
        return cursor.fetchone() is not None


def lock_point(key: int) -> None:
    """Until the transaction ends, nobody else takes or claims a set-point of this point."""
    if connection.features.has_select_for_no_key_update:  # SQLite has one writer at a time
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pilots_point WHERE id = %s FOR NO KEY UPDATE", [key])


def is_claimable(setpoint: Setpoint, lease: HeldLease, now: datetime) -> bool:
    """Whether it waits to be claimed and the lease is ours, as the database has it at this moment."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT 1 FROM pilots_setpoint WHERE {_CLAIMABLE}", _values(setpoint, lease, now))
        return cursor.fetchone() is not None


def claim_row(setpoint: Setpoint, lease: HeldLease, now: datetime, *, gives_back: bool) -> bool:
    """True exactly once: it was claimable, no tag hangs on its device and commands are not off, at this moment."""
    device = setpoint.point.device
    guards = {"device": device.pk, "pilot": device.pilot_id, "gives_back": gives_back}
    claim = f"UPDATE pilots_setpoint SET claimed_at = %(now)s, claim_epoch = %(epoch)s WHERE {_CLAIMABLE} AND {_UNGUARDED}"
    with connection.cursor() as cursor:
        cursor.execute(claim, _values(setpoint, lease, now) | guards)
        return bool(cursor.rowcount)


def _values(setpoint: Setpoint, lease: HeldLease, now: datetime) -> dict[str, Any]:
    return {
        "id": _key(setpoint.pk),
        "now": adapted(now),
        "boot": age.boot(),
        "since_boot_s": age.since_boot_s(),
        "resource": lease.resource,
        "owner": lease.owner,
        "epoch": lease.epoch,
    }


def _key(key: Any) -> Any:
    return Setpoint._meta.pk.get_db_prep_value(key, connection)
