"""The points that tell how a link fares: its state, and its round trip where we hold the connection. [station]

IEC 61850 LCCH.ChLiv. They belong to the link's end nearer to the process, so that a battery's history shows when it was out
of reach: `comm_state` for its first link (by letter), `comm_state_b` and so on for further ones; `round_trip` likewise.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from pilots.domain.point import PointKind
from pilots.domain.topology import DeviceKind, LinkRole, LinkState, Protocol
from pilots.models import Device, Link, Pilot, Point

#: Codes of `comm_state`.
STATE_CODES: Mapping[LinkState, int] = {LinkState.UNKNOWN: 0, LinkState.UP: 1, LinkState.DEGRADED: 2, LinkState.DOWN: 3}
_LABELS = {str(code): state.value for state, code in STATE_CODES.items()}
#: Of two ends in one zone the one that carries others' data is nearer to us.
_CARRIERS = {
    DeviceKind.SMART_METER: 1,
    DeviceKind.LOCAL_CONTROLLER: 2,
    DeviceKind.GATEWAY: 3,
    DeviceKind.RTU: 3,
    DeviceKind.SCADA: 4,
    DeviceKind.HEAD_END_SYSTEM: 4,
    DeviceKind.PLATFORM: 5,
}


def field_end(link: Link) -> Device:
    """The end nearer to the process: the lower zone of its SGAM address, then who carries nobody else's data."""

    def rank(device: Device) -> tuple[str, int]:
        return device.sgam.rpartition(".")[2], _CARRIERS.get(DeviceKind(device.kind), 0)

    return min(link.end_b, link.end_a, key=rank)


def point_names(links: list[Link]) -> dict[int, str]:
    """Link key -> suffix of its points' names ("" or "_b"); links of one device with one letter share theirs."""
    by_device: dict[int, list[Link]] = defaultdict(list)
    for link in links:
        by_device[field_end(link).pk].append(link)
    names: dict[int, str] = {}
    for own in by_device.values():
        letters = sorted({link.letter for link in own}, key=lambda letter: (letter.count("'"), letter))
        for link in own:
            suffix = "" if link.letter == letters[0] else "_" + link.letter.replace("'", "_prime")
            names[link.pk] = suffix
    return names


def has_round_trip(link: Link) -> bool:
    """Whether we ask and are answered over this link ourselves."""
    if link.role != LinkRole.OURS:
        return False
    return leads_to_platform(link) if link.connection is None else link.connection.protocol != Protocol.PUSH


def leads_to_platform(link: Link) -> bool:
    """Whether our messages to the INVADE platform go this way."""
    ends = (link.end_a.kind, link.end_b.kind)
    return link.role == LinkRole.OURS and link.connection is None and DeviceKind.PLATFORM in ends


def put_link_points(pilot: Pilot) -> int:
    """Every link of the pilot has its points, and no others exist. Returns how many rows were added or removed."""
    links = list(Link.objects.filter(pilot=pilot).select_related("end_a", "end_b", "connection"))
    suffixes = point_names(links)
    wanted: dict[tuple[int, str], Point] = {}
    for link in links:
        end, suffix = field_end(link), suffixes[link.pk]
        wanted[end.pk, f"comm_state{suffix}"] = _state_point(end, f"comm_state{suffix}", link.letter)
        if has_round_trip(link):
            wanted[end.pk, f"round_trip{suffix}"] = _round_trip_point(end, f"round_trip{suffix}", link.letter)
    taken = {(point.device_id, point.name): point for point in Point.objects.filter(device__pilot=pilot)}
    new = [point for key, point in wanted.items() if key not in taken]
    Point.objects.bulk_create(new)
    gone = [point.pk for key, point in taken.items() if is_link_point(point) and key not in wanted]
    Point.objects.filter(pk__in=gone).delete()
    return len(new) + len(gone)


def is_link_point(point: Point) -> bool:
    """Whether this point tells of a link and not of the device."""
    return "link" in point.address


def _state_point(device: Device, name: str, letter: str) -> Point:
    return Point(device=device, name=name, kind=PointKind.STATUS, address={"link": letter}, labels=_LABELS)


def _round_trip_point(device: Device, name: str, letter: str) -> Point:
    form = {"unit": "s", "deadband": 0.001, "low": 0.0}
    return Point(device=device, name=name, kind=PointKind.MEASUREMENT, address={"link": letter}, **form)
