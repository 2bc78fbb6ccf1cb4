"""The unbalanced primary against stations that break the rules: nothing lost, nothing twice, nobody else held up."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from pilots.domain.errors import LinkDown, ProtocolViolation
from pilots.drivers.iec101 import ft12
from pilots.drivers.iec101.ft12 import Frame
from pilots.drivers.tls import server_context
from tests.drivers.iec101.faulty import Answers, FaultyStation, faulty_line, polled
from tests.drivers.iec101.peers import PATIENT, Store, forgetting, make_target, opened, until
from tests.drivers.tls_files import tls_files

VALUES = [float(value) for value in range(1, 9)]


class Nth:
    """Picks one of so many answers to polls, once each; repetitions go through."""

    def __init__(self, every: int) -> None:
        self.every, self.count, self.last = every, 0, (0, False)

    def is_due(self, request: Frame) -> bool:
        if not polled(request) or (request.function, request.fcb) == self.last:
            return False
        self.last = (request.function, request.fcb)
        self.count += 1
        return self.count % self.every == 0


def flipped(answer: bytes) -> bytes:
    """One octet before the checksum is wrong."""
    return answer[:-2] + bytes((answer[-2] ^ 0x55, answer[-1]))


SPOILERS = {
    "wrong checksum": lambda answer: [(0.0, flipped(answer))],
    "nothing": lambda answer: [],
    "half a frame": lambda answer: [(0.0, answer[: len(answer) // 2])],
    "another's address": lambda answer: [(0.0, ft12.encode(ft12.NO_DATA, 9, 1))],
    "noise": lambda answer: [(0.0, random.Random(1).randbytes(20))],
    "noise with single characters": lambda answer: [(0.0, b"\x01\xe5\x02\xe5")],
    "a false start": lambda answer: [(0.0, b"\x68\xff\xff\x68")],
    "late": lambda answer: [(0.2, answer)],
    "later than the next": lambda answer: [(0.35, answer)],
}


@pytest.mark.parametrize("spoiler", SPOILERS)
async def test_a_spoiled_answer_is_asked_again_and_every_value_comes_once_and_in_order(spoiler: str) -> None:
    station, store, nth = FaultyStation(1), Store(), Nth(5)
    station.tamper = lambda request, answer: SPOILERS[spoiler](answer) if nth.is_due(request) else [(0.0, answer)]
    station.measure(*VALUES)
    async with faulty_line(station) as line, opened(make_target(port=line.port), store.sink) as driver:
        await store.wait_for("active_power", len(VALUES))
        assert store.values("active_power") == VALUES
        assert driver.device_up("es-STO01")
        assert driver.traffic.retries >= 2


async def test_a_station_that_is_always_late_is_slow_and_still_right() -> None:
    """Each answer comes after our time-out, so each is asked for twice and answered twice."""
    station, store = FaultyStation(1), Store()
    station.tamper = lambda request, answer: [(0.08, answer)]
    station.measure(*VALUES[:4])
    target = {"ack_timeout_s": 0.05, "retries": 4}
    async with faulty_line(station) as line, opened(make_target(port=line.port, options=target), store.sink) as driver:
        await store.wait_for("active_power", 4)
        assert store.values("active_power") == VALUES[:4]
        assert driver.traffic.kinds.get("late answer", 0) >= 4


async def test_a_late_ack_never_confirms_another_command() -> None:
    """The ACK of the first send comes while the second, which the station never saw, is on its way."""
    station, store = FaultyStation(1), Store()
    sends: list[bool] = []

    def tamper(request: Frame, answer: bytes) -> Answers:
        if request.function != ft12.SEND_CONFIRM or not sends_count:
            return [(0.0, answer)]
        sends.append(request.fcb)
        return [(0.25, b"\xe5")] if len(sends) == 1 else [(0.0, answer)]

    sends_count = False
    station.tamper = tamper
    async with faulty_line(station) as line, opened(make_target(port=line.port), store.sink) as driver:
        await until(lambda: len(station.told) >= 2)  # interrogations
        sends_count = True
        assert (await driver.write("es-STO01", "p_set", 100.0)).raw
        assert (await driver.write("es-STO01", "p_set", 200.0)).raw
        wanted = [unit.objects[0].value for unit in station.told if unit.type_id == 50]
        assert wanted == [10.0, 20.0]
        assert driver.traffic.kinds["late answer"] >= 1


async def test_the_late_character_of_a_station_given_up_is_no_answer_of_another() -> None:
    """Without that the other's data, lost on the line just then, would count as fetched."""
    one, two, store, nth = FaultyStation(1), FaultyStation(2), Store(), Nth(1)
    options = {"retries": 1, "ack_timeout_s": 0.1, "dead_retry_s": 0.05}
    target = {"numbers": (1, 2), "options": options}
    async with faulty_line(one, two) as line, opened(make_target(port=line.port, **target), store.sink) as driver:
        await until(lambda: len(one.told) >= 2 and len(two.told) >= 2 and not one.class_1 and not two.class_1)
        two.tamper = lambda request, answer: [] if nth.is_due(request) else [(0.0, answer)]  # each first answer is lost
        one.tamper = lambda request, answer: [(0.25, b"\xe5")] if request.fcv else [(0.0, answer)]
        two.measure(*VALUES[:4])
        await store.wait_for("active_power", 4, "es-STO02")
        assert store.values("active_power", "es-STO02") == VALUES[:4]
        assert driver.traffic.kinds["late answer"] >= 2
        assert driver.device_up("es-STO01") is False  # it answers no request that counts


