"""The gateway with a real driver and a real peer on the loopback."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from pilots.acquisition import directory, ways
from pilots.acquisition.ingest import ingest
from pilots.acquisition.state_writer import StateWriter
from pilots.catalogue.services import note_change
from pilots.control.services import request_setpoint
from pilots.domain.quality import Flag
from pilots.domain.setpoint import Issuer, SetpointState
from pilots.domain.topology import LinkState, Protocol
from pilots.drivers.registry import DRIVERS
from pilots.models import Connection, LatestValue, Lease, Link, Pilot, Point, Setpoint
from tests.acquisition.conftest import Start
from tests.acquisition.field import Field, StationLine, add_unit, arrived
from tests.builders import make_device
from tests.waiting import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.wire]


def state() -> str:
    return Connection.objects.get().state


def is_old() -> bool:
    return Flag.OLD in LatestValue.objects.get(point__device__code="bg-STO01").unpacked_quality.flags


def ask(value: float, unit: int = 1) -> Setpoint:
    now = datetime.now(UTC)
    point = Point.objects.get(device__code=f"bg-STO0{unit}", name="p_set")
    until_then = now + timedelta(minutes=5)
    return request_setpoint(
        point=point, value=value, unit="W", issuer=Issuer.OPERATOR, requested_by="ana", valid_until=until_then, now=now
    )


def now_is(setpoint: Setpoint, wanted: SetpointState) -> bool:
    setpoint.refresh_from_db()
    return setpoint.state == wanted


def test_values_arrive_and_the_connection_says_up(start: Start, pilot: Pilot) -> None:
    start()
    until(arrived)
    assert LatestValue.objects.get(point__device__code="bg-STO01").value == 4500.0
    until(lambda: state() == LinkState.UP)
    until(lambda: Connection.objects.get().statistics.get("polls", 0) > 2)
    assert Connection.objects.get().last_frame_at is not None


def test_a_dead_unit_does_not_disturb_the_others(start: Start, pilot: Pilot, field: Field) -> None:
    field.silent = {2}
    start()
    until(arrived)
    seen = datetime.now(UTC)
    until(lambda: arrived(1, seen + timedelta(seconds=1)))
    assert not arrived(2)
    assert state() == LinkState.UP


def test_a_lost_server_is_seen_marked_and_found_again(start: Start, pilot: Pilot, field: Field) -> None:
    start()
    until(arrived)
    field.switch_off()
    until(lambda: state() == LinkState.DOWN)
    until(is_old)
    assert Connection.objects.get().last_error
    field.switch_on()
    lost = datetime.now(UTC)
    until(lambda: arrived(1, lost), within_s=30)
    until(lambda: state() == LinkState.UP)
    until(lambda: LatestValue.objects.get(point__device__code="bg-STO01").unpacked_quality.flags == Flag.NONE)


@pytest.mark.parametrize(("period_s", "silent", "marked"), [(5.0, False, False), (0.2, True, True)], ids=["reset", "silent"])
def test_a_lost_connection_takes_its_values_with_it_where_they_are_overdue(
    start: Start, pilot: Pilot, field: Field, monkeypatch: pytest.MonkeyPatch, period_s: float, silent: bool, marked: bool
) -> None:
    noted: list[str] = []
    note_old = StateWriter.note_old
    monkeypatch.setattr(StateWriter, "note_old", lambda writer, devices: (noted.extend(devices), note_old(writer, devices)))
    monkeypatch.setattr(ways, "FIRST_PAUSE_S", 60.0)
    Point.objects.update(period_s=period_s, max_interval_s=600.0)
    gateway = start()
    until(lambda: arrived(1) and arrived(2))
    field.silent = {1, 2} if silent else set()
    (line,) = gateway.supervisors.values()
    until(lambda: not silent or line.counters.failed)
    field.switch_off()
    until(lambda: state() == LinkState.DOWN)
    assert noted == (["bg-STO01", "bg-STO02"] if marked else [])
    until(lambda: not marked or is_old())


def test_a_peer_that_talks_garbage_is_counted_and_stores_nothing(start: Start, pilot: Pilot, field: Field) -> None:
    field.garbage = True
    start()
    until(lambda: field.peer.asked)
    until(lambda: sum(Connection.objects.get().statistics.get(name, 0) for name in ("violations", "failed")) > 0)
    assert not arrived()


def test_a_set_point_reaches_the_device_and_is_proven(start: Start, pilot: Pilot, field: Field) -> None:
    start()
    until(arrived)
    setpoint = ask(-20_000.0)
    until(lambda: now_is(setpoint, SetpointState.EXECUTED))
    assert [event.state for event in setpoint.events.all()] == ["received", "validated", "dispatched", "executed"]
    assert len(field.writes) == 1


def test_two_gateways_write_a_set_point_once(start: Start, pilot: Pilot, field: Field) -> None:
    first, second = start(), start()
    until(arrived)
    setpoints = [ask(-1000.0 * number, unit) for number in (5, 6) for unit in (1, 2)]
    for setpoint in setpoints[2:]:
        until(lambda each=setpoint: now_is(each, SetpointState.EXECUTED))  # type: ignore[misc]
    assert len(first.supervisors) + len(second.supervisors) == 1
    assert len(field.writes) <= 4
    assert len({request.body for request in field.writes if request.unit == 1}) == len(
        [request for request in field.writes if request.unit == 1]
    )


def test_the_second_gateway_takes_over_when_the_first_stops(start: Start, pilot: Pilot) -> None:
    first = start()
    until(lambda: first.supervisors)
    second = start()
    until(arrived)
    assert second.supervisors == {}
    first.stop()
    ingest()  # both live in this process: the first one's end stopped the writer they share
    stopped = datetime.now(UTC)
    until(lambda: second.supervisors)
    until(lambda: arrived(1, stopped))
    assert Lease.objects.get(resource="connection:bg-rtu01").owner == second.owner


def test_a_disabled_connection_is_let_go(start: Start, pilot: Pilot, field: Field) -> None:
    gateway = start()
    until(arrived)
    Connection.objects.update(enabled=False)
    until(lambda: not gateway.supervisors)


def test_a_new_device_is_polled_without_a_restart(start: Start, pilot: Pilot) -> None:
    start()
    until(arrived)
    add_unit(pilot, Connection.objects.get(), 3)
    note_change(pilot)
    until(lambda: arrived(3))


def test_a_claim_left_behind_is_unknown_and_then_judged_by_the_device(start: Start, pilot: Pilot, field: Field) -> None:
    setpoint = ask(4500.0)
    assert setpoint.state == SetpointState.VALIDATED
    Setpoint.objects.update(claimed_at=datetime.now(UTC), claim_epoch=1)
    start()
    until(lambda: now_is(setpoint, SetpointState.EXECUTED))
    assert [event.state for event in setpoint.events.all()] == ["received", "validated", "unknown", "executed"]
    assert field.writes == []


def test_a_link_shows_the_state_of_its_connection(start: Start, pilot: Pilot, field: Field) -> None:
    ends = [make_device(pilot, code, kind=kind) for code, kind in (("bg-SCADA", "scada"), ("bg-RTU01", "rtu"))]
    link = Link.objects.create(
        pilot=pilot, letter="b", end_a=ends[0], end_b=ends[1], role="ours", connection=Connection.objects.get()
    )
    start()
    until(lambda: Link.objects.get(pk=link.pk).state == LinkState.UP)
    field.switch_off()
    until(lambda: Link.objects.get(pk=link.pk).state == LinkState.DOWN)


def test_a_connection_that_opens_and_never_answers_is_down_and_says_so(start: Start, pilot: Pilot, field: Field) -> None:
    field.silent = {1, 2}
    start()
    until(lambda: state() == LinkState.DOWN)
    assert "nobody has answered 3 questions in a row" in Connection.objects.get().last_error
    field.silent = set()
    until(lambda: state() == LinkState.UP)
    until(arrived)


def test_figures_survive_a_reconnect_which_is_counted(start: Start, pilot: Pilot, field: Field) -> None:
    start()
    until(lambda: Connection.objects.get().statistics.get("received", 0) > 5)
    before = Connection.objects.get().statistics
    field.switch_off()
    until(lambda: state() == LinkState.DOWN)
    field.switch_on()
    until(lambda: Connection.objects.get().statistics.get("reconnects", 0) == 1)
    after = Connection.objects.get().statistics
    for name in ("sent", "received", "sent_bytes", "received_bytes", "polls"):
        assert after[name] >= before[name] > 0, name
    assert {"p50_ms", "p95_ms", "loss", "bytes_per_s", "timeouts", "violations", "refused", "retries", "skipped"} <= after.keys()
    assert after["period_s"] == 0.2


def test_a_new_device_is_listened_to_and_what_it_tells_once_is_kept(
    start: Start, pilot: Pilot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an answer to the interrogation that a 104 or 61850 connection begins with."""
    monkeypatch.setitem(DRIVERS, Protocol.MODBUS_TCP, StationLine)
    monkeypatch.setattr(directory, "CHECK_EVERY_S", 60.0)
    start()
    until(lambda: arrived(1) and arrived(2))
    add_unit(pilot, Connection.objects.get(), 3)
    note_change(pilot)
    until(lambda: arrived(3))
    assert ingest().counters.unknown == 0


def test_a_station_of_a_shared_line_takes_only_its_own_values_with_it(
    start: Start, pilot: Pilot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DRIVERS, Protocol.MODBUS_TCP, StationLine)
    StationLine.stations = {"bg-STO01": True, "bg-STO02": True}
    Point.objects.update(period_s=None)
    start()
    until(lambda: arrived(1) and arrived(2))
    time.sleep(0.3)  # the gateway has looked at least once
    StationLine.stations["bg-STO02"] = False
    until(lambda: Flag.OLD in LatestValue.objects.get(point__device__code="bg-STO02").unpacked_quality.flags)
    assert LatestValue.objects.get(point__device__code="bg-STO01").unpacked_quality.flags == Flag.NONE
    assert state() == LinkState.UP
