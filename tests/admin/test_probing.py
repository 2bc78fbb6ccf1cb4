"""What the connection test says, against real peers on the loopback."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

os.environ["TZ"] = "UTC"  # c104 reads and writes time tags in the zone of the process
time.tzset()

import c104  # noqa: E402

from pilots.acquisition.probing import probe_connection  # noqa: E402
from pilots.models import AuditEvent, Connection, Lease, Role, ServiceToken  # noqa: E402
from tests.admin.conftest import LogIn, said, staff  # noqa: E402
from tests.builders import make_connection, make_device, make_latest, make_pilot, make_point, make_token  # noqa: E402
from tests.conftest import Battery  # noqa: E402

pytestmark = [pytest.mark.django_db, pytest.mark.wire]


def now() -> datetime:
    return datetime.now(UTC)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def modbus_meter(unit: int) -> Iterator[int]:
    """A pymodbus server with 21.5 at register 10 of `unit`; yields its port."""
    loop, port, ready = asyncio.new_event_loop(), free_port(), threading.Event()
    words = list(struct.unpack(">2H", struct.pack(">f", 21.5)))

    async def serve() -> ModbusTcpServer:
        block = SimData(10, values=words, datatype=DataType.REGISTERS)
        server = ModbusTcpServer([SimDevice(unit, [block])], address=("127.0.0.1", port))
        await server.serve_forever(background=True)
        ready.set()
        return server

    def run() -> None:
        server = loop.run_until_complete(serve())
        loop.run_forever()
        loop.run_until_complete(server.shutdown())

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(10)
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def meter_at(port: int | None, **fields: object) -> Connection:
    pilot = make_pilot("de")
    line = make_connection(pilot, "de-gw01", protocol="modbus_tcp", state="unknown", port=port, **fields)
    device = make_device(pilot, "de-MET01", kind="meter", connection=line, address={"unit": 3})
    make_point(device, "temperature", unit="degC", address={"register": 10, "type": "float32"}, period_s=5)
    return line


def test_a_meter_that_answers_is_told_step_by_step() -> None:
    with modbus_meter(unit=3) as port:
        result = probe_connection(meter_at(port), now=now())
    assert result.good
    assert f"TCP connection to 127.0.0.1:{port} opened." in result.words
    assert "de-MET01 (unit 3) answered: temperature = 21.5." in result.words


def test_a_closed_port_gets_advice_and_no_details() -> None:
    port = free_port()
    result = probe_connection(meter_at(port), now=now())
    assert not result.good
    assert result.words.startswith(f"127.0.0.1:{port} gave us no connection. Check the address")


def test_a_name_that_does_not_exist_gets_the_same_sentence_as_a_closed_port() -> None:
    result = probe_connection(meter_at(502, host="no-such-host.invalid"), now=now())
    assert result.words.startswith("no-such-host.invalid:502 gave us no connection. Check the address")


def test_a_refusing_meter_names_device_and_point() -> None:
    with modbus_meter(unit=3) as port:
        line = meter_at(port)
        line.devices.get().points.update(address={"register": 400, "type": "float32"})
        result = probe_connection(line, now=now())
    assert not result.good
    assert "de-MET01 (unit 3), reading temperature" in result.words
    assert "check the point's address" in result.words


def test_a_simulator_that_does_not_run_is_named() -> None:
    assert "no simulator has claimed one" in probe_connection(meter_at(None, simulated=True), now=now()).words


def test_a_serial_line_that_is_not_there_is_named_with_what_to_look_at() -> None:
    pilot = make_pilot("de")
    line = make_connection(pilot, "de-bus", protocol="modbus_rtu", state="unknown", serial_line="/dev/no-such-line")
    device = make_device(pilot, "de-MET01", kind="meter", connection=line, address={"unit": 3})
    make_point(device, "temperature", unit="degC", address={"register": 10, "type": "float32"}, period_s=5)
    words = probe_connection(line, now=now()).words
    assert words.startswith("/dev/no-such-line gave us no connection. Check the device file")


def test_every_way_of_a_connection_is_tested() -> None:
    gone = free_port()
    with modbus_meter(unit=3) as port:
        line = meter_at(port, backups=[{"protocol": "modbus_tcp", "port": gone}])
        result = probe_connection(line, now=now())
    assert not result.good
    assert f"way 0 (modbus_tcp, 127.0.0.1:{port}): TCP connection" in result.words.replace("Way 0", "way 0")
    assert f"way 1 (modbus_tcp, 127.0.0.1:{gone}): 127.0.0.1:{gone} gave us no connection" in result.words.replace(
        "Way 1", "way 1"
    )


def test_options_nobody_can_use_are_named() -> None:
    result = probe_connection(meter_at(802, options={"tls": {"ca": "/no/such/file"}}), now=now())
    assert not result.good
    assert "tls" in result.words


def test_an_rtu_of_c104_answers_the_interrogation(battery: Battery) -> None:
    port = free_port()
    server = c104.Server(ip="127.0.0.1", port=port, tick_rate_ms=50)
    server.add_station(common_address=1).add_point(io_address=701, type=c104.Type.M_ME_NC_1)
    battery.device.address = {"ca": 1, "ioa": 700}
    battery.device.save()
    battery.power.address = {"ioa": 1, "type": [13]}
    battery.power.save()
    Connection.objects.update(port=port, state="unknown")
    server.start()
    try:
        result = probe_connection(Connection.objects.get(), now=now())
    finally:
        server.stop()
    assert result.good, result.words
    assert "STARTDT confirmed. Interrogation answered with 1 objects." in result.words


def test_a_connection_the_gateway_holds_is_not_opened_again(battery: Battery) -> None:
    with socket.create_server(("127.0.0.1", 0)) as device:
        device.settimeout(0.2)
        Connection.objects.update(port=device.getsockname()[1], state="up", state_since=now(), last_frame_at=now())
        Lease.objects.create(resource="connection:es-rtu01", owner="gateway", until=now() + timedelta(seconds=20))
        result = probe_connection(Connection.objects.get(), now=now())
        with pytest.raises(TimeoutError):
            device.accept()
    assert result.good
    assert "The gateway holds this connection now: up since" in result.words


def test_what_a_dead_gateway_left_is_tested_for_real(battery: Battery) -> None:
    Connection.objects.update(port=free_port(), state="up", last_frame_at=now() - timedelta(hours=1))
    assert "gave us no connection" in probe_connection(Connection.objects.get(), now=now()).words


def test_a_listener_says_which_stations_are_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        pilot = make_pilot("nl")
        line = make_connection(pilot, "nl-ocpp", protocol="ocpp16", port=listener.getsockname()[1])
        for code in ("nl-EVSE01", "nl-EVSE02"):
            device = make_device(pilot, code, connection=line, address={"identity": code, "connector": 1})
            point = make_point(device)
            if code == "nl-EVSE01":
                make_latest(point)
        result = probe_connection(line, now=now())
    assert not result.good
    assert "1 of 2 stations are heard. nl-EVSE02 was never heard. Check the silent stations'" in result.words


def test_a_listener_without_a_gateway_is_told() -> None:
    line = make_connection(make_pilot("nl"), "nl-ocpp", protocol="ocpp16", port=free_port())
    assert "is not open: no gateway listens" in probe_connection(line, now=now()).words


def test_pushing_devices_are_judged_by_their_last_message_and_token() -> None:
    pilot = make_pilot("no")
    line = make_connection(pilot, "no-push")
    assert "No live token may push" in probe_connection(line, now=now()).words
    make_token("ingest", name="Home automation", pilots=[pilot])
    assert "No message has come" in probe_connection(line, now=now()).words
    latest = make_latest(make_point(make_device(pilot, connection=line), max_interval_s=10))
    ServiceToken.objects.update(last_used_at=now())
    words = probe_connection(line, now=now()).words
    assert "The last message came 0 s ago" in words
    assert "token Home automation was last used 0 s ago." in words.replace("Token", "token")
    latest.received_time = now() - timedelta(minutes=3)
    latest.save()
    assert "older than its source promised" in probe_connection(line, now=now()).words


def test_the_button_of_the_page_tests_and_is_the_engineers_only(log_in: LogIn) -> None:
    with modbus_meter(unit=3) as port:
        line = meter_at(port)
        url = reverse("admin:pilots_connection_test", args=[line.pk])
        for role, other in ((Role.OPERATOR, line.pilot), (Role.ENGINEER, make_pilot("es"))):
            staff(log_in, role, other).post(url)
        assert not AuditEvent.objects.exists()
        client = staff(log_in, Role.ENGINEER, line.pilot)
        assert client.get(url).status_code == 405
        assert 'class="object-test"' in client.get(reverse("admin:pilots_connection_change", args=[line.pk])).content.decode()
        assert "temperature = 21.5" in said(client.post(url, follow=True))
        form = {"action": "test_connections", "_selected_action": [line.pk]}
        assert "temperature = 21.5" in said(client.post(reverse("admin:pilots_connection_changelist"), form, follow=True))
    assert [event.action for event in AuditEvent.objects.all()] == ["test connection"] * 2