async def test_the_fcb_changes_only_after_the_commit_and_what_was_not_stored_is_sent_again() -> None:
    station, store = FaultyStation(1), Store()
    async with faulty_line(station) as line:
        async with opened(make_target(port=line.port), store.sink) as driver:
            await until(lambda: len(station.told) >= 2 and not station.class_1)
            store.gate.clear()
            station.measure(1.0, 2.0)
            await store.wait_for("active_power", 1)
            asked = len(station.counted)
            await asyncio.sleep(0.3)
            assert len(station.counted) == asked  # not asked for more, so not told that it arrived
            assert not any(b"\x00\x00\x80\x3f" in octets for octets in station.delivered)
            line.hang_up()
            await asyncio.wait_for(driver.closed.wait(), 30)
        assert store.committed == []
        store.calls.clear()
        store.gate.set()
        async with opened(make_target(port=line.port), store.sink):
            await store.wait_for("active_power", 2)
            assert store.values("active_power") == [1.0, 2.0]
            assert station.functions.count(ft12.RESET_LINK) == 1  # it went on without another reset of the link


async def test_a_process_that_forgot_resets_the_link_and_loses_nothing_that_the_station_kept() -> None:
    station, store = FaultyStation(1), Store()
    async with faulty_line(station) as line:
        async with opened(make_target(port=line.port), store.sink):
            await until(lambda: len(station.told) >= 2 and not station.class_1)
            store.gate.clear()
            station.measure(1.0, 2.0)
            await store.wait_for("active_power", 1)
        store.calls.clear()
        store.gate.set()
        with forgetting():
            async with opened(make_target(port=line.port), store.sink):
                await store.wait_for("active_power", 2)
    assert store.values("active_power") == [1.0, 2.0]


async def test_a_sink_that_fails_ends_the_connection_and_the_station_keeps_the_value() -> None:
    station = FaultyStation(1)

    async def fail(device: str, readings: object) -> None:
        raise OSError("the disk is full")

    async with faulty_line(station) as line, opened(make_target(port=line.port), fail) as driver:
        station.measure(1.0)
        await asyncio.wait_for(driver.closed.wait(), 30)
        assert isinstance(driver.failure, LinkDown)
        assert "disk is full" in str(driver.failure)
    assert len(station.delivered) == sum(1 for octets in station.delivered if octets[0] != 13)


