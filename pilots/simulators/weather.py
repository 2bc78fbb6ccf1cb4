"""Weather, sun and photovoltaics of the five sites. [zone: process, simulated]

Models: Haurwitz clear sky, Erbs diffuse share, three day types with a drifting cloud factor; every parameter is assumed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from pilots.domain.topology import PilotSpec
from pilots.simulators.noise import Drift, bump, generator

CLEAR, MIXED, OVERCAST = 0, 1, 2
CLOUD_FACTOR = (1.0, 0.68, 0.28)
CLOUD_SPREAD = (0.02, 0.20, 0.08)
LOSSES = 0.80  # inverter, wiring, soiling, mismatch


@dataclass(frozen=True, kw_only=True, slots=True)
class Climate:
    """Yearly mean, yearly and daily swing in K; tilt in degrees; chances of clear and mixed days, summer and winter."""

    mean: float
    yearly: float
    daily: float
    tilt: float
    summer: tuple[float, float]
    winter: tuple[float, float]


CLIMATES = {
    "bg": Climate(mean=13, yearly=11, daily=4, tilt=30, summer=(0.62, 0.30), winter=(0.28, 0.32)),
    "es": Climate(mean=15.5, yearly=9, daily=5, tilt=30, summer=(0.65, 0.30), winter=(0.48, 0.32)),
    "nl": Climate(mean=10.3, yearly=8, daily=4, tilt=35, summer=(0.38, 0.38), winter=(0.20, 0.30)),
    "no": Climate(mean=8, yearly=7, daily=2.5, tilt=35, summer=(0.38, 0.37), winter=(0.18, 0.30)),
    "de": Climate(mean=11, yearly=10, daily=5, tilt=32, summer=(0.45, 0.35), winter=(0.22, 0.30)),
}


class Weather:
    """The air and the sky over one site; `step` moves it, the attributes are then true for that instant.

    ghi, poa: W/m2 horizontal and in the plane of the (south-facing) modules; ambient, module: degC; wind: m/s, degrees.
    `day_type` pins the sky for demos and tests.
    """

    def __init__(self, pilot: PilotSpec, *, seed: int, day_type: int | None = None) -> None:
        self.climate = CLIMATES.get(pilot.code, CLIMATES["de"])
        self.latitude, self.longitude = math.radians(pilot.latitude), pilot.longitude
        self.zone = ZoneInfo(pilot.time_zone)
        self.seed, self.code, self.day_type = seed, pilot.code, day_type
        self._clouds = Drift(generator(seed, pilot.code, "clouds"), sigma=1.0, tau_s=900.0)
        self._warmth = Drift(generator(seed, pilot.code, "warmth"), sigma=1.5, tau_s=12 * 3600.0)
        self._wind = Drift(generator(seed, pilot.code, "wind"), sigma=1.0, tau_s=1800.0)
        self._types: dict[object, int] = {}
        self.ghi = self.poa = self.elevation = 0.0
        self.ambient = self.module = self.climate.mean
        self.wind_speed, self.wind_direction = 4.0, 220.0
        self.hour, self.day, self.weekend = 0.0, 1, False

    def step(self, now: datetime, dt_s: float) -> None:
        local = now.astimezone(self.zone)
        self.hour = local.hour + local.minute / 60 + local.second / 3600
        self.day, self.weekend = local.timetuple().tm_yday, local.weekday() >= 5
        season = math.cos(2 * math.pi * (self.day - 20) / 365)
        swing = self.climate.daily * math.cos(2 * math.pi * (self.hour - 15) / 24)
        self.ambient = self.climate.mean - self.climate.yearly * season + swing + self._warmth.step(dt_s)
        gust = self._wind.step(dt_s)
        self.wind_speed = max(0.0, 4.0 + 1.5 * season + 1.2 * gust)
        self.wind_direction = (220.0 + 40.0 * gust) % 360.0
        self._shine(now, self._type_of(local), self._clouds.step(dt_s))
        self.module = self.ambient + 25.0 / 800.0 * self.poa

    def _type_of(self, local: datetime) -> int:
        """The day's type: a throw that depends on seed and date only, so a restart at noon keeps the sky."""
        if self.day_type is not None:
            return self.day_type
        date = local.date()
        if date not in self._types:
            share = 0.5 - 0.5 * math.cos(2 * math.pi * (local.timetuple().tm_yday - 10) / 365)
            clear, mixed = (w + share * (s - w) for s, w in zip(self.climate.summer, self.climate.winter, strict=True))
            throw = generator(self.seed, self.code, date).random()
            self._types = {date: CLEAR if throw < clear else MIXED if throw < clear + mixed else OVERCAST}
        return self._types[date]

    def _shine(self, now: datetime, day_type: int, z: float) -> None:
        day, sine, hour_angle, declination = sun(now, self.latitude, self.longitude)
        self.elevation = math.degrees(math.asin(max(-1.0, min(1.0, sine))))
        if sine <= 0.01:
            self.ghi = self.poa = 0.0
            return
        cloud = min(1.08, max(0.05, CLOUD_FACTOR[day_type] + CLOUD_SPREAD[day_type] * z))
        self.ghi = 1098.0 * sine * math.exp(-0.057 / sine) * cloud
        outer = 1361.0 * (1 + 0.033 * math.cos(2 * math.pi * day / 365)) * sine
        diffuse = self.ghi * _diffuse_share(min(1.0, self.ghi / outer))
        tilt = math.radians(self.climate.tilt)
        facing = math.sin(declination) * math.sin(self.latitude - tilt)
        facing += math.cos(declination) * math.cos(self.latitude - tilt) * math.cos(hour_angle)
        # Near the horizon beam/sine explodes: no site sees more than the solar constant.
        beam = min((self.ghi - diffuse) / sine, 1361.0)
        self.poa = beam * max(0.0, facing) + diffuse * (1 + math.cos(tilt)) / 2 + 0.2 * self.ghi * (1 - math.cos(tilt)) / 2


