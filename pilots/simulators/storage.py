"""Batteries and photovoltaic arrays. [zone: process, simulated] [D7.1 4.2 UC-2, 4.3 UC-3]"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from pilots.simulators.loads import Refused, Unit
from pilots.simulators.weather import Weather, pv_power

EFFICIENCY = 0.95  # each way
STANDBY_SHARE = 0.003
LAG_S = 0.3
RAMP_SHARE_S = 0.20
THERMAL_S = 3600.0
TRIP_C = 55.0
NOMINAL_HZ = 50.0
#: Volt-var: half of rated power for each 2 % of voltage beside u_set, reached within about 2 s.
SUPPORT_V_SHARE, SUPPORT_S = 0.02, 2.0
#: Frequency-watt begins beyond this much off 50 Hz.
SUPPORT_DEADBAND_HZ = 0.1


class Battery(Unit):
    """A battery behind its converter: ramp, lag, charge window, losses, heat.

    `commandable` batteries stand still until told; the others follow the sun until their first set-point. `soc` is in %
    of usable capacity.
    """

    def __init__(self, source: random.Random, *, rated_w: float, capacity_wh: float, commandable: bool, forming: bool) -> None:
        super().__init__()
        self.rated_w, self.capacity_wh = rated_w, capacity_wh
        self.commandable, self.forming = commandable, forming
        self.soh = 97.0 - 4.0 * source.random()
        self.cycles = float(source.randint(120, 700))
        self.energy_wh = self.capacity_real * (0.45 + 0.2 * source.random())
        self.p_set = self.q_set = 0.0
        self.settings: dict[str, float] = {
            "soc_min_set": 10.0, "soc_max_set": 90.0, "pf_set": 1.0, "u_set": 230.0, "f_droop_set": 0.0,
        }  # fmt: skip
        self.reactive_mode = "q_set"  # the last of q_set, pf_set and u_set that was written
        self.terminal_v = self.settings["u_set"]  # phase to neutral, told by the network
        self.grid_hz = NOMINAL_HZ
        self.connected = True
        self.temperature = 22.0
        self.state = "holding"
        self.grid_mode = "following"
        self.balance_w = 0.0  # what an island needs from us; set by the network while it is one
        self._cell = 0.0
        self.mean_import_w = self.mean_export_w = 0.25 * rated_w

    @property
    def capacity_real(self) -> float:
        return self.capacity_wh * self.soh / 100.0

    @property
    def soc(self) -> float:
        return 100.0 * self.energy_wh / self.capacity_real

    @property
    def charge_max(self) -> float:
        """W it can take now: falls to 0 over the last 5 % below the upper reserve."""
        return self.rated_w * min(1.0, max(0.0, (self.settings["soc_max_set"] - self.soc) / 5.0))

    @property
    def discharge_max(self) -> float:
        return self.rated_w * min(1.0, max(0.0, (self.soc - self.settings["soc_min_set"]) / 5.0))

    def step(self, weather: Weather, dt_s: float, *, live: bool) -> None:
        running = live and self.connected and self.temperature < TRIP_C
        target = self._target(weather) if running else 0.0
        target = min(self.charge_max, max(-self.discharge_max, target))
        if dt_s > 0:
            wanted = self._cell + (target - self._cell) * (1.0 - math.exp(-dt_s / LAG_S))
            reach = self.rated_w * RAMP_SHARE_S * dt_s
            self._cell = min(self._cell + reach, max(self._cell - reach, wanted))
        self._cell = self._cell if running else 0.0
        self._store(weather, dt_s)
        standby = STANDBY_SHARE * self.rated_w if live else 0.0
        # The set-point holds at the terminals, so standby is taken from the cells unless they stand still.
        self.p = self._cell if abs(self._cell) > standby else standby
        room = math.sqrt(max(0.0, self.rated_w**2 - self.p**2))
        self.q = min(room, max(-room, self._reactive(dt_s))) if running else 0.0
        self.state = self._state(running)

    @property
    def island_hz(self) -> float:
        """The frequency it makes: P discharged lowers it by the droop, f_droop_set in % of rated power per Hz."""
        droop = self.settings["f_droop_set"]
        return NOMINAL_HZ + (100.0 * self.p / (self.rated_w * droop) if droop else 0.0)

    def _reactive(self, dt_s: float) -> float:
        """Q wanted, in load convention: fixed, by the power factor (inductive), or against the voltage beside u_set."""
        if self.reactive_mode == "pf_set":
            return abs(self.p) * math.tan(math.acos(min(1.0, self.settings["pf_set"])))
        if self.reactive_mode == "u_set":
            beside = (self.terminal_v - self.settings["u_set"]) / self.settings["u_set"]
            wanted = 0.5 * self.rated_w * min(1.0, max(-1.0, beside / SUPPORT_V_SHARE))
            return self.q + (wanted - self.q) * (1.0 - math.exp(-dt_s / SUPPORT_S))
        return self.q_set

    def _support(self) -> float:
        """W on top of the target while the frequency is far off: less consumption when it is low."""
        off = self.grid_hz - NOMINAL_HZ
        beyond = math.copysign(max(0.0, abs(off) - SUPPORT_DEADBAND_HZ), off)
        return self.settings["f_droop_set"] / 100.0 * self.rated_w * beyond

    def _target(self, weather: Weather) -> float:
        if self.grid_mode != "following":
            return self.balance_w
        if self.commandable:
            return self.p_set + self._support()
        if weather.poa > 120.0:
            return min(self.rated_w, self.rated_w * weather.poa / 900.0)
        return -0.15 * self.rated_w if weather.hour >= 17.0 or weather.hour < 7.0 else 0.0

    def _store(self, weather: Weather, dt_s: float) -> None:
        flow = self._cell * EFFICIENCY if self._cell > 0 else self._cell / EFFICIENCY
        hours = dt_s / 3600.0
        change = (flow - 0.0005 * self.energy_wh) * hours
        self.energy_wh = min(self.capacity_real, max(0.0, self.energy_wh + change))
        self.cycles += abs(flow) * hours / (2.0 * self.capacity_wh)
        settled = weather.ambient * 0.4 + 13.0 + 10.0 * abs(self._cell) / self.rated_w
        self.temperature += (settled - self.temperature) * (1.0 - math.exp(-dt_s / THERMAL_S))

    def _state(self, running: bool) -> str:
        if not running:
            return "off"
        if self._cell > 0.01 * self.rated_w:
            return "charging"
        if self._cell < -0.01 * self.rated_w:
            return "discharging"
        if self.soc >= self.settings["soc_max_set"] - 0.1:
            return "full"
        return "empty" if self.soc <= self.settings["soc_min_set"] + 0.1 else "holding"

    def read(self, point: str) -> float | str | None:
        getter = _BATTERY.get(point)
        return getter(self) if getter else self.settings.get(point)

    def write(self, point: str, value: float) -> None:
        if point in ("p_set", "q_set"):
            if abs(value) > self.rated_w * 1.0001:
                raise Refused(f"{point} {value} W is beyond the rated {self.rated_w} W")
            setattr(self, point, value)
            self.commandable = True
            if point == "q_set":
                self.reactive_mode = point
        elif point in ("pf_set", "u_set"):
            low, high = {"pf_set": (0.8, 1.0), "u_set": (207.0, 253.0)}[point]
            if not low <= value <= high:
                raise Refused(f"{point} {value} is outside {low:g}..{high:g}")
            self.settings[point], self.reactive_mode = value, point
        elif point in ("soc_min_set", "soc_max_set"):
            if not 5.0 <= value <= 95.0:
                raise Refused(f"{point} {value} % is outside 5..95 %")
            self.settings[point] = value
        elif point in ("connect", "start", "stop"):
            self.connected = (value == 0) if point == "stop" else value != 0
        elif point in self.settings or point == "reset_alarm":
            self.settings[point] = value
        else:
            raise Refused(f"no point {point}")

    def release(self, point: str) -> None:
        if point in ("p_set", "q_set"):
            setattr(self, point, 0.0)
        if point == self.reactive_mode:
            self.reactive_mode = "q_set"


_BATTERY: dict[str, Callable[[Battery], float | str]] = {
    "p_set": lambda b: b.p_set,
    "q_set": lambda b: b.q_set,
    "soc": lambda b: b.soc,
    "soh": lambda b: b.soh,
    "cycles": lambda b: b.cycles,
    "life_remaining": lambda b: max(0.0, (4000.0 - b.cycles) / 250.0) * 365 * 86400.0,
    "temperature": lambda b: b.temperature,
    "capacity_real": lambda b: b.capacity_real,
    "energy_available": lambda b: b.energy_wh,
    "charge_rate": lambda b: b.p / b.capacity_wh,
    "p_charge_max": lambda b: b.charge_max,
    "p_discharge_max": lambda b: b.discharge_max,
    "dc_power": lambda b: b._cell,
    "dc_voltage": lambda b: 620.0 + 2.2 * b.soc,
    "dc_current": lambda b: b._cell / (620.0 + 2.2 * b.soc),
    "storage_state": lambda b: b.state,
    "grid_mode": lambda b: b.grid_mode,
    "inverter_state": lambda b: "off" if b.state == "off" else "running",
    "connect": lambda b: float(b.connected),
    "start": lambda b: float(b.connected),
    "stop": lambda b: float(not b.connected),
}


class Photovoltaic(Unit):
    """A PV array with its inverter; `p_limit` is the magnitude it may generate."""

    def __init__(self, source: random.Random, *, peak_w: float, inverter_w: float) -> None:
        super().__init__()
        self.peak_w, self.inverter_w = peak_w, inverter_w
        self.limit_w: float | None = None
        self.q_set = 0.0
        self.pf_set: float | None = None  # in place of q_set
        self.available = 0.0
        self.weather: Weather | None = None
        self._soiling = 1.0 - 0.01 * source.random()
        self.mean_export_w = 0.25 * peak_w

    def step(self, weather: Weather, dt_s: float, *, live: bool) -> None:
        self.weather = weather
        self.available = pv_power(self.peak_w, self.inverter_w, weather.poa * self._soiling, weather.module) if live else 0.0
        self.p = self.available if self.limit_w is None else -min(-self.available, self.limit_w)
        room = math.sqrt(max(0.0, self.inverter_w**2 - self.p**2))
        self.q = min(room, max(-room, self._reactive())) if live else 0.0

    def _reactive(self) -> float:
        return self.q_set if self.pf_set is None else -self.p * math.tan(math.acos(min(1.0, abs(self.pf_set))))

    def read(self, point: str) -> float | str | None:
        if point == "generation_available":
            return self.available
        if point == "generation_headroom":
            return max(0.0, self.p - self.available)
        if point == "p_limit":
            return self.peak_w if self.limit_w is None else self.limit_w
        if point == "inverter_state":
            return "mppt" if self.p < 0 and self.limit_w is None else "throttled" if self.p < 0 else "standby"
        if self.weather is None:
            return None
        if point in ("dc_power", "dc_current", "dc_voltage"):
            voltage = 600.0 if self.p < 0 else 0.0
            return {"dc_power": self.p / 0.97, "dc_voltage": voltage, "dc_current": -self.p / 0.97 / 600.0}[point]
        if point == "temperature":
            return self.weather.ambient + 4.0 - 20.0 * self.p / self.inverter_w
        held = {"q_set": self.q_set, "pf_set": -1.0 if self.pf_set is None else self.pf_set}
        return held[point] if point in held else weather_point(self.weather, point)

    def write(self, point: str, value: float) -> None:
        if point == "p_limit" and 0.0 <= value <= self.peak_w * 1.0001:
            self.limit_w = value
        elif point == "q_set" and abs(value) <= self.inverter_w:
            self.q_set, self.pf_set = value, None
        elif point == "pf_set" and -1.0 <= value <= -0.8:
            self.pf_set = value
        elif point in ("start", "stop"):
            running = (value == 0) if point == "stop" else value != 0
            self.limit_w = None if running else 0.0
        else:
            raise Refused(f"{point} = {value}")

    def release(self, point: str) -> None:
        if point == "p_limit":
            self.limit_w = None
        elif point == "q_set":
            self.q_set = 0.0
        elif point == "pf_set":
            self.pf_set = None


def weather_point(weather: Weather, point: str) -> float | None:
    """A point of the air: W/m2, degC, m/s, degrees."""
    return {
        "irradiance_ghi": weather.ghi,
        "irradiance_poa": weather.poa,
        "temp_ambient": weather.ambient,
        "temp_outside": weather.ambient,
        "temp_module": weather.module,
        "wind_speed": weather.wind_speed,
        "wind_dir": weather.wind_direction,
    }.get(point)
