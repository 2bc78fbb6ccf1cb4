"""Two field workers as real processes share the links; one that dies or sleeps gives them up, and no device sees two."""

from __future__ import annotations

import asyncio
import os
import signal
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from tests.drivers.raw_modbus import Request
from tests.journeys.installation import START_S, Installation, wait_for
from tests.waiting import stalls

LINES = 6
#: Leases last 12 s and are renewed every 4; another worker looks every second.
TAKE_OVER_S = 15.0
STOPPED_S = 30.0
PILOT = """\
code: xx
name: Two workers
country: XX
time_zone: UTC
latitude: 1
longitude: 2
connections:
{connections}
devices:
  - {{id: xx-GRID, kind: grid_infeed, sgam: E.3.a}}
{devices}
links: []
"""
CONNECTION = (
    "  - {{name: xx-gw{n}, protocol: modbus_tcp, host: 127.0.0.1, port: {port}, "
    "options: {{timeout_s: 1, periods: {{F: 1, N: 1, S: 1, E: 1}}}}}}"
)
DEVICE = (
    "  - {{id: xx-PM{n}, kind: meter, sgam: E.3.b, parent: xx-GRID, profile: schneider-pm5xxx, connection: xx-gw{n}, "
    "address: {{unit: 1}}}}"
)


@dataclass(slots=True)
class Session:
    """One connection that a device saw: from when to when, and every moment at which it was asked something."""

    line: int
    opened: float
    closed: float | None = None
    asked: list[float] = field(default_factory=list)


class Devices:
    """Bare Modbus servers, a port each, that keep a ledger of who was connected when."""

    def __init__(self) -> None:
        self.sessions: list[Session] = []
        self.ports: list[int] = []
        self.most = 0
        self._servers: list[asyncio.Server] = []
        self._writers: list[asyncio.StreamWriter] = []
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(5)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        for line in range(LINES):
            serve = self._server_of(line)
            server = self._loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0))
            self._servers.append(server)
            self.ports.append(server.sockets[0].getsockname()[1])
        self._ready.set()
        self._loop.run_forever()

    def end(self) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        for writer in self._writers:
            writer.close()
        while len(asyncio.all_tasks()) > 1:
            await asyncio.sleep(0.01)

    def _server_of(self, line: int):  # type: ignore[no-untyped-def]
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            session = Session(line, time.monotonic())
            self.sessions.append(session)
            self._writers.append(writer)
            self.most = max(self.most, len(self.open_on(line)))
            try:
                while True:
                    head = await reader.readexactly(7)
                    transaction, _, length, unit = struct.unpack(">HHHB", head)
                    pdu = await reader.readexactly(length - 1)
                    session.asked.append(time.monotonic())
                    writer.write(answer(Request(transaction, unit, pdu[0], pdu[1:])))
            except (asyncio.IncompleteReadError, ConnectionError):
                session.closed = time.monotonic()
                writer.close()

        return serve

    def open_on(self, line: int) -> list[Session]:
        return [session for session in self.sessions if session.line == line and session.closed is None]

    def lines_asked_since(self, moment: float, *, apart_from: list[Session] = []) -> set[int]:  # noqa: B006  never changed
        return {s.line for s in self.sessions if s not in apart_from and s.asked and s.asked[-1] > moment}


def answer(request: Request) -> bytes:
    """Zeroes, as many as were asked for."""
    return request.frame(bytes([request.function, 2 * request.count]) + bytes(2 * request.count))


@pytest.fixture
def devices() -> Iterator[Devices]:
    found = Devices()
    yield found
    found.end()


