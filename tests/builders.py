"""Rows for tests, by plain ORM calls."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pilots.api.authentication import digest
from pilots.domain.quality import GOOD, Quality
from pilots.models import Connection, Device, LatestValue, Pilot, Point, Role, RoleGrant, ServiceToken, User


def make_pilot(code: str = "es", **fields: Any) -> Pilot:
    """A pilot at Granollers unless told otherwise."""
    form = {"name": "Granollers", "country": "ES", "time_zone": "Europe/Madrid", "latitude": 41.61, "longitude": 2.29}
    return Pilot.objects.create(code=code, **(form | fields))


def make_connection(pilot: Pilot, name: str = "", **fields: Any) -> Connection:
    """A connection that is up, of pushing devices unless told otherwise."""
    form: dict[str, Any] = {"protocol": "push", "state": "up"}
    return Connection.objects.create(pilot=pilot, name=name or f"{pilot.code}-push", **(form | fields))


def make_device(pilot: Pilot, code: str = "", **fields: Any) -> Device:
    """A storage unit without a connection unless told otherwise."""
    form: dict[str, Any] = {"kind": "storage_unit", "sgam": "E.4.a"}
    return Device.objects.create(pilot=pilot, code=code or f"{pilot.code}-STO01", **(form | fields))


def make_point(device: Device, name: str = "active_power", **fields: Any) -> Point:
    """A measurement in W; a `p_set` is a set-point of ±100 kW proven by active_power."""
    form: dict[str, Any] = {"kind": "measurement", "unit": "W"}
    if name == "p_set":
        capability = {"minimum": -100_000, "maximum": 100_000, "step": 100, "response_time_s": 5, "modes": ["absolute"]}
        form |= {"kind": "setpoint", "feedback": "active_power", "capability": capability}
    return Point.objects.create(device=device, name=name, **(form | fields))


def make_latest(point: Point, value: float | None = 1.0, *, at: datetime | None = None, quality: Quality = GOOD) -> LatestValue:
    """The newest value of a point, measured and received at `at` (now)."""
    moment = at or datetime.now(UTC)
    return LatestValue.objects.create(point=point, value=value, quality=quality.pack(), source_time=moment, received_time=moment)


def make_token(*scopes: str, name: str = "", pilots: Sequence[Pilot] = (), devices: Sequence[Device] = (), **fields: Any) -> str:
    """The secret of a live token with these scopes (read); no pilots: all of them."""
    secret = secrets.token_urlsafe(32)
    token = ServiceToken.objects.create(
        name=name or f"token-{secret[:8]}", sha256=digest(secret), scopes=list(scopes or ("read",)), **fields
    )
    token.pilots.set(pilots)
    token.devices.set(devices)
    return secret


def make_user(username: str = "ana", *, role: Role | None = Role.VIEWER, pilot: Pilot | None = None, **fields: Any) -> User:
    """A person with a role at a pilot, or at all of them."""
    user = User.objects.create_user(username=username, password="correct horse battery", **fields)
    if role is not None:
        RoleGrant.objects.create(user=user, role=role, pilot=pilot)
    return user
