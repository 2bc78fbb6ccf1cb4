"""A wrong file is refused with file, line and field, whatever is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilots.catalogue.loader import load_pilot, load_profile
from pilots.domain.errors import CatalogueError

PILOT = """\
code: xx
name: Test
country: XX
time_zone: UTC
latitude: 1.5
longitude: 2
connections:
  - {name: xx-gw, protocol: modbus_tcp, host: 192.0.2.1, port: 502}
  - {name: xx-rtu, protocol: iec104, simulated: true}
devices:
  - {id: xx-GRID, kind: grid_infeed, sgam: E.3.a}
  - id: xx-PM01
    kind: meter
    sgam: E.3.b
    parent: xx-GRID
    profile: schneider-pm5xxx
    connection: xx-gw
    address: {unit: 1}
  - id: xx-STO01
    kind: storage_unit
    sgam: E.4.a
    parent: xx-PM01
    profile: sunspec-storage
    connection: xx-gw
    address: {unit: 2}
    measured_by: xx-PM01
    nameplate: {rated_power_w: 1000}
  - {id: xx-INVADE, kind: platform, sgam: E.3.e}
links:
  - {letter: a, from: xx-PM01, to: xx-INVADE, protocol: HTTPS, medium: internet, sgam: D.3.b-3.e, role: ours}
  - {letter: b, from: xx-PM01, to: xx-STO01, protocol: Modbus, medium: RS-485, sgam: D.3.b-4.a, role: observed}