def sun(now: datetime, latitude: float, longitude: float) -> tuple[int, float, float, float]:
    """Day of year, sine of the sun's elevation, hour angle and declination (radians) at an instant."""
    utc = now.astimezone(UTC)
    day = utc.timetuple().tm_yday
    declination = math.radians(23.45) * math.sin(2 * math.pi * (284 + day) / 365)
    b = 2 * math.pi * (day - 81) / 364
    equation_min = 9.87 * math.sin(2 * b) - 7.53 * math.cos(b) - 1.5 * math.sin(b)
    hour = utc.hour + utc.minute / 60 + utc.second / 3600 + longitude / 15 + equation_min / 60
    angle = math.radians(15.0 * (hour - 12.0))
    sine = math.sin(latitude) * math.sin(declination) + math.cos(latitude) * math.cos(declination) * math.cos(angle)
    return day, sine, angle, declination


def _diffuse_share(kt: float) -> float:
    """Diffuse part of the global irradiance by clearness index (Erbs et al. 1982)."""
    if kt <= 0.22:
        return 1.0 - 0.09 * kt
    if kt <= 0.80:
        return 0.9511 - 0.1604 * kt + 4.388 * kt**2 - 16.638 * kt**3 + 12.336 * kt**4
    return 0.165


def pv_power(peak_w: float, inverter_w: float, poa: float, module: float) -> float:
    """AC power of an array without a limit, load convention: never positive.

    >>> round(pv_power(60e3, 60e3, 1000.0, 25.0))
    -48000
    """
    return -min(inverter_w, peak_w * poa / 1000.0 * (1.0 - 0.004 * (module - 25.0)) * LOSSES)


def occupancy(day: int) -> float:
    """Share of hotel rooms taken over the year: a seaside summer."""
    return 0.05 + 0.90 * math.exp(-(((day - 210) / 45.0) ** 2))


def evening(hour: float) -> float:
    """Hot-water draw over the day, relative."""
    return 0.4 * bump(hour, 8, 1.2) + 0.6 * bump(hour, 19.5, 1.8)
