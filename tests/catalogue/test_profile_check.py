"""`check_profile` finds what is wrong or doubtful in a profile, all of it, with file, line and field."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from pilots.catalogue.profile_check import check_profile
from pilots.domain.errors import CatalogueError

GOOD = """\
name: thing
protocol: modbus_tcp
source: maker's list
options: {word_order: big}
points:
  active_power: {kind: measurement, unit: W, poll: N, address: {register: 10, type: int32}, low: -100, high: 100}
  energy_import: {kind: counter, unit: Wh, poll: S, address: {register: 12, type: uint32}, low: 0, high: 1000}
  position: {kind: status, poll: N, address: {register: 14}, labels: {1: open, 2: closed}}
  p_set:
    kind: setpoint
    unit: W
    address: {register: 20, type: int32}
    feedback: active_power
    capability: {minimum: -100, maximum: 100}
  maker: {kind: text, poll: E, address: {register: 30, type: string, length: 8}}
"""
STATION = """\
name: thing
protocol: iec104
source: point list
points:
  trip: {kind: status, address: {ioa: 1, type: [30, 1]}, labels: {0: normal, 1: tripped}}
  energy_import: {kind: counter, unit: Wh, address: {ioa: 2, type: [37, 15]}, low: 0, high: 1000}
  u_set: {kind: setpoint, unit: V, address: {ioa: 3, command_type: 50}, feedback: voltage, capability: {minimum: 1, maximum: 9}}
  voltage: {kind: measurement, unit: V, address: {ioa: 4, type: 36}, low: 0, high: 9}
