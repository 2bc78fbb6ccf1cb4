"""The relay before a simulated peer: media delay, faults spoil, and what passes keeps its order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from pilots.domain.media import MEDIA, Medium
from pilots.domain.topology import Protocol
from pilots.simulators.faults import FaultKind, Faults
from pilots.simulators.relay import Relay
from tests.waiting import timed

PATIENCE_S = 20.0
#: Nothing that was to come took so long.
SILENT_S = 0.15
HOST = "127.0.0.1"
MODEM = Medium(name="modem", bandwidth_bps=80_000, latency_p50_s=0.05, latency_p95_s=0.051, loss=0.0, availability=99.0)


class Modbus:
    """A device that answers every request with two registers: transaction and unit of the question."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.lost = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                request = await reader.readexactly(12)
                self.asked.append(request)
                writer.write(request[:4] + b"\0\7" + request[6:8] + b"\4" + request[:2] + b"\0" + request[6:7])
        except (asyncio.IncompleteReadError, ConnectionError):
            self.lost += 1
        finally:
            writer.close()


@asynccontextmanager
async def peer(serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[tuple[str, int]]:
    server = await asyncio.start_server(serve, HOST, 0)
    try:
        yield HOST, server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


class Bench:
    """A Modbus device behind a relay."""

    def __init__(self, faults: Faults, device: Modbus, relay: Relay) -> None:
        self.faults, self.device, self.relay = faults, device, relay

    def start(self, kind: FaultKind, target: str = "bg-rtu01", **options: float) -> str:
        return self.faults.start(kind, target, now=datetime.now(UTC), options=options).id

    async def connect(self) -> Master:
        return Master(*await asyncio.open_connection(HOST, self.relay.port))


class Master:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer, self.number = reader, writer, 0

    async def ask(self, unit: int = 1, within_s: float = PATIENCE_S) -> bytes:
        """The next bytes that come, perhaps none."""
        self.number += 1
        self.writer.write(self.number.to_bytes(2) + b"\0\0\0\6" + bytes([unit, 3, 0, 0, 0, 2]))
        return await self.listen(within_s)

    async def listen(self, within_s: float = PATIENCE_S) -> bytes:
        try:
            return await asyncio.wait_for(self.reader.read(1000), within_s)
        except TimeoutError:
            return b""

    def right(self, unit: int = 1) -> bytes:
        """What the device says to the last question."""
        number = self.number.to_bytes(2)
        return number + b"\0\0\0\7" + bytes([unit, 3, 4]) + number + bytes([0, unit])


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    faults, device = Faults(seed=5), Modbus()
    async with peer(device.serve) as place:
        relay = Relay(
            lambda: place,
            faults=faults,
            targets=("bg-rtu01",),
            protocol=Protocol.MODBUS_TCP,
            units={1: ("bg-PM01",), 2: ("bg-PM02",)},
        )
        await relay.start()
        yield Bench(faults, device, relay)
        await relay.stop()


@pytest.fixture
async def master(bench: Bench) -> AsyncIterator[Master]:
    master = await bench.connect()
    yield master
    await closed(master.writer)


async def test_without_fault_and_medium_everything_passes_untouched(bench: Bench, master: Master) -> None:
    for _ in range(50):
        assert await master.ask() == master.right()
    assert bench.relay.is_quiet


async def test_who_closes_is_gone_on_the_other_side_too(bench: Bench, master: Master) -> None:
    await master.ask()
    await closed(master.writer)
    async with asyncio.timeout(PATIENCE_S):
        while bench.relay.sessions or not bench.device.lost:
            await asyncio.sleep(0.01)


async def test_silence_swallows_answers_until_it_ends(bench: Bench, master: Master) -> None:
    fault = bench.start(FaultKind.SILENCE)
    assert await master.ask(within_s=SILENT_S) == b""
    assert len(bench.device.asked) == 1
    bench.faults.end(fault)
    assert await master.ask() == master.right()


async def test_one_silent_unit_costs_the_others_nothing(bench: Bench, master: Master) -> None:
    bench.start(FaultKind.SILENCE, "bg-PM02")
    assert await master.ask(unit=2, within_s=SILENT_S) == b""
    assert await master.ask(unit=1) == master.right(unit=1)


async def test_a_fault_elsewhere_changes_nothing(bench: Bench, master: Master) -> None:
    bench.start(FaultKind.SILENCE, "bg-rtu02")
    bench.start(FaultKind.GARBAGE, "bg-PM99")
    assert await master.ask() == master.right()


async def test_slowness_delays_each_answer_and_trickles(bench: Bench, master: Master) -> None:
    fault = bench.start(FaultKind.SLOWNESS, answer_s=0.2)
    with timed() as took:
        assert await master.ask() == master.right()
    assert took.seconds >= 0.2
    assert took.own_s < 0.5
    bench.faults.end(fault)
    bench.start(FaultKind.SLOWNESS, answer_s=0, bytes_per_s=50)
    with timed() as took:
        got = await master.ask()
        while len(got) < 13:
            got += await master.listen()
    assert got == master.right()
    assert took.seconds >= 0.24
    assert took.own_s < 0.6


async def test_a_late_answer_comes_after_the_next_question(bench: Bench, master: Master) -> None:
    bench.start(FaultKind.SLOWNESS, answer_s=2.0)
    assert await master.ask(within_s=0.05) == b""
    late = master.right()
    assert await master.ask() == late


@pytest.mark.parametrize(
    ("kind", "target", "right_head"),
    [(FaultKind.GARBAGE, "bg-rtu01", 0), (FaultKind.GARBAGE, "bg-PM01", 7), (FaultKind.NOISE, "bg-rtu01", 0)],
)
async def test_garbage_and_noise_change_bytes(
    bench: Bench, master: Master, kind: FaultKind, target: str, right_head: int
) -> None:
    bench.start(kind, target, share=1.0)
    answer = await master.ask()
    assert len(answer) == 13 or kind is FaultKind.NOISE
    assert answer != master.right()
    assert answer[:right_head] == master.right()[:right_head]


async def test_a_share_of_answers_is_hit(bench: Bench, master: Master) -> None:
    bench.start(FaultKind.WRONG_UNIT, share=0.3)
    wrong = 0
    for _ in range(200):
        answer = await master.ask()
        assert answer in (master.right(), master.right()[:6] + b"\0" + master.right()[7:])
        wrong += answer != master.right()
    assert 35 < wrong < 90


async def test_an_exception_has_the_code_that_was_asked_for(bench: Bench, master: Master) -> None:
    bench.start(FaultKind.EXCEPTION, "bg-PM01", code=0x0B)
    assert await master.ask() == b"\0\1\0\0\0\3\1\x83\x0b"
    assert await master.ask(unit=2) == master.right(unit=2)


async def test_lengths_lie_in_several_ways(bench: Bench, master: Master) -> None:
    bench.start(FaultKind.WRONG_LENGTH)
    seen = set()
    for _ in range(30):
        answer = await master.ask()
        assert answer != master.right()
        seen.add((len(answer), int.from_bytes(answer[4:6])))
    assert len({length for length, _ in seen}) > 1 and len({field for _, field in seen}) > 2


async def test_half_open_swallows_both_ways_and_tells_nobody(bench: Bench, master: Master) -> None:
    await master.ask()
    fault = bench.start(FaultKind.HALF_OPEN)
    await asyncio.sleep(0.02)
    assert await master.ask(within_s=SILENT_S) == b""
    assert len(bench.device.asked) == 1
    newcomer = await bench.connect()
    assert await newcomer.ask(within_s=SILENT_S) == b""
    assert bench.device.lost == 0
    bench.faults.end(fault)
    # What TCP still held comes through, late.
    assert await master.listen() == master.right()
    assert await newcomer.listen() == newcomer.right()
    await closed(newcomer.writer)


@pytest.mark.parametrize("kind", [FaultKind.REFUSE, FaultKind.REBOOT])
async def test_refusal_resets_connections_and_refuses_new_ones(bench: Bench, master: Master, kind: FaultKind) -> None:
    await master.ask()
    port = bench.relay.port
    fault = bench.start(kind)
    with pytest.raises(ConnectionError):
        await asyncio.wait_for(master.reader.readexactly(1), PATIENCE_S)
    with pytest.raises(ConnectionRefusedError):
        await bench.connect()
    bench.faults.end(fault)
    await asyncio.sleep(0.05)
    newcomer = await bench.connect()
    assert await newcomer.ask() == newcomer.right()
    assert bench.relay.port == port
    await closed(newcomer.writer)


async def test_flapping_is_down_and_up_by_turns_and_up_after_its_end(bench: Bench) -> None:
    fault = bench.start(FaultKind.FLAPPING, up_s=0.1, down_s=0.1)
    states = list[bool]()
    async with asyncio.timeout(PATIENCE_S):
        while sum(before != after for before, after in pairwise(states)) < 3:
            try:
                await closed((await asyncio.open_connection(HOST, bench.relay.port))[1])
                states.append(True)
            except ConnectionError:
                states.append(False)
            await asyncio.sleep(0.015)
    bench.faults.end(fault)
    await asyncio.sleep(0.05)
    newcomer = await bench.connect()
    assert await newcomer.ask() == newcomer.right()
    await closed(newcomer.writer)


async def test_a_peer_that_is_not_there_ends_the_connection(bench: Bench) -> None:
    bench.relay.far_end = lambda: None
    newcomer = await bench.connect()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(newcomer.reader.readexactly(1), PATIENCE_S)


async def test_a_medium_delays_both_ways_and_limits_the_speed(bench: Bench, master: Master) -> None:
    await master.ask()
    bench.relay.medium = MODEM
    with timed() as took:
        assert await master.ask() == master.right()
    assert took.seconds >= 0.1
    assert took.own_s < 0.3
    bench.relay.medium = None
    assert await master.ask() == master.right()


async def test_a_medium_keeps_the_order_and_every_byte() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    jumpy = replace(MEDIA["Wi-Fi"], loss=0.05, bad_spell_s=0.0, bandwidth_bps=50e6)
    async with peer(echo) as place:
        relay = Relay(lambda: place, faults=Faults(), targets=("x",), protocol=Protocol.PUSH, medium=jumpy)
        await relay.start()
        reader, writer = await asyncio.open_connection(HOST, relay.port)
        sent = bytes(range(256)) * 800
        writer.write(sent)
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(-1), 20) == sent
        await closed(writer)
        await relay.stop()


