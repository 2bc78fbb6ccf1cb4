"""Faults that show in a device's values, its clock and its obedience."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pilots.catalogue.loader import profiles_of
from pilots.domain.topology import PilotSpec
from pilots.simulators.faults import FaultKind, Faults
from pilots.simulators.mishaps import Mishaps
from pilots.simulators.places import names_of, places_of, unheard
from pilots.simulators.plant import Plant, Refused
from tests.simulators.peers import pilot

START = datetime(2018, 7, 3, 12, tzinfo=UTC)


class Bench:
    def __init__(self, spec: PilotSpec) -> None:
        self.faults = Faults()
        quiet = unheard({place.name: place for place in places_of(spec)})
        mishaps = Mishaps(self.faults, names_of(spec), quiet)
        self.plant = Plant(spec, profiles_of(spec), seed=4, start=START, mishaps=mishaps)
        self.now = START

    def start(self, kind: FaultKind, target: str, point: str = "", **options: float) -> str:
        return self.faults.start(kind, target, now=self.now, options=options, point=point).id

    def go_on(self, seconds: float = 60.0) -> None:
        self.now += timedelta(seconds=seconds)
        self.plant.step(self.now)


@pytest.fixture
def bulgaria() -> Bench:
    return Bench(pilot("bg"))


@pytest.fixture
def spain() -> Bench:
    return Bench(pilot("es"))


def test_a_stuck_device_says_what_it_said_until_the_fault_ends(bulgaria: Bench) -> None:
    bulgaria.go_on()
    read = bulgaria.plant.read
    before = {name: read("bg-PM02", name) for name in ("active_power", "energy_import")}
    fault = bulgaria.start(FaultKind.STUCK_VALUE, "bg-PM02")
    first = read("bg-PM02", "active_power")
    bulgaria.go_on()
    assert (first, read("bg-PM02", "active_power")) == (before["active_power"],) * 2
    assert read("bg-PM01", "active_power") != before["active_power"]
    bulgaria.faults.end(fault)
    assert read("bg-PM02", "active_power") != before["active_power"]
    bulgaria.start(FaultKind.STUCK_VALUE, "bg-PM02")
    assert read("bg-PM02", "active_power") != before["active_power"]


def test_one_point_may_be_stuck_alone(bulgaria: Bench) -> None:
    bulgaria.start(FaultKind.STUCK_VALUE, "bg-PM02", point="active_power")
    before = {name: bulgaria.plant.read("bg-PM02", name) for name in ("active_power", "energy_import")}
    bulgaria.go_on()
    assert bulgaria.plant.read("bg-PM02", "active_power") == before["active_power"]
    assert bulgaria.plant.read("bg-PM02", "energy_import") != before["energy_import"]


def test_all_behind_a_connection_may_be_stuck(spain: Bench) -> None:
    spain.start(FaultKind.STUCK_VALUE, "es-rtu01")
    before = spain.plant.read("es-AN01", "active_power"), spain.plant.read("es-AN02", "active_power")
    spain.go_on()
    assert (spain.plant.read("es-AN01", "active_power"), spain.plant.read("es-AN02", "active_power")) == before


def test_a_reset_counter_starts_again_at_nothing_and_counts_on(bulgaria: Bench) -> None:
    bulgaria.go_on()
    before = float(bulgaria.plant.read("bg-PM02", "energy_import") or 0)
    bulgaria.faults.end(bulgaria.start(FaultKind.COUNTER_RESET, "bg-PM02"))
    assert bulgaria.plant.read("bg-PM02", "energy_import") == 0.0
    bulgaria.go_on(3600)
    after = float(bulgaria.plant.read("bg-PM02", "energy_import") or 0)
    assert 0 < after < before
    assert float(bulgaria.plant.read("bg-PM01", "energy_import") or 0) > 0


def test_a_skewed_clock_is_wrong_by_what_was_asked(spain: Bench) -> None:
    spain.start(FaultKind.CLOCK_SKEW, "es-rtu01")
    assert spain.plant.own_time("es-AN01", START) == START + timedelta(seconds=90)
    spain.start(FaultKind.CLOCK_SKEW, "es-AN01", seconds=-86400)
    assert spain.plant.own_time("es-AN01", START) == START - timedelta(days=1)
    assert spain.plant.own_time("es-WX", START) == START


def test_a_tripped_breaker_is_open_and_refuses_to_close_until_the_fault_ends(spain: Bench) -> None:
    fault = spain.start(FaultKind.BREAKER_TRIP, "es-SW03")
    spain.go_on(1)
    assert spain.plant.read("es-SW03", "position") == 1.0
    assert spain.plant.read("es-SW03", "active_power") == 0.0
    with pytest.raises(Refused, match="tripped"):
        spain.plant.write("es-SW03", "position_cmd", 2)
    spain.faults.end(fault)
    spain.go_on(1)
    assert spain.plant.read("es-SW03", "position") == 1.0
    spain.plant.write("es-SW03", "position_cmd", 2)
    spain.go_on(1)
    assert spain.plant.read("es-SW03", "position") == 2.0


def test_a_charge_point_out_of_order_charges_nobody(spain: Bench) -> None:
    charger = spain.plant.charger("es-EVSE01")
    fault = spain.start(FaultKind.OUT_OF_ORDER, "es-EVSE01")
    spain.go_on()
    assert (charger.state, charger.p) == ("Faulted", 0.0)
    spain.faults.end(fault)
    spain.go_on()
    assert charger.state != "Faulted"


def test_a_device_that_refuses_takes_nothing(bulgaria: Bench) -> None:
    bulgaria.start(FaultKind.EXCEPTION, "bg-STO01")
    with pytest.raises(Refused, match="refuses everything"):
        bulgaria.plant.write("bg-STO01", "p_set", 1000.0)


def test_a_silent_device_behind_an_rtu_is_unknown_and_one_with_frames_of_its_own_is_not_asked_here(
    spain: Bench, bulgaria: Bench
) -> None:
    spain.start(FaultKind.SILENCE, "es-AN01")
    bulgaria.start(FaultKind.SILENCE, "bg-PM02")
    assert spain.plant.read("es-AN01", "active_power") is None
    assert spain.plant.read("es-AN02", "active_power") is not None
    assert bulgaria.plant.read("bg-PM02", "active_power") is not None


def test_a_fault_elsewhere_changes_no_value(bulgaria: Bench) -> None:
    before = bulgaria.plant.read("bg-PM02", "active_power")
    for kind in FaultKind:
        bulgaria.start(kind, "bg-nothing")
    assert bulgaria.plant.read("bg-PM02", "active_power") == before
    assert bulgaria.plant.own_time("bg-PM02", START) == START
