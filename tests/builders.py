"""Rows for tests, by plain ORM calls."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np

from pilots.api.authentication import digest
from pilots.domain.columns import Measurements
from pilots.domain.measurement import Measurement
from pilots.domain.moments import microseconds
from pilots.domain.quality import GOOD, Quality
from pilots.history import services as history
from pilots.models import Connection, Device, LatestValue, Pilot, Point, Role, RoleGrant, ServiceToken, User
from pilots.northbound.outbox import enqueue_measurements


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


class NewSample(NamedTuple):
    """One sample to keep: key of its point, microseconds since 1970 UTC, receive offset in ms, value or None, packed quality."""

    point: int
    source_us: int
    received_ms: int
    value: float | None
    quality: int


def new_sample(point: int, *, source_time: datetime, received_time: datetime, value: float | None, quality: int) -> NewSample:
    """The sample of a measurement."""
    source_us = microseconds(source_time)
    return NewSample(point, source_us, (microseconds(received_time) - source_us) // 1000, value, quality)


def record_samples(samples: Sequence[NewSample], *, may_repeat: bool = True) -> None:
    """The history holds these samples; without `may_repeat` nobody looks whether one of their instants stands there already."""
    rows = np.array([tuple(sample) for sample in samples], dtype="i8, i8, i8, f8, i8")
    point, source_us, received_ms, value, quality = (rows[name] for name in rows.dtype.names or ())
    texts = np.empty(rows.size, dtype=object)
    measurements = Measurements(value, quality, source_us, source_us + received_ms * 1000, texts)
    history.record_samples(point, measurements, now=datetime.now(UTC), may_repeat=np.full(rows.size, may_repeat))


def queue_messages(pilot: Pilot, *values: float, now: datetime) -> None:
    """A message waits in the outbox for each value."""
    names = [("es-STO01", "active_power", "W")]
    for value in values:
        measurements = Measurements.of([Measurement(value, GOOD, now, now)])
        enqueue_measurements(np.array([pilot.pk]), np.array([0]), measurements, names=names, now=now)


def make_token(*scopes: str, name: str = "", pilots: Sequence[Pilot] = (), devices: Sequence[Device] = (), **fields: Any) -> str:
    """The secret of a live token with these scopes (read); no pilots: all of them."""
    secret = secrets.token_urlsafe(32)
    token = ServiceToken.objects.create(
        name=name or f"token-{secret[:8]}",
        sha256=digest(secret),
        scopes=list(scopes or ("read",)),
        **({"all_pilots": not pilots, "all_devices": not devices} | fields),
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
