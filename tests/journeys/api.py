"""The product's API as its clients use it: over HTTP, with a token."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx

Json = dict[str, Any]


def stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


class Api:
    """Waits out the rate limit; otherwise answers are handed over as they come."""

    def __init__(self, url: Callable[[], str], token: str) -> None:
        self.url, self.token = url, token
        self._http = httpx.Client(trust_env=False, timeout=15.0)

    def close(self) -> None:
        self._http.close()

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {options.pop('token', self.token)}"} | options.pop("headers", {})
        while True:
            answer = self._http.request(method, self._place(path), headers=headers, **options)
            if answer.status_code != 429:
                return answer
            time.sleep(float(answer.headers["Retry-After"]))

    def _place(self, path: str) -> str:
        return path if path.startswith("http") else f"{self.url()}/api/v1/{path}"

    def get(self, path: str, **query: Any) -> Json:
        """Raises AssertionError for anything but 200."""
        answer = self.send("GET", path, params=query or None)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        form: Json = answer.json()
        return form

    def all(self, path: str, **query: Any) -> Iterator[Json]:
        """Every result of a list, page after page."""
        page = self.get(path, **query)
        while True:
            yield from page["results"]
            if page["next"] is None:
                return
            page = self.get(page["next"])

    def latest(self, **query: str) -> dict[str, Json]:
        """The newest values by `device/point`."""
        return {f"{row['device']}/{row['point']}": row for row in self.all("measurements/latest", limit=5000, **query)}

    def value(self, reference: str) -> Json:
        """The newest value of `pilot/device/point`."""
        (row,) = self.all("measurements/latest", point=reference)
        return row

    def history(self, references: list[str], start: datetime, end: datetime) -> list[Json]:
        """Every sample of these points in [start, end), oldest first within each hundred points."""
        found: list[Json] = []
        for first in range(0, len(references), 100):
            query = {"point": references[first : first + 100], "from": stamp(start), "to": stamp(end), "limit": 10_000}
            found += self.all("measurements", **query)
        return found

    def push(self, pilot: str, values: list[Json], key: str) -> httpx.Response:
        return self.send("POST", "measurements", json={"pilot": pilot, "values": values}, headers={"Idempotency-Key": key})

    def ask(self, device: str, point: str, value: float, *, valid_s: float = 120.0, **more: Any) -> httpx.Response:
        """A set-point in W, with a key of its own unless one is given."""
        headers = {"Idempotency-Key": more.pop("key", str(uuid4()))}
        token = more.pop("token", self.token)
        until = stamp(datetime.now(UTC) + timedelta(seconds=valid_s))
        body = {"device": device, "point": point, "value": value, "unit": "W", "valid_until": until} | more
        return self.send("POST", "setpoints", json=body, headers=headers, token=token)

    def setpoint(self, number: str) -> Json:
        return self.get(f"setpoints/{number}")
