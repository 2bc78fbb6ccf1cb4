"""The state of every link of D7.1, its figures, and their history: as points, by the hour, on the live channel. [station]

Ours: the connection's state and figures judged by `link_quality`, or the device's where many come to one listener.
Observed, and head-end systems that push to us: up if every point of the far device still arrives, degraded if some have
grown old, down if all have. What a value says (out of range, not available) is no matter of the link.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Sum

from pilots.acquisition.batch import IngestFull
from pilots.acquisition.ingest import Ingest
from pilots.acquisition.link_hours import LinkHours
from pilots.acquisition.link_quality import ConnectionFigures, figures_of, judge
from pilots.catalogue.link_points import STATE_CODES, field_end, has_round_trip, leads_to_platform, point_names
from pilots.control.substitutions import in_force
from pilots.domain.measurement import RawReading
from pilots.domain.media import Medium, medium_of
from pilots.domain.quality import Flag, Quality, Source, Validity
from pilots.domain.topology import DeviceKind, LinkRole, LinkState, Protocol
from pilots.journal.services import of_link, record
from pilots.live.frames import Change, milliseconds
from pilots.live.hub import hub
from pilots.models import Connection, LatestValue, Link, OutboxState, Pilot

LOOK_EVERY = timedelta(seconds=2)
#: Unchanged states are kept at least so often, so that a trend needs not look far back.
KEEP_EVERY = timedelta(seconds=60)
PLATFORM_SILENCE = timedelta(seconds=60)
#: Kinds that carry others' data come last when we look for the device whose points cross a link.
_CARRIERS = {DeviceKind.RTU, DeviceKind.SCADA, DeviceKind.HEAD_END_SYSTEM, DeviceKind.GATEWAY, DeviceKind.PLATFORM}
_SOURCES_LAST = {DeviceKind.SMART_METER: 1} | dict.fromkeys(_CARRIERS, 2)
_COLUMNS = ("pk", "name", "state", "active_way", "last_frame_at", "statistics")


@dataclass(slots=True)
class WatchedLink:
    """A link row with what looking at it needs, and its newest figures."""

    link: Link
    pilot: str
    device: str
    suffix: str
    medium: Medium | None
    has_round_trip: bool
    crossing: tuple[int, ...]
    simulated: bool
    kept_at: datetime | None = None
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def is_judged_by_points(self) -> bool:
        """Whether what crosses it tells its state, not a connection of ours that stands for it alone."""
        link = self.link
        if link.role != LinkRole.OURS or link.connection is None:
            return True
        return link.connection.protocol in (Protocol.OCPP16, Protocol.PUSH)

    @property
    def row(self) -> list[object]:
        """`[letter, end_a, end_b, state, since_ms, role]` for frames."""
        link = self.link
        since = None if link.state_since is None else milliseconds(link.state_since)
        return [link.letter, link.end_a.code, link.end_b.code, link.state, since, link.role]


class LinkWatch:
    """Looks at all links of the installation; one gateway holds the lease for it."""

    def __init__(self, ingest: Ingest) -> None:
        self._ingest = ingest
        self._links: list[WatchedLink] = []
        self._basis: object = None
        self._looked_at: datetime | None = None
        self._hours = LinkHours()

    def look(self, now: datetime) -> int:
        """Every link row shows its state; changes, figures and history are told. Returns how many links changed."""
        if self._looked_at is not None and timedelta(0) <= now - self._looked_at < LOOK_EVERY:
            return 0
        self._looked_at = now
        self._read_links()
        figures = self._figures()
        judged = [watched for watched in self._links if watched.is_judged_by_points]
        arriving = _arriving(now, {device for watched in judged for device in watched.crossing})
        changed = [watched for watched in self._links if self._look_at(watched, figures.get(watched.link.pk), arriving, now)]
        with transaction.atomic():
            Link.objects.bulk_update([watched.link for watched in changed], ["state", "state_since"])
            record(of_link(watched.link, pilot=watched.pilot, at=now) for watched in changed)
        self._publish(changed)
        self._keep_points(now)
        self._hours.note([(w.link.pk, LinkState(w.link.state), figures.get(w.link.pk)) for w in self._links], now)
        return len(changed)

    def _figures(self) -> dict[int, ConnectionFigures]:
        """By link: its connection's, or those of our messages to the platform."""
        connections = {row[0]: figures_of(*row[1:]) for row in Connection.objects.values_list(*_COLUMNS)}
        platform = {state.pilot_id: platform_figures(state) for state in OutboxState.objects.select_related("pilot")}
        found = {}
        for link in (watched.link for watched in self._links):
            own = platform.get(link.pilot_id) if leads_to_platform(link) else connections.get(link.connection_id or 0)
            if own is not None:
                found[link.pk] = own
        return found

    def _read_links(self) -> None:
        basis = Pilot.objects.aggregate(Count("id"), Sum("revision")) | Link.objects.aggregate(Count("pk"), Sum("pk"))
        if basis == self._basis:
            return
        rows = list(Link.objects.select_related("pilot", "end_a__connection", "end_b__connection", "connection"))
        kept = {watched.link.pk: watched.kept_at for watched in self._links}
        suffixes = point_names(rows)
        simulated = set(Connection.objects.filter(simulated=True).values_list("pilot", flat=True))
        self._links = [_watched(link, suffixes[link.pk], simulated) for link in rows]
        for watched in self._links:
            watched.kept_at = kept.get(watched.link.pk)
        self._basis = basis

    def _look_at(
        self,
        watched: WatchedLink,
        figures: ConnectionFigures | None,
        arriving: Mapping[int, list[bool]],
        now: datetime,
    ) -> bool:
        link = watched.link
        watched.figures = figures.row if figures is not None and link.role == LinkRole.OURS else {}
        state = _state(watched, figures, arriving, now)
        if state == link.state:
            return False
        link.state, link.state_since = state, now
        watched.kept_at = None
        return True

    def _publish(self, changed: list[WatchedLink]) -> None:
        states: dict[str, list[list[object]]] = defaultdict(list)
        figures: dict[str, list[list[object]]] = defaultdict(list)
        for watched in changed:
            states[watched.pilot].append(watched.row)
        for watched in self._links:
            figures[watched.pilot].append([*watched.row, watched.figures])
        messages = [Change(pilot, links=rows) for pilot, rows in states.items()]
        messages += [Change(figures_topic(pilot), links=rows) for pilot, rows in figures.items()]
        hub(settings.REDIS_URL).publish(messages)

    def _keep_points(self, now: datetime) -> None:
        """State and round trip enter history by the one door."""
        readings: dict[str, list[RawReading]] = defaultdict(list)
        for watched in self._links:
            if watched.kept_at is None or now - watched.kept_at >= KEEP_EVERY:
                watched.kept_at = now
                readings[watched.device] += _readings(watched, now)
        try:
            for device, own in readings.items():
                self._ingest.put(device, own, now)
        except IngestFull:
            return  # kept again in a minute


