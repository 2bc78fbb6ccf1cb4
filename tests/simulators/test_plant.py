"""The physics closes: balance, signs, counters, reactions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pilots.catalogue.loader import profiles_of
from pilots.catalogue.points import resolve_points
from pilots.domain.point import PointKind
from pilots.domain.topology import DeviceKind
from pilots.simulators.plant import Plant, Refused
from pilots.simulators.weather import CLEAR, Weather
from tests.simulators.peers import CODES, START, pilot, plant_of

SEASONS = (
    datetime(2026, 1, 15, 0, 0, tzinfo=UTC),
    datetime(2026, 4, 20, 6, 0, tzinfo=UTC),
    datetime(2026, 7, 10, 10, 0, tzinfo=UTC),
)


def advance(plant: Plant, seconds: float, step_s: float = 60.0) -> None:
    until = plant.now + timedelta(seconds=seconds)
    while plant.now < until:
        plant.step(min(until, plant.now + timedelta(seconds=step_s)))


@pytest.mark.parametrize("start", SEASONS, ids=("winter", "spring", "summer"))
@pytest.mark.parametrize("code", CODES)
def test_every_parent_carries_its_children_and_its_losses(code: str, start: datetime) -> None:
    plant = plant_of(code, start=start)
    for _ in range(6 * 12):
        plant.step(plant.now + timedelta(minutes=5))
        balances = plant.balance()
        assert any(device.endswith("GRID") for device in balances)
        for device, (own, parts) in balances.items():
            assert own == pytest.approx(parts, rel=1e-9, abs=1e-6), device


@pytest.mark.parametrize("code", CODES)
def test_transformer_readings_agree_with_the_readings_below_within_two_percent(code: str) -> None:
    plant = plant_of(code)
    advance(plant, 3600)
    for device in pilot(code).devices:
        if device.kind is DeviceKind.TRANSFORMER:
            node = plant.nodes[device.id]
            below = sum(float(plant.read(child.spec.id, "active_power") or 0.0) for child in node.children)
            own = float(plant.read(device.id, "active_power") or 0.0)
            assert node.loss > 0
            assert abs(own - below - node.loss) <= 0.02 * max(abs(own), 1000.0)


@pytest.mark.parametrize("code", CODES)
def test_every_catalogue_point_has_a_plausible_value(code: str) -> None:
    plant, spec = plant_of(code), pilot(code)
    advance(plant, 1800)
    profiles, connections = profiles_of(spec), {connection.name: connection for connection in spec.connections}
    session_points = {"ev_soc", "session_energy"}
    for device in spec.devices:
        if not device.profile:
            continue
        for name, point in resolve_points(device, profiles[device.profile], connections[device.connection]).items():
            value = plant.read(device.id, name)
            assert value is not None or name in session_points, f"{device.id} {name}"
            if isinstance(value, float | int):
                assert point.low is None or value >= point.low, f"{device.id} {name} {value}"
                assert point.high is None or value <= point.high, f"{device.id} {name} {value}"
            elif value is not None:
                assert point.kind is PointKind.TEXT


@pytest.mark.parametrize("code", CODES)
def test_generation_is_never_positive_and_loads_never_negative(code: str) -> None:
    plant = plant_of(code, start=SEASONS[2])
    for _ in range(48):
        plant.step(plant.now + timedelta(minutes=30))
        for device in pilot(code).devices:
            power = plant.nodes[device.id].p
            if device.kind is DeviceKind.GENERATING_UNIT:
                assert power <= 0
            elif device.kind in (DeviceKind.HOTEL, DeviceKind.BOILER, DeviceKind.HOUSEHOLD):
                assert power >= 0


def test_albena_pv_nears_45_kw_at_a_clear_july_noon_and_is_nothing_on_a_january_evening() -> None:
    noon = plant_of("bg", start=datetime(2026, 7, 10, 10, 0, tzinfo=UTC), day_type=CLEAR)
    peak = 0.0
    for _ in range(24):
        noon.step(noon.now + timedelta(minutes=5))
        peak = min(peak, noon.nodes["bg-PV01"].p)
    assert -48e3 < peak < -40e3
    evening = plant_of("bg", start=datetime(2026, 1, 10, 18, 0, tzinfo=UTC))
    assert evening.nodes["bg-PV01"].p == 0


def test_stavanger_yields_about_a_third_of_a_kilowatt_hour_a_day_in_december() -> None:
    from pilots.simulators.weather import pv_power

    energy = 0.0
    for seed in range(3):
        weather, now = Weather(pilot("no"), seed=seed), datetime(2026, 12, 1, tzinfo=UTC)
        for _ in range(31 * 144):
            now += timedelta(minutes=10)
            weather.step(now, 600.0)
            energy -= pv_power(1000.0, 1000.0, weather.poa, weather.module) / 6.0
    assert 0.15 < energy / 3 / 31 / 1000.0 < 0.5


@pytest.mark.parametrize("code", CODES)
def test_counters_rise_and_match_the_integral_of_power(code: str) -> None:
    plant = plant_of(code)
    devices = [device.id for device in pilot(code).devices if plant.nodes[device.id].unit or plant.nodes[device.id].children]
    counted = dict.fromkeys(devices, (0.0, 0.0))
    begin = {device: _registers(plant, device) for device in devices}
    previous = begin
    for _ in range(24 * 12):
        plant.step(plant.now + timedelta(minutes=5))
        for device in devices:
            imported, exported = counted[device]
            energy = float(plant.read(device, "active_power") or 0.0) / 12.0
            counted[device] = (imported + max(energy, 0.0), exported + max(-energy, 0.0))
        latest = {device: _registers(plant, device) for device in devices}
        assert all(new >= old for device in devices for new, old in zip(latest[device], previous[device], strict=True))
        previous = latest
    for device in devices:
        for side in (0, 1):
            assert previous[device][side] - begin[device][side] == pytest.approx(counted[device][side], rel=0.005, abs=1.0)


def _registers(plant: Plant, device: str) -> tuple[float, float]:
    return float(plant.read(device, "energy_import") or 0.0), float(plant.read(device, "energy_export") or 0.0)


def test_a_charging_battery_shows_at_its_meter_its_transformer_and_in_the_voltage() -> None:
    plant = plant_of("bg")
    plant.step(plant.now + timedelta(seconds=1))
    names = ("bg-STO01", "bg-PM01", "bg-TR01")
    before = {name: float(plant.read(name, "active_power") or 0.0) for name in names}
    voltage = plant.nodes["bg-STO01"].u
    other = plant.nodes["bg-TR03"].u
    plant.write("bg-STO01", "p_set", 80000.0)
    for _ in range(40):
        plant.step(plant.now + timedelta(seconds=0.2))
    for name in names:
        rise = float(plant.read(name, "active_power") or 0.0) - before[name]
        assert 70000 < rise < 95000, name
    assert plant.word("bg-STO01", "storage_state") == "charging"
    assert plant.nodes["bg-STO01"].u - voltage < (plant.nodes["bg-TR03"].u - other) - 0.005


def test_soc_integrates_and_stops_at_its_window() -> None:
    plant = plant_of("es")
    first = float(plant.read("es-STO01", "soc") or 0.0)
    plant.write("es-STO01", "p_set", 100000.0)
    advance(plant, 600)
    assert plant.read("es-STO01", "soc") == pytest.approx(first + 100 * 100e3 * 0.95 / 6 / 190e3, abs=1.5)
    advance(plant, 4 * 3600)
    assert 88.0 < float(plant.read("es-STO01", "soc") or 0.0) <= 90.0
    assert float(plant.read("es-STO01", "active_power") or 0.0) < 10000.0


def test_a_set_point_with_a_watchdog_falls_back_to_nothing() -> None:
    plant = plant_of("es")
    plant.write("es-STO01", "p_set", -50000.0, valid_for_s=10)
    advance(plant, 8, 0.2)
    assert float(plant.read("es-STO01", "active_power") or 0.0) == pytest.approx(-50000, rel=0.01)
    advance(plant, 8, 0.2)
    assert plant.read("es-STO01", "p_set") == 0
    assert abs(float(plant.read("es-STO01", "active_power") or 0.0)) < 1000


@pytest.mark.parametrize("value", [150000.0, float("nan"), float("inf")])
def test_a_battery_refuses_what_it_cannot_do(value: float) -> None:
    with pytest.raises(Refused):
        plant_of("es").write("es-STO01", "p_set", value)


def test_a_device_in_local_mode_refuses_remote_writes() -> None:
    plant = plant_of("es")
    plant.set_local("es-STO01", True)
    with pytest.raises(Refused):
        plant.write("es-STO01", "p_set", 1000.0)
    plant.set_local("es-STO01", False)
    plant.write("es-STO01", "p_set", 1000.0)


@pytest.mark.parametrize(
    ("limit_w", "state", "charges"),
    [(0.0, "SuspendedEVSE", False), (5 * 230 * 3, "SuspendedEVSE", False), (6 * 230 * 3, "Charging", True)],
    ids=("nothing", "5 A", "6 A"),
)
def test_a_limited_car_pauses_below_six_amperes(limit_w: float, state: str, charges: bool) -> None:
    plant = plant_of("nl")
    advance(plant, 30, 1.0)
    assert plant.word("nl-EVSE01", "connector_state") == "Charging"
    plant.write("nl-EVSE01", "p_limit", limit_w)
    advance(plant, 2, 0.2)
    assert plant.word("nl-EVSE01", "connector_state") == state
    power = float(plant.read("nl-EVSE01", "active_power") or 0.0)
    assert (power > 0) is charges
    assert power <= limit_w


def test_an_open_breaker_leaves_nothing_behind_it() -> None:
    plant = plant_of("de")
    plant.write("de-SW01", "position_cmd", 1.0)
    advance(plant, 2, 0.2)
    assert plant.read("de-SW01", "position") == 1
    assert plant.read("de-GRID", "active_power") == 0
    assert plant.read("de-LOAD01", "active_power") == 0
    plant.write("de-SW01", "position_cmd", 2.0)
    advance(plant, 2, 0.2)
    assert float(plant.read("de-LOAD01", "active_power") or 0.0) > 0


def test_a_grid_forming_battery_carries_the_island_behind_its_breaker() -> None:
    plant = plant_of("es")
    advance(plant, 60, 1.0)
    plant.write("es-SW04", "position_cmd", 1.0)
    advance(plant, 30, 0.2)
    assert plant.word("es-STO01", "grid_mode") == "island"
    assert float(plant.read("es-LOAD01", "active_power") or 0.0) > 0
    # What is left at the transformer is its own no-load loss.
    assert float(plant.read("es-TR01", "active_power") or 0.0) == pytest.approx(1000.0, abs=50.0)


def test_norway_shows_230_volts_between_phases_and_no_400() -> None:
    plant = plant_of("no")
    advance(plant, 60, 1.0)
    for device in pilot("no").devices:
        if device.id.startswith("no-SM"):
            for phase in ("l1", "l2", "l3"):
                assert 207 < float(plant.read(device.id, f"voltage_{phase}") or 0.0) < 253


@pytest.mark.parametrize("code", ["bg", "es", "nl", "no"])
def test_two_cars_charge_at_any_hour(code: str) -> None:
    plant = plant_of(code)
    stations = [device.id for device in pilot(code).devices if device.kind is DeviceKind.CHARGE_POINT]
    lean = 0
    for _ in range(24 * 60):
        plant.step(plant.now + timedelta(minutes=1))
        charging = [name for name in stations if plant.word(name, "connector_state") == "Charging"]
        lean += len(charging) < 2
    # A change of cars takes some seconds, seen here as one minute.
    assert lean <= 20


def test_the_same_seed_gives_the_same_run_and_another_seed_another() -> None:
    runs = []
    for seed in (7, 7, 8):
        plant = plant_of("no", seed=seed)
        advance(plant, 1800)
        runs.append([node.p for node in plant.nodes.values()])
    assert runs[0] == runs[1] != runs[2]


def test_registers_grow_with_the_calendar_so_that_a_restart_never_runs_them_backwards() -> None:
    first = plant_of("bg", start=START)
    advance(first, 3600)
    second = plant_of("bg", start=START + timedelta(hours=1))
    for device in ("bg-PM01", "bg-GRID", "bg-EVSE01"):
        assert float(second.read(device, "energy_import") or 0) >= float(first.read(device, "energy_import") or 0)
