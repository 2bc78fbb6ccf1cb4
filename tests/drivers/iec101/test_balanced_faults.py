"""Our end of a balanced line against an end that breaks the rules."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from pilots.domain.errors import AnswerTimeout, DeviceRefused, LinkDown, ProtocolViolation
from pilots.drivers.iec101 import Iec101Driver, ft12
from pilots.drivers.iec101.ft12 import Frame
from tests.drivers.iec101.faulty import BalancedPeer, balanced_peer, measured
from tests.drivers.iec101.peers import Store, make_target, opened, until


@asynccontextmanager
async def met(store: Store, **options: Any) -> AsyncIterator[tuple[BalancedPeer, Iec101Driver]]:
    """A driver whose interrogation the peer has heard."""
    options = {"mode": "balanced", "command_timeout_s": 0.3, "test_interval_s": 60.0, **options}
    async with balanced_peer() as peer, opened(make_target(port=peer.port, options=options), store.sink) as driver:
        peer.ask(ft12.RESET_LINK)
        await until(lambda: len(peer.asked) >= 3 and peer.answered)
        peer.answered.clear()
        yield peer, driver


def sends(peer: BalancedPeer) -> list[Frame]:
    return [frame for frame in peer.asked if frame.function == ft12.SEND_CONFIRM]


async def test_a_repeated_frame_is_confirmed_again_and_stored_once() -> None:
    store = Store()
    async with met(store) as (peer, _):
        for number, value in enumerate((1.0, 1.0, 2.0, 2.0, 2.0, 3.0)):
            peer.tell(value, fcb=value != 2.0)
            await until(lambda: len(peer.answered) == number + 1)  # noqa: B023  awaited at once
        assert store.values("active_power") == [1.0, 2.0, 3.0]
        assert set(peer.functions()) == {ft12.ACK}


async def test_data_stored_too_late_are_confirmed_at_their_next_copy_and_not_before() -> None:
    """An ACK that comes after the station has given up waiting could pass for the ACK of what it sends next."""
    store = Store()
    async with met(store) as (peer, _):
        store.gate.clear()
        peer.tell(1.0, fcb=True)
        await until(lambda: store.calls)
        await asyncio.sleep(0.3)  # twice the time-out
        store.gate.set()
        await until(lambda: store.committed)
        await asyncio.sleep(0.05)
        assert peer.answered == []
        peer.tell(1.0, fcb=True)
        await until(lambda: peer.functions() == [ft12.ACK])
        assert len(store.committed) == 1


async def test_a_frame_behind_a_false_start_is_found_once_the_line_is_silent() -> None:
    store = Store()
    async with met(store) as (peer, driver):
        await until(lambda: driver.counts["interrogations_failed"] == 2)  # from now on we ask nothing by ourselves
        peer.write(b"\x68\xf0\xf0\x68")
        peer.tell(1.0, fcb=True)
        await asyncio.wait_for(store.wait_for("active_power", 1), 1.0)
        await until(lambda: peer.functions() == [ft12.ACK])
        assert driver.traffic.kinds == {"noise": 1}


async def test_status_test_and_unknown_functions_are_answered() -> None:
    async with met(Store()) as (peer, _):
        peer.ask(ft12.REQUEST_STATUS)
        peer.ask(ft12.TEST_LINK, fcb=True)
        peer.ask(ft12.REQUEST_CLASS_2, fcb=False)
        await until(lambda: len(peer.answered) == 3)
        assert peer.functions() == [ft12.STATUS, ft12.ACK, ft12.NOT_IMPLEMENTED]
        assert all(frame.direction for frame in peer.answered)


async def test_data_that_want_no_reply_get_none() -> None:
    store = Store()
    async with met(store) as (peer, _):
        peer.ask(ft12.SEND_NO_REPLY, measured(4.0))
        await store.wait_for("active_power", 1)
        await asyncio.sleep(0.05)
        assert peer.answered == []


async def test_frames_of_others_and_our_own_echo_are_counted_and_passed_over() -> None:
    store = Store()
    async with met(store) as (peer, driver):
        peer.write(ft12.encode(ft12.PRM | ft12.FCV | ft12.SEND_CONFIRM, 9, 1, measured(1.0)))
        peer.write(ft12.encode(ft12.DIRECTION | ft12.PRM | ft12.REQUEST_STATUS, 1, 1))
        peer.tell(2.0, fcb=True)
        await store.wait_for("active_power", 1)
        assert store.values("active_power") == [2.0]
        assert driver.traffic.kinds == {"wrong link address": 1, "echo": 1}


async def test_answers_of_others_are_no_answers() -> None:
    async with met(Store(), retries=0) as (peer, driver):
        wrong = [peer.frame(ft12.DIRECTION | ft12.ACK), ft12.encode(ft12.ACK, 9, 1), peer.frame(ft12.STATUS)]
        peer.answer = lambda request: b"".join(wrong)
        with pytest.raises(AnswerTimeout):
            await driver.write("es-STO01", "p_set", 1.0)
        await asyncio.wait_for(driver.closed.wait(), 30)
        assert isinstance(driver.failure, AnswerTimeout)
        assert {"echo", "wrong link address", "wrong function"} <= set(driver.traffic.kinds)


async def test_one_unreadable_asdu_is_confirmed_and_counted_and_many_from_the_start_end_the_link() -> None:
    store = Store()
    async with met(store) as (peer, driver):
        peer.tell(1.0, fcb=True)
        await store.wait_for("active_power", 1)
        peer.ask(ft12.SEND_CONFIRM, b"\x0d\x05\x03\x00", fcb=False)
        await until(lambda: len(peer.answered) == 2)
        assert driver.traffic.kinds["asdu"] == 1
    async with met(store) as (peer, driver):
        for number in range(3):
            peer.ask(ft12.SEND_CONFIRM, b"\x0d\x05\x03\x00", fcb=number % 2 == 0)
        await asyncio.wait_for(driver.closed.wait(), 30)
        assert isinstance(driver.failure, ProtocolViolation) and "cause_size 2" in str(driver.failure)


async def test_a_full_buffer_is_waited_for_and_asked_about() -> None:
    async with met(Store(), poll_busy_s=0.02) as (peer, driver):
        before = len(sends(peer))
        peer.answer = lambda request: peer.frame(
            ft12.DFC | (ft12.STATUS if request.function == ft12.REQUEST_STATUS else ft12.NACK)
        )
        write = asyncio.create_task(driver.write("es-STO01", "p_set", 1.0))
        await until(lambda: sum(frame.function == ft12.REQUEST_STATUS for frame in peer.asked) >= 4)
        assert len(sends(peer)) == before + 1  # refused once, then not sent while the buffer is full
        peer.answer = peer.obey
        await until(lambda: len(sends(peer)) == before + 2)
        first, second = sends(peer)[-2:]
        assert first.data == second.data and first.fcb != second.fcb
        with pytest.raises(AnswerTimeout):  # the peer only confirms on its link layer
            await write


async def test_a_command_that_its_link_layer_does_not_know_is_refused() -> None:
    async with met(Store()) as (peer, driver):
        peer.answer = lambda request: peer.frame(ft12.NOT_IMPLEMENTED)
        with pytest.raises(DeviceRefused):
            await driver.write("es-STO01", "p_set", 1.0)


async def test_a_command_whose_line_is_lost_on_its_way_has_an_unknown_outcome() -> None:
    async with met(Store()) as (peer, driver):
        peer.answer = lambda request: b""
        before = len(sends(peer))
        write = asyncio.create_task(driver.write("es-STO01", "p_set", 1.0))
        await until(lambda: len(sends(peer)) > before)
        assert peer._writer is not None
        peer._writer.transport.abort()
        with pytest.raises(AnswerTimeout):
            await write
        with pytest.raises(LinkDown):
            await driver.write("es-STO01", "p_set", 1.0)


@pytest.mark.parametrize(
    ("reset", "kind", "words"),
    [(b"", AnswerTimeout, "does not confirm a reset"), (b"\x10\x01\x01\x02\x16", DeviceRefused, "refuses a reset")],
)
async def test_an_end_that_does_not_let_its_link_be_reset_is_told_so(reset: bytes, kind: type[Exception], words: str) -> None:
    async with balanced_peer() as peer:
        peer.answer = lambda request: peer.obey(request) if request.function == ft12.REQUEST_STATUS else reset
        options = {"mode": "balanced", "retries": 1, "ack_timeout_s": 0.05}
        with pytest.raises((kind, ProtocolViolation), match=words):
            async with opened(make_target(port=peer.port, options=options), Store().sink):
                pass
