"""Peers and recorders for the tests of the IEC 61850 driver: our simulated IED, libiec61850's, and a scripted socket."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pilots.domain.measurement import RawReading
from pilots.domain.point import Capability, PointKind, PointSpec
from pilots.domain.profile import Profile
from pilots.domain.topology import ConnectionSpec, DeviceKind, DeviceSpec, PilotSpec, Protocol
from pilots.drivers.base import DeviceTarget, Target
from pilots.drivers.iec61850 import Iec61850Driver, mms, osi
from pilots.drivers.iec61850.ber import tlv
from pilots.simulators.iec61850 import IntelligentDevice
from pilots.simulators.ledger import Ledger
from pilots.simulators.plant import Plant
from tests.simulators.peers import free_port

PATIENCE_S = 30.0
DEVICE, BATTERY = "es-SW04", "es-STO01"
_SERVER = Path(__file__).with_name("libiec61850_server.py")


def point(name: str, ref: str, fc: str, kind: PointKind = PointKind.MEASUREMENT, **fields: Any) -> PointSpec:
    return PointSpec(name=name, kind=kind, address={"ref": ref, "fc": fc}, **fields)


def able(low: float, high: float) -> Capability:
    return Capability(minimum=low, maximum=high)


STATUS, COMMAND, SETPOINT = PointKind.STATUS, PointKind.COMMAND, PointKind.SETPOINT
POSITION = point("position", "LD0/XCBR1.Pos.stVal", "ST", STATUS)
POSITION_CMD = point("position_cmd", "LD0/CSWI1.Pos", "CO", COMMAND, feedback="position", capability=able(1, 2))
POWER = point("active_power", "LD0/MMXU1.TotW.mag.f", "MX", period_s=1.0)
SET_POINT = point("p_set", "LD0/DAGC1.WSpt", "CO", SETPOINT, capability=able(-1e5, 1e5))
VOLTAGE = point("voltage_l1", "LD0/MMXU1.PhV.phsA.cVal.mag.f", "MX", period_s=1.0)


# ---------------------------------------------------------------- recorders


class Store:
    """A sink that keeps what it gets; while `gate` is closed it commits nothing, with `failing` it fails."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[RawReading]]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.failing = False
        self.waiting = 0
        self._news = asyncio.Event()

    async def sink(self, device_id: str, readings: Sequence[RawReading]) -> None:
        self.waiting += 1
        await self.gate.wait()
        self.waiting -= 1
        if self.failing:
            raise OSError("the database is away")
        self.calls.append((device_id, list(readings)))
        self._news.set()

    def readings(self, name: str) -> list[RawReading]:
        return [reading for _, readings in self.calls for reading in readings if reading.point == name]

    def values(self, name: str) -> list[float | str | None]:
        return [reading.value for reading in self.readings(name)]

    def forget(self) -> None:
        self.calls.clear()

    async def wait_for(self, name: str, wanted: Callable[[RawReading], bool] = lambda _: True) -> RawReading:
        """The first reading of the point that is as wanted."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = next((reading for reading in self.readings(name) if wanted(reading)), None)
                if found is not None:
                    return found
                self._news.clear()
                await self._news.wait()


async def until(look: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not look():
            await asyncio.sleep(0.01)


# ---------------------------------------------------------------- our simulated IED


class Ied:
    """The simulated IED with a plant of one breaker and one battery below it; `scan` lets it look at the plant now."""

    def __init__(self, points: Sequence[PointSpec], options: Mapping[str, Any], connection_options: Mapping[str, Any]) -> None:
        device = DeviceSpec(
            id=DEVICE,
            kind=DeviceKind.SWITCH,
            sgam="E.3.a",
            parent="es-GRID",
            profile="ied",
            connection="ied",
            address={"ied": "ES1"},
        )
        battery = DeviceSpec(
            id=BATTERY, kind=DeviceKind.STORAGE_UNIT, sgam="E.4.a", parent=DEVICE, nameplate={"rated_power_w": 100e3}
        )
        grid = DeviceSpec(id="es-GRID", kind=DeviceKind.GRID_INFEED, sgam="E.3.a")
        self.connection = ConnectionSpec(name="ied", protocol=Protocol.IEC61850, simulated=True, options=connection_options)
        self.points = {each.name: each for each in points}
        pilot = PilotSpec(
            code="es", name="", country="ES", time_zone="UTC", latitude=41.6, longitude=2.3,
            connections=(self.connection,), devices=(grid, device, battery),
        )  # fmt: skip
        self.options = options
        profiles = {"ied": Profile(name="ied", protocol=Protocol.IEC61850, source="test", options=options, points=self.points)}
        self.plant = Plant(pilot, profiles, seed=1, start=datetime.now(UTC))
        self.server = IntelligentDevice(self.plant, self.connection, pilot, profiles, Ledger(None))
        self.port = free_port()

    def target(self, **options: Any) -> Target:
        device = DeviceTarget(id=DEVICE, address={"ied": "ES1"}, points=self.points, options=self.options)
        return Target(
            name=f"ied-{self.port}",
            host="127.0.0.1",
            port=self.port,
            devices=(device,),
            options={**self.connection.options, **options},
        )

    async def scan(self) -> None:
        await self.server.scan(datetime.now(UTC))

    async def move(self, position: int) -> None:
        """Somebody at the switch moves it."""
        self.plant.nodes[DEVICE].position = position
        await self.scan()

    def hang_up(self) -> None:
        """Every client is thrown out, as by a cable pulled: no goodbye."""
        for client in list(self.server._clients):
            client._conn._conn._conn._conn._conn._conn._protocol._transport.abort()

    def control(self, name: str) -> Any:
        return self.server.controls[DEVICE, name]

    def block(self, name: str) -> Any:
        return next(block for block in self.server.blocks if block.reference.endswith(name))


@contextlib.asynccontextmanager
async def simulated(
    *points: PointSpec, options: Mapping[str, Any] | None = None, connection: Mapping[str, Any] | None = None
) -> AsyncIterator[Ied]:
    ied = Ied(points or (POSITION, POSITION_CMD, POWER), options or {}, connection or {})
    await ied.server.start("127.0.0.1", ied.port)
    try:
        yield ied
    finally:
        await ied.server.stop()


@contextlib.asynccontextmanager
async def connected(target: Target, store: Store | None = None) -> AsyncIterator[Iec61850Driver]:
    driver = Iec61850Driver(target, (store or Store()).sink)
    await driver.open()
    try:
        yield driver
    finally:
        await driver.close()


# ---------------------------------------------------------------- libiec61850


@dataclass
class CServer:
    """libiec61850's IED: address {ied: PEER}."""

    port: int
    process: asyncio.subprocess.Process

    async def say(self, *words: object) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write((" ".join(map(str, words)) + "\n").encode())
        async with asyncio.timeout(PATIENCE_S):
            assert (await self.process.stdout.readline()).strip() == b"done"

    def target(self, *points: PointSpec, device_options: Mapping[str, Any] | None = None, **options: Any) -> Target:
        device = DeviceTarget(
            id=DEVICE, address={"ied": "PEER"}, points={p.name: p for p in points}, options=device_options or {}
        )
        return Target(name=f"peer-{self.port}", host="127.0.0.1", port=self.port, devices=(device,), options=options)