@pytest.fixture
def workers(devices: Devices, tmp_path: Path) -> Iterator[Installation]:
    """Two field workers on PostgreSQL and Redis that hold three links each."""
    installation = Installation(tmp_path, "production")
    try:
        installation.manage("migrate", "--verbosity", "0")
        path = tmp_path / "two.yaml"
        connections = "\n".join(CONNECTION.format(n=n, port=port) for n, port in enumerate(devices.ports))
        rows = "\n".join(DEVICE.format(n=n) for n in range(LINES))
        path.write_text(PILOT.format(connections=connections, devices=rows))
        installation.manage("commission", str(path))
        for name in ("first", "second"):
            installation.spawn(name, "run_scada", "--role", "field")
        wait_for(lambda: sorted(held(installation).values()) == [3, 3], START_S, "three links each", story=installation.story)
        since = time.monotonic()
        wait_for(lambda: len(devices.lines_asked_since(since)) == LINES, START_S, "all are asked", story=installation.story)
        yield installation
    finally:
        installation.stop()


def held(installation: Installation) -> dict[str, int]:
    """How many links each worker holds, by the process id in its name."""
    query = "SELECT owner, count(*) FROM pilots_lease WHERE resource LIKE 'connection:%' AND until > now() GROUP BY owner"
    with psycopg.connect(installation.environment["DATABASE_URL"]) as connection:
        return {owner.split(":")[1]: count for owner, count in connection.execute(query).fetchall()}


def sessions_of_both(devices: Devices) -> list[Session]:
    return [session for session in devices.sessions if session.closed is None]


def test_the_links_of_a_killed_worker_are_the_others_in_time_and_never_both_ones(devices: Devices, workers: Installation) -> None:
    before = sessions_of_both(devices)
    assert sorted(session.line for session in before) == list(range(LINES))
    workers.children["first"].kill()
    killed = time.monotonic()
    left = [session for session in before if session.closed is None]
    wait_for(lambda: len(sessions_of_both(devices)) <= LINES // 2, 15, "the kernel has closed what was its")
    survivors = [session for session in left if session.closed is None]
    with stalls() as machine:
        wait_for(
            lambda: devices.lines_asked_since(killed, apart_from=before) == set(range(LINES)) - {s.line for s in survivors},
            4 * TAKE_OVER_S,
            "the other worker reads the killed one's links",
            story=workers.story,
        )
    took_s = max(session.asked[0] for session in devices.sessions if session not in before and session.asked) - killed
    print(
        f"\nF2, two workers: the links of a killed one were read again after {took_s:.1f} s; the machine stood still for "
        f"{machine.seconds:.1f} s"
    )
    assert took_s <= TAKE_OVER_S + machine.seconds
    assert all(session.closed is None and session.asked[-1] > killed for session in survivors)
    assert devices.most == 1, "a device saw two connections at once"


@pytest.mark.rig
def test_a_worker_that_was_stopped_says_nothing_when_it_wakes(devices: Devices, workers: Installation) -> None:
    before = sessions_of_both(devices)
    child = workers.children["first"]
    os.killpg(child.process.pid, signal.SIGSTOP)
    stopped = time.monotonic()
    time.sleep(2.0)  # what was under way has arrived
    mute = [session for session in before if not session.asked or session.asked[-1] < stopped + 0.5]
    assert len(mute) == LINES // 2
    wait_for(
        lambda: devices.lines_asked_since(stopped, apart_from=mute) == set(range(LINES)),
        TAKE_OVER_S - 2.0,
        "the other worker reads the sleeper's links",
        story=workers.story,
    )
    print(f"\nF10: the links of a stopped worker were read again after {time.monotonic() - stopped:.1f} s")
    time.sleep(max(0.0, stopped + STOPPED_S - time.monotonic()))  # the fault lasts so long
    said = [len(session.asked) for session in mute]
    os.killpg(child.process.pid, signal.SIGCONT)
    wait_for(
        lambda: all(session.closed is not None for session in mute), 15, "its old connections are closed", story=workers.story
    )
    assert [len(session.asked) for session in mute] == said, "it asked on old authority"
    # Awake again it gets its share back, and again no device is asked by two.
    wait_for(lambda: sorted(held(workers).values()) == [3, 3], 30, "three links each again", story=workers.story)
    time.sleep(3.0)  # three periods
    for line in range(LINES):
        assert len(devices.open_on(line)) == 1