"""


def check(folder: Path, text: str) -> tuple[list[CatalogueError], list[CatalogueError]]:
    path = folder / "thing.yaml"
    path.write_text(text, encoding="utf-8")
    findings = check_profile(str(path))
    return findings.errors, findings.warnings


@pytest.mark.parametrize("text", [GOOD, STATION], ids=["modbus", "iec104"])
def test_a_good_profile_has_neither_errors_nor_warnings(tmp_path: Path, text: str) -> None:
    assert check(tmp_path, text) == ([], [])


#: what is replaced, by what, line and field of the error, words of it
ERRORS: list[tuple[str, str, int, str, str]] = [
    (
        "capability: {minimum: -100, maximum: 100}",
        "capability: {minimum: -100, maximum: 100, watchdog_s: 60}",
        14,
        "points.p_set.capability.watchdog_s",
        "needs its reversion register",
    ),
    ("name: thing", "name: other", 1, "name", "must be that of the file"),
    ("source: maker's list\n", "", 1, "", "'source' is a required property"),
    ("unit: W, poll: N", "unit: kW, poll: N", 6, "points.active_power.unit", "no unit of ours"),
    ("unit: W, poll: N", "unit: var, poll: N", 6, "points.active_power.unit", "active_power is a measurement in W"),
    ("kind: measurement, unit: W", "kind: nameplate, unit: W", 6, "points.active_power.kind", "is a measurement"),
    ("poll: N, address: {register: 10", "address: {register: 10", 6, "points.active_power.poll", "never asked"),
    ("register: 10, type: int32", "register: 11, type: int32", 7, "points.energy_import.address", "same address"),
    ("register: 14}", "register: 13, type: uint16}", 8, "points.position.address", "same address as energy_import"),
    ("register: 20, type: int32", "register: 11, type: int32", 12, "points.p_set.address", "register 11 is int32 at 10"),
    ("register: 20, type: int32", "register: 10, type: float32", 12, "points.p_set.address", "is int32 at 10 for"),
    ("register: 14}", "register: 14, type: float32, bit: 2}", 8, "points.position.address.bit", "a float32 has no bit 2"),
    ("register: 14}", "register: 14, bit: 16}", 8, "points.position.address.bit", "no bit 16"),
    ("register: 14}", "register: 14, bits: [4, 2]}", 8, "points.position.address.bits", "no bits"),
    ("register: 14}", "register: 14, type: string, length: 2}", 8, "points.position.address.type", "does not make a status"),
    ("register: 14}", "register: 14, table: coil, type: uint16}", 8, "points.position.address.type", "single bits"),
    ("register: 14}", "register: 65535, type: uint32}", 8, "points.position.address.register", "beyond register 65535"),
    ("{register: 14}", "{register: 14, write_scale: 2}", 8, "points.position.address", "never written"),
    ("length: 8", "length: 0", 15, "points.maker.address.length", "minimum"),
    (", length: 8", "", 15, "points.maker.address.length", "needs its length"),
    ("register: 20, type", "table: input, register: 20, type", 12, "points.p_set.address.table", "cannot be written"),
    ("feedback: active_power", "feedback: energy_import", 13, "points.p_set.feedback", "is in Wh, the set-point in W"),
    ("feedback: active_power", "feedback: p_set", 13, "points.p_set.feedback", "not proven by itself"),
    ("feedback: active_power", "feedback: power", 13, "points.p_set.feedback", "no point of this profile"),
    ("maximum: 100}", "maximum: 100, modes: [limit]}", 14, "points.p_set.capability.minimum", "never negative"),
    ("low: 0, high: 1000", "low: -1, high: 1000", 7, "points.energy_import.low", "never negative"),
    ("low: 0, high: 1000", "sign: -1, low: 0, high: 1000", 7, "points.energy_import.sign", "two counters"),
    ("low: 0, high: 1000", "scale: 0, low: 0, high: 1000", 7, "points.energy_import.scale", "every value 0"),
    ("low: -100, high", "feedback: position, low: -100, high", 6, "points.active_power.feedback", "only set-points"),
]


@pytest.mark.parametrize(("old", "new", "line", "field", "words"), ERRORS, ids=lambda value: str(value)[:40])
def test_an_error_names_file_line_and_field(tmp_path: Path, old: str, new: str, line: int, field: str, words: str) -> None:
    assert old in GOOD
    errors, _ = check(tmp_path, GOOD.replace(old, new, 1))
    assert [(error.line, error.field) for error in errors if words in str(error)] == [(line, field)]
    assert str(errors[0]).startswith(f"{tmp_path}/thing.yaml:")


STATION_ERRORS = [
    ("type: [30, 1]", "type: [45]", 5, "points.trip.address.type", "no monitor type"),
    ("type: [30, 1]", "type: [30, 1], bit: 2", 5, "points.trip.address.bit", "only type 7"),
    ("type: [30, 1]", "type: 1, command_type: 45", 5, "points.trip.address.command_type", "takes no commands"),
    ("type: [37, 15]", "type: 30", 6, "points.energy_import.address.type", "type 15 or 37"),
    ("command_type: 50", "command_type: 45", 7, "points.u_set.address.command_type", "does not carry a setpoint"),
    ("ioa: 4, type: 36", "ioa: 2, type: 15", 8, "points.voltage.address", "same address as energy_import"),
]


@pytest.mark.parametrize(("old", "new", "line", "field", "words"), STATION_ERRORS, ids=lambda value: str(value)[:40])
def test_an_error_of_a_station(tmp_path: Path, old: str, new: str, line: int, field: str, words: str) -> None:
    assert old in STATION
    errors, _ = check(tmp_path, STATION.replace(old, new, 1))
    assert [(error.line, error.field) for error in errors if words in str(error)] == [(line, field)]


def test_one_object_address_may_carry_two_types(tmp_path: Path) -> None:
    assert check(tmp_path, STATION.replace("ioa: 4, type: 36", "ioa: 2, type: 36")) == ([], [])


def test_bits_of_one_register_may_be_several_points(tmp_path: Path) -> None:
    text = GOOD.replace("{register: 14}", "{register: 14, bit: 3}")
    text += "  trip: {kind: status, poll: N, address: {register: 14, bit: 4}, labels: {0: normal, 1: tripped}}\n"
    assert check(tmp_path, text) == ([], [])


WARNINGS = [
    ("  position:", "  place:", 8, "points.place", "no word of docs/points.md"),
    ("    feedback: active_power\n", "", 9, "points.p_set", "nothing proves"),
    (", labels: {1: open, 2: closed}", "", 8, "points.position", "people read numbers"),
    (", low: -100, high: 100}", "}", 6, "points.active_power", "nothing is out of range"),
    ("{word_order: big}", "{wordorder: big}", 4, "options.wordorder", "no driver of ours"),
    ("address: {register: 10", "address: {model: 103, offset: 10", 6, "points.active_power.sign", "sign -1"),
]


@pytest.mark.parametrize(("old", "new", "line", "field", "words"), WARNINGS, ids=lambda value: str(value)[:40])
def test_a_warning_is_no_error(tmp_path: Path, old: str, new: str, line: int, field: str, words: str) -> None:
    assert old in GOOD
    errors, warnings = check(tmp_path, GOOD.replace(old, new, 1))
    assert errors == []
    assert [(warning.line, warning.field) for warning in warnings] == [(line, field)]
    assert words in str(warnings[0])


def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    errors, _ = check(tmp_path, GOOD.replace("unit: W, poll: N", "unti: W, pool: N").replace("maximum: 100", "max: 100"))
    assert {error.field for error in errors} >= {
        "points.active_power.unti",
        "points.active_power.pool",
        "points.p_set.capability.max",
    }


def test_a_set_point_in_percent_is_not_given_back_by_zero(tmp_path: Path) -> None:
    text = (
        GOOD.replace("  p_set:", "  soc_max_set:")
        .replace("    unit: W\n", '    unit: "%"\n')
        .replace("    feedback: active_power\n", "")
    )
    _, warnings = check(tmp_path, text)
    assert any("when it expires 0 is written" in str(warning) for warning in warnings)


def run(*files: str, **options: str) -> str:
    out = StringIO()
    call_command("check_profile", *files, stdout=out, **options)
    return out.getvalue()


def lines_of(text: str, words: Sequence[str]) -> list[str]:
    return [line for line in text.splitlines() if any(word in line for word in words)]


def test_the_command_says_which_use_cases_are_served() -> None:
    assert "as storage_unit (UC-2-STO): all that is required" in run("sunspec-battery-gateway")
    assert "as storage_unit (UC-2-STO): lacks set-point of active power, set-point of reactive power" in run("push-storage")
    full = lines_of(run("push-storage", kind="storage_unit"), ["UC-2"])[0]
    assert "offers electrical state" in full
    assert "lacks set-point of active power" in full


def test_the_command_fails_where_a_profile_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "thing.yaml").write_text(GOOD.replace("unit: W, poll", "unit: kW, poll"))
    out = StringIO()
    with pytest.raises(CommandError, match="1 of 2 profiles"):
        call_command("check_profile", str(tmp_path / "thing.yaml"), "sunspec-103", stdout=out)
    assert f"error: {tmp_path}/thing.yaml:6: points.active_power.unit: 'kW' is no unit of ours" in out.getvalue()
    assert "thing: modbus_tcp, 5 points; 2 errors, 0 warnings" in out.getvalue()


def test_a_file_that_is_not_there_is_an_error() -> None:
    with pytest.raises(CommandError):
        run("no/such/file.yaml")
