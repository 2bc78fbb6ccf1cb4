"""What the set-point tests share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pilots.control.services import request_setpoint
from pilots.domain.setpoint import Issuer
from pilots.models import Point, Setpoint
from pilots.models.leases import HeldLease, take_lease
from tests.conftest import Battery

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def narrowed(point: Point, **rules: Any) -> None:
    """The point's capability says this too."""
    point.capability = {**(point.capability or {}), **rules}
    point.save()


@pytest.fixture
def wish(battery: Battery) -> Callable[..., Setpoint]:
    """An operator's wish for the battery, valid for five minutes, unless told otherwise."""

    def make(value: float = -20_000.0, **fields: Any) -> Setpoint:
        now = fields.pop("now", NOW)
        form: dict[str, Any] = {"unit": "W", "issuer": Issuer.OPERATOR, "requested_by": "ana", "point": battery.p_set}
        form |= {"valid_until": now + timedelta(minutes=5), "now": now}
        return request_setpoint(value=value, **(form | fields))

    return make


@pytest.fixture
def lease(battery: Battery) -> HeldLease:
    """The lease of the battery's connection, as its gateway holds it."""
    held = take_lease("connection:es-rtu01", "gateway-1", ttl_s=3600, now=NOW)
    assert held is not None
    return held