async def test_bandwidth_decides_how_long_much_takes() -> None:
    async def flood(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes(5000))
        writer.close()

    async with peer(flood) as place:
        relay = Relay(lambda: place, faults=Faults(), targets=("x",), protocol=Protocol.PUSH, medium=MODEM)
        await relay.start()
        with timed() as took:
            reader, writer = await asyncio.open_connection(HOST, relay.port)
            assert len(await asyncio.wait_for(reader.read(-1), PATIENCE_S)) == 5000
        assert took.seconds >= 0.5
        assert took.own_s < 0.9
        await closed(writer)
        await relay.stop()


async def test_lost_messages_come_late_and_not_never(bench: Bench, master: Master) -> None:
    bench.start(FaultKind.LOSS, share=0.5)
    times = []
    for _ in range(12):
        began = time.monotonic()
        assert await master.ask() == master.right()
        times.append(time.monotonic() - began)
        if max(times) >= 0.2:
            break
    assert max(times) >= 0.2


async def test_of_a_station_that_dials_the_near_side_is_silent() -> None:
    heard = bytearray()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello station")
        while data := await reader.read(1000):
            heard.extend(data)
        writer.close()

    faults = Faults()
    async with peer(listen) as place:
        relay = Relay(lambda: place, faults=faults, targets=("es-ocpp", "es-EVSE01"), protocol=Protocol.OCPP16, dials=True)
        await relay.start()
        faults.start(FaultKind.SILENCE, "es-EVSE01", now=datetime.now(UTC))
        reader, writer = await asyncio.open_connection(HOST, relay.port)
        assert await asyncio.wait_for(reader.readexactly(13), PATIENCE_S) == b"hello station"
        writer.write(b"hello centre")
        await asyncio.sleep(0.05)
        assert heard == b""
        await closed(writer)
        await relay.stop()
