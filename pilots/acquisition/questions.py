"""Carries out a person's question at a connection that this gateway holds, and puts the answer into plain JSON. [station]"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Protocol, runtime_checkable

from pilots.acquisition.address_checks import occupied_by
from pilots.acquisition.field_requests import spec_of
from pilots.acquisition.targets import Plan
from pilots.domain.errors import AnswerTimeout, CatalogueError, FieldError, PilotsError
from pilots.domain.point import PointSpec
from pilots.domain.quality import Quality, Source
from pilots.drivers.base import Driver, Examined
from pilots.drivers.registry import DRIVERS
from pilots.drivers.traffic import LoggedFrame, Traffic
from pilots.models import FieldRequest, RequestKind

#: Frames one answer carries at most, the newest of them.
MOST_FRAMES = 500


@runtime_checkable
class Browsing(Protocol):
    """A driver whose devices can list what they offer, as dataclasses."""

    async def browse(self, device_id: str) -> Sequence[Any]: ...


async def carry_out(request: FieldRequest, plan: Plan, driver: Driver | None, traffic: Traffic) -> tuple[Any, str]:
    """The answer and no error, or no answer and the error in words. `driver` is None while the connection is down."""
    try:
        if request.kind == RequestKind.FRAMES:
            return await _frames(request, plan, driver, traffic), ""
        if driver is None:
            return None, "The connection is down just now."
        device = request.device.code if request.device is not None else ""
        if request.kind == RequestKind.BROWSE:
            return await _browse(driver, device), ""
        spec = spec_of(request.kind, request.question)
        if request.kind == RequestKind.READ:
            return _told(spec, await driver.examine(device, spec), simulated=plan.simulated), ""
        return await _write(request, plan, driver, spec)
    except PilotsError as error:
        return None, str(error)


async def _write(request: FieldRequest, plan: Plan, driver: Driver, spec: PointSpec) -> tuple[Any, str]:
    """The configuration may have changed since the question was allowed: what is a set-point by now stays untouched."""
    device = next((device for device in plan.target.devices if request.device and device.id == request.device.code), None)
    if device is None:
        return None, "The device is not on this connection any more."
    point = occupied_by(plan.protocol, plan.target.devices, device, spec)
    if point:
        raise CatalogueError(f"this is {point}: use a set-point", field="address")
    try:
        written = await driver.write_spec(device.id, spec, float(request.question["value"]))
    except AnswerTimeout as error:
        return None, f"{error} It may have acted on it."
    return {"raw": written.raw}, ""


async def _browse(driver: Driver, device: str) -> Any:
    if not isinstance(driver, Browsing):
        raise FieldError(f"{driver.target.name}: this protocol cannot list what a device offers")
    return [asdict(offer) for offer in await driver.browse(device)]


def _told(spec: PointSpec, found: Examined, *, simulated: bool) -> dict[str, Any]:
    reading, quality = found.reading, found.reading.quality
    if simulated and quality.source is Source.PROCESS:
        quality = Quality(quality.validity, Source.SIMULATED, quality.flags)
    told: dict[str, Any] = {"raw": found.raw, "unit": spec.unit, "quality": quality.as_dict()}
    told["source_time"] = None if reading.source_time is None else reading.source_time.isoformat()
    if isinstance(reading.value, str):
        return told | {"wire": reading.value, "value": reading.value}
    return told | {"wire": reading.value, "value": None if reading.value is None else spec.from_wire(reading.value)}


async def _frames(request: FieldRequest, plan: Plan, driver: Driver | None, traffic: Traffic) -> dict[str, Any]:
    """`{count, frames}` with rows `[number, at_ms, sent, length, hex, words]`, newest last."""
    after = request.question.get("after", -1)
    frames = traffic.log.frames(after if isinstance(after, int) else -1)[-MOST_FRAMES:]
    kind = type(driver) if driver is not None else DRIVERS[plan.protocol]
    # Words for hundreds of frames take a while: polls must not wait for them.
    return {"count": traffic.log.count, "frames": await asyncio.to_thread(_rows, frames, kind)}


def _rows(frames: list[LoggedFrame], kind: type[Driver]) -> list[list[Any]]:
    return [[f.number, round(1000 * f.at), f.sent, f.length, f.raw.hex(), kind.describe(f.raw)] for f in frames]
