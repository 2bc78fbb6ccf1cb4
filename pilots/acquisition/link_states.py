"""The state of every link of D7.1: from our connections, or from the points that cross it. [station]

Ours: the connection's own state, or the device's where many come to one listener. Observed, and head-end systems that
push to us: up if every point of the far device still arrives, degraded if some have grown old, down if all have. What a
value says (out of range, not available) is no matter of the link.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta

from django.conf import settings

from pilots.domain.quality import Flag
from pilots.domain.topology import DeviceKind, LinkRole, LinkState, Protocol
from pilots.live.frames import Change, milliseconds
from pilots.live.hub import hub
from pilots.models import Connection, Device, LatestValue, Link, OutboxState

#: Kinds that carry others' data come last when we look for the device whose points cross a link.
_CARRIERS = {DeviceKind.RTU, DeviceKind.SCADA, DeviceKind.HEAD_END_SYSTEM, DeviceKind.GATEWAY, DeviceKind.PLATFORM}
_SOURCES_LAST = {DeviceKind.SMART_METER: 1} | dict.fromkeys(_CARRIERS, 2)
PLATFORM_SILENCE = timedelta(seconds=60)


def update_link_states(now: datetime) -> int:
    """Every link row shows its state; changes are published. Returns how many links changed."""
    seen = _arriving(now)
    changed = []
    for link in Link.objects.select_related("pilot", "end_a", "end_b", "connection"):
        state = _state(link, seen, now)
        if state != link.state:
            link.state, link.state_since = state, now
            changed.append(link)
    Link.objects.bulk_update(changed, ["state", "state_since"])
    rows = defaultdict(list)
    for link in changed:
        rows[link.pilot.code].append(link_row(link))
    hub(settings.REDIS_URL).publish([Change(pilot, links=links) for pilot, links in rows.items()])
    return len(changed)


def link_row(link: Link) -> list[object]:
    """`[letter, end_a, end_b, state, since_ms, role]` for frames."""
    since = None if link.state_since is None else milliseconds(link.state_since)
    return [link.letter, link.end_a.code, link.end_b.code, link.state, since, link.role]


def _arriving(now: datetime) -> dict[int, list[bool]]:
    """By device, for each point that was ever received: does it still arrive?"""
    rows = LatestValue.objects.values_list(
        "point__device_id", "quality", "received_time", "point__max_interval_s", "point__period_s"
    )
    seen: dict[int, list[bool]] = defaultdict(list)
    for device, packed, received, promised, period in rows:
        interval = promised or period
        overdue = interval is not None and (now - received).total_seconds() > 3 * interval
        seen[device].append(not overdue and not packed >> 5 & (Flag.OLD | Flag.COMM_FAILURE))
    return seen


def _state(link: Link, seen: Mapping[int, list[bool]], now: datetime) -> LinkState:
    if DeviceKind.PLATFORM in (link.end_a.kind, link.end_b.kind) and _is_ours_to_platform(link):
        return _platform_state(link, now)
    if link.role == LinkRole.OURS and link.connection is not None and link.connection.protocol != Protocol.PUSH:
        return _connection_state(link, link.connection, seen)
    return _judge(_crossing(link, seen))


def _is_ours_to_platform(link: Link) -> bool:
    return link.role == LinkRole.OURS and (link.connection is None)


def _platform_state(link: Link, now: datetime) -> LinkState:
    state = OutboxState.objects.filter(pilot=link.pilot).first()
    if state is None or (state.accepted_at is None and not state.last_error):
        return LinkState.UNKNOWN
    if state.accepted_at is not None and now - state.accepted_at < PLATFORM_SILENCE:
        return LinkState.DEGRADED if state.last_error else LinkState.UP
    return LinkState.DOWN if state.last_error else LinkState.UP


def _connection_state(link: Link, connection: Connection, seen: Mapping[int, list[bool]]) -> LinkState:
    if connection.protocol == Protocol.OCPP16 and connection.state == LinkState.UP:
        # The listener is up; whether this charge point is there, its own points tell.
        return _judge(_crossing(link, seen))
    return LinkState(connection.state)


def _crossing(link: Link, seen: Mapping[int, list[bool]]) -> list[bool]:
    ends = sorted((link.end_b, link.end_a), key=lambda device: _SOURCES_LAST.get(DeviceKind(device.kind), 0))
    for device in ends:
        found = seen.get(device.pk) or seen.get(_measuring(device))
        if found:
            return found
    return []


def _measuring(device: Device) -> int:
    return device.measured_by_id or 0


def _judge(arriving: list[bool]) -> LinkState:
    if not arriving:
        return LinkState.UNKNOWN
    if all(arriving):
        return LinkState.UP
    return LinkState.DEGRADED if any(arriving) else LinkState.DOWN
