"""Each kind of set-point moves the physics it is meant for."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pilots.simulators.plant import Plant, Refused
from tests.simulators.peers import plant_of
from tests.simulators.test_plant import advance

WINTER = datetime(2026, 1, 15, 4, 0, tzinfo=UTC)
SUMMER = datetime(2026, 7, 10, 10, 0, tzinfo=UTC)


def shown(plant: Plant, device: str, point: str) -> float:
    value = plant.read(device, point)
    assert isinstance(value, float | int), f"{device} {point}"
    return float(value)


def test_a_battery_keeps_the_power_factor_it_is_told() -> None:
    plant = plant_of("es")
    plant.write("es-STO01", "p_set", -40_000.0)
    plant.write("es-STO01", "pf_set", 0.9)
    advance(plant, 10, 0.2)
    assert shown(plant, "es-STO01", "power_factor") == pytest.approx(-0.9, abs=0.005)
    assert shown(plant, "es-STO01", "reactive_power") > 0
    assert shown(plant, "es-STO01", "pf_set_feedback") == 0.9
    plant.write("es-STO01", "q_set", 5_000.0)
    advance(plant, 10, 0.2)
    assert shown(plant, "es-STO01", "reactive_power") == pytest.approx(5_000.0)


def test_a_generating_inverter_keeps_the_power_factor_it_is_told() -> None:
    plant = plant_of("bg", start=SUMMER)
    advance(plant, 60)
    plant.write("bg-INV01", "pf_set", -0.9)
    advance(plant, 2, 0.2)
    assert shown(plant, "bg-INV01", "power_factor") == pytest.approx(-0.9, abs=0.01)
    plant.release("bg-INV01", "pf_set")
    advance(plant, 2, 0.2)
    assert shown(plant, "bg-INV01", "power_factor") == pytest.approx(-1.0, abs=0.01)


@pytest.mark.parametrize(("u_set", "absorbs"), [(215.0, True), (250.0, False)])
def test_voltage_support_takes_reactive_power_against_the_difference(u_set: float, absorbs: bool) -> None:
    plant = plant_of("es")
    plant.write("es-STO01", "u_set", u_set)
    advance(plant, 30, 0.2)
    reactive = shown(plant, "es-STO01", "reactive_power")
    assert abs(reactive) > 10_000
    assert (reactive > 0) is absorbs


def test_an_island_has_the_voltage_and_the_frequency_of_its_battery() -> None:
    plant = plant_of("es")
    advance(plant, 60, 1.0)
    plant.write("es-STO01", "u_set", 225.0)
    plant.write("es-STO01", "f_droop_set", 50.0)
    plant.write("es-SW04", "position_cmd", 1.0)
    advance(plant, 30, 0.2)
    for device in ("es-STO01", "es-LOAD01"):
        assert shown(plant, device, "voltage") == pytest.approx(225.0)
    carried = shown(plant, "es-STO01", "active_power")
    assert carried < -1000
    assert shown(plant, "es-AN01", "frequency") == pytest.approx(50.0 + 100.0 * carried / (100e3 * 50.0), abs=0.01)
    assert shown(plant, "es-GRID", "frequency") != shown(plant, "es-AN01", "frequency")


def test_a_narrower_window_of_charge_stops_the_battery() -> None:
    plant = plant_of("es")
    plant.write("es-STO01", "p_set", -50_000.0)
    plant.write("es-STO01", "soc_min_set", 50.0)
    advance(plant, 6 * 3600)
    assert shown(plant, "es-STO01", "soc") == pytest.approx(50.0, abs=2.0)
    assert plant.word("es-STO01", "storage_state") != "charging"


def test_a_home_follows_its_thermostat() -> None:
    colder, warmer = (plant_of("no", start=WINTER) for _ in range(2))
    colder.write("no-LC01", "temp_room_set", 17.0)
    for plant in (colder, warmer):
        advance(plant, 3 * 3600)
    assert shown(colder, "no-LC01", "temp_room") < shown(warmer, "no-LC01", "temp_room") - 0.2
    assert shown(colder, "no-LC01", "temp_room_set_feedback") == 17.0
    assert shown(colder, "no-LOAD02", "temp_room") == pytest.approx(shown(warmer, "no-LOAD02", "temp_room"))


def test_shedding_takes_the_heating_of_one_home_and_leaves_the_next() -> None:
    plant = plant_of("no", start=WINTER)
    advance(plant, 600)
    before = {device: shown(plant, device, "active_power") for device in ("no-LOAD01", "no-LOAD02")}
    plant.write("no-LC01", "load_shed_level", 3.0)
    advance(plant, 2, 0.2)
    assert shown(plant, "no-LOAD01", "active_power") < before["no-LOAD01"] - 500
    assert shown(plant, "no-LOAD02", "active_power") == pytest.approx(before["no-LOAD02"], rel=0.2)
    assert shown(plant, "no-LOAD11", "active_power") == 0.0


@pytest.mark.parametrize(
    ("code", "device", "point", "value"),
    [("es", "es-STO01", "pf_set", 0.5), ("es", "es-STO01", "u_set", 100.0), ("no", "no-LC01", "temp_room_set", 40.0)],
)
def test_a_device_refuses_what_it_cannot_keep(code: str, device: str, point: str, value: float) -> None:
    with pytest.raises(Refused):
        plant_of(code).write(device, point, value)
