"""Several gateways share the connections by lease; one that slept has no say any more."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby

import pytest
from django.db import OperationalError

from pilots.acquisition import gateway as gateway_module
from pilots.acquisition.authority import LapsingSelector
from pilots.acquisition.gateway import Gateway
from pilots.acquisition.ingest import ingest
from pilots.domain.topology import LinkState
from pilots.drivers.modbus.frames import Request
from pilots.drivers.modbus.link import ModbusLink
from pilots.models import Connection, Lease, Pilot
from tests.acquisition.conftest import Start
from tests.acquisition.field import Field, add_unit, arrived
from tests.builders import make_connection, make_pilot
from tests.waiting import until

LINES = 7


@pytest.fixture
def lines(transactional_db: None, field: Field) -> Pilot:
    """Seven connections to one field."""
    pilot = make_pilot("bg")
    for number in range(LINES):
        options = {"timeout_s": 0.5}
        line = make_connection(pilot, f"bg-l{number}", protocol="modbus_tcp", port=field.port, state="unknown", options=options)
        add_unit(pilot, line, number + 1, code=f"bg-M{number}")
    return pilot


def holdings() -> Counter[str]:
    rows = Lease.objects.filter(resource__startswith="connection:", until__gt=datetime.now(UTC))
    return Counter(rows.values_list("owner", flat=True))


def all_up() -> bool:
    return Connection.objects.filter(state=LinkState.UP).count() == LINES


@pytest.fixture
def askers(monkeypatch: pytest.MonkeyPatch) -> dict[int, list[int]]:
    """By unit, whose questions left, in order: each gateway has a loop of its own."""
    found: dict[int, list[int]] = defaultdict(list)
    exchange = ModbusLink._exchange

    async def noted(link: ModbusLink, request: Request) -> bytes:
        found[request.unit].append(id(link._loop))
        return await exchange(link, request)

    monkeypatch.setattr(ModbusLink, "_exchange", noted)
    return found


def most_turns(askers: dict[int, list[int]]) -> int:
    """How often the asker of a unit changed, at most: two that hold it would alternate."""
    return max(len(list(groupby(of_unit))) - 1 for of_unit in askers.values())


def overlap(*gateways: Gateway) -> set[str]:
    """Connections that two gateways run."""
    held = [set(gateway.supervisors) for gateway in gateways]
    return set.intersection(*held)


@pytest.mark.wire
@pytest.mark.django_db(transaction=True)
def test_a_newcomer_gets_its_share_and_the_rest_goes_on(start: Start, lines: Pilot, askers: dict[int, list[int]]) -> None:
    first = start()
    until(lambda: len(first.supervisors) == LINES and all_up())
    second = start()
    until(lambda: sorted(holdings().values()) == [3, 4])
    assert not overlap(first, second)
    joined = datetime.now(UTC)
    until(lambda: all(arrived(code=f"bg-M{number}", since=joined) for number in range(LINES)))
    # A fair share is kept: nothing moves to and fro.
    before = (set(first.supervisors), set(second.supervisors))
    time.sleep(0.5)  # five looks
    assert (set(first.supervisors), set(second.supervisors)) == before
    assert most_turns(askers) == 1


@pytest.mark.wire
@pytest.mark.django_db(transaction=True)
def test_what_a_gateway_leaves_the_other_takes(start: Start, lines: Pilot) -> None:
    first, second = start(), start()
    until(lambda: sorted(holdings().values()) == [3, 4])
    first.stop()
    ingest()  # both live in this process: the first one's end stopped the writer they share
    until(lambda: len(second.supervisors) == LINES)
    left = datetime.now(UTC)
    until(lambda: all(arrived(code=f"bg-M{number}", since=left) for number in range(LINES)))


@pytest.mark.wire
@pytest.mark.django_db(transaction=True)
def test_the_links_of_a_dead_worker_are_free_when_its_leases_have_run_out(start: Start, lines: Pilot) -> None:
    dead, ends = "machine:1:dead", datetime.now(UTC) + timedelta(seconds=2)
    Lease.objects.create(resource=f"gateway:{dead}", owner=dead, until=ends)
    for number in range(LINES):
        Lease.objects.create(resource=f"connection:bg-l{number}", owner=dead, until=ends)
    gateway = start()
    until(lambda: gateway.supervisors)
    assert datetime.now(UTC) >= ends
    until(lambda: len(gateway.supervisors) == LINES)
    assert set(Lease.objects.filter(resource__startswith="connection:").values_list("epoch", flat=True)) == {2}


@pytest.mark.wire
@pytest.mark.django_db(transaction=True)
def test_a_gateway_that_lost_its_leases_while_it_slept_lets_go(start: Start, lines: Pilot, field: Field) -> None:
    gateway = start()
    until(all_up)
    # As if it had been stopped for longer than its leases last, and another worker had taken them.
    Lease.objects.filter(resource__startswith="connection:").update(owner="other", epoch=9)
    Lease.objects.create(resource="gateway:other", owner="other", until=datetime.now(UTC) + timedelta(seconds=60))
    connected = len(field.peer.writers)
    for supervisor in list(gateway.supervisors.values()):
        supervisor.lease.ends_monotonic = 0.0
    gateway._selector.lapses_at = 0.0
    gateway._call(lambda: None)
    until(lambda: not gateway.supervisors)
    asked = len(field.peer.asked)
    time.sleep(0.6)  # three periods
    assert (len(field.peer.asked), len(field.peer.writers)) == (asked, connected)


@pytest.mark.wire
@pytest.mark.django_db(transaction=True)
def test_a_gateway_that_sleeps_over_the_end_of_its_leases_asks_nothing_that_is_anothers(
    start: Start, lines: Pilot, askers: dict[int, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_module, "LEASE_S", 4.0)
    monkeypatch.setattr(gateway_module, "RENEW_EVERY_S", 0.5)
    sleeper, other = start(), start()
    until(lambda: sorted(holdings().values()) == [3, 4])
    asleep = datetime.now(UTC)
    sleeper._call(time.sleep, 8.0)  # like SIGSTOP: connections stand open, timers come due
    until(lambda: holdings()[other.owner] == LINES)
    until(lambda: all(arrived(code=f"bg-M{number}", since=asleep + timedelta(seconds=3)) for number in range(LINES)))
    until(lambda: sorted(holdings().values()) == [3, 4])
    awake = datetime.now(UTC)
    until(lambda: all(arrived(code=f"bg-M{number}", since=awake) for number in range(LINES)))
    assert not overlap(sleeper, other)
    # To and fro at the start, to the other, back: more would be two at once.
    assert most_turns(askers) <= 4


@pytest.mark.wire
@pytest.mark.django_db(transaction=True)
def test_a_gateway_outlives_a_time_in_which_no_call_to_the_database_succeeds(
    start: Start, lines: Pilot, field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = start()
    until(lambda: len(gateway.supervisors) == LINES and all_up())
    before, refused = dict(gateway.supervisors), []

    async def away(*_: object, **__: object) -> None:
        refused.append(len(field.peer.asked))
        raise OperationalError("the database is away")

    with monkeypatch.context() as outage:
        outage.setattr(gateway.threads, "run", away)
        until(lambda: len(refused) > 20 and len(field.peer.asked) > refused[0] + LINES)
    back = datetime.now(UTC)
    until(lambda: gateway.tended_at is not None and gateway.tended_at > back)
    assert gateway.supervisors == before
    until(lambda: all(arrived(code=f"bg-M{number}", since=back) for number in range(LINES)))


# The selector


@pytest.fixture
def far_end() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        yield server


def test_after_a_lapse_nothing_leaves_on_any_connection(far_end: socket.socket) -> None:
    lapses: list[float] = []
    selector = LapsingSelector(lambda: lapses.append(time.monotonic()))
    heard: list[bytes] = []

    class Talkative(asyncio.Protocol):
        """Answers everything and speaks by a timer, as drivers do."""

        lost = False

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport: asyncio.Transport = transport  # type: ignore[assignment]

        def data_received(self, data: bytes) -> None:
            self.transport.write(b"answer")

        def connection_lost(self, error: Exception | None) -> None:
            self.lost = True

    async def sleep_over_the_end() -> bool:
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_connection(Talkative, *far_end.getsockname())
        peer, _ = far_end.accept()
        with peer:
            loop.call_later(0.05, lambda: protocol.transport.write(b"timer"))
            selector.lapses_at = time.monotonic() + 0.02
            peer.sendall(b"question")
            time.sleep(0.1)
            while not protocol.lost:
                await asyncio.sleep(0.01)
            peer.settimeout(2)
            while piece := peer.recv(100):
                heard.append(piece)
        return protocol.lost

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        assert runner.run(sleep_over_the_end())
    assert heard == []
    assert len(lapses) == 1


def test_before_it_lapses_it_is_a_selector_like_any_other(far_end: socket.socket) -> None:
    selector = LapsingSelector(lambda: pytest.fail("nothing has lapsed"))

    async def talk() -> bytes:
        selector.lapses_at = time.monotonic() + 60
        reader, writer = await asyncio.open_connection(*far_end.getsockname())
        peer, _ = far_end.accept()
        with peer:
            peer.sendall(b"hello")
            heard = await reader.readexactly(5)
        writer.close()
        await writer.wait_closed()
        return heard

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        assert runner.run(talk()) == b"hello"
