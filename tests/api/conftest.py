"""What the API tests share: a small plant and a client per token."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client

import pilots.acquisition.ingest as door
import pilots.northbound.outbox as outbox
from pilots.api.permissions import RATE_LIMIT
from pilots.models import Device, Pilot, Point
from tests.builders import make_connection, make_device, make_pilot, make_point, make_token

BASE = "/api/v1"


class Api:
    """A test client that carries one bearer token; paths are those of docs/api.md."""

    def __init__(self, token: str | None = None) -> None:
        self.client = Client(raise_request_exception=False)
        self.headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(BASE + path, query, headers=self.headers)

    def put(self, path: str, body: Any, **headers: str) -> Any:
        return self.client.put(BASE + path, body, content_type="application/json", headers=self.headers | headers)

    def delete(self, path: str) -> Any:
        return self.client.delete(BASE + path, headers=self.headers)

    def post(self, path: str, body: Any, key: str | None = None) -> Any:
        headers = self.headers | ({} if key is None else {"Idempotency-Key": key})
        return self.client.post(BASE + path, body, content_type="application/json", headers=headers)


@dataclass
class Plant:
    """Spain with a battery that pushes, the Netherlands beside it."""

    es: Pilot
    nl: Pilot
    battery: Device
    charger: Device
    power: Point
    p_set: Point


@pytest.fixture(autouse=True)
def _full_buckets() -> None:
    RATE_LIMIT.forget()


@pytest.fixture
def plant(db: None) -> Plant:
    return build_plant()


def build_plant() -> Plant:
    es, nl = make_pilot("es"), make_pilot("nl", name="Arnhem", country="NL")
    battery = make_device(es, "es-STO01", connection=make_connection(es))
    charger = make_device(nl, "nl-EVSE01", kind="charge_point")
    power = make_point(battery, "active_power", max_interval_s=10)
    p_set = make_point(battery, "p_set")
    make_point(battery, "serial_number", kind="text", unit="")
    make_point(charger, "active_power")
    return Plant(es, nl, battery, charger, power, p_set)


@pytest.fixture
def ingesting() -> Iterator[None]:
    """The one door, empty at the start and closed at the end: its memory belongs to this test's rows."""
    door._ingest = None
    getattr(outbox, "_pilot_keys", {}).clear()
    yield
    if door._ingest is not None:
        door._ingest.stop()
        door._ingest = None


def api(*scopes: str, **rights: Any) -> Api:
    """A client with a token of these scopes."""
    return Api(make_token(*scopes, **rights))


def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    """The problem document of an answer that must have this status and code."""
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert (body["code"], body["status"]) == (code, status), body
    return body