def current_figures(link: Link) -> ConnectionFigures | None:
    """Of one link, from the database; None where others hold what carries it."""
    if leads_to_platform(link):
        state = OutboxState.objects.filter(pilot=link.pilot).select_related("pilot").first()
        return None if state is None else platform_figures(state)
    if link.connection is None or not has_round_trip(link):
        return None
    return figures_of(*(getattr(link.connection, column) for column in _COLUMNS[1:]))


def platform_figures(state: OutboxState) -> ConnectionFigures:
    """What the forwarder noted of a pilot's messages to the platform."""
    return figures_of(f"platform {state.pilot.code}", LinkState.UNKNOWN, 0, state.accepted_at, state.statistics)


def figures_topic(pilot: str) -> str:
    """The live channel on which a pilot's links tell their figures every two seconds, beside the frames of its values."""
    return f"{pilot}/links"


def _watched(link: Link, suffix: str, simulated: set[int]) -> WatchedLink:
    ends = sorted((link.end_b, link.end_a), key=lambda device: _SOURCES_LAST.get(DeviceKind(device.kind), 0))
    crossing = tuple(key for device in ends for key in (device.pk, device.measured_by_id or 0) if key)
    return WatchedLink(
        link=link,
        pilot=link.pilot.code,
        device=field_end(link).code,
        suffix=suffix,
        medium=medium_of(link.medium),
        has_round_trip=has_round_trip(link),
        crossing=crossing,
        simulated=_is_simulated(link, simulated),
    )


