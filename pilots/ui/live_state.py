"""What a page shows before the first frame: latest values, link states, recent set-points of a pilot. [operation]"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pilots.acquisition.link_states import current_figures
from pilots.control.selectors import in_force, record, with_record_data
from pilots.live.frames import milliseconds
from pilots.models import LatestValue, Link, Pilot, Setpoint

RECENT = 20


def point_rows(pilot: Pilot) -> list[list[Any]]:
    """`[device/point, value, quality, source_ms, received_ms, text, max_age_s]` of every point ever received."""
    latest = LatestValue.objects.filter(point__device__pilot=pilot).values_list(
        "point__device__code",
        "point__name",
        "value",
        "quality",
        "source_time",
        "received_time",
        "text",
        "point__max_interval_s",
        "point__period_s",
    )
    return [
        [f"{device}/{name}", value, quality, milliseconds(source), milliseconds(received), text, _max_age(promised or period)]
        for device, name, value, quality, source, received, text, promised, period in latest
    ]


def link_rows(pilot: Pilot) -> list[list[Any]]:
    """`[letter, end_a, end_b, state, since_ms, role]` of every link."""
    links = Link.objects.filter(pilot=pilot).values_list("letter", "end_a__code", "end_b__code", "state", "state_since", "role")
    return [
        [letter, a, b, state, None if since is None else milliseconds(since), role] for letter, a, b, state, since, role in links
    ]


def recent_setpoints(pilot: Pilot, now: datetime) -> list[dict[str, Any]]:
    """Records of the newest set-points and of all that hold their point, oldest first: applying them in order ends right."""
    own = with_record_data(Setpoint.objects.filter(point__device__pilot=pilot))
    newest = list(own[:RECENT])
    holding = own.filter(in_force(now)).exclude(pk__in=[setpoint.pk for setpoint in newest])
    return [record(setpoint) for setpoint in reversed([*newest, *holding])]


def _max_age(interval_s: float | None) -> float | None:
    return None if interval_s is None else 3.0 * interval_s


def link_figure_rows(pilot: Pilot) -> list[list[Any]]:
    """The rows of `link_rows`, each with the figures of what carries it (empty where others hold that)."""
    links = Link.objects.filter(pilot=pilot).select_related("end_a", "end_b", "connection")
    figures = [(link, current_figures(link)) for link in links]
    return [[*_link_row(link), {} if found is None else found.row] for link, found in figures]


def _link_row(link: Link) -> list[Any]:
    since = None if link.state_since is None else milliseconds(link.state_since)
    return [link.letter, link.end_a.code, link.end_b.code, link.state, since, link.role]
