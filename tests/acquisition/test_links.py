"""Links: their state by the rule, their points in history, their hours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pilots.acquisition.ingest import Ingest
from pilots.acquisition.link_quality import judge
from pilots.acquisition.link_states import LinkWatch, current_figures, figures_topic
from pilots.catalogue.link_points import field_end, put_link_points
from pilots.catalogue.services import note_change
from pilots.domain.media import MEDIA
from pilots.domain.quality import Flag, Quality
from pilots.domain.topology import LinkState
from pilots.live.hub import hub
from pilots.models import Connection, LatestValue, Link, LinkHour, OutboxState, Point
from tests.builders import make_device, make_latest, make_point
from tests.conftest import Battery
from tests.waiting import until

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def observed(battery: Battery, **fields: Any) -> Link:
    rtu = make_device(battery.pilot, "es-RTU01", kind="rtu", sgam="E.3.c")
    form: dict[str, Any] = {"letter": "c", "end_a": rtu, "end_b": battery.device, "role": "observed", "medium": "RS-485"}
    return Link.objects.create(pilot=battery.pilot, **(form | fields))


def connected(battery: Battery, *, age_s: float = 1.0, **statistics: Any) -> Link:
    """A link of ours whose connection is up and polls every second."""
    link = observed(battery, role="ours", connection=battery.connection)
    show(battery, age_s=age_s, **statistics)
    return link


def show(battery: Battery, *, age_s: float = 1.0, **statistics: Any) -> None:
    form = {"period_s": 1.0, "loss": 0.0, "p50_ms": 40.0, "p95_ms": 90.0} | statistics
    Connection.objects.update(state="up", last_frame_at=NOW - timedelta(seconds=age_s), statistics=form)


def state(link: Link, at: datetime = NOW) -> str:
    LinkWatch(Ingest()).look(at)
    link.refresh_from_db()
    return link.state


@pytest.mark.django_db
def test_an_observed_link_is_what_its_points_are(battery: Battery) -> None:
    link = observed(battery)
    assert state(link) == "unknown"
    power = make_latest(battery.power, at=NOW)
    soc = make_latest(make_point(battery.device, "soc", max_interval_s=10), at=NOW)
    assert state(link) == "up"
    LatestValue.objects.filter(pk=soc.pk).update(received_time=NOW - timedelta(seconds=31))
    assert state(link) == "degraded"
    LatestValue.objects.filter(pk=power.pk).update(quality=Quality(flags=Flag.COMM_FAILURE).pack())
    assert state(link) == "down"


@pytest.mark.django_db
def test_a_link_of_ours_follows_its_connection(battery: Battery) -> None:
    link = connected(battery)
    assert state(link) == "up"
    Connection.objects.update(state="down")
    assert state(link) == "down"
    assert link.state_since == NOW


@pytest.mark.django_db
def test_a_connection_that_loses_frames_or_grows_quiet_is_degraded_then_down(battery: Battery) -> None:
    link = connected(battery, loss=0.05)
    assert state(link) == "degraded"
    show(battery, loss=0.3)
    assert state(link) == "down"
    show(battery, age_s=4.0)
    assert state(link) == "degraded"
    show(battery, age_s=11.0)
    assert state(link) == "down"


@pytest.mark.parametrize(
    ("medium", "loss", "expected"),
    [
        ("RS-485", 0.019, "up"),
        ("RS-485", 0.021, "degraded"),
        ("GPRS", 0.035, "up"),
        ("GPRS", 0.19, "degraded"),
        ("PLC", 0.31, "down"),
    ],
)
def test_a_medium_that_usually_loses_may_lose_more(medium: str, loss: float, expected: str) -> None:
    assert judge(loss=loss, age_s=0.5, period_s=1.0, medium=MEDIA[medium]).value == expected


def test_a_link_nobody_answered_on_yet_is_unknown() -> None:
    assert judge(loss=None, age_s=None, period_s=1.0, medium=None) is LinkState.UNKNOWN


@pytest.mark.django_db
def test_the_link_to_the_platform_follows_the_outbox(battery: Battery) -> None:
    platform = make_device(battery.pilot, "es-INVADE", kind="platform", sgam="E.3.e")
    link = observed(battery, role="ours", end_b=platform)
    assert state(link) == "unknown"
    outbox = OutboxState.objects.create(pilot=battery.pilot, accepted_at=NOW - timedelta(seconds=5))
    assert state(link) == "up"
    OutboxState.objects.update(last_error="503")
    assert state(link) == "degraded"
    OutboxState.objects.update(accepted_at=NOW - timedelta(seconds=61))
    assert state(link) == "down"
    assert outbox.pilot == battery.pilot


@pytest.mark.django_db(transaction=True)
def test_the_link_to_the_platform_has_figures_and_a_round_trip_of_its_own(battery: Battery, door: Ingest) -> None:
    platform = make_device(battery.pilot, "es-INVADE", kind="platform", sgam="E.3.e")
    link = observed(battery, role="ours", end_b=platform)
    put_link_points(battery.pilot)
    note_change(battery.pilot)
    door.directory.refresh(force=True)
    statistics = {"sent": 7, "p50_ms": 40.0, "p95_ms": 90.0, "bytes_per_s": 120.5}
    OutboxState.objects.create(pilot=battery.pilot, accepted_at=NOW, statistics=statistics)
    LinkWatch(door).look(NOW)
    figures = current_figures(link)
    assert figures is not None
    assert (figures.row["sent"], figures.row["p95_ms"], figures.row["bytes_per_s"]) == (7, 90.0, 120.5)
    trip = Point.objects.get(name="round_trip", device=link.end_a)
    until(lambda: LatestValue.objects.filter(point=trip).exists())
    assert LatestValue.objects.get(point=trip).value == pytest.approx(0.04)


@pytest.mark.django_db
def test_a_state_that_stays_is_written_once_and_looked_at_every_two_seconds(battery: Battery) -> None:
    observed(battery)
    make_latest(battery.power, at=NOW)
    watch = LinkWatch(Ingest())
    assert [watch.look(NOW), watch.look(NOW + timedelta(seconds=2))] == [1, 0]
    LatestValue.objects.update(received_time=NOW - timedelta(minutes=9))
    assert [watch.look(NOW + timedelta(seconds=3)), watch.look(NOW + timedelta(seconds=4))] == [0, 1]


@pytest.mark.django_db(transaction=True)
def test_state_and_round_trip_are_points_of_the_end_nearer_to_the_process(battery: Battery, door: Ingest) -> None:
    link = connected(battery)
    assert field_end(link) == battery.device
    put_link_points(battery.pilot)
    note_change(battery.pilot)
    door.directory.refresh(force=True)
    LinkWatch(door).look(NOW)
    until(lambda: LatestValue.objects.filter(point__name__in=("comm_state", "round_trip")).count() == 2)
    values = dict(LatestValue.objects.values_list("point__name", "value"))
    assert (values["comm_state"], values["round_trip"]) == (1.0, pytest.approx(0.04))


@pytest.mark.django_db(transaction=True)
def test_its_own_points_never_make_a_link_look_alive(battery: Battery, door: Ingest) -> None:
    link = observed(battery)
    put_link_points(battery.pilot)
    make_latest(Point.objects.get(name="comm_state"), 1.0, at=NOW)
    assert state(link) == "unknown"


@pytest.mark.django_db
def test_every_link_has_its_points_once_and_a_removed_one_none(battery: Battery) -> None:
    link = observed(battery)
    other = Link.objects.create(pilot=battery.pilot, letter="d'", end_a=link.end_a, end_b=battery.device, role="observed")
    assert put_link_points(battery.pilot) == 2
    assert put_link_points(battery.pilot) == 0
    names = Point.objects.filter(name__startswith="comm").values_list("name", flat=True)
    assert set(names) == {"comm_state", "comm_state_d_prime"}
    other.delete()
    assert put_link_points(battery.pilot) == 1


@pytest.mark.django_db
def test_figures_travel_every_look_and_states_only_when_they_change(battery: Battery) -> None:
    connected(battery)
    heard: dict[str, int] = {"es": 0, figures_topic("es"): 0}

    def listener(topic: str) -> Any:
        return lambda n, text, gap: heard.__setitem__(topic, heard[topic] + 1)

    for topic in heard:
        hub("").subscribe(topic, listener(topic))
    watch = LinkWatch(Ingest())
    for seconds in (0, 2, 4):
        Connection.objects.update(last_frame_at=NOW + timedelta(seconds=seconds))
        watch.look(NOW + timedelta(seconds=seconds))
    assert heard == {"es": 1, figures_topic("es"): 3}


@pytest.mark.django_db
def test_an_hour_adds_up_states_traffic_and_round_trips(battery: Battery) -> None:
    link = connected(battery, sent=100, received=100, timeouts=1, lost=1)
    watch = LinkWatch(Ingest())
    for step in range(21):
        moment = NOW + timedelta(seconds=2 * step)
        Connection.objects.update(last_frame_at=moment)
        if step == 10:
            show(battery, sent=150, received=148, timeouts=3, lost=3, sent_bytes=600, age_s=-21)
        watch.look(moment)
    row = LinkHour.objects.get(link=link)
    assert (row.hour, row.requests, row.lost, row.sent_bytes) == (NOW, 50, 2, 600)
    assert row.up_s == pytest.approx(30, abs=2.1) and row.down_s == 0
    assert row.round_trip_p50_s == pytest.approx(0.04)


@pytest.mark.django_db
def test_counters_that_begin_anew_and_pauses_count_nothing_twice(battery: Battery) -> None:
    link = connected(battery, sent=1000)
    watch = LinkWatch(Ingest())
    watch.look(NOW)
    show(battery, sent=10, age_s=-1)
    watch.look(NOW + timedelta(seconds=2))
    watch.look(NOW + timedelta(minutes=5))
    row = LinkHour.objects.get(link=link)
    assert (row.requests, row.up_s) == (10, 2.0)
