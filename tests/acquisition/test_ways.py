"""Backup ways: the rules, and a connection that turns to its backup and back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pilots.acquisition.targets import read_plan, resolve_endpoint
from pilots.acquisition.ways import WayChoice
from pilots.catalogue.loader import profiles_of
from pilots.catalogue.services import commission_pilot, note_change
from pilots.control.services import request_setpoint
from pilots.domain.errors import LinkDown
from pilots.domain.setpoint import Issuer, SetpointState
from pilots.domain.topology import LinkState, Protocol, Way
from pilots.models import AuditEvent, Connection, Pilot, Point
from pilots.simulators.faults import FaultKind
from pilots.simulators.runner import simulating
from tests.acquisition.conftest import Start
from tests.acquisition.field import Field, arrived
from tests.builders import make_connection, make_pilot
from tests.simulators.peers import connection_of, eventually, free_port
from tests.simulators.peers import pilot as simulated_pilot
from tests.waiting import until

ETHERNET = Way(protocol=Protocol.IEC104, host="10.0.0.7", port=2404)
MOBILE = Way(protocol=Protocol.IEC104, host="10.64.0.7", port=2404)
MODEM = Way(protocol=Protocol.IEC101, serial_line="/dev/ttyS0")
OTHER_NUMBER = Way(protocol=Protocol.IEC101, serial_line="/dev/ttyS0", options={"switch_after_s": 20})


def failing(choice: WayChoice, at: float, *, took_s: float = 0.0) -> bool:
    choice.note_trying(at)
    return choice.note_failed(at + took_s)


def test_two_failed_tries_turn_to_the_next_way() -> None:
    choice = WayChoice([ETHERNET, MOBILE])
    assert (failing(choice, 0.0), choice.index) == (False, 0)
    assert (failing(choice, 0.5), choice.index) == (True, 1)


def test_one_try_that_took_too_long_does_too() -> None:
    choice = WayChoice([ETHERNET, MODEM])
    assert choice.open_within_s == 10.0
    assert (failing(choice, 0.0, took_s=10.0), choice.index) == (True, 1)
    assert choice.open_within_s == 60.0


def test_a_way_that_comes_back_at_once_is_kept() -> None:
    choice = WayChoice([ETHERNET, MOBILE])
    for at in (0.0, 100.0, 200.0):
        failing(choice, at)
        choice.note_stands()
    assert choice.index == 0


def test_after_all_ways_have_failed_there_is_a_pause_and_the_first_comes_again() -> None:
    choice = WayChoice([ETHERNET, MOBILE, MODEM])
    assert [failing(choice, at) for at in (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)] == [False, True, False, True, False, False]
    assert choice.index == 0


def test_a_single_way_is_tried_for_ever() -> None:
    choice = WayChoice([ETHERNET])
    assert choice.open_within_s is None
    assert not any(failing(choice, float(at)) for at in range(50))


def test_a_serial_line_in_use_is_not_tried_beside_itself() -> None:
    choice = WayChoice([ETHERNET, MODEM, OTHER_NUMBER])
    choice.go_back(2)
    assert choice.better == [0]
    choice.go_back(1)
    assert choice.better == [0]


@pytest.mark.django_db
def test_a_backup_has_the_first_ways_options_where_it_speaks_the_same_protocol() -> None:
    backups = [
        {"protocol": "iec104", "host": "10.0.0.8", "port": 2404},
        {"protocol": "modbus_rtu", "options": {"baudrate": 9600}},
    ]
    line = make_connection(make_pilot(), "es-rtu01", protocol="iec104", port=2404, options={"t1": 45}, backups=backups)
    plan = read_plan(line)
    assert [(way.protocol, way.host, way.options) for way in plan.ways] == [
        ("iec104", "127.0.0.1", {"t1": 45}),
        ("iec104", "10.0.0.8", {"t1": 45}),
        ("modbus_rtu", "127.0.0.1", {"baudrate": 9600}),
    ]


@pytest.mark.django_db
def test_simulated_ways_are_found_under_the_connections_name(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path
    backups = [{"protocol": "iec104"}, {"protocol": "modbus_rtu"}]
    plan = read_plan(make_connection(make_pilot(), "es-rtu01", protocol="iec104", simulated=True, backups=backups))
    (tmp_path / "ports.json").write_text('{"es-rtu01": 15001, "es-rtu01/1": 15002}')
    assert [resolve_endpoint(plan, way).port for way in (0, 1)] == [15001, 15002]
    with pytest.raises(LinkDown, match="no simulator has made one"):
        resolve_endpoint(plan, 2)
    (tmp_path / "serial").mkdir()
    (tmp_path / "serial" / "es-rtu01.2").symlink_to("/dev/null")
    assert resolve_endpoint(plan, 2).serial_line == str(tmp_path / "serial" / "es-rtu01.2")


# A real connection


@pytest.fixture
def backup() -> Iterator[Field]:
    """The same equipment by another way."""
    field = Field()
    field.switch_on()
    yield field
    field.end()


@pytest.fixture
def two_ways(pilot: Pilot, backup: Field) -> Pilot:
    backups = [{"protocol": "modbus_tcp", "port": backup.port}]
    options = {"timeout_s": 0.3, "return_after_s": 0.3, "switch_after_s": 3}
    Connection.objects.update(backups=backups, options=options)
    note_change(pilot)
    return pilot


def line() -> Connection:
    return Connection.objects.get()


def switches() -> list[tuple[int, int]]:
    events = AuditEvent.objects.filter(action="way_switched", subject="bg-rtu01").order_by("id")
    return [(event.details["from"], event.details["to"]) for event in events]


@pytest.mark.wire
@pytest.mark.django_db(transaction=True)
def test_a_lost_way_gives_way_to_its_backup_and_comes_back(start: Start, two_ways: Pilot, field: Field, backup: Field) -> None:
    start()
    until(lambda: arrived(1))
    assert (line().active_way, backup.peer.asked) == (0, [])
    field.switch_off()
    until(lambda: line().active_way == 1)
    switched = datetime.now(UTC)
    until(lambda: arrived(1, switched) and arrived(2, switched))
    assert line().state == LinkState.UP
    assert "on way 1 (modbus_tcp" in line().last_error
    assert switches() == [(0, 1)]
    field.switch_on()
    until(lambda: line().active_way == 0)
    until(lambda: not line().last_error)
    returned = datetime.now(UTC)
    asked = len(backup.peer.asked)
    until(lambda: arrived(1, returned + timedelta(seconds=0.3)))
    assert line().state == LinkState.UP
    assert switches() == [(0, 1), (1, 0)]
    assert len(backup.peer.asked) <= asked + 1


@pytest.mark.wire
@pytest.mark.django_db(transaction=True)
def test_a_way_that_opens_but_never_answers_is_no_way(start: Start, two_ways: Pilot, field: Field, backup: Field) -> None:
    field.silent = {1, 2}
    start()
    until(lambda: arrived(1) and line().active_way == 1)  # the row says it a moment after the value
    asked = len(field.peer.asked)
    until(lambda: len(field.peer.asked) > asked + 2)  # it is tried in the background, and stays what it is
    assert (line().active_way, line().state) == (1, LinkState.UP)
    field.silent = set()
    until(lambda: line().active_way == 0)


@pytest.mark.wire
@pytest.mark.django_db(transaction=True)
def test_a_set_point_reaches_the_device_by_the_backup(start: Start, two_ways: Pilot, field: Field, backup: Field) -> None:
    field.switch_off()
    start()
    until(lambda: line().active_way == 1 and arrived(1))
    now = datetime.now(UTC)
    point = Point.objects.get(device__code="bg-STO01", name="p_set")
    valid = now + timedelta(minutes=5)
    wish = request_setpoint(
        point=point, value=-5000.0, unit="W", issuer=Issuer.OPERATOR, requested_by="ana", valid_until=valid, now=now
    )

    def state() -> str:
        wish.refresh_from_db()
        return wish.state

    until(lambda: state() == SetpointState.EXECUTED)
    assert len(backup.writes) == 1


# IEC 60870-5-104 by Ethernet with 101 by modem behind it (D7.1 2.2.1.1), against our simulated unit

MODEM_OPTIONS = {"baudrate": 115200, "ca": 1, "clock_sync": False, "poll_class2_s": 0.1, "ack_timeout_s": 0.5}
METER = "es-AN01"


@pytest.mark.wire
@pytest.mark.django_db(transaction=True)
async def test_a_unit_whose_ethernet_fails_goes_on_by_modem_and_comes_back(
    start: Start, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    settings.DATA_DIR = tmp_path
    unit = connection_of(spain := simulated_pilot("es"), "es-rtu01")
    modem = Way(protocol=Protocol.IEC101, options=MODEM_OPTIONS)
    options = {**unit.options, "return_after_s": 1, "switch_after_s": 3, "t1": 3, "t3": 2, "t2": 1}
    changed = replace(unit, backups=(modem,), options=options)
    spec = replace(spain, connections=tuple(changed if each is unit else each for each in spain.connections))
    commission_pilot(spec, profiles_of(spec))
    Connection.objects.exclude(name="es-rtu01").update(enabled=False)

    def by(way: int) -> bool:
        line = Connection.objects.get(name="es-rtu01")
        return line.state == LinkState.UP and line.active_way == way

    async with simulating([spec], data_dir=tmp_path, first_port=free_port(), platform=False) as simulation:
        gateway = start()
        await eventually(lambda: by(0) and arrived(code=METER))
        fault = simulation.faults.start(FaultKind.REFUSE, "es-rtu01", now=datetime.now(UTC))
        await eventually(lambda: by(1))
        switched = datetime.now(UTC)
        await eventually(lambda: arrived(code=METER, since=switched))
        simulation.faults.end(fault.id)
        await eventually(lambda: by(0))
        returned = datetime.now(UTC)
        await eventually(lambda: arrived(code=METER, since=returned))
        await asyncio.to_thread(gateway.stop)
    events = AuditEvent.objects.filter(action="way_switched").order_by("id")
    assert [(event.details["from"], event.details["to"]) for event in events] == [(0, 1), (1, 0)]
    assert "way 1 (iec101, simulated)" in events[0].reason
