"""Frames bent by a seeded mutator: nothing but our own errors comes of them, and no value is stored."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilots.domain.errors import FieldError
from pilots.drivers.iec61850 import Iec61850Driver, mms, osi
from pilots.drivers.iec61850.ber import tlv
from pilots.drivers.iec61850.reports import decode_report
from pilots.drivers.iec61850.values import reading_of
from tests.drivers.iec61850.peers import (
    DEVICE,
    POSITION,
    POSITION_CMD,
    POWER,
    Store,
    connected,
    raw_peer,
    raw_target,
    simulated,
    until,
)

FRAMES = 100_000


async def recorded() -> list[bytes]:
    """What an IED really sends: openings, answers of every service, reports, refusals."""
    async with simulated(POSITION, POSITION_CMD, POWER) as ied, connected(ied.target(), Store()) as driver:
        await until(lambda: driver._acquisition is not None and len(driver._acquisition.intake.subscriptions) == 2)
        await driver.write(DEVICE, "position_cmd", 1.0)
        await driver.browse(DEVICE)
        return [frame.raw for frame in driver.traffic.log.frames() if not frame.sent and frame.length == len(frame.raw)]


def bent(frame: bytes, source: random.Random) -> bytes:
    octets = bytearray(frame)
    for _ in range(source.randint(1, 4)):
        at = source.randrange(len(octets))
        action = source.randrange(4)
        if action == 0:
            octets[at] = source.randrange(256)
        elif action == 1:
            octets[at] ^= 1 << source.randrange(8)
        elif action == 2:
            del octets[at : at + source.randint(1, 8)]
            octets = octets or bytearray(b"\x03")
        else:
            octets[at:at] = source.randbytes(source.randint(1, 8))
    return bytes(octets)


def read_whole(octets: bytes) -> None:
    """Every parser a received frame passes."""
    for packet in osi.split_packets(bytearray(octets)):
        osi.confirmed_size(packet)
    for packet in osi.split_packets(bytearray(octets)):
        read_message(osi.data_unit(packet).data)


def read_message(data: bytes) -> None:
    if data[:1] == b"\x0e":
        mms.initiated(osi.associate_response(data))
        return
    carried = osi.carried(data)
    message = mms.decode(carried) if carried is not None else None
    if isinstance(message, mms.Report):
        decode_report(message.values)
    if isinstance(message, mms.Answer):
        for parse in (mms.values_in, mms.names_in, mms.written_in, mms.type_in, mms.members_in, mms.identity_in):
            try:
                parse(message)
            except FieldError:
                continue


def cost_s(octets: bytes) -> float:
    """CPU seconds of reading and describing it."""
    before = time.process_time()
    try:
        read_message(octets[7:])
        read_whole(octets)
    except FieldError:
        pass
    assert isinstance(Iec61850Driver.describe(octets), str)
    return time.process_time() - before


async def test_bent_frames_raise_nothing_but_our_own_errors_and_cost_little() -> None:
    source, frames = random.Random(61850), await recorded()
    assert len(frames) > 30
    started, slowest = time.process_time(), 0.0
    for _ in range(FRAMES):
        octets = bent(source.choice(frames), source)
        spent_s = cost_s(octets)
        # Memory may be tidied up just then: what is slow by itself is slow each time.
        slowest = max(slowest, min(spent_s, *(cost_s(octets) for _ in range(3))) if spent_s > slowest else 0.0)
    spent = time.process_time() - started
    print(f"{FRAMES} bent frames: {1e6 * spent / FRAMES:.0f} us CPU each, the slowest {1e3 * slowest:.1f} ms")
    assert slowest < 0.05


async def test_bent_messages_store_nothing_and_good_ones_still_pass() -> None:
    source = random.Random(1)
    store = Store()
    reports = [frame for frame in await recorded() if "information-report" in Iec61850Driver.describe(frame)]
    async with raw_peer() as peer:
        driver = Iec61850Driver(raw_target(peer, timeout_s=5.0), store.sink)
        await driver.open()
        for _ in range(500):
            message = osi.carried(osi.data_unit(source.choice(reports)).data)
            assert message is not None
            peer.send(b"\xa3" + bent(message[1:], source))
        assert driver._server is not None
        assert await driver._server.identity() == ""
        assert not driver.closed.is_set()
        await driver.close()
    assert store.calls == []


@pytest.mark.parametrize(
    "value",
    [
        tlv(0x85, b"\x7f" * 60_000),
        tlv(0x86, b"\x7f" * 17),
        tlv(0x84, b"\x00" + b"\xff" * 60_000),
        tlv(0x87, b"\x08" + bytes(60_000)),
        tlv(0x8A, b"\xff" * 60_000),
        tlv(0xA2, tlv(0x83, b"\x01") * 15_000),
    ],
    ids=["integer", "17 octets", "bits", "float", "text", "members"],
)
@pytest.mark.parametrize("place", ["value", "inclusion"])
def test_huge_values_are_refused_or_cost_little(value: bytes, place: str) -> None:
    inclusion = tlv(0x84, b"\x07\x80") if place == "value" else value
    values = tlv(0xA0, tlv(0x8A, b"id"), tlv(0x84, b"\x06\x00\x00"), inclusion, value)
    frame = osi.packet(b"\x02\xf0\x80" + osi.data_message(tlv(0xA3, tlv(0xA0, tlv(0xA1, tlv(0x80, b"RPT")), values)))[:65_000])
    started = time.process_time()
    try:
        message = mms.decode(tlv(0xA3, tlv(0xA0, tlv(0xA1, tlv(0x80, b"RPT")), values)))
        assert isinstance(message, mms.Report)
        for each in decode_report(message.values).values.values():
            reading_of("p", each, None, None)
    except FieldError:
        pass
    assert isinstance(Iec61850Driver.describe(frame), str)
    assert time.process_time() - started < 0.5


@settings(deadline=None, max_examples=1000)
@given(st.binary(max_size=200))
def test_octets_of_any_kind_raise_nothing_but_our_own_errors(octets: bytes) -> None:
    for parse in (read_whole, read_message, mms.decode):
        try:
            parse(octets)
        except FieldError:
            continue
    assert isinstance(Iec61850Driver.describe(octets), str)


@pytest.mark.parametrize("length", [0, 1, 3, 7, 100])
def test_frames_of_one_octet_repeated_are_refused(length: int) -> None:
    for octet in range(256):
        try:
            read_message(bytes((octet,)) * length)
        except FieldError:
            continue
