"""Ways to equipment: a serial line where the protocol has one, backups that carry the same addresses; in files and on pages."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilots.catalogue.editing import check_connection, check_device
from pilots.catalogue.loader import load_pilot
from pilots.domain.errors import CatalogueError
from pilots.models import Connection
from tests.builders import make_connection, make_device, make_pilot

PILOT = """\
code: xx
name: Test
country: XX
time_zone: UTC
latitude: 1.5
longitude: 2
connections:
  - name: xx-rtu
    protocol: iec104
    host: 192.0.2.1
    port: 2404
    backups:
      - {protocol: iec104, host: 192.0.2.2, port: 2404}
      - {protocol: iec101, serial_line: /dev/ttyUSB0, options: {mode: balanced}}
  - {name: xx-bus, protocol: modbus_rtu, serial_line: /dev/ttyUSB1}
devices:
  - {id: xx-SW01, kind: switch, sgam: E.3.a, profile: iec104-switch, connection: xx-rtu, address: {ca: 7, ioa: 0}}
  - {id: xx-PM01, kind: meter, sgam: E.3.b, profile: schneider-pm3000, connection: xx-bus, address: {unit: 3}}
"""

#: what is replaced, by what, line, field and words of the refusal
WRONG = [
    ("    port: 2404\n", "", 8, "connections[0].port", "needs a port"),
    (", serial_line: /dev/ttyUSB1", "", 15, "connections[1].serial_line", "serial device server"),
    ("protocol: modbus_rtu", "protocol: modbus_tcp", 15, "connections[1].serial_line", "does not run on a serial line"),
    ("host: 192.0.2.2, port: 2404", "host: 192.0.2.2", 13, "connections[0].backups[0].port", "needs a port"),
    ("serial_line: /dev/ttyUSB0, ", "", 14, "connections[0].backups[1].serial_line", "serial_line"),
    (
        "protocol: iec101, serial",
        "protocol: modbus_rtu, serial",
        14,
        "connections[0].backups[1].protocol",
        "other addresses than iec104",
    ),
    ("{unit: 3}", "{unit: 0}", 18, "devices[1].address.unit", "no unit (1 to 247)"),
    ("profile: schneider-pm3000", "profile: iec104-switch", 18, "devices[1].profile", "speaks iec104"),
]


def test_a_pilot_may_have_serial_lines_and_backup_ways(tmp_path: Path) -> None:
    (tmp_path / "xx.yaml").write_text(PILOT)
    rtu, bus = load_pilot(tmp_path / "xx.yaml").connections
    assert [(way.host, way.port, way.serial_line) for way in rtu.backups] == [
        ("192.0.2.2", 2404, ""),
        ("127.0.0.1", None, "/dev/ttyUSB0"),
    ]
    assert bus.serial_line == "/dev/ttyUSB1"


@pytest.mark.parametrize(("old", "new", "line", "field", "words"), WRONG, ids=lambda value: str(value)[:40])
def test_a_way_that_cannot_be_dialled_is_refused(tmp_path: Path, old: str, new: str, line: int, field: str, words: str) -> None:
    assert old in PILOT
    (tmp_path / "xx.yaml").write_text(PILOT.replace(old, new, 1))
    with pytest.raises(CatalogueError) as caught:
        load_pilot(tmp_path / "xx.yaml")
    assert words in str(caught.value)
    assert (caught.value.line, caught.value.field) == (line, field)


@pytest.fixture
def rtu() -> Connection:
    return make_connection(make_pilot("xx"), "xx-rtu", protocol="iec104", host="192.0.2.1", port=2404)


@pytest.mark.django_db
def test_a_row_may_have_backups_too(rtu: Connection) -> None:
    rtu.backups = [{"protocol": "iec101", "serial_line": "/dev/ttyUSB0", "options": {"mode": "balanced"}}]
    check_connection(rtu)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("backups", "words"),
    [
        ({}, "a list of ways"),
        ([7], "way 1 is no JSON object"),
        ([{}], "way 1: protocol, host, port"),
        ([{"protocol": "iec101", "line": "x"}], "way 1: protocol, host, port"),
        ([{"protocol": "iec104", "port": 1}, {"protocol": "iec104"}], "way 2: port: a connection to a real device"),
        ([{"protocol": "modbus_tcp", "port": 502}], "way 1: protocol: modbus_tcp carries other addresses than iec104"),
    ],
)
def test_a_wrong_backup_of_a_row_is_named(rtu: Connection, backups: object, words: str) -> None:
    rtu.backups = backups
    with pytest.raises(CatalogueError) as caught:
        check_connection(rtu)
    assert words in str(caught.value)
    assert caught.value.field == "backups"


@pytest.mark.django_db
def test_a_device_on_a_101_line_may_have_a_profile_of_104_and_no_part(rtu: Connection) -> None:
    rtu.protocol, rtu.serial_line = "iec101", "/dev/ttyUSB0"
    rtu.save()
    device = make_device(
        rtu.pilot, "xx-SW01", kind="switch", connection=rtu, profile="iec104-switch", address={"ca": 7, "ioa": 0}
    )
    check_device(device)
    device.address = {"ca": 7, "ioa": 0, "link": 3}
    check_device(device)
    device.profile = "sunspec-704"
    with pytest.raises(CatalogueError) as caught:
        check_device(device)
    assert caught.value.field == "profile"
