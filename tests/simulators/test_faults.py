"""The board of faults, where which fault is possible, and frames spoilt on purpose."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from pymodbus.framer import FramerRTU

from pilots.domain.topology import DeviceKind, Protocol
from pilots.simulators.faults import FaultKind, FaultRefused, Faults, Place, Reach, kinds_at
from pilots.simulators.frame_faults import FRAMINGS

NOW = datetime(2018, 6, 1, 12, tzinfo=UTC)
ANSWER = bytes.fromhex("00010000000701030400010002")  # transaction 1, unit 1, two registers
I_FRAME = bytes.fromhex("680e0000000001010300010064000001")  # M_SP_NA_1, common address 1
LINE_FRAME = bytes.fromhex("680909680801010103010164000174" + "16")  # FT1.2, link address 1


def rtu(body: str) -> bytes:
    raw = bytes.fromhex(body)
    return raw + FramerRTU.compute_CRC(raw).to_bytes(2)


# -- the board


def test_a_fault_runs_from_its_start_to_its_end() -> None:
    faults = Faults()
    fault = faults.start(FaultKind.SILENCE, "bg-rtu01", now=NOW, lasts_s=60)
    assert faults.on(FaultKind.SILENCE, "bg-PM01", "bg-rtu01") is fault
    assert faults.on(FaultKind.SILENCE, "bg-rtu02") is None
    assert faults.on(FaultKind.GARBAGE, "bg-rtu01") is None
    assert (fault.since, fault.until) == (NOW, NOW + timedelta(minutes=1))
    assert faults.end(fault.id) is fault
    assert faults.on(FaultKind.SILENCE, "bg-rtu01") is None and not faults.running


def test_the_nearest_target_decides() -> None:
    faults = Faults()
    faults.start(FaultKind.SLOWNESS, "line", now=NOW)
    device = faults.start(FaultKind.SLOWNESS, "device", now=NOW)
    assert faults.on(FaultKind.SLOWNESS, "device", "line") is device


def test_time_is_up_when_it_is_up() -> None:
    faults = Faults()
    fault = faults.start(FaultKind.SILENCE, "x", now=NOW, lasts_s=60)
    faults.start(FaultKind.NOISE, "x", now=NOW)
    assert faults.over(NOW + timedelta(seconds=59)) == []
    assert faults.over(NOW + timedelta(seconds=60)) == [fault]


def test_one_of_a_kind_at_a_target() -> None:
    faults = Faults()
    told: list[str] = []
    faults.watch(lambda fault: told.append(f"{fault.id} {'runs' if faults.runs(fault) else 'is over'}"))
    first = faults.start(FaultKind.NOISE, "x", now=NOW, options={"share": 0.5})
    second = faults.start(FaultKind.NOISE, "x", now=NOW, options={"share": 0.1})
    assert list(faults.running.values()) == [second]
    assert told == [f"{first.id} runs", f"{first.id} is over", f"{second.id} runs"]


def test_a_moment_ends_by_itself() -> None:
    fault = Faults().start(FaultKind.REBOOT, "x", now=NOW)
    assert fault.until == NOW + timedelta(seconds=10)
    assert Faults().start(FaultKind.REBOOT, "x", now=NOW, lasts_s=30).until == NOW + timedelta(seconds=30)


@pytest.mark.parametrize(
    ("kind", "options", "lasts_s", "word"),
    [
        (FaultKind.SILENCE, {"share": 1}, None, "no option share"),
        (FaultKind.NOISE, {"share": 1.5}, None, "between 0 and 1"),
        (FaultKind.EXCEPTION, {"code": 0}, None, "between 1 and 255"),
        (FaultKind.SILENCE, {}, 0, "cannot last 0 s"),
        (FaultKind.SILENCE, {}, float("nan"), "cannot last"),
        (FaultKind.NOISE, {"share": float("nan")}, None, "between"),
    ],
)
def test_an_impossible_option_is_refused_in_words(
    kind: FaultKind, options: dict[str, float], lasts_s: float | None, word: str
) -> None:
    faults = Faults()
    with pytest.raises(FaultRefused, match=word):
        faults.start(kind, "x", now=NOW, lasts_s=lasts_s, options=options)
    assert not faults.running


def test_chance_repeats_with_the_seed() -> None:
    def strikes(seed: int) -> list[bool]:
        fault = Faults(seed=seed).start(FaultKind.GARBAGE, "x", now=NOW, options={"share": 0.5})
        return [fault.strikes() for _ in range(50)]

    assert strikes(1) == strikes(1) != strikes(2)
    assert 10 < sum(strikes(1)) < 40


# -- where which fault is possible


def place(protocol: Protocol, reach: Reach, device_kind: DeviceKind | None = None) -> Place:
    return Place(name="x", pilot="bg", protocol=protocol, reach=reach, device_kind=device_kind)


def test_a_connection_can_fail_in_every_way_of_its_protocol() -> None:
    kinds = set(kinds_at(place(Protocol.IEC104, Reach.LINE)))
    assert set(FaultKind) - kinds == {FaultKind.BREAKER_TRIP, FaultKind.OUT_OF_ORDER}
    assert FaultKind.CLOCK_SKEW not in kinds_at(place(Protocol.MODBUS_TCP, Reach.LINE))
    assert FaultKind.WRONG_UNIT not in kinds_at(place(Protocol.PUSH, Reach.LINE))


def test_a_unit_behind_a_gateway_cannot_break_its_gateways_connection() -> None:
    kinds = set(kinds_at(place(Protocol.MODBUS_TCP, Reach.UNIT)))
    assert {FaultKind.SILENCE, FaultKind.EXCEPTION, FaultKind.STUCK_VALUE} <= kinds
    assert not kinds & {FaultKind.REFUSE, FaultKind.HALF_OPEN, FaultKind.NOISE, FaultKind.REBOOT}


def test_a_device_behind_an_rtu_has_only_its_values() -> None:
    kinds = kinds_at(place(Protocol.IEC104, Reach.VALUES, DeviceKind.SWITCH))
    assert kinds == [
        FaultKind.SILENCE, FaultKind.EXCEPTION, FaultKind.STUCK_VALUE, FaultKind.COUNTER_RESET, FaultKind.CLOCK_SKEW,
        FaultKind.BREAKER_TRIP,
    ]  # fmt: skip


# -- frames


@pytest.mark.parametrize(
    ("protocol", "frame"),
    [(Protocol.MODBUS_TCP, ANSWER), (Protocol.IEC104, I_FRAME), (Protocol.IEC61850, b"\3\0\0\x09" + b"abcde")],
)
def test_frames_are_found_however_they_arrive(protocol: Protocol, frame: bytes) -> None:
    framing, buffer, found = FRAMINGS[protocol](), bytearray(), []
    for byte in frame * 3:
        buffer.append(byte)
        found += framing.split(buffer) or []
    assert found == [frame] * 3 and not buffer
    assert framing.split(bytearray(b"\xff" * 20)) is None


@pytest.mark.parametrize(
    ("protocol", "frame", "unit", "wrong"),
    [
        (Protocol.MODBUS_TCP, ANSWER, 1, ANSWER[:6] + b"\0" + ANSWER[7:]),
        (Protocol.MODBUS_RTU, rtu("010302000a"), 1, rtu("000302000a")),
        (Protocol.IEC104, I_FRAME, 1, I_FRAME[:10] + b"\0" + I_FRAME[11:]),
        (Protocol.IEC101, bytes.fromhex("1049014a16"), None, bytes.fromhex("1049004916")),
    ],
)
def test_a_wrong_unit_is_the_only_thing_wrong(protocol: Protocol, frame: bytes, unit: int | None, wrong: bytes) -> None:
    framing = FRAMINGS[protocol]()
    assert framing.unit(frame) == unit
    assert framing.with_wrong_unit(frame) == wrong


def test_a_variable_line_frame_with_a_wrong_address_has_a_right_checksum() -> None:
    wrong = FRAMINGS[Protocol.IEC101]().with_wrong_unit(LINE_FRAME)
    assert wrong[5] == LINE_FRAME[5] ^ 1 and len(wrong) == len(LINE_FRAME)
    assert sum(wrong[4:-2]) & 0xFF == wrong[-2]


@pytest.mark.parametrize(
    ("protocol", "frame"),
    [
        (Protocol.MODBUS_TCP, ANSWER), (Protocol.MODBUS_RTU, rtu("010302000a")), (Protocol.IEC104, I_FRAME),
        (Protocol.IEC101, LINE_FRAME), (Protocol.IEC61850, b"\3\0\0\x09abcde"),
    ],
)  # fmt: skip
def test_a_wrong_length_is_always_wrong(protocol: Protocol, frame: bytes) -> None:
    framing, source = FRAMINGS[protocol](), random.Random(1)
    assert all(framing.with_wrong_length(frame, source) != frame for _ in range(200))


def test_exceptions_belong_to_the_question() -> None:
    assert FRAMINGS[Protocol.MODBUS_TCP]().as_exception(ANSWER, 2) == bytes.fromhex("000100000003018302")
    assert FRAMINGS[Protocol.MODBUS_RTU]().as_exception(rtu("010302000a"), 2) == rtu("018302")


def test_supervisory_frames_of_104_are_left_alone() -> None:
    framing, test_frame = FRAMINGS[Protocol.IEC104](), bytes.fromhex("680443000000")
    assert framing.unit(test_frame) is None
    assert framing.with_wrong_unit(test_frame) == test_frame == framing.with_wrong_length(test_frame, random.Random(1))
