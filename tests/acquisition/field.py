"""A field of our own: Modbus responders in a loop of their own thread, so that tests may block, and rows for them."""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, ClassVar, TypeVar

import pytest

from pilots.acquisition import chores, gateway, state_writer
from pilots.acquisition.gateway import Gateway
from pilots.acquisition.ingest import Ingest
from pilots.catalogue.services import note_change
from pilots.domain.errors import LinkDown
from pilots.domain.measurement import RawReading
from pilots.domain.point import PointSpec
from pilots.drivers.base import Driver, WriteResult
from pilots.models import Connection, Device, LatestValue, Pilot
from tests.builders import make_device, make_point
from tests.drivers.raw_modbus import RawModbus, Request
from tests.waiting import close_server, turns

Found = TypeVar("Found")
Start = Callable[[], Gateway]
POWER, P_SET = 10, 40


@contextmanager
def quick_gateways(door: Ingest) -> Iterator[Start]:
    """What starts a gateway that looks ten times as often; all of them end with the block."""
    gateways: list[Gateway] = []

    def begin() -> Gateway:
        one = Gateway()
        gateways.append(one)
        for pilot in Pilot.objects.all():  # the door was there before the rows
            note_change(pilot)
        door.directory.refresh(force=True)
        one.start()
        return one

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gateway, "TEND_EVERY_S", 0.1)
        patch.setattr(state_writer, "FIGURES_EVERY_S", 0.1)
        patch.setattr(chores, "EVERY_S", 0.1)
        patch.setattr(chores, "OLD_DATA_EVERY_S", 0.1)
        yield begin
        for one in gateways:
            one.stop()


def add_unit(pilot: Pilot, line: Connection, unit: int, *, code: str = "", period_s: float = 0.2) -> Device:
    """A device at this unit of the line, whose set-point shows in its power."""
    device = make_device(pilot, code or f"bg-STO0{unit}", connection=line, address={"unit": unit})
    make_point(device, period_s=period_s, address={"register": POWER, "type": "float32"})
    make_point(device, "p_set", address={"register": P_SET, "type": "float32"})
    return device


def arrived(unit: int = 1, since: datetime | None = None, *, code: str = "") -> bool:
    """Whether a value of the device came (after that moment)."""
    row = LatestValue.objects.filter(point__device__code=code or f"bg-STO0{unit}").first()
    return row is not None and row.value is not None and (since is None or row.received_time > since)


class Field:
    """One Modbus TCP server whose units follow their set-points at once; it can be switched off and on."""

    def __init__(self) -> None:
        self.peer = RawModbus()
        self.peer.load(POWER, struct.pack(">f", 4500.0))
        self.peer.load(P_SET, struct.pack(">f", 0.0))
        self.peer.script = self._answer
        self.silent: set[int] = set()
        self.garbage = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server: asyncio.Server | None = None
        self.port = 0

    def switch_on(self) -> None:
        self._server = self._run(asyncio.start_server(self.peer.accept, "127.0.0.1", self.port, reuse_address=True))
        self.port = self._server.sockets[0].getsockname()[1]

    def switch_off(self) -> None:
        self._run(self._close())

    def end(self) -> None:
        self.switch_off()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def writes(self) -> list[Request]:
        return [request for request in self.peer.asked if request.function in (6, 16)]

    async def _answer(self, request: Request) -> bytes | None:
        if self.garbage:
            return b"\xde\xad\xbe\xef\x00\x03\x01\x99\x99"
        if request.unit in self.silent:
            return None
        reply = self.peer.answer(request)
        for word in (0, 1):
            if request.function == 16:
                self.peer.registers[POWER + word] = self.peer.registers[P_SET + word]
        return reply

    async def _close(self) -> None:
        if self._server is not None:
            await close_server(self._server)
            self.peer.hang_up()
            self._server = None
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await turns()

    def _run(self, work: Coroutine[Any, Any, Found]) -> Found:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)


class StationLine(Driver):
    """A listening driver with two stations on one line, of which a test hangs up one."""

    listening: ClassVar[bool] = True
    stations: ClassVar[dict[str, bool]] = {}

    async def open(self) -> None:
        self.closed.clear()
        for device in self.target.devices:
            await self.sink(device.id, [RawReading("active_power", 1.0)])

    async def close(self) -> None:
        self.closed.set()

    async def write_spec(self, device_id: str, spec: PointSpec, value: float, *, valid_for_s: float | None = None) -> WriteResult:
        raise LinkDown("nothing is written here")

    def device_up(self, device_id: str) -> bool | None:
        return self.stations.get(device_id)
