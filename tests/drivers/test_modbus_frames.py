"""Bytes to frames: pure, so by properties, by a CRC that is not ours, and by ten thousand bad buffers each."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.framer import FramerRTU

from pilots.domain.errors import ProtocolViolation
from pilots.drivers.modbus import ModbusRtuDriver, ModbusTcpDriver
from pilots.drivers.modbus.frames import (
    crc16,
    mask_write_request,
    read_request,
    rtu_frame,
    split_mbap,
    split_rtu,
    write_coil_request,
    write_registers_request,
)

PDUS = st.binary(min_size=1, max_size=253)
READ = read_request(1, "holding", 0, 4)
ANSWER = bytes.fromhex("03 08 0001000200030004")


def mbap_frame(number: int, unit: int, pdu: bytes) -> bytes:
    return struct.pack(">HHHB", number, 0, len(pdu) + 1, unit) + pdu


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.integers(0, 255), PDUS), max_size=4), st.data())
def test_mbap_frames_are_found_however_they_are_cut(parts: list[tuple[int, int, bytes]], data: st.DataObject) -> None:
    sent = [mbap_frame(*part) for part in parts]
    stream, found, rest = b"".join(sent), [], b""
    while stream:
        length = data.draw(st.integers(1, len(stream)))
        frames, rest = split_mbap(rest + stream[:length])
        found += frames
        stream = stream[length:]
    assert found == sent and rest == b""


@settings(max_examples=10_000, deadline=None)
@given(st.binary(max_size=48), st.booleans())
def test_no_bytes_get_more_out_of_the_parsers_than_frames_and_violations(raw: bytes, silent: bool) -> None:
    check_mbap(raw)
    check_rtu(raw, silent)
    assert ModbusTcpDriver.describe(raw) and ModbusRtuDriver.describe(raw)


def test_no_long_buffers_do_either() -> None:
    source = random.Random(3)
    for _ in range(3_000):
        raw = source.randbytes(source.randint(49, 600))
        check_mbap(b"\0\1\0\0\0" + raw)
        check_rtu(raw, source.random() < 0.5)
        for body in (raw[:250], b"\1" + bytes([source.choice((1, 3, 5, 15, 16, 22))]) + raw[:200]):
            assert ModbusRtuDriver.describe(body + crc16(body).to_bytes(2, "little"))


def check_mbap(raw: bytes) -> None:
    try:
        frames, rest = split_mbap(raw)
    except ProtocolViolation:
        return
    assert b"".join(frames) + rest == raw
    for frame in frames:
        assert READ.fault(frame[6], frame[7:]) or frame[7:9] == b"\x03\x08" or frame[7] == 0x83


def check_rtu(raw: bytes, silent: bool) -> None:
    frames, rest = split_rtu(raw, silent=silent)
    assert all(FramerRTU.compute_CRC(frame[:-2]) == int.from_bytes(frame[-2:], "big") for frame in frames)
    assert raw.endswith(rest) and sum(map(len, frames)) + len(rest) <= len(raw)
    assert not (silent and rest)


@given(st.binary(max_size=256))
def test_the_crc_is_the_one_everybody_computes(raw: bytes) -> None:
    assert crc16(raw).to_bytes(2, "little") == FramerRTU.compute_CRC(raw).to_bytes(2, "big")
    assert crc16(raw + crc16(raw).to_bytes(2, "little")) == 0


@given(st.binary(max_size=40), st.binary(max_size=40), st.integers(1, 247))
def test_a_sound_rtu_frame_is_found_behind_noise_once_the_line_is_silent(before: bytes, after: bytes, unit: int) -> None:
    frame = rtu_frame(unit, ANSWER)
    frames, rest = split_rtu(before + frame + after, silent=True)
    assert rest == b""
    # Noise may, once in very many, look like a frame that swallows ours; what is found has a good CRC in any case.
    assert frame in frames or any(len(found) != len(frame) for found in frames)


def test_an_rtu_answer_that_comes_byte_by_byte_is_one_frame_at_its_last_byte() -> None:
    frame = rtu_frame(1, ANSWER)
    for length in range(len(frame)):
        assert split_rtu(frame[:length]) == ([], frame[:length])
    assert split_rtu(frame) == ([frame], b"")


def test_question_and_answer_on_one_line_are_told_apart() -> None:
    question, answer = rtu_frame(1, READ.pdu), rtu_frame(1, ANSWER)
    assert split_rtu(question + answer) == ([question, answer], b"")


def test_mutated_answers_are_never_taken_for_the_answer() -> None:
    """Seeded: bytes changed, cut, doubled. On RTU the CRC decides; on TCP the fields do, and values are beyond any check."""
    source, whole, kept = random.Random(7), rtu_frame(1, ANSWER), 0
    for _ in range(10_000):
        mutant = bytearray(whole)
        for _ in range(source.randint(1, 3)):
            at = source.randrange(len(mutant))
            if source.random() < 0.3:
                del mutant[at]
            else:
                mutant[at] ^= 1 << source.randrange(8)
        if bytes(mutant) == whole:
            kept += 1
            continue
        frames, _ = split_rtu(bytes(mutant), silent=True)
        assert not any(READ.fault(frame[0], frame[1:-2]) == "" and not frame[1] & 0x80 for frame in frames)
    assert kept < 200


@pytest.mark.parametrize(
    ("unit", "pdu", "fault"),
    [
        (1, "03 08 0001000200030004", ""),
        (1, "83 02", ""),
        (2, "03 08 0001000200030004", "wrong unit"),
        (1, "04 08 0001000200030004", "wrong function"),
        (1, "84 02", "wrong function"),
        (1, "03 06 000100020003", "wrong length"),
        (1, "03 06 0001000200030004", "wrong length"),
        (1, "83", "wrong length"),
        (1, "", "wrong function"),
    ],
)
def test_only_the_awaited_form_is_an_answer(unit: int, pdu: str, fault: str) -> None:
    assert READ.fault(unit, bytes.fromhex(pdu)) == fault


@pytest.mark.parametrize(
    "request_",
    [
        write_registers_request(1, 40, b"\0\1"),
        write_registers_request(1, 40, b"\0\1", single=True),
        write_coil_request(1, 40, True),
        write_coil_request(1, 40, True, multiple=True),
        mask_write_request(1, 40, 0xFF0F, 0x30),
    ],
)
def test_a_write_is_confirmed_by_its_own_address_only(request_: object) -> None:
    request = write_registers_request(1, 40, b"\0\1") if request_ is None else request_
    confirmation = request.pdu[: request.answer_length]  # type: ignore[attr-defined]
    assert request.fault(1, confirmation) == ""  # type: ignore[attr-defined]
    other = confirmation[:2] + bytes([confirmation[2] ^ 1]) + confirmation[3:]
    assert request.fault(1, other) == "another write"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("table", "start", "count"), [("holding", 0, 126), ("coil", 0, 2001), ("input", 65535, 2), ("holding", -1, 1)]
)
def test_what_no_answer_can_hold_is_not_asked(table: str, start: int, count: int) -> None:
    with pytest.raises(ValueError):
        read_request(1, table, start, count)


WORDS = [
    ("0007 0000 0006 03 03 0bd3 0002", "→ unit 3 read holding 3027 ×2 (transaction 7)"),
    ("0007 0000 0007 03 03 04 43668000", "← unit 3 holding 4366 8000 (transaction 7)"),
    ("0007 0000 0003 03 83 02", "← unit 3 exception 2 illegal data address (transaction 7)"),
    ("0007 0000 0003 03 83 63", "← unit 3 exception 99 of no known meaning (transaction 7)"),
    ("0001 0000 0006 01 01 0003 0008", "→ unit 1 read coil 3 ×8 (transaction 1)"),
    ("0001 0000 0004 01 02 01 05", "← unit 1 discrete 05 (transaction 1)"),
    ("0001 0000 0006 01 05 0003 ff00", "↔ unit 1 write coil 3 = on (transaction 1)"),
    ("0001 0000 0008 01 0f 0003 0001 01 01", "→ unit 1 write coil 3 ×1 = 01 (transaction 1)"),
    ("0001 0000 000b 01 10 0028 0002 04 00010002", "→ unit 1 write holding 40 ×2 = 0001 0002 (transaction 1)"),
    ("0001 0000 0006 01 10 0028 0002", "← unit 1 holding 40 ×2 written (transaction 1)"),
    ("0001 0000 0008 01 16 0028 ff0f 0030", "↔ unit 1 write holding 40, keep bits ff0f, put 0030 (transaction 1)"),
    ("0001 0000 0004 01 03 08 00", "← unit 1 holding answer of 1 bytes that says it has 8: 03 08 00 (transaction 1)"),
    ("0001 0000 0005 01 2b 0e 01 00", "unit 1 function 43: 2b 0e 01 00 (transaction 1)"),
    ("4854 5450 2f31", "no Modbus frame (protocol id 21584 instead of 0): 48 54 54 50 2f 31"),
    ("0001 0000 0006 01", "incomplete frame: 00 01 00 00 00 06 01"),
]


@pytest.mark.parametrize(("raw", "words"), WORDS)
def test_frames_read_as_words(raw: str, words: str) -> None:
    assert ModbusTcpDriver.describe(bytes.fromhex(raw)) == words


def test_frames_of_a_line_read_as_words() -> None:
    assert ModbusRtuDriver.describe(rtu_frame(3, b"\x83\x02")) == "← unit 3 exception 2 illegal data address"
    assert ModbusRtuDriver.describe(b"\x03\x83\x02\x00\x00") == "noise or a damaged frame: 03 83 02 00 00"
