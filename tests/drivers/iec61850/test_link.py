"""One association against a scripted peer: refusals, silence, late answers, garbage, keep-alive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from pilots.domain.errors import AnswerTimeout, DeviceRefused, LinkDown, ProtocolViolation
from pilots.drivers.iec61850 import Iec61850Driver, mms, osi
from pilots.drivers.iec61850.ber import tlv
from pilots.drivers.iec61850.link import Link, LinkParameters, open_link
from pilots.drivers.traffic import Traffic
from tests.drivers.iec61850.peers import DEVICE, PATIENCE_S, SET_POINT, RawPeer, Store, confirmed, raw_peer, raw_target, until

REPORT = tlv(0xA3, tlv(0xA0, tlv(0xA1, tlv(0x80, b"RPT")), tlv(0xA0, tlv(0x8A, b"id"))))


def identity(number: int, vendor: bytes = b"v") -> bytes:
    return confirmed(number, tlv(0xA2, tlv(0x80, vendor), tlv(0x81, b"m"), tlv(0x82, b"1")))


class Recorder:
    def __init__(self) -> None:
        self.reports: list[mms.Report] = []
        self.closed = 0

    def on_closed(self) -> None:
        self.closed += 1


@asynccontextmanager
async def linked(peer: RawPeer, recorder: Recorder | None = None, **parameters: Any) -> AsyncIterator[Link]:
    link = await opened(peer, recorder or Recorder(), **parameters)
    await link.associate()
    try:
        yield link
    finally:
        await link.close()


async def opened(peer: RawPeer, recorder: Recorder, **parameters: Any) -> Link:
    settings = LinkParameters(**{"timeout_s": 0.2, "connect_timeout_s": 0.3, **parameters})
    made = lambda: Link(settings, recorder.reports.append, recorder.on_closed, Traffic())  # noqa: E731
    return await open_link(made, "127.0.0.1", peer.port, context=None, server_name=None, within_s=1.0)


async def vendor_of(link: Link) -> str:
    return mms.identity_in(await link.request(mms.identify()))[0]


async def test_an_answer_is_found_by_its_number_whatever_the_order() -> None:
    async with raw_peer() as peer:
        held: list[int] = []
        peer.answer = lambda number, tag: held.append(number)
        async with linked(peer) as link:
            asked = [asyncio.create_task(vendor_of(link)) for _ in range(3)]
            await until(lambda: len(held) == 3)
            for number in reversed(held):
                peer.send(identity(number, str(number).encode()))
            assert await asyncio.gather(*asked) == ["1", "2", "3"]
            assert len(link.traffic.round_trips_s) == 3


async def test_no_more_requests_are_under_way_than_the_peer_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.drivers.iec61850.peers.accepted.__defaults__", (2,))
    async with raw_peer() as peer:
        held: list[int] = []
        peer.answer = lambda number, tag: held.append(number)
        async with linked(peer, timeout_s=2.0) as link:
            asked = [asyncio.create_task(vendor_of(link)) for _ in range(3)]
            await until(lambda: len(held) == 2)
            await asyncio.sleep(0.05)
            assert held == [1, 2]
            peer.send(identity(1))
            await until(lambda: held == [1, 2, 3])
            peer.send(identity(2))
            peer.send(identity(3))
            await asyncio.gather(*asked)


async def test_a_late_answer_is_counted_and_never_taken_for_the_next() -> None:
    async with raw_peer() as peer:

        def answer(number: int, tag: int) -> bytes | None:
            if number == 1:
                return None
            peer.send(identity(1, b"late"))
            return identity(number, b"right")

        peer.answer = answer
        async with linked(peer, timeout_s=0.1) as link:
            with pytest.raises(AnswerTimeout):
                await vendor_of(link)
            assert await vendor_of(link) == "right"
            assert link.counts["late_answers"] >= 1
            assert link.traffic.timeouts == 1
            assert not link.traffic.kinds


async def test_service_errors_and_rejects_are_refusals_in_words() -> None:
    async with raw_peer() as peer, linked(peer) as link:
        peer.answer = lambda number, tag: tlv(0xA2, tlv(0x80, bytes((number,))), tlv(0xA2, tlv(0xA0, tlv(0x87, b"\x03"))))
        with pytest.raises(DeviceRefused) as refused:
            await vendor_of(link)
        assert refused.value.device_code == "access: object-access-denied"
        peer.answer = lambda number, tag: tlv(0xA4, tlv(0x80, bytes((number,))), tlv(0x81, b"\x01"))
        with pytest.raises(DeviceRefused, match="rejected"):
            await vendor_of(link)
        assert link.traffic.refused == 2


async def test_a_message_that_is_none_is_dropped_and_the_next_ones_are_heard() -> None:
    recorder = Recorder()
    async with raw_peer() as peer, linked(peer, recorder) as link:
        for bad in (b"\xa3\x82", tlv(0xA3, tlv(0xA1)), tlv(0x99), b"", tlv(0xA0, tlv(0x02, b"\x01"))):
            peer.send(bad)
        peer.send(REPORT)
        await until(lambda: recorder.reports)
        assert link.traffic.violations == 5 and link.traffic.kinds == {"message": 5}
        assert await vendor_of(link) == ""


@pytest.mark.parametrize(
    "garbage",
    [b"GET / HTTP/1.1\r\n\r\n", b"\x03\x00\x00\x06\x02\xf0", b"\x03\x00\x00\x07\x09\xf0\x80", b"\x03\x00\x00\x07\x02\x10\x80"],
    ids=["not tpkt", "too short", "head too long", "unknown unit"],
)
async def test_lost_framing_ends_the_connection(garbage: bytes) -> None:
    recorder = Recorder()
    async with raw_peer() as peer, linked(peer, recorder) as link:
        peer.write(garbage)
        await until(lambda: recorder.closed)
        assert isinstance(link.failure, ProtocolViolation)
        assert link.traffic.kinds == {"framing": 1}
        with pytest.raises(LinkDown):
            await vendor_of(link)


async def test_a_message_in_many_pieces_is_put_together() -> None:
    recorder = Recorder()
    async with raw_peer() as peer, linked(peer, recorder):
        for frame in osi.data_packets(osi.data_message(REPORT), 8):
            peer.write(frame[:5])
            await asyncio.sleep(0.001)
            peer.write(frame[5:])
        await until(lambda: recorder.reports)
        assert recorder.reports[0].values == ("id",)


async def test_a_message_without_end_ends_the_connection() -> None:
    recorder = Recorder()
    async with raw_peer() as peer, linked(peer, recorder) as link:
        for _ in range(4):
            peer.write(osi.packet(bytes((2, 0xF0, 0)) + bytes(60_000)))
        await until(lambda: recorder.closed)
        assert isinstance(link.failure, ProtocolViolation)


async def test_a_silent_peer_is_noticed_by_the_keep_alive() -> None:
    recorder = Recorder()
    async with raw_peer() as peer:
        peer.answer = lambda number, tag: None
        async with linked(peer, recorder, keep_alive_s=0.1, timeout_s=0.1) as link:
            async with asyncio.timeout(1.0):
                await until(lambda: recorder.closed)
            assert isinstance(link.failure, AnswerTimeout)
            assert peer.requests == [(1, 0x82)]


async def test_a_quiet_peer_that_answers_the_keep_alive_is_kept() -> None:
    recorder = Recorder()
    async with raw_peer() as peer:
        peer.answer = lambda number, tag: identity(number)
        async with linked(peer, recorder, keep_alive_s=0.05):
            await until(lambda: len(peer.requests) >= 3)
        assert recorder.closed == 1  # by our own close


async def test_who_waits_learns_that_the_outcome_is_unknown_when_the_peer_dies() -> None:
    async with raw_peer() as peer:
        peer.answer = lambda number, tag: None
        async with linked(peer, timeout_s=PATIENCE_S) as link:
            asked = asyncio.create_task(vendor_of(link))
            await until(lambda: peer.requests)
            peer.hang_up()
            with pytest.raises(AnswerTimeout, match="lost"):
                await asked


async def test_a_peer_that_concludes_is_answered_and_gone() -> None:
    recorder = Recorder()
    async with raw_peer() as peer, linked(peer, recorder) as link:
        peer.send(mms.conclude_request())
        await until(lambda: recorder.closed)
        assert isinstance(link.failure, LinkDown)


async def test_refusals_say_which_selector_to_check() -> None:
    async with raw_peer() as peer:
        peer.refuse_transport = True
        with pytest.raises(LinkDown, match="tsel"):
            await (await opened(peer, Recorder())).associate()
        peer.refuse_transport, peer.refuse_association = False, True
        with pytest.raises(LinkDown, match="ap_title"):
            await (await opened(peer, Recorder())).associate()


async def test_a_port_that_says_nothing_is_a_timeout() -> None:
    async with raw_peer() as peer:
        peer.mute = True
        link = await opened(peer, Recorder())
        with pytest.raises(AnswerTimeout, match="transport"):
            await link.associate()
        await link.close()


async def test_a_device_that_is_silent_before_the_command_leaves_was_told_nothing() -> None:
    async with raw_peer() as peer:
        peer.answer = lambda number, tag: None
        driver = Iec61850Driver(raw_target(peer, SET_POINT, timeout_s=0.1), Store().sink)
        await driver.open()
        with pytest.raises(LinkDown, match="not sent"):
            await driver.write(DEVICE, "p_set", 1.0)
        await driver.close()
