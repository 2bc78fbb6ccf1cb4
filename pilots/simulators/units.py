"""From a pilot's devices to the units that take or give power; sizes come from the nameplates. [zone: process, simulated]"""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pilots.domain.profile import Profile
from pilots.domain.topology import DeviceKind, DeviceSpec, PilotSpec, Protocol
from pilots.simulators.ev import PATTERNS, Charger
from pilots.simulators.loads import Boilers, Hotel, Household, Unit
from pilots.simulators.noise import generator
from pilots.simulators.storage import Battery, Photovoltaic

YEARLY_WH = {"NL": 2.9e6, "ES": 3.3e6, "NO": 7.0e6}  # a home without heating; 3 500 kWh elsewhere
#: Stations that never run out of cars, so that there is something to see and to limit at any hour.
BUSY_PER_PILOT = 2
HOME_BATTERY_W = 10000.0
BUSY_ALWAYS = frozenset({"nl-EVSE01", "nl-EVSE41"})


def build_units(pilot: PilotSpec, profiles: Mapping[str, Profile], *, seed: int, start: datetime) -> dict[str, Unit]:
    """The unit of every device that is the end of a line, by device id."""
    chargers = [device.id for device in pilot.devices if device.kind is DeviceKind.CHARGE_POINT]
    busy = BUSY_ALWAYS | set(chargers[:BUSY_PER_PILOT])
    units: dict[str, Unit] = {}
    for device in pilot.devices:
        source = generator(seed, device.id)
        if device.kind is DeviceKind.CHARGE_POINT:
            units[device.id] = _charger(pilot, device, source, keep_busy=device.id in busy, start=start)
        elif device.kind is DeviceKind.STORAGE_UNIT:
            units[device.id] = _battery(device, source, profiles.get(device.profile))
        elif device.kind is DeviceKind.SMART_METER and _is_home(pilot, device):
            # A home that is known by its meter only: what it uses is the meter's own.
            units[device.id] = _household(pilot, device, source)
        elif device.kind in _LOADS:
            units[device.id] = _LOADS[device.kind](pilot, device, source)
    return units


def plate(device: DeviceSpec, *names: str, default: float) -> float:
    """The first of these nameplate entries that is a number."""
    for name in names:
        value: Any = device.nameplate.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    return default


def _is_home(pilot: PilotSpec, meter: DeviceSpec) -> bool:
    has_load = any(device.parent == meter.id and device.kind is DeviceKind.HOUSEHOLD for device in pilot.devices)
    return "yearly_energy_wh" in meter.nameplate and not has_load


def _battery(device: DeviceSpec, source: random.Random, profile: Profile | None) -> Battery:
    rated = plate(device, "rated_power_w", default=5000.0)
    # Home batteries serve their home until somebody tells them otherwise; large ones wait for orders.
    commandable = rated > HOME_BATTERY_W and profile is not None and profile.protocol is not Protocol.PUSH
    forming = bool(device.nameplate.get("grid_forming", device.id == "es-STO01"))
    capacity = plate(device, "capacity_wh", default=2 * rated)
    return Battery(source, rated_w=rated, capacity_wh=capacity, commandable=commandable, forming=forming)


def _charger(pilot: PilotSpec, device: DeviceSpec, source: random.Random, *, keep_busy: bool, start: datetime) -> Charger:
    siblings = sum(other.kind is DeviceKind.CHARGE_POINT and other.parent == device.parent for other in pilot.devices)
    meter = next((other for other in pilot.devices if other.id == device.parent), device)
    pattern = str(device.nameplate.get("site") or meter.nameplate.get("site") or "")
    if pattern not in PATTERNS:
        pattern = "home" if siblings <= 1 else "office" if siblings > 10 else "public"
    return Charger(
        source,
        rated_w=plate(device, "rated_power_w", default=11000.0),
        pattern=pattern,
        keep_busy=keep_busy,
        v2g=bool(device.nameplate.get("v2g", False)),
        start=start,
    )


def _hotel(_pilot: PilotSpec, device: DeviceSpec, source: random.Random) -> Unit:
    return Hotel(device.nameplate, source)


def _boilers(_pilot: PilotSpec, device: DeviceSpec, source: random.Random) -> Unit:
    """Hotel boiler rooms have several tanks for many guests, a home has one of 200 l."""
    rated = plate(device, "rated_power_w", default=2000.0)
    count = int(plate(device, "boilers", default=8 if rated > 10e3 else 1))
    each = rated / count if rated / count > 1500.0 else rated
    each = plate(device, "boiler_power_w", default=each)
    litres = 1000.0 * plate(device, "volume_m3", default=1.0 if count > 1 else 0.2)
    guests = 400.0 if count > 1 else 3.0
    return Boilers(source, count=count, litres=litres, power_w=each, guests=guests, heat_loss_w_k=5.0 * litres / 1000.0 + 1.0)


def _household(pilot: PilotSpec, device: DeviceSpec, source: random.Random) -> Unit:
    homes = int(plate(device, "households", default=1))
    yearly = plate(device, "yearly_energy_wh", default=YEARLY_WH.get(pilot.country, 3.5e6))
    yearly = plate(device, "mean_power_w", default=yearly / 8760.0) * 8760.0
    heat_pump = 3000.0 if device.nameplate.get("heat_pump") else 0.0
    if pilot.country == "NO":
        # 16 000 kWh a year in all: the part beyond the non-heating 7 000 comes from the heating model.
        yearly, heating = min(yearly, YEARLY_WH["NO"]), (160.0, heat_pump or 5000.0)
    else:
        heating = (180.0 if heat_pump else 0.0, heat_pump)
    ua, power = heating
    return Household(source, homes=homes, yearly_wh=yearly, heating_ua=ua, heating_w=power, cop=True)


def _array(_pilot: PilotSpec, device: DeviceSpec, source: random.Random) -> Unit:
    peak = plate(device, "peak_power_wp", "rated_power_w", default=5000.0)
    return Photovoltaic(source, peak_w=peak, inverter_w=plate(device, "rated_power_w", default=peak))


_LOADS = {
    DeviceKind.HOTEL: _hotel,
    DeviceKind.BOILER: _boilers,
    DeviceKind.HOUSEHOLD: _household,
    DeviceKind.GENERATING_UNIT: _array,
}