def _is_simulated(link: Link, pilots: set[int]) -> bool:
    """What a link says is as real as its connection, else as its ends, else (to the platform) as its pilot."""
    for connection in (link.connection, link.end_a.connection, link.end_b.connection):
        if connection is not None:
            return connection.simulated
    return link.pilot_id in pilots


def _arriving(now: datetime, devices: Collection[int]) -> dict[int, list[bool]]:
    """By device, for each point of its own that was ever received: does it still arrive?"""
    rows = LatestValue.objects.filter(point__device__in=devices)
    # What a person put there did not come by the link.
    rows = rows.exclude(point__in=in_force(now).values("point"))
    rows = rows.exclude(point__name__startswith="comm_state").exclude(point__name__startswith="round_trip")
    columns = rows.values_list("point__device_id", "quality", "received_time", "point__max_interval_s", "point__period_s")
    seen: dict[int, list[bool]] = defaultdict(list)
    for device, packed, received, promised, period in columns:
        interval = promised or period
        overdue = interval is not None and (now - received).total_seconds() > 3 * interval
        seen[device].append(not overdue and not packed >> 5 & (Flag.OLD | Flag.COMM_FAILURE))
    return seen


def _state(
    watched: WatchedLink, figures: ConnectionFigures | None, arriving: Mapping[int, list[bool]], now: datetime
) -> LinkState:
    link = watched.link
    if leads_to_platform(link):
        return _platform_state(link, now)
    if link.role == LinkRole.OURS and link.connection is not None and figures is not None:
        # While the listener is up, its own points tell whether this charge point is there.
        listens = link.connection.protocol == Protocol.OCPP16 and figures.state == LinkState.UP
        if not listens and link.connection.protocol != Protocol.PUSH:
            return _connection_state(watched, figures, now)
    return _judge(watched.crossing, arriving)


def _connection_state(watched: WatchedLink, figures: ConnectionFigures, now: datetime) -> LinkState:
    if figures.state not in (LinkState.UP, LinkState.DEGRADED):
        return figures.state
    age_s = None if figures.last_frame is None else (now - figures.last_frame).total_seconds()
    return judge(loss=figures.loss, age_s=age_s, period_s=figures.period_s, medium=watched.medium)


def _platform_state(link: Link, now: datetime) -> LinkState:
    state = OutboxState.objects.filter(pilot=link.pilot).first()
    if state is None or (state.accepted_at is None and not state.last_error):
        return LinkState.UNKNOWN
    if state.accepted_at is not None and now - state.accepted_at < PLATFORM_SILENCE:
        return LinkState.DEGRADED if state.last_error else LinkState.UP
    return LinkState.DOWN if state.last_error else LinkState.UP


def _judge(devices: tuple[int, ...], arriving: Mapping[int, list[bool]]) -> LinkState:
    own: list[bool] = next((arriving[device] for device in devices if arriving.get(device)), [])
    if not own:
        return LinkState.UNKNOWN
    if all(own):
        return LinkState.UP
    return LinkState.DEGRADED if any(own) else LinkState.DOWN


def _readings(watched: WatchedLink, now: datetime) -> list[RawReading]:
    source = Source.SIMULATED if watched.simulated else Source.PROCESS
    state = LinkState(watched.link.state)
    quality = Quality(Validity.GOOD, source)
    readings = [RawReading(f"comm_state{watched.suffix}", STATE_CODES[state], quality, now)]
    p50_ms = watched.figures.get("p50_ms")
    if watched.has_round_trip and p50_ms is not None and state in (LinkState.UP, LinkState.DEGRADED):
        readings.append(RawReading(f"round_trip{watched.suffix}", p50_ms / 1000, quality, now))
    return readings
