"""A profile may consist of others: points left out, renamed, changed; nothing is taken silently twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilots.catalogue.loader import load_pilot, load_profile
from pilots.domain.errors import CatalogueError
from pilots.domain.profile import Profile

HEAD = "name: thing\nprotocol: modbus_tcp\nsource: mine\n"
PART = """\
name: part
protocol: modbus_rtu
source: mine
options: {holes: forbidden}
points:
  active_power: {kind: measurement, unit: W, poll: N, address: {register: 1}, low: -5, high: 5}
  p_set: {kind: setpoint, unit: W, address: {register: 9}, feedback: active_power, capability: {minimum: -5, maximum: 5}}
"""


def load(folder: Path, text: str) -> Profile:
    (folder / "part.yaml").write_text(PART)
    (folder / "thing.yaml").write_text(HEAD + text)
    return load_profile(str(folder / "thing.yaml"))


def test_points_and_options_are_taken_over(tmp_path: Path) -> None:
    profile = load(tmp_path, "includes: [./part.yaml, sunspec-1]\noptions: {holes: forbidden}\n")
    assert set(profile.points) == {"active_power", "p_set", "maker", "model", "version", "serial_number"}
    assert profile.options == {"holes": "forbidden", "sunspec": True, "word_order": "big", "max_registers": 125}


def test_own_fields_change_those_of_an_included_point_and_leave_the_rest(tmp_path: Path) -> None:
    point = load(tmp_path, "includes: [part.yaml]\npoints:\n  active_power: {sign: -1, high: 9}\n").points["active_power"]
    assert (point.sign, point.low, point.high, point.address) == (-1, -5.0, 9.0, {"register": 1})


def test_own_points_stand_beside(tmp_path: Path) -> None:
    own = "points:\n  soc: {kind: measurement, unit: '%', poll: N, address: {register: 30}}\n"
    assert set(load(tmp_path, "includes: [part.yaml]\n" + own).points) == {"active_power", "p_set", "soc"}


@pytest.mark.parametrize(("form", "left"), [("only: [active_power]", {"active_power"}), ("omit: [p_set]", {"active_power"})])
def test_only_and_omit_choose(tmp_path: Path, form: str, left: set[str]) -> None:
    assert set(load(tmp_path, f"includes:\n  - {{profile: part.yaml, {form}}}\n").points) == left


def test_a_renamed_point_takes_its_proof_along(tmp_path: Path) -> None:
    points = load(tmp_path, "includes:\n  - {profile: part.yaml, rename: {active_power: dc_power}}\n").points
    assert points["p_set"].feedback == "dc_power"
    assert "active_power" not in points


def test_an_include_may_include(tmp_path: Path) -> None:
    (tmp_path / "middle.yaml").write_text("name: middle\nprotocol: modbus_tcp\nsource: mine\nincludes: [part.yaml]\n")
    assert set(load(tmp_path, "includes: [middle.yaml]\n").points) == {"active_power", "p_set"}


#: what stands after the head (line 4 on), line and field of the refusal, words of it
WRONG = [
    ("includes: part.yaml\n", 4, "includes", "is a list"),
    ("includes: []\n", 4, "includes", "is a list"),
    ("includes: [7]\n", 4, "includes[0]", "names no profile"),
    ("includes:\n  - nothing\n", 5, "includes[0]", "there is no profile 'nothing'"),
    ("includes:\n  - ../pilots/spain\n", 5, "includes[0]", "there is no profile"),
    ("includes:\n  - part.yaml\n  - part.yaml\n", 6, "includes[1]", "active_power comes from part.yaml too"),
    ("includes:\n  - iec104-storage\n", 5, "includes[0]", "speaks iec104"),
    ("includes:\n  - thing.yaml\n", 5, "includes[0]", "includes itself"),
    ("includes:\n  - {profile: part.yaml, omit: [soc]}\n", 5, "includes[0].omit[0]", "has no point 'soc'"),
    ("includes:\n  - {profile: part.yaml, only: active_power}\n", 5, "includes[0].only", "list of point names"),
    ("includes:\n  - {profile: part.yaml, only: [p_set], omit: [p_set]}\n", 5, "includes[0].omit", "either only or omit"),
    ("includes:\n  - {profile: part.yaml, rename: {soc: soh}}\n", 5, "includes[0].rename.soc", "is not included"),
    ("includes:\n  - {profile: part.yaml, rename: [soc]}\n", 5, "includes[0].rename", "from point to point"),
    ("includes:\n  - {profile: part.yaml, without: [soc]}\n", 5, "includes[0].without", "not known here"),
    ("includes:\n  - {profile: part.yaml, only: [p_set]}\n", 5, "points.p_set.feedback", "no point of this profile"),
    ("includes:\n  - sunspec-704\n", 5, "points.p_set.feedback", "'active_power' is no point"),
    ("includes:\n  - part.yaml\n  - {profile: sunspec-1}\n", 6, "includes[1]", "differ in holes"),
    ("includes: [part.yaml]\npoints:\n  active_power: {poll: X}\n", 6, "points.active_power.poll", "is none of"),
    ("includes: [part.yaml]\npoints: 7\n", 5, "points", "no mapping"),
]


@pytest.mark.parametrize(("text", "line", "field", "words"), WRONG, ids=lambda value: str(value)[:50])
def test_a_wrong_include_names_its_line_and_field(tmp_path: Path, text: str, line: int, field: str, words: str) -> None:
    if "differ" in words:
        text = text.replace("sunspec-1}", "other.yaml, rename: {active_power: dc_power, p_set: q_set}}")
        (tmp_path / "other.yaml").write_text(PART.replace("name: part", "name: other").replace("forbidden", "allowed"))
    with pytest.raises(CatalogueError) as caught:
        load(tmp_path, text)
    assert words in str(caught.value)
    assert (caught.value.line, caught.value.field) == (line, field)


def test_a_wrong_included_file_is_named_itself(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text(PART.replace("poll: N", "poll: X"))
    with pytest.raises(CatalogueError) as caught:
        load(tmp_path, "includes: [broken.yaml]\n")
    assert (caught.value.file, caught.value.line) == (str(tmp_path / "broken.yaml"), 6)


PILOT = """\
code: xx
name: Test
country: XX
time_zone: UTC
latitude: 1.5
longitude: 2
connections:
  - {name: xx-line, protocol: modbus_rtu, serial_line: /dev/ttyUSB0}
devices:
  - id: xx-STO01
    kind: storage_unit
    sgam: E.4.a
    profile: sunspec-704
    connection: xx-line
    address: {unit: 1}
    nameplate: {rated_power_w: 1000}
"""


def test_a_part_serves_no_device_alone(tmp_path: Path) -> None:
    (tmp_path / "xx.yaml").write_text(PILOT)
    with pytest.raises(CatalogueError, match="is a part: include it beside one that has active_power") as caught:
        load_pilot(tmp_path / "xx.yaml")
    assert (caught.value.line, caught.value.field) == (13, "devices[0].profile")


def test_a_profile_of_modbus_tcp_serves_a_serial_line(tmp_path: Path) -> None:
    (tmp_path / "xx.yaml").write_text(PILOT.replace("sunspec-704", "sunspec-battery-gateway"))
    assert load_pilot(tmp_path / "xx.yaml").device("xx-STO01").profile == "sunspec-battery-gateway"
