"""A small pilot with one battery, and people who may do different things there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client

from pilots.models import Connection, Device, Link, Pilot, Point, Role, RoleGrant, User
from tests.builders import make_connection, make_device, make_latest, make_pilot, make_point


@dataclass
class Plant:
    pilot: Pilot
    connection: Connection
    storage: Device
    power: Point
    p_set: Point


@pytest.fixture
def plant(db: None) -> Plant:
    pilot = make_pilot("es")
    connection = make_connection(pilot, simulated=True)
    grid = make_device(pilot, "es-GRID", kind="grid_infeed", sgam="E.3.a")
    storage = make_device(pilot, "es-STO01", parent=grid, connection=connection)
    scada = make_device(pilot, "es-SCADA", kind="scada", sgam="E.3.d")
    Link.objects.create(
        pilot=pilot,
        letter="a",
        end_a=scada,
        end_b=storage,
        protocol="IEC 60870-5-104",
        medium="fibre",
        role="ours",
        connection=connection,
    )
    power = make_point(storage)
    make_point(storage, "soc", unit="%")
    make_latest(power, 20_000.0)
    return Plant(pilot, connection, storage, power, make_point(storage, "p_set"))


def client_of(role: Role | None, username: str, **fields: Any) -> Client:
    client = Client(raise_request_exception=False)
    pilot = fields.pop("pilot", None)
    # Without a password: hashing one takes longer than all the rest of a test.
    user = User.objects.create(username=username, **fields)
    if role is not None:
        RoleGrant.objects.create(user=user, role=role, pilot=pilot)
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def viewer(plant: Plant) -> Client:
    return client_of(Role.VIEWER, "vera", pilot=plant.pilot)


@pytest.fixture
def operator(plant: Plant) -> Client:
    return client_of(Role.OPERATOR, "olaf", pilot=plant.pilot)


@pytest.fixture
def engineer(plant: Plant) -> Client:
    return client_of(Role.ENGINEER, "enza", pilot=plant.pilot)
