"""Thousands of connections by copying one in the database: rows that never were in this process cannot weigh on its memory."""

from __future__ import annotations

from django.db import connection
from django.db.models import Model

from pilots.models import Connection, Device, Pilot, Point


def multiply(line: Connection, copies: int) -> None:
    """So many connections more like this one, each with a device of its own like its first, with the same points."""
    device = Device.objects.get(connection=line)
    first = Connection.objects.count()
    _copy(Connection, f"generate_series({first}, {first + copies - 1}) AS n WHERE t.id = {line.pk}", name=f"'{line.name}-' || n")
    mine = f"name LIKE '{line.name}-%'"
    lines = f"pilots_connection c WHERE t.id = {device.pk} AND c.{mine} AND NOT EXISTS ({_DEVICE_OF_LINE})"
    _copy(Device, lines, connection_id="c.id", code=f"'{device.code}-' || c.id")
    devices = (
        f"pilots_device d WHERE t.device_id = {device.pk} AND d.code LIKE '{device.code}-%' AND NOT EXISTS ({_POINT_OF_DEVICE})"
    )
    _copy(Point, devices, device_id="d.id")
    Pilot.objects.filter(pk=line.pilot_id).update(revision=1000 + Connection.objects.count())


_DEVICE_OF_LINE = "SELECT 1 FROM pilots_device x WHERE x.connection_id = c.id"
_POINT_OF_DEVICE = "SELECT 1 FROM pilots_point x WHERE x.device_id = d.id"


def _copy(model: type[Model], source: str, **changed: str) -> None:
    columns = [f'"{field.column}"' for field in model._meta.concrete_fields if not field.primary_key]
    values = [changed.get(column.strip('"'), f"t.{column}") for column in columns]
    table = model._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values)} FROM {table} t, {source}")
