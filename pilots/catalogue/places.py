"""Where points stand on their connection: no two of them at one place. [zone: none, configuration]"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pilots.catalogue.link_points import is_link_point
from pilots.catalogue.points import point_places
from pilots.domain.topology import Protocol
from pilots.models import Pilot, Point


def places_of(point: Point) -> list[tuple[Any, ...]]:
    """The places the point takes on its connection; none where it has no connection or its address cannot be used."""
    connection = point.device.connection
    if connection is None or is_link_point(point):
        return []
    try:
        places = point_places({point.name: point.spec}, Protocol(connection.protocol), point.device.address)
    except (KeyError, TypeError, ValueError):
        return []
    return [(connection.pk, *place) for place in places]


def clashes(points: Iterable[Point]) -> dict[str, str]:
    """Each point that shares a place -> one it shares it with."""
    taken: dict[tuple[Any, ...], str] = {}
    found: dict[str, str] = {}
    for point in points:
        for place in places_of(point):
            other = taken.setdefault(place, str(point))
            if other != str(point):
                found |= {str(point): other, other: str(point)}
    return found


def clashes_of(pilot: Pilot) -> dict[str, str]:
    """The same of all points of a pilot."""
    return clashes(Point.objects.filter(device__pilot=pilot).select_related("device__connection", "device__pilot"))
