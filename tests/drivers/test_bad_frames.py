"""A hundred thousand bad frames for each parser, and ten thousand of hypothesis: only a ProtocolViolation comes out.

Nothing else comes out that the checks forbid: Modbus RTU and FT1.2 carry a checksum, so what they let pass must be a frame
with a right one. IEC 104 and MMS carry none: what passes must encode again to the same octets (104), or be a message (MMS);
its values then are what the frame says.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pilots.domain.errors import LinkDown, ProtocolViolation
from pilots.drivers.capture import capture
from pilots.drivers.iec101 import ft12
from pilots.drivers.iec104 import apci
from pilots.drivers.iec104.driver import Iec104Driver
from pilots.drivers.iec60870 import asdu, elements
from pilots.drivers.iec60870.asdu import Asdu, InformationObject, Sizes
from pilots.drivers.iec61850 import mms, osi
from pilots.drivers.iec61850.ber import tlv, whole_number
from pilots.drivers.modbus.frames import crc16, read_request, rtu_frame, split_mbap, split_rtu
from pilots.drivers.traffic import FrameLog
from tests.drivers.mutations import mutated
from tests.drivers.test_capture import tshark

MANY = 100_000
SEED = 731148
#: Severity of an expert note of tshark's that is a warning (epan/proto.h, PI_WARN).
WARNING = 0x600000
TAG = datetime(2026, 11, 22, 12, 0, 0, 123000, tzinfo=UTC)

REGISTERS = bytes((3, 20)) + bytes(range(20))
MODBUS_PDUS = [REGISTERS, b"\x83\x02", b"\x06\x00\x10\x00\x05", b"\x10\x00\x10\x00\x02", b"\x01\x01\x05"]
MBAP = [bytes((0, n, 0, 0, 0, len(pdu) + 1, 3)) + pdu for n, pdu in enumerate(MODBUS_PDUS)]
RTU = [rtu_frame(3, pdu) for pdu in MODBUS_PDUS]


def unit(type_id: int, value: float, time_tag: datetime | None = None, count: int = 3) -> Asdu:
    objects = tuple(InformationObject(address, value, 0, time_tag) for address in range(700, 700 + 2 * count, 2))
    return Asdu(type_id, 3, 1, objects)


UNITS = [unit(1, 1), unit(3, 2), unit(13, 1.5), unit(15, 70), unit(30, 1, TAG), unit(36, -4.25, TAG), unit(37, 9, TAG)]
#: What Wireshark supposes of IEC 101.
SIZES = Sizes(cause=1, common_address=1, object_address=2)
ASDUS = [asdu.encode(each) for each in UNITS]
APDUS = [apci.i_frame(n, 0, data) for n, data in enumerate(ASDUS)] + [apci.u_frame(apci.TESTFR_ACT), apci.s_frame(5)]
LINES = [ft12.encode(ft12.PRM | ft12.REQUEST_STATUS, 1, 1), b"\xe5"]
LINES += [ft12.encode(0x08, 1, 1, asdu.encode(each, SIZES)) for each in UNITS]

_READ = tlv(0xA1, tlv(0x02, whole_number(7)), tlv(0xA4, tlv(0xA1, tlv(0x87, b"\x08\x42\x2a\x00\x00"), tlv(0x83, b"\x01"))))
_REPORT = tlv(0xA3, tlv(0xA0, tlv(0xA1, tlv(0x80, b"RPT")), tlv(0xA0, tlv(0x8A, b"brcb"), tlv(0x84, b"\x06\x00"))))
MMS = [_READ, _REPORT, mms.conclude_response()]
TPKTS = [packet for message in MMS for packet in osi.data_packets(osi.data_message(message), 1024)]


def through_mbap(frame: bytes, seen: Counter[str]) -> None:
    frames, rest = split_mbap(frame)
    assert b"".join(frames) + rest == frame
    request = read_request(3, "holding", 16, 10)
    seen["answers"] += sum(not request.fault(each[6], each[7:]) for each in frames)


def through_rtu(frame: bytes, seen: Counter[str]) -> None:
    for silent in (False, True):
        frames, _rest = split_rtu(frame, silent=silent)
        for each in frames:
            assert crc16(each[:-2]) == int.from_bytes(each[-2:], "little")
            seen["sound"] += 1


def through_104(frame: bytes, seen: Counter[str]) -> None:
    buffer = bytearray(frame)
    for each in apci.split_frames(buffer):
        assert Iec104Driver.describe(each)
        if each[2] & 1 == 0:
            through_asdu(each[6:], seen)


def through_asdu(data: bytes, seen: Counter[str]) -> None:
    found = asdu.decode(data)
    seen["decoded"] += 1
    if found.objects and all(each.value == each.value for each in found.objects):
        with suppress(ValueError):  # a reserved code or an impossible date is read as what it is, and not written by us
            seen["again"] += asdu.encode(found) == data


def through_ft12(frame: bytes, seen: Counter[str]) -> None:
    parser = ft12.Parser(1)
    items = parser.feed(frame) + parser.flush()
    assert b"".join(item.raw for item in items) == frame
    for item in items:
        if isinstance(item, ft12.Frame) and not item.single:
            body = item.raw[1:-2] if item.raw[0] == ft12.FIXED else item.raw[4:-2]
            assert sum(body) & 0xFF == item.raw[-2]
            with suppress(ProtocolViolation):
                asdu.decode(item.data, SIZES)
            seen["sound"] += 1


def through_mms(frame: bytes, seen: Counter[str]) -> None:
    buffer = bytearray(frame)
    for packet in osi.split_packets(buffer):
        with suppress(LinkDown):
            message = osi.carried(osi.data_unit(packet).data)
            if message is not None:
                answer = mms.decode(message)
                seen["decoded"] += 1
                if isinstance(answer, mms.Answer):
                    mms.values_in(answer)


PARSERS: dict[str, tuple[list[bytes], Callable[[bytes, Counter[str]], None]]] = {
    "MBAP": (MBAP, through_mbap),
    "RTU": (RTU, through_rtu),
    "APCI": (APDUS, through_104),
    "ASDU": (ASDUS, through_asdu),
    "FT1.2": (LINES, through_ft12),
    "MMS": (TPKTS, through_mms),
}


def in_mms(octets: bytes) -> bytes:
    """Inside of elements that the first octets choose, in a packet."""
    message = reduce(lambda inner, choice: tlv(TAGS[choice % len(TAGS)], inner), octets[:6], octets[6:])
    return osi.packet(b"\x02\xf0\x80" + osi.data_message(message))


TYPES = sorted(elements.KINDS)
TAGS = (0x02, 0x80, 0x81, 0x83, 0x84, 0x85, 0x86, 0x87, 0x8A, 0x1A, 0xA0, 0xA1, 0xA2, 0xA3, 0xA4, 0xA5, 0xA9)
#: Octets of any kind are seldom understood: a head that fits leads each parser to what stands behind it.
HEADS: dict[str, Callable[[bytes], bytes]] = {
    "MBAP": lambda octets: bytes((0, 1, 0, 0, 0, len(octets) + 1, 3)) + octets,
    "RTU": lambda octets: rtu_frame(3, octets),
    "APCI": lambda octets: bytes((apci.START, len(octets))) + octets,
    "ASDU": lambda octets: bytes((TYPES[sum(octets) % len(TYPES)],)) + octets,
    "FT1.2": lambda octets: ft12.encode(0x08, 1, 1, octets),
    "MMS": in_mms,
}


@pytest.mark.parametrize("name", PARSERS)
def test_good_frames_pass(name: str) -> None:
    frames, through = PARSERS[name]
    seen: Counter[str] = Counter()
    for frame in frames:
        through(frame, seen)
    assert sum(seen.values()) >= 1


@pytest.mark.parametrize("name", PARSERS)
def test_a_hundred_thousand_bad_frames_are_refused_or_read_as_what_they_say(name: str) -> None:
    frames, through = PARSERS[name]
    seen: Counter[str] = Counter()
    longest = 0.0
    started = time.process_time()
    for frame in mutated(frames, MANY, SEED):
        before = time.process_time()
        try:
            through(frame, seen)
        except ProtocolViolation:
            seen["refused"] += 1
        longest = max(longest, time.process_time() - before)
    spent = time.process_time() - started
    figures = ", ".join(f"{count} {what}" for what, count in sorted(seen.items()))
    print(f"{name}: {MANY} bad frames, {figures}; {1e6 * spent / MANY:.0f} us each, the longest {1e3 * longest:.1f} ms")
    assert seen["refused"] + seen["sound"] > 0


@settings(
    max_examples=10_000,
    deadline=None,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow],
)
@given(st.binary(max_size=48))
def test_octets_of_any_kind_are_refused_or_read_as_what_they_say(octets: bytes) -> None:
    """One string for all parsers: making it costs more than reading it."""
    for name, (_, through) in PARSERS.items():
        for frame in (octets, HEADS[name](octets)):
            with suppress(ProtocolViolation):
                through(frame, Counter())


@pytest.mark.parametrize(
    ("port", "decode_as", "protocol", "frames"),
    [
        (502, "", "mbtcp", MBAP),
        (5020, "mbrtu", "mbrtu", RTU),
        (2404, "", "iec60870_104", APDUS),
        (2405, "iec60870_101", "iec60870_101", LINES),
    ],
)
def test_tshark_reads_our_frames_without_a_warning(
    tmp_path: Path, port: int, decode_as: str, protocol: str, frames: list[bytes]
) -> None:
    log = FrameLog()
    for frame in frames:
        log.note(frame, sent=False)
    path = tmp_path / "frames.pcap"
    path.write_bytes(capture(log.frames(), port=port))
    fields = ["-T", "fields", "-e", "frame.protocols", "-e", "_ws.expert.severity", "-e", "_ws.malformed"]
    lines = [line.split("\t") for line in tshark(path, *(["-d", f"tcp.port=={port},{decode_as}"] if decode_as else []), *fields)]
    assert len(lines) == len(frames)
    assert [layers for layers, _, _ in lines if protocol not in layers] == []
    assert [line for line in lines if line[2] or int(line[1].split(",")[0] or "0") >= WARNING] == []
