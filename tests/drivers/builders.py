"""Targets, devices and points for driver tests, in one line each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pilots.domain.measurement import RawReading
from pilots.domain.point import PointKind, PointSpec
from pilots.drivers.base import DeviceTarget, Target


def make_point(name: str, kind: PointKind = PointKind.MEASUREMENT, **address: Any) -> PointSpec:
    return PointSpec(name=name, kind=kind, address=address)


def make_device(*points: PointSpec, id: str = "bg-M01", address: Mapping[str, Any] | None = None, **options: Any) -> DeviceTarget:
    return DeviceTarget(
        id=id, address={"unit": 1} if address is None else address, points={p.name: p for p in points}, options=options
    )


def make_target(port: int, *devices: DeviceTarget, **options: Any) -> Target:
    return Target(name="test", host="127.0.0.1", port=port, devices=devices, options=options)


class Committed:
    """A sink that remembers what it was given, in order."""

    def __init__(self) -> None:
        self.readings: list[tuple[str, RawReading]] = []

    async def __call__(self, device_id: str, readings: Sequence[RawReading]) -> None:
        self.readings += [(device_id, reading) for reading in readings]

    def values(self, device_id: str) -> dict[str, float | str | None]:
        """The newest value of each point of a device."""
        return {reading.point: reading.value for device, reading in self.readings if device == device_id}
