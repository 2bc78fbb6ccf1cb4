"""Connections of the fault tests as rows: one device with one power behind each, or several units."""

from __future__ import annotations

import math
import time
from itertools import pairwise
from typing import Any

from pilots.models import Connection, LatestValue, Pilot
from tests.builders import make_connection, make_device, make_point
from tests.waiting import Stalls


def modbus_line(pilot: Pilot, name: str, port: int | None, *, units: int = 1, period_s: float = 1.0, **fields: Any) -> Connection:
    """A Modbus TCP connection; device `<name>-<unit>` has a float at register 0."""
    line = make_connection(pilot, name, **({"protocol": "modbus_tcp", "port": port, "state": "unknown"} | fields))
    for unit in range(1, units + 1):
        device = make_device(pilot, f"{name}-{unit}", connection=line, address={"unit": unit})
        make_point(device, period_s=period_s, max_interval_s=period_s, address={"register": 0, "type": "float32"})
    return line


def iec104_line(pilot: Pilot, name: str, port: int, *, max_interval_s: float = 10.0, **fields: Any) -> Connection:
    """An IEC 104 connection; device `<name>-1` has a float at object 1."""
    line = make_connection(pilot, name, **({"protocol": "iec104", "port": port, "state": "unknown"} | fields))
    device = make_device(pilot, f"{name}-1", connection=line, address={"ca": 1})
    make_point(device, max_interval_s=max_interval_s, address={"ioa": 1, "type": 13})
    return line


def arrived(*names: str) -> bool:
    """Every device of these connections has a value."""
    rows = LatestValue.objects.filter(point__device__connection__name__in=names, value__isnull=False)
    return rows.values("point__device__connection").distinct().count() == len(names)


def latest(name: str) -> LatestValue:
    return LatestValue.objects.get(point__device__code=f"{name}-1")


def statistics(name: str) -> dict[str, Any]:
    """The connection's figures as its row shows them."""
    found: dict[str, Any] = Connection.objects.get(name=name).statistics
    return found


def drifts(asked: dict[int, list[float]], period_s: float, since: float, machine: Stalls) -> list[float]:
    """By how much of a period each interval between two questions was off, smallest first; `since` by the monotonic clock.

    Intervals in which the machine stood still, and those right after, say nothing of the gateway and are left out.
    """
    found = []
    for moments in asked.values():
        later = [moment for moment in moments if moment >= since]
        for before, after in pairwise(later):
            if not machine.between(before - period_s, after):
                found.append(abs(after - before - period_s) / period_s)
    return sorted(found)


def quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


def wait(seconds: float) -> None:
    """The fault lasts, or is watched, for so long."""
    time.sleep(seconds)
