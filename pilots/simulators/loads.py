"""Hotels, boilers and households. [zone: process, simulated] [D7.1 3.1.1, 3.1.2, 3.1.4, 3.1.5]

Every unit has p (W, load convention), q (var) and the share of each phase; `step` moves it, `read` gives its own points.
"""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from pilots.simulators.noise import Drift, bump
from pilots.simulators.weather import Weather, evening, occupancy

THREE_PHASE = (1 / 3, 1 / 3, 1 / 3)
WATER = 4186.0  # J/(kg K)
ROOM_C = 21.0  # what a home is kept at unless told otherwise
DRAW_MEAN = 0.4 * 1.2 * math.sqrt(2 * math.pi) / 24 + 0.6 * 1.8 * math.sqrt(2 * math.pi) / 24


class Refused(Exception):
    """The device does not take this value (range, local mode, not its point)."""


class Unit(ABC):
    """Something at the end of a line that takes or gives power."""

    phases: tuple[float, float, float] = THREE_PHASE
    mean_import_w = 0.0
    mean_export_w = 0.0

    def __init__(self) -> None:
        self.p = 0.0
        self.q = 0.0

    @abstractmethod
    def step(self, weather: Weather, dt_s: float, *, live: bool) -> None:
        """P and Q are what they would be `dt_s` later; without voltage (`live`) nothing runs."""

    def read(self, point: str) -> float | str | None:
        return None

    def write(self, point: str, value: float) -> None:
        raise Refused(f"no point {point}")

    def release(self, point: str) -> None:  # noqa: B027  most units have nothing to fall back from
        """The point falls back to what the device does by itself: its watchdog ran out."""


class Hotel(Unit):
    """A resort hotel: base, season, guests and cooling."""

    mean_import_w = 60e3

    def __init__(self, nameplate: Mapping[str, Any], source: random.Random) -> None:
        super().__init__()
        self.rooms = float(nameplate.get("rooms", 200))
        self._noise = Drift(source, sigma=0.03, tau_s=300.0)
        self.guests = 0.0

    def step(self, weather: Weather, dt_s: float, *, live: bool) -> None:
        noise = self._noise.step(dt_s)
        share = occupancy(weather.day)
        self.guests = 2.0 * self.rooms * share
        t = weather.hour
        rhythm = 0.35 + 0.35 * bump(t, 8.5, 1.5) + 0.25 * bump(t, 13, 1.5) + 0.65 * bump(t, 20, 2.2)
        cooling = 0.045 * share * max(0.0, weather.ambient - 22.0) * (0.4 + 0.6 * bump(t, 17, 4))
        kilowatts = 0.04 + 0.11 * (115 < weather.day < 295) + 0.55 * share * rhythm + cooling
        self.p = 1000.0 * self.rooms * kilowatts * (1.0 + noise) if live else 0.0
        self.q = self.p * math.tan(math.acos(0.93))


class Boilers(Unit):
    """A group of hot-water boilers, each switched by its own hysteresis 55..65 degC."""

    def __init__(
        self, source: random.Random, *, count: int, litres: float, power_w: float, guests: float, heat_loss_w_k: float
    ) -> None:
        super().__init__()
        self.count, self.litres, self.power_w, self.guests, self.heat_loss = count, litres, power_w, guests, heat_loss_w_k
        self.low, self.high = 55.0, 65.0
        self.temperatures = [source.uniform(56.0, 64.0) for _ in range(count)]
        self.heating = [source.random() < 0.3 for _ in range(count)]
        self.enabled, self.limit_w, self.shed = True, float("inf"), 0.0
        self.mean_import_w = 0.3 * count * power_w
        if count == 1 and power_w < 4000:
            self.phases = (1.0, 0.0, 0.0)

    def step(self, weather: Weather, dt_s: float, *, live: bool) -> None:
        share = occupancy(weather.day) if self.guests > 10 else 1.0
        draw_kg_s = self.guests * share * 60.0 / 86400.0 * evening(weather.hour) / DRAW_MEAN / self.count
        capacity = self.litres * WATER
        on = 0
        for index, warm in enumerate(self.temperatures):
            allowed = live and self.enabled and (on + 1) * self.power_w <= self.limit_w
            heating = allowed and (warm < self.low or (self.heating[index] and warm < self.high))
            self.heating[index] = heating
            on += heating
            lost = draw_kg_s * WATER * (warm - 12.0) + self.heat_loss * (warm - 20.0)
            self.temperatures[index] = max(10.0, warm + ((self.power_w if heating else 0.0) - lost) * dt_s / capacity)
        self.p = on * self.power_w
        self.q = 0.0

    def read(self, point: str) -> float | str | None:
        if point == "temp_water":
            return sum(self.temperatures) / self.count
        if point in ("temp_water_set", "load_shed_level"):
            return self.high if point == "temp_water_set" else self.shed
        if point == "p_limit":
            return min(self.limit_w, self.count * self.power_w)
        if point == "deferrable_power":
            return self.power_w * sum(self.low < warm < self.high for warm in self.temperatures)
        if point == "deferrable_energy":
            return sum(self.litres * WATER * max(0.0, warm - self.low) for warm in self.temperatures) / 3600.0
        return float(self.enabled) if point in ("load_switch", "switch_state", "heater_state") else None

    def write(self, point: str, value: float) -> None:
        if point == "load_switch":
            self.enabled = value in (1.0, 2.0) if value else False
        elif point == "temp_water_set" and 45.0 <= value <= 75.0:
            self.high, self.low = value, value - 10.0
        elif point == "p_limit" and value >= 0:
            self.limit_w = value
        elif point == "load_shed_level" and 0 <= value <= 3:
            self.shed, self.limit_w = value, self.count * self.power_w * _left_by(value)
        else:
            raise Refused(f"{point} = {value}")

    def release(self, point: str) -> None:
        if point == "p_limit":
            self.limit_w = float("inf")


