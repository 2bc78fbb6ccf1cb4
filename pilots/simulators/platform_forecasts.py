"""The simulated platform's forecasts: some powers, a capacity and prices, told anew each hour. [zone: enterprise, simulated]

Sun and weather are those of the plant's own model, stepped in quarters of an hour, with clouds of their own; a load follows the
rhythm of its kind from where it stands. So forecasts look like the day and are never quite right.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from pilots.domain.forecast import ForecastKind
from pilots.domain.topology import PilotSpec
from pilots.simulators.ledger import Ledger, stamp
from pilots.simulators.loads import home_rhythm
from pilots.simulators.noise import bump
from pilots.simulators.weather import Weather, pv_power

log = logging.getLogger(__name__)

POINT = "active_power"
STEP = timedelta(minutes=15)
STEPS = 192
EVERY = timedelta(hours=1)
LOOK_S = 60.0
FIRST_AFTER_S = 40.0
LEDGER = "platform_forecasts.jsonl"
#: Bounds about a value, as shares of it.
LOW, HIGH = 0.8, 1.2


@dataclass(frozen=True, slots=True)
class Subject:
    """What is foreseen; `most_w` is an array's peak and a capacity at its widest. A price has no device."""

    pilot: str
    kind: ForecastKind
    device: str = ""
    most_w: float = 0.0


SUBJECTS = (
    Subject("bg", ForecastKind.LOAD, "bg-PM02"),
    Subject("bg", ForecastKind.GENERATION, "bg-INV01", 60_000.0),
    Subject("es", ForecastKind.GENERATION, "es-PV01", 4_000.0),
    Subject("nl", ForecastKind.LOAD, "nl-SM14"),
    Subject("nl", ForecastKind.CAPACITY, "nl-SM14", 60_000.0),
    Subject("no", ForecastKind.LOAD, "no-SM01"),
    Subject("de", ForecastKind.LOAD, "de-SM01"),
    *(Subject(code, ForecastKind.PRICE) for code in ("bg", "es", "nl", "no", "de")),
)


class Forecasts:
    """Tells our API what the platform expects, and notes each run that was taken."""

    def __init__(
        self,
        ledger_folder: Path,
        *,
        base_url: Callable[[], str | None],
        token: Callable[[], str | None],
        pilots: Sequence[PilotSpec],
        seed: int,
    ) -> None:
        self.base_url, self.token, self.seed = base_url, token, seed
        self.pilots = {pilot.code: pilot for pilot in pilots}
        known = {device.id for pilot in pilots for device in pilot.devices}
        self.subjects = [each for each in SUBJECTS if each.pilot in self.pilots and each.device in known | {""}]
        self._told_at: dict[Subject, datetime] = {}
        self._ledger = Ledger(ledger_folder / LEDGER)

    async def run(self) -> None:
        """Until cancelled."""
        await asyncio.sleep(FIRST_AFTER_S)
        async with httpx.AsyncClient(timeout=10.0, trust_env=False) as client:
            while self.subjects:
                for subject in self.due(datetime.now(UTC)):
                    try:
                        await self.tell(client, subject, datetime.now(UTC))
                    except (httpx.HTTPError, ValueError, KeyError) as error:
                        log.debug("forecast for %s: %s", subject.device or subject.pilot, error)
                await asyncio.sleep(LOOK_S)

    def due(self, now: datetime) -> Iterable[Subject]:
        """Those that were not told within the hour."""
        return [each for each in self.subjects if each not in self._told_at or now - self._told_at[each] >= EVERY]

    async def tell(self, client: httpx.AsyncClient, subject: Subject, now: datetime) -> str | None:
        """The id of the run that was taken; None where it could not be made or handed over."""
        url, token = self.base_url(), self.token()
        if url is None or token is None:
            return None
        headers = {"Authorization": f"Bearer {token}"}
        present = await self._present(client, f"{url}/measurements/latest", subject, headers)
        if present is None:
            return None
        body = self.foreseen(subject, present, now)
        answer = await client.post(f"{url}/forecasts", json=body, headers=headers)
        self._ledger.write(kind=subject.kind, pilot=subject.pilot, device=subject.device, status=answer.status_code)
        if answer.status_code not in (200, 201):
            return None
        self._told_at[subject] = now
        return str(answer.json()["id"])

    async def _present(self, client: httpx.AsyncClient, url: str, subject: Subject, headers: dict[str, str]) -> float | None:
        """Where a load stands, None where nobody knows; the others need none."""
        if subject.kind is not ForecastKind.LOAD:
            return 0.0
        query = {"point": f"{subject.pilot}/{subject.device}/{POINT}"}
        rows = (await client.get(url, params=query, headers=headers)).json()["results"]
        return None if not rows or rows[0]["value"] is None else float(rows[0]["value"])

    def foreseen(self, subject: Subject, present: float, now: datetime) -> dict[str, Any]:
        """Two days from the last midnight (UTC) on, so that a run stands against what was measured of its day too."""
        start = now.replace(hour=0, minute=0, second=0, microsecond=0)
        moments = [start + number * STEP for number in range(STEPS)]
        form: dict[str, Any] = {"kind": subject.kind, "issued_at": stamp(now), "start": stamp(start), "resolution": "PT15M"}
        form |= {"issuer": "simulated INVADE platform", "values": self._values(subject, present, moments, now)}
        if subject.kind is ForecastKind.PRICE:
            return form | {"pilot": subject.pilot, "unit": "EUR/MWh"}
        if subject.kind is not ForecastKind.CAPACITY:
            bounds = [sorted((value * LOW, value * HIGH)) for value in form["values"]]
            form |= {"low": [low for low, _high in bounds], "high": [high for _low, high in bounds]}
        return form | {"device": subject.device, "point": POINT, "unit": "W"}

    def _values(self, subject: Subject, present: float, moments: Sequence[datetime], now: datetime) -> list[float]:
        pilot = self.pilots[subject.pilot]
        if subject.kind is ForecastKind.GENERATION:
            return _generation(Weather(pilot, seed=self.seed), subject.most_w, moments)
        zone = Weather(pilot, seed=self.seed).zone
        hours = [_hour(moment.astimezone(zone)) for moment in moments]
        if subject.kind is ForecastKind.PRICE:
            return [
                round(60.0 + 35.0 * bump(hour, 8, 1.5) + 70.0 * bump(hour, 19, 2) - 45.0 * bump(hour, 13, 2), 2) for hour in hours
            ]
        if subject.kind is ForecastKind.CAPACITY:
            return [round(subject.most_w * (1.0 - 0.6 * bump(hour, 19, 2.5)), -2) for hour in hours]
        standing = present / home_rhythm(_hour(now.astimezone(zone)), weekend=False)
        return [round(standing * home_rhythm(hour, weekend=False), 1) for hour in hours]


def _generation(weather: Weather, peak_w: float, moments: Sequence[datetime]) -> list[float]:
    values = []
    for moment in moments:
        weather.step(moment, STEP.total_seconds())
        values.append(round(pv_power(peak_w, peak_w, weather.poa, weather.module), 1) + 0.0)
    return values


def _hour(local: datetime) -> float:
    return local.hour + local.minute / 60
