"""Charge points and the cars that come to them. [zone: process, simulated] [D7.1 4.1 UC-1]"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from pilots.simulators.loads import Refused, Unit
from pilots.simulators.weather import Weather

PHASE_VOLTAGE = 230.0
MINIMUM_A = 6.0  # IEC 61851-1: below this a car pauses
EFFICIENCY = 0.9
HANDSHAKE_S = 3.0
PATTERNS = ("home", "office", "public")
CAR_POWERS = ((3680.0, 1), (7360.0, 1), (11040.0, 3))


@dataclass(slots=True)
class Car:
    """One visit: what the car wants and until when."""

    need_wh: float
    battery_wh: float
    start_soc: float
    p_max: float
    phases: int
    arrival: datetime
    departure: datetime
    charged_wh: float = 0.0

    @property
    def soc(self) -> float:
        """0..1, grid energy counted with the charging efficiency."""
        return min(1.0, self.start_soc + self.charged_wh * EFFICIENCY / self.battery_wh)


class Charger(Unit):
    """One EVSE with one connector. `keep_busy` gives it the next car whenever one is about to leave (demo stations).

    `authorised` is set by the station's peer (or at once without one): only then does power flow. `limit_w` is the
    ceiling in force, None for none. `state` is the OCPP word.
    """

    def __init__(
        self, source: random.Random, *, rated_w: float, pattern: str, keep_busy: bool, v2g: bool, start: datetime
    ) -> None:
        super().__init__()
        self._random, self.rated_w, self.pattern, self.v2g = source, rated_w, pattern, v2g
        self.keep_busy, self.single_phase = keep_busy, rated_w < 10000.0 and not v2g
        self.limit_w: float | None = None
        self.p_set: float | None = None
        self.car: Car | None = None
        self.state = "Available"
        self.available = True
        self.stopped = False
        self.authorise_by_itself = True
        self.authorised = False
        self.out_of_order = False
        self.session_id = ""
        self.id_tag = ""
        self.now = start
        self._handshake = 0.0
        self._gap_s = 5.0
        self.mean_import_w = min(rated_w, 11100.0) if keep_busy else 0.12 * rated_w
        if keep_busy or source.random() < 0.35:
            self._arrive()

    @property
    def minimum_w(self) -> float:
        return MINIMUM_A * PHASE_VOLTAGE * (self.car.phases if self.car else 1)

    def step(self, weather: Weather, dt_s: float, *, live: bool) -> None:
        self.now += timedelta(seconds=dt_s)
        self._come_and_go(weather, dt_s)
        power = self._power(live)
        car = self.car
        if car is not None and power:
            car.charged_wh += power * dt_s / 3600.0
        self.p, self.q = power, 0.0
        self.state = self._state(power)
        single = car is not None and car.phases == 1
        self.phases = (1.0, 0.0, 0.0) if single else (1 / 3, 1 / 3, 1 / 3)

    def _come_and_go(self, weather: Weather, dt_s: float) -> None:
        if self.car is None:
            self._gap_s -= dt_s
            if self._gap_s <= 0 if self.keep_busy else self._random.random() < self._chance(weather) * dt_s:
                self._arrive()
            return
        self._handshake = max(0.0, self._handshake - dt_s)
        if self.authorise_by_itself and not self._handshake and not self.stopped:
            self.authorised = True
        left = (self.car.departure - self.now).total_seconds()
        tired = self.keep_busy and (left < 7500.0 or self.car.soc > 0.78 or self.car.charged_wh >= self.car.need_wh - 500.0)
        if left <= 0 or tired:
            self._leave()

    def _chance(self, weather: Weather) -> float:
        """Arrivals per second at this hour."""
        t = weather.hour
        if self.pattern == "office":
            return 0.0 if weather.weekend else _bell(t, 8.5, 0.8) * 1.0 / 3600.0
        if self.pattern == "public":
            return 1.6 * (0.35 * _bell(t, 9, 1.5) + 0.45 * _bell(t, 17.5, 2) + 0.2 / 24.0) / 3600.0
        return 0.7 * _bell(t, 18, 2) / 3600.0

    def _arrive(self) -> None:
        median, sigma, shape, mean = {"home": (11, 0.45, 1.9, 11.5e3), "office": (8, 0.25, 2.0, 14e3)}.get(
            self.pattern, (4, 0.8, 1.6, 15e3)
        )
        hours = self._random.lognormvariate(math.log(median), sigma)
        need = self._random.gammavariate(shape, mean / shape)
        p_max, phases = self._random.choices(CAR_POWERS, weights=(40, 35, 25))[0]
        battery, soc = self._random.uniform(40e3, 77e3), self._random.uniform(0.2, 0.6)
        if self.keep_busy:
            # A demo station's car is three-phase where the station is, nearly empty and stays for long.
            hours, soc, battery = max(hours, 9.0), 0.15, 80e3
            need, p_max, phases = 55e3, min(self.rated_w, 11040.0), 3
        if self.single_phase:
            phases, p_max = 1, min(p_max, 7360.0)
        self.car = Car(
            need_wh=need, battery_wh=battery, start_soc=soc, p_max=min(p_max, self.rated_w), phases=phases,
            arrival=self.now, departure=self.now + timedelta(hours=hours),
        )  # fmt: skip
        self._handshake, self.stopped, self.authorised = HANDSHAKE_S, False, False
        self.id_tag = f"TAG{self._random.randrange(16**6):06X}"

    def _leave(self) -> None:
        self.car, self.authorised, self.p_set = None, False, None
        self._gap_s = 5.0

    def _power(self, live: bool) -> float:
        car = self.car
        if car is None or not live or not self.authorised or self.stopped or not self.available or self.out_of_order:
            return 0.0
        if self.v2g and self.p_set is not None and self.p_set < 0 and self._may_discharge(car):
            return max(self.p_set, -self.rated_w)
        soc = car.soc
        wish = car.p_max if soc < 0.8 else car.p_max * max(0.05, 1.0 - 0.95 * (soc - 0.8) / 0.2)
        if car.charged_wh >= car.need_wh or soc >= 1.0:
            return 0.0
        allowed = min(self.rated_w, self.rated_w if self.limit_w is None else self.limit_w)
        if allowed < self.minimum_w - 1.0:
            return 0.0
        return min(wish, allowed)

    def _may_discharge(self, car: Car) -> bool:
        left_h = (car.departure - self.now).total_seconds() / 3600.0
        return car.soc > 0.4 and left_h * car.p_max > car.need_wh - car.charged_wh

    def _state(self, power: float) -> str:
        if self.out_of_order:
            return "Faulted"
        if not self.available:
            return "Unavailable"
        if self.car is None:
            return "Available"
        if self.stopped:
            return "Finishing"
        if not self.authorised:
            return "Preparing"
        if power:
            return "Charging"
        limited = self.limit_w is not None and self.limit_w < self.minimum_w - 1.0
        return "SuspendedEVSE" if limited else "SuspendedEV"

    def read(self, point: str) -> float | str | None:
        car = self.car
        limit = self.rated_w if self.limit_w is None else self.limit_w
        always: dict[str, float | str] = {
            "charging_power": self.p,
            "active_power": self.p,
            "connector_state": self.state,
            "p_limit": limit,
            "charging_power_max": min(self.rated_w, limit),
            "charging_power_min": MINIMUM_A * PHASE_VOLTAGE,
            "session_id": self.session_id,
            "auth_id": self.id_tag if car else "",
            "enable": float(self.available),
            "enabled": float(self.available),
        }
        if car is None or point in always:
            return always.get(point)
        if point == "departure_time":
            return car.departure.isoformat()
        return {"session_energy": car.charged_wh, "ev_soc": 100 * car.soc, "energy_need": car.need_wh - car.charged_wh}.get(point)

    def write(self, point: str, value: float) -> None:
        if point == "p_limit" and value >= 0:
            self.limit_w = value
        elif point == "p_set" and self.v2g and abs(value) <= self.rated_w:
            self.p_set = value
        elif point == "enable":
            self.available = value != 0
        elif point == "remote_stop" and self.car is not None:
            self.stopped, self.authorised = True, False
        elif point == "remote_start" and self.car is not None:
            self.stopped, self.authorised = False, True
        else:
            raise Refused(f"{point} = {value}")

    def release(self, point: str) -> None:
        if point == "p_limit":
            self.limit_w = None
        elif point == "p_set":
            self.p_set = None


def _bell(t: float, middle: float, width: float) -> float:
    """Normal density per hour around an hour of the day."""
    distance = min(abs(t - middle), 24.0 - abs(t - middle))
    return math.exp(-distance * distance / (2 * width * width)) / (width * math.sqrt(2 * math.pi))
