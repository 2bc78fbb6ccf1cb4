"""What is so at a device when a set-point is checked: link, mode, guards, holder, the values its limits refer to. [operation]"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Max, Q, QuerySet

from pilots.control.guards import holds_at, off_words, switches_off, tag_words, tags_on
from pilots.control.selectors import strongest
from pilots.control.statements import guards_there, open_of
from pilots.domain.guards import Circumstances, ConnectionPoint, range_now, referred
from pilots.domain.interlock import InterlockError, Reading, references
from pilots.domain.point import Capability
from pilots.domain.quality import Flag, Quality, Source
from pilots.domain.setpoint import DEFAULT_PRIORITY, Issuer, SetpointState
from pilots.domain.topology import LinkState
from pilots.models import Device, FallbackRun, LatestValue, OperatorHold, Point, Setpoint
from pilots.models.values import reading_of, shown_quality

_SILENT = Flag.OLD | Flag.COMM_FAILURE
HOUR = timedelta(hours=1)
#: A source that begins to count anew is heard again after so long.
SEQUENCES_KEPT = timedelta(hours=48)


def circumstances(
    setpoint: Setpoint, now: datetime, *, claiming: bool = False, rivals: Iterable[Setpoint] | None = None
) -> Circumstances:
    """As this set-point meets them at the moment it is to begin; `claiming`: it is about to be written.

    `rivals` are `open_of` its point where the caller has read them. Whoever claims has the connection open, whatever its row
    says a moment after a reconnect: the silence of the device counts once it has had the time to be heard.
    """
    point = setpoint.point
    device = point.device
    latest = {row.point.name: row for row in LatestValue.objects.filter(point__device=device).select_related("point")}
    shown = {name: shown_quality(row, now) for name, row in latest.items()}
    hold, plan, tag, off = _in_the_way(setpoint, now)
    found = strongest(open_of(point.pk) if rivals is None else rivals, _begins(setpoint, now), apart_from=setpoint)
    priority, words = _held(found, hold, plan)
    # What gives a point back waits for the link instead: somebody has to take the device off the old value.
    unasked = setpoint.issuer == Issuer.FALLBACK or (claiming and _just_connected(point, latest, now))
    return Circumstances(
        link_up=None if unasked else _link_up(point, latest, shown),
        control_mode_local=_is_local(latest.get("control_mode")),
        holder_priority=priority,
        holder=words,
        tag=tag_words(tag),
        commands_off=off_words(off),
        readings=_readings(point, latest, now),
        connections=tuple(_connections(point, now)),
        writes_last_hour=_writes_last_hour(point, now),
        last_sequence=_last_sequence(setpoint, now),
        before=latest[shows].value if (shows := point.feedback or point.name) in latest else None,
    )


def circumstances_for_anyone(point: Point, now: datetime) -> Circumstances:
    """As the next wish for the point would meet them, whoever sends it."""
    return circumstances(Setpoint(point=point, issuer=Issuer.PLATFORM, valid_from=now), now)


def limits_now(setpoint: Setpoint, around: Circumstances) -> list[float] | None:
    """The limits in force as the audit trail keeps them; None where the point takes nothing."""
    spec = setpoint.point.spec
    return None if spec.capability is None else list(range_now(spec, around))


def _begins(setpoint: Setpoint, now: datetime) -> datetime:
    return max(now, setpoint.valid_from)


def _in_the_way(setpoint: Setpoint, now: datetime) -> list[Any]:
    """Which hold and which plan keep the point, and which tag and switch block it: the first of each, or None.

    Nearly always there is none of them. So the tables are asked at once and widely, and only what has rows is read.
    """
    point, device = setpoint.point, setpoint.point.device
    rows: list[QuerySet[Any]] = [
        holds_at(now).filter(point=point, until__gt=_begins(setpoint, now)),
        FallbackRun.objects.filter(point=point, removed_at=None),
        tags_on(device.pk),
        switches_off(device.pilot_id),
    ]
    return [each.first() if present else None for each, present in zip(rows, guards_there(point), strict=True)]


def _held(found: Setpoint | None, hold: OperatorHold | None, plan: FallbackRun | None) -> tuple[int | None, str]:
    """Rank and name of the strongest who holds the point, by a set-point, a hold or a fallback plan."""
    held = [] if found is None else [(found.priority, f"{found.issuer} {found.requested_by}")]
    if hold is not None:
        held.append((DEFAULT_PRIORITY[Issuer.OPERATOR], f"operator {hold.owner} ({hold.reason.rstrip('.')})"))
    if plan is not None:
        held.append((DEFAULT_PRIORITY[Issuer.FALLBACK], f"The {plan.owner} ({plan.reason.rstrip('.')})"))
    return min(held) if held else (None, "")


def _readings(point: Point, latest: Mapping[str, LatestValue], now: datetime) -> dict[str, Reading]:
    capability = point.spec.capability
    if capability is None:
        return {}
    names = referred(capability) | {point.feedback} | _interlock_names(capability)
    rows = {name: latest[name] for name in names if name in latest}
    rows |= {f"{row.point.device.code}/{row.point.name}": row for row in _elsewhere(point.device, names)}
    return {name: reading_of(row, now) for name, row in rows.items()}


def _interlock_names(capability: Capability) -> frozenset[str]:
    try:
        return references(capability.interlock) if capability.interlock else frozenset()
    except InterlockError:
        return frozenset()  # the check says what is wrong with it


def _elsewhere(device: Device, names: Iterable[str]) -> list[LatestValue]:
    """The newest values of `device/point` among the names; other devices are those of the same pilot."""
    wanted = [Q(point__device__code=code, point__name=name) for code, slash, name in (n.partition("/") for n in names) if slash]
    if not wanted:
        return []
    rows = LatestValue.objects.filter(reduce(or_, wanted), point__device__pilot=device.pilot_id)
    return list(rows.select_related("point__device"))


def _connections(point: Point, now: datetime) -> Iterator[ConnectionPoint]:
    """Every place on the way to the grid that declares what it can carry and says by a good value what it does."""
    device: Device | None = point.device
    seen: set[int] = set()
    while point.unit == "W" and device is not None and device.pk not in seen:
        seen.add(device.pk)
        capacity = device.nameplate.get("connection_capacity_w")
        if capacity:
            meters = [device.pk, *([device.measured_by_id] if device.measured_by_id else [])]
            measured = _good_power(meters, now)
            if measured is not None:
                yield ConnectionPoint(name=device.code, capacity_w=float(capacity), measured_w=measured)
        device = device.parent


def _good_power(devices: list[int], now: datetime) -> float | None:
    """Active power of the first of the devices that measures it well."""
    rows = LatestValue.objects.filter(point__device__in=devices, point__name="active_power").select_related("point")
    by_device = {row.point.device_id: reading_of(row, now) for row in rows}
    good = (by_device[key] for key in devices if key in by_device and not by_device[key].fault)
    return next((reading.value for reading in good if reading.value is not None), None)


def _writes_last_hour(point: Point, now: datetime) -> int:
    capability = point.spec.capability
    if capability is None or not capability.max_per_hour:
        return 0
    return Setpoint.objects.filter(point=point, claimed_at__gt=now - HOUR, claimed_at__lte=now).count()


def _last_sequence(setpoint: Setpoint, now: datetime) -> int | None:
    """The highest number that this source was taken at its word with, within the days that its keys are remembered."""
    if setpoint.sequence is None:
        return None
    same = {"point": setpoint.point, "issuer": setpoint.issuer, "requested_by": setpoint.requested_by}
    earlier = Setpoint.objects.filter(**same, received_at__gt=now - SEQUENCES_KEPT).exclude(pk=setpoint.pk)
    highest: int | None = earlier.exclude(state=SetpointState.REJECTED).aggregate(Max("sequence"))["sequence__max"]
    return highest


def _is_local(mode: LatestValue | None) -> bool:
    return mode is not None and mode.value is not None and mode.point.labels.get(str(int(mode.value))) == "local"


def _just_connected(point: Point, latest: Mapping[str, LatestValue], now: datetime) -> bool:
    connection = point.device.connection
    if connection is None or connection.state != LinkState.UP:
        return True
    feedback = latest.get(point.feedback)
    patience_s = None if feedback is None else feedback.point.spec.max_age_s
    return connection.state_since is not None and (now - connection.state_since).total_seconds() < (patience_s or 0.0)


def _link_up(point: Point, latest: Mapping[str, LatestValue], shown: Mapping[str, Quality]) -> bool | None:
    """False when the device is known to be silent, None before it was ever heard."""
    connection = point.device.connection
    if connection is None or connection.state == LinkState.DOWN:
        return False
    if not latest:
        return None
    feedback = latest.get(point.feedback)
    if feedback is not None and feedback.point.period_s is not None:
        # Polled: the slow nameplate values behind the same device look fresh for many minutes.
        return _is_heard(shown[point.feedback])
    return any(_is_heard(quality) for quality in shown.values())


def _is_heard(quality: Quality) -> bool:
    return not quality.flags & _SILENT and quality.source is not Source.SUBSTITUTED