async def test_an_echo_is_no_answer_and_no_other_master() -> None:
    station, store = FaultyStation(1), Store()
    station.measure(*VALUES)
    async with faulty_line(station) as line:
        line.echo = True
        async with opened(make_target(port=line.port, options=PATIENT), store.sink) as driver:
            await store.wait_for("active_power", len(VALUES))
            assert store.values("active_power") == VALUES
            assert driver.traffic.kinds["echo"] > len(VALUES)
            assert "another primary" not in driver.traffic.kinds
            assert driver.traffic.timeouts == 0


async def test_frames_of_another_master_and_its_stations_are_counted_and_passed_over() -> None:
    station, store = FaultyStation(1), Store()
    strange = ft12.encode(ft12.PRM | ft12.REQUEST_STATUS, 77, 1) + ft12.encode(ft12.STATUS, 77, 1)
    station.tamper = lambda request, answer: [(0.0, strange), (0.0, answer)]
    station.measure(*VALUES)
    async with faulty_line(station) as line, opened(make_target(port=line.port), store.sink) as driver:
        await store.wait_for("active_power", len(VALUES))
        assert store.values("active_power") == VALUES
        assert driver.traffic.kinds["another primary"] > 0
        assert driver.traffic.kinds["wrong link address"] > 0


async def test_a_station_whose_fcb_is_stuck_harms_nobody_else() -> None:
    one, two, store = FaultyStation(1), FaultyStation(2), Store()
    async with faulty_line(one, two) as line, opened(make_target(port=line.port, numbers=(1, 2)), store.sink) as driver:
        await until(lambda: len(two.told) >= 2 and not two.class_1)
        one.stuck = True
        two.measure(*VALUES)
        await store.wait_for("active_power", len(VALUES), "es-STO02")
        assert store.values("active_power", "es-STO02") == VALUES
        assert driver.device_up("es-STO01")


async def test_one_unreadable_asdu_is_counted_and_the_next_are_read() -> None:
    station, store = FaultyStation(1), Store()
    async with faulty_line(station) as line, opened(make_target(port=line.port), store.sink) as driver:
        station.measure(1.0)
        await store.wait_for("active_power", 1)
        station.class_2 += [b"\x0d\x02\x03\x00\x0a\x00\x65\x00\x00"] * 5
        station.measure(2.0)
        await store.wait_for("active_power", 2)
        assert driver.traffic.kinds["asdu"] == 5


async def test_asdus_that_never_fit_name_the_size_options() -> None:
    station, store = FaultyStation(1), Store()
    station.class_1.extend([b"\x0d\x01\x03\x0a\x65\x00\x00\x00\x80\x3f\x00"] * 5)  # sizes 1, 1, 2
    async with faulty_line(station) as line, opened(make_target(port=line.port), store.sink) as driver:
        await asyncio.wait_for(driver.closed.wait(), 30)
        assert isinstance(driver.failure, ProtocolViolation)
        for word in ("cause_size 2", "common_address_size 2", "object_address_size 3", "0d 01 03"):
            assert word in str(driver.failure)


async def test_over_tls(tmp_path: Path) -> None:
    files, station, store = tls_files(tmp_path), FaultyStation(1), Store()
    station.measure(*VALUES)
    async with faulty_line(station, context=server_context({"tls": files.server})) as line:
        async with opened(make_target(port=line.port, options={"tls": files.client}), store.sink):
            await store.wait_for("active_power", len(VALUES))
        with pytest.raises(LinkDown):
            async with opened(make_target(port=line.port, options={"tls": files.foreign}), store.sink):
                pass
        wanted = {**files.client, "required_role": "Operator"}
        with pytest.raises(LinkDown, match="role"):
            async with opened(make_target(port=line.port, options={"tls": wanted}), store.sink):
                pass


async def test_a_port_that_takes_no_connections_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(*arguments: object, **options: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", hang)
    with pytest.raises(LinkDown, match=r"within 0.05 s"):
        async with opened(make_target(port=1, options={"connect_timeout_s": 0.05}), Store().sink):
            pass