"""

#: what is replaced, by what, the line and field of the refusal, words of it
WRONG = [
    ("code: xx", "code: XX", 1, "code", "does not fit"),
    ("name: Test\n", "", 1, "", "'name' is a required property"),
    ("measured_by: xx-PM01", "fallback: {link_lost: hold_for_ever}", 26, "devices[2].fallback", "link_lost is hold (till"),
    ("time_zone: UTC", "time_zone: UTC\nheartbeat_s: 1", 5, "heartbeat_s", "less than the minimum"),
    ("time_zone: UTC", "time_zone: Mars/Base", 4, "time_zone", "unknown time zone"),
    ("latitude: 1.5", "latitude: north", 5, "latitude", "not of type 'number'"),
    ("latitude: 1.5", "latitude: 91", 5, "latitude", "greater than the maximum"),
    ("longitude: 2", "longitude: 2\nlongitude: 3", 7, "longitude", "twice"),
    ("longitude: 2", "longitude: 2\naltitude: 3", 7, "altitude", "not known here"),
    ("protocol: iec104", "protocol: bacnet", 9, "connections[1].protocol", "is none of"),
    (", host: 192.0.2.1, port: 502", "", 8, "connections[0].port", "needs a port"),
    ("name: xx-rtu", "name: xx-gw", 9, "connections[1].name", "twice"),
    ("id: xx-STO01", "id: xx-PM01", 19, "devices[2].id", "twice"),
    ("id: xx-STO01", "id: yy-STO01", 19, "devices[2].id", "does not start with xx-"),
    ("kind: storage_unit", "kind: battery", 20, "devices[2].kind", "is none of"),
    ("sgam: E.4.a", "sgam: E.9.a", 21, "devices[2].sgam", "does not fit"),
    ("parent: xx-PM01", "parent: xx-PM09", 22, "devices[2].parent", "'xx-PM09' is no device"),
    ("parent: xx-PM01", "parent: xx-STO01", 22, "devices[2].parent", "own"),
    ("parent: xx-GRID", "parent: xx-STO01", 15, "devices[1].parent", "own ancestor"),
    ("measured_by: xx-PM01", "measured_by: xx-PM09", 26, "devices[2].measured_by", "is no device"),
    ("profile: sunspec-storage", "profile: nonsense", 23, "devices[2].profile", "unknown profile"),
    ("profile: sunspec-storage", "profile: ./nonsense.yaml", 23, "devices[2].profile", "there is no file"),
    ("profile: sunspec-storage", "profile: iec104-storage", 23, "devices[2].profile", "speaks iec104"),
    ("    address: {unit: 2}", "    address: {unit: two}", 25, "devices[2].address.unit", "'two' is no unit"),
    ("    address: {unit: 2}", "    address: {ca: 2}", 25, "devices[2].address.ca", "no such part"),
    ("    address: {unit: 2}\n", "", 19, "devices[2].address", "needs unit"),
    (
        "nameplate: {rated_power_w: 1000}",
        "nameplate: {capacity_wh: 1000}",
        27,
        "devices[2].nameplate",
        "needs nameplate.rated_power_w",
    ),
    ("nameplate: {rated_power_w: 1000}", "nameplate: {rated_power_w: -1}", 27, "devices[2].nameplate.rated_power_w", "minimum"),
    ("to: xx-STO01", "to: [xx-STO01, xx-STO02]", 31, "links[1].to", "'xx-STO02' is no device"),
    ("role: observed", "role: ours", 31, "links[1].role", "names the connection"),
    ("role: observed", "role: ours, connection: xx-no", 31, "links[1].connection", "unknown connection"),
    ("letter: b, from: xx-PM01, to: xx-STO01", "letter: a, from: xx-PM01, to: xx-INVADE", 31, "links[1]", "twice"),
    ("letter: b", "letter: B2", 31, "links[1].letter", "does not fit"),
    ("code: xx", "code: xx\nextra: [", 4, "", "expected"),
    ("code: xx", "\tcode: xx", 1, "", "cannot start any token"),
    ("address: {unit: 2}", "address: &me {unit: 2, more: *me}", 25, "devices[2].address.more", "aliases"),
]


def _refusal(path: Path, text: str) -> CatalogueError:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CatalogueError) as caught:
        load_pilot(path)
    return caught.value


def test_the_good_file_is_good(tmp_path: Path) -> None:
    path = tmp_path / "test.yaml"
    path.write_text(PILOT, encoding="utf-8")
    assert len(load_pilot(path).links) == 2


@pytest.mark.parametrize(("old", "new", "line", "field", "words"), WRONG, ids=lambda value: str(value)[:40])
def test_refusal_names_file_line_and_field(tmp_path: Path, old: str, new: str, line: int, field: str, words: str) -> None:
    assert old in PILOT
    path = tmp_path / "test.yaml"
    error = _refusal(path, PILOT.replace(old, new, 1))
    assert words in str(error)
    assert (error.file, error.line, error.field) == (str(path), line, field)
    assert str(error).startswith(f"{path}:{line}")


def test_two_devices_at_one_address_are_refused(tmp_path: Path) -> None:
    twin = "  - {id: xx-PM02, kind: meter, sgam: E.3.b, profile: schneider-pm5xxx, connection: xx-gw, address: {unit: 1}}\n"
    error = _refusal(tmp_path / "test.yaml", PILOT.replace("links:\n", twin + "links:\n"))
    assert "at an address of xx-PM01" in str(error)
    assert (error.line, error.field) == (29, "devices[4].address")


@pytest.mark.parametrize("content", [b"", b"# only a comment\n", b"\xff\xfe\x00", b"- a\n- b\n", b"code: \x00\n", b"[" * 5000])
def test_no_pilot_at_all_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "test.yaml"
    path.write_bytes(content)
    with pytest.raises(CatalogueError, match=r"test\.yaml"):
        load_pilot(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="cannot be read"):
        load_pilot(tmp_path / "none.yaml")


PROFILE = """\
name: meter
protocol: modbus_tcp
source: maker's list
points:
  active_power:
    kind: measurement
    unit: W
    poll: N
    address: {register: 10, type: float32}
  p_set:
    kind: setpoint
    unit: W
    address: {register: 20}
    feedback: active_power
    capability: {minimum: -100%, maximum: 100}
  voltage: {kind: measurement, unit: V, poll: N, address: {register: 12, type: uint16}}