@contextlib.asynccontextmanager
async def libiec61850() -> AsyncIterator[CServer]:
    port = free_port()
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, str(_SERVER), str(port), stdin=pipe, stdout=pipe)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE_S):
            assert (await process.stdout.readline()).strip() == b"ready"
        yield CServer(port, process)
    finally:
        process.kill()
        await process.communicate()


# ---------------------------------------------------------------- a scripted socket


class RawPeer:
    """Associates, then does with each confirmed request what `answer(invoke_id, service_tag)` says: octets or silence."""

    def __init__(self) -> None:
        self.answer: Callable[[int, int], bytes | None] = lambda number, tag: confirmed(
            number, tlv(0xA2, tlv(0x80), tlv(0x81), tlv(0x82))
        )
        self.writers: list[asyncio.StreamWriter] = []
        self.port = 0
        self.refuse_transport = self.refuse_association = self.mute = False
        self.requests: list[tuple[int, int]] = []

    def send(self, message: bytes) -> None:
        """An MMS message to every client."""
        for writer in self.writers:
            for frame in osi.data_packets(osi.data_message(message), 1024):
                writer.write(frame)

    def write(self, octets: bytes) -> None:
        for writer in self.writers:
            writer.write(octets)

    def hang_up(self) -> None:
        for writer in self.writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                await self._associate(reader, writer)
                while True:
                    message = osi.carried(osi.data_unit(await self._packet(reader)).data)
                    assert message is not None
                    self._react(message)
        finally:
            writer.close()

    async def _associate(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._packet(reader)
        if self.mute:
            await self._packet(reader)
        head = bytes((9, 0x80 if self.refuse_transport else 0xD0, 0, 1, 0, 2, 0))
        writer.write(osi.packet(head + b"\xc0\x01\x0d"))  # units of 8192 octets
        await self._packet(reader)
        for frame in osi.data_packets(REFUSED if self.refuse_association else accepted(), 1024):
            writer.write(frame)
        self.writers.append(writer)

    def _react(self, message: bytes) -> None:
        if message[0] == 0x8B:
            self.send(mms.conclude_response())
            return
        number, tag = message[4], message[5]  # small numbers and short requests only: that is what tests send
        self.requests.append((number, tag))
        answer = self.answer(number, tag)
        if answer is not None:
            self.send(answer)

    async def _packet(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readexactly(4)
        return head + await reader.readexactly(int.from_bytes(head[2:], "big") - 4)


def confirmed(number: int, service: bytes) -> bytes:
    return tlv(0xA1, tlv(0x02, bytes((number,))), service)


_APPLICATION = tlv(0xA1, tlv(0x06, bytes.fromhex("28ca220203")))
_DETAIL = tlv(0xA4, tlv(0x80, b"\x01"), tlv(0x81, b"\x05\xf1\x00"), tlv(0x82, b"\x03" + bytes(11)))
_DIAGNOSTIC = tlv(0xA3, tlv(0xA1, tlv(0x02, b"\x00")))


def accepted(outstanding: int = 5) -> bytes:
    """An association accepted: session accept, presentation accept, association response, initiate response."""
    initiate = tlv(0xA9, tlv(0x80, b"\x00\xfd\xe8"), tlv(0x81, bytes((outstanding,))), tlv(0x82, b"\x05"), _DETAIL)
    information = tlv(0xBE, tlv(0x28, tlv(0x02, b"\x03"), tlv(0xA0, initiate)))
    return _accept(tlv(0x61, _APPLICATION, tlv(0xA2, tlv(0x02, b"\x00")), _DIAGNOSTIC, information))


def _accept(association: bytes) -> bytes:
    carried = tlv(0x61, tlv(0x30, tlv(0x02, b"\x01"), tlv(0xA0, association)))
    taken = tlv(0x30, tlv(0x80, b"\x00"), tlv(0x81, bytes.fromhex("5101")))
    presentation = tlv(0x31, tlv(0xA0, tlv(0x80, b"\x01")), tlv(0xA2, tlv(0xA5, taken, taken), carried))
    return bytes((14, len(presentation) + 2, 0xC1, len(presentation))) + presentation


REFUSED = _accept(tlv(0x61, _APPLICATION, tlv(0xA2, tlv(0x02, b"\x01")), _DIAGNOSTIC))


@contextlib.asynccontextmanager
async def raw_peer() -> AsyncIterator[RawPeer]:
    peer = RawPeer()
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        peer.hang_up()
        await server.wait_closed()
        await asyncio.sleep(0.01)  # the streams' own tasks end


def raw_target(peer: RawPeer, *points: PointSpec, **options: Any) -> Target:
    device = DeviceTarget(id=DEVICE, address={}, points={each.name: each for each in points})
    return Target(name=f"raw-{peer.port}", host="127.0.0.1", port=peer.port, devices=(device,), options=options)