class Household(Unit):
    """One home or a street of them: daily rhythm, appliance pulses and, where fitted, a heat pump or electric heating."""

    def __init__(
        self, source: random.Random, *, homes: int, yearly_wh: float, heating_ua: float, heating_w: float, cop: bool
    ) -> None:
        super().__init__()
        self._random, self.homes, self.cop = source, homes, cop
        self.base_w = max(0.0, yearly_wh / 365.0 - 1600.0) / 24.0
        self.heating_ua, self.heating_w = heating_ua, heating_w
        self._noise = Drift(source, sigma=0.35 / math.sqrt(homes), tau_s=1800.0)
        self._pulses: list[float] = []
        self.room = self.room_set = ROOM_C
        self.shed = 0.0
        self.heat_p = 0.0
        self.mean_import_w = homes * (yearly_wh / 8760.0 + heating_w * 0.4)
        first = source.random() * 0.12 / math.sqrt(homes)
        self.phases = (1 / 3 + first, 1 / 3 - first / 2, 1 / 3 - first / 2)

    def step(self, weather: Weather, dt_s: float, *, live: bool) -> None:
        noise = math.exp(self._noise.step(dt_s))
        base = self.homes * self.base_w * season_factor(weather.day) * home_rhythm(weather.hour, weekend=weather.weekend)
        self._heat(weather, dt_s, live=live)
        self.p = (base * noise + self._appliances(weather.hour, dt_s) + self.heat_p) if live else 0.0
        self.q = self.p * math.tan(math.acos(0.97))

    def _appliances(self, hour: float, dt_s: float) -> float:
        """2 kW pulses of 8 min, six a day and home, fewer at night."""
        self._pulses = [left - dt_s for left in self._pulses if left > dt_s]
        expected = self.homes * 6.0 * dt_s / 86400.0 * (0.3 if hour < 6 else 1.23)
        while expected > 0:
            if self._random.random() < expected:
                self._pulses.append(480.0)
            expected -= 1.0
        return 2000.0 * len(self._pulses)

    def _heat(self, weather: Weather, dt_s: float, *, live: bool) -> None:
        if not self.heating_ua:
            return
        wanted = max(0.0, self.heating_ua * (self.room_set - 3.0 - weather.ambient) + 800.0 * (self.room_set - self.room))
        cop = min(5.0, max(1.5, 3.0 + 0.07 * (weather.ambient - 7.0))) if self.cop else 1.0
        self.heat_p = min(self.heating_w * _left_by(self.shed), wanted / cop) if live else 0.0
        gains = 3.0 * self.heating_ua
        flow = self.heat_p * cop + gains - self.heating_ua * (self.room - weather.ambient)
        # A long step must not overshoot the balance: the room is stable within its own time constant.
        self.room += flow * min(dt_s, 3600.0) / 2e7

    def read(self, point: str) -> float | str | None:
        if point in ("temp_room", "temp_room_set"):
            return self.room if point == "temp_room" else self.room_set
        if point == "deferrable_power":
            return self.heat_p + 0.15 * self.p
        if point == "deferrable_energy":
            return 0.5 * self.heat_p + 0.3 * self.p
        return self.shed if point == "load_shed_level" else None

    def write(self, point: str, value: float) -> None:
        if point == "temp_room_set" and 16.0 <= value <= 24.0:
            self.room_set = value
        elif point == "load_shed_level" and 0 <= value <= 3:
            self.shed = value
        else:
            raise Refused(f"{point} = {value}")

    def release(self, point: str) -> None:
        if point == "temp_room_set":
            self.room_set = ROOM_C
        elif point == "load_shed_level":
            self.shed = 0.0


def _left_by(shed: float) -> float:
    """The share of load that a level of shedding leaves: 3 sheds everything, 1 and 2 a third and two thirds."""
    return 1.0 - shed / 3.0


def season_factor(day: int) -> float:
    """Household dynamisation over the year (VDEW M-05/2000): 1.24 in January, 0.80 in July."""
    return -3.92e-10 * day**4 + 3.2e-7 * day**3 - 7.02e-5 * day**2 + 2.1e-3 * day + 1.24


def home_rhythm(hour: float, *, weekend: bool) -> float:
    """Daily shape of a home, mean 1; late breakfast and a longer noon at the weekend."""
    shape = 0.45 + 0.75 * bump(hour, 9.5 if weekend else 7.5, 1.2) + 0.55 * bump(hour, 12.5, 1.5) + 1.45 * bump(hour, 19.5, 2.2)
    return (shape + (0.2 * bump(hour, 13, 2) if weekend else 0.0)) / 0.963