"""

WRONG_PROFILES = [
    ("name: meter", "name: other", 1, "name", "must be that of the file"),
    ("source: maker's list\n", "", 1, "", "'source' is a required property"),
    ("poll: N\n", "poll: X\n", 8, "points.active_power.poll", "is none of"),
    ("type: float32", "type: float31", 9, "points.active_power.address.type", "is none of"),
    ("{register: 10,", "{ioa: 10,", 9, "points.active_power.address", "'register' is a required property"),
    ("feedback: active_power", "feedback: power", 14, "points.p_set.feedback", "no point of this profile"),
    ("minimum: -100%", "minimum: all", 15, "points.p_set.capability.minimum", "not valid"),
    ("minimum: -100%", "minimum: 101", 15, "points.p_set.capability", "above the maximum"),
    ("maximum: 100}", "maximum: 100, maximum_from: p_max}", 15, "points.p_set.capability.maximum_from", "'p_max' is no point of"),
    ("maximum: 100}", "maximum: 100, soc_max: soc}", 15, "points.p_set.capability.soc_max", "'soc' is no point of this device"),
    ("maximum: 100}", "maximum: 100, interlock: voltage >}", 15, "points.p_set.capability.interlock", "missing at the end"),
    ("maximum: 100}", "maximum: 100, interlock: soc > 5}", 15, "points.p_set.capability.interlock", "'soc' is no point of"),
    ("maximum: 100}", "maximum: 100, max_per_hour: 0}", 15, "points.p_set.capability.max_per_hour", "less than the minimum"),
    ("    capability: {minimum: -100%, maximum: 100}\n", "", 10, "points.p_set", "needs a capability"),
    ("register: 12", "register: 11", 15 + 1, "points.voltage.address", "same address as active_power"),
    ("unit: V", "unit: V, low: 5, high: 1", 16, "points.voltage.low", "low is above high"),
    ("  p_set:", "  P-Set:", 4, "points", "does not"),
]


@pytest.mark.parametrize(("old", "new", "line", "field", "words"), WRONG_PROFILES, ids=lambda value: str(value)[:40])
def test_refused_profile_names_line_and_field(tmp_path: Path, old: str, new: str, line: int, field: str, words: str) -> None:
    assert old in PROFILE
    path = tmp_path / "meter.yaml"
    path.write_text(PROFILE.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(CatalogueError) as caught:
        load_profile(str(path))
    assert words in str(caught.value)
    assert (caught.value.line, caught.value.field) == (line, field)


def test_a_pilot_file_may_bring_its_own_profile(tmp_path: Path) -> None:
    (tmp_path / "meter.yaml").write_text(PROFILE, encoding="utf-8")
    text = PILOT.replace("profile: schneider-pm5xxx", "profile: ./meter.yaml")
    text = text.replace("{unit: 1}", "{unit: 1}\n    nameplate: {rated_power_w: 50}")
    (tmp_path / "pilot.yaml").write_text(text, encoding="utf-8")
    device = load_pilot(tmp_path / "pilot.yaml").device("xx-PM01")
    assert device.profile == str((tmp_path / "meter.yaml").resolve())
    assert set(load_profile(device.profile).points) == {"active_power", "p_set", "voltage"}


def test_a_wrong_profile_beside_the_pilot_is_named_itself(tmp_path: Path) -> None:
    (tmp_path / "meter.yaml").write_text(PROFILE.replace("poll: N", "poll: 5"), encoding="utf-8")
    error = _refusal(tmp_path / "pilot.yaml", PILOT.replace("profile: schneider-pm5xxx", "profile: meter.yaml"))
    assert error.file.endswith("meter.yaml")
    assert error.line == 8


def test_norway_is_no_boolean(tmp_path: Path) -> None:
    path = tmp_path / "test.yaml"
    path.write_text(PILOT.replace("code: xx", "code: no").replace("xx-", "no-"), encoding="utf-8")
    assert load_pilot(path).code == "no"
