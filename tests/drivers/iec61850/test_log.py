"""The frame log: our words for what passed, and tshark's opinion of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pilots.drivers.capture import capture
from pilots.drivers.iec61850 import Iec61850Driver, mms, osi
from pilots.drivers.iec61850.ber import tlv
from pilots.drivers.traffic import LONGEST_KEPT
from tests.drivers.iec61850.peers import DEVICE, POSITION, POSITION_CMD, POWER, Store, connected, simulated, until

describe = Iec61850Driver.describe


def words_of(driver: Iec61850Driver) -> list[str]:
    return [("> " if frame.sent else "< ") + describe(frame.raw) for frame in driver.traffic.log.frames()]


async def test_a_conversation_reads_as_words() -> None:
    async with simulated(POSITION, POSITION_CMD, POWER) as ied, connected(ied.target(), Store()) as driver:
        await driver.write(DEVICE, "position_cmd", 1.0)
        ied.control("position_cmd").interlocked = True
        with pytest.raises(Exception, match="interlocking"):
            await driver.write(DEVICE, "position_cmd", 2.0)
        await until(lambda: any("information-report RPT" in line for line in words_of(driver)))
        words = words_of(driver)
    assert words[:4] == [
        "> COTP connection request",
        "< COTP connection confirm",
        "> association request",
        "< association accepted",
    ]
    assert any("> confirmed-request" in line and "write ES1LD0/CSWI1$CO$Pos$SBOw" in line for line in words)
    assert any("< confirmed-response" in line and "write: object-access-denied" in line for line in words)
    assert any("information-report LastApplError" in line for line in words)
    assert any("information-report RPT ES1LD0/LLN0$" in line and "number" in line for line in words)
    assert not [line for line in words if "not understood" in line]


def framed(message: bytes) -> bytes:
    (frame,) = osi.data_packets(osi.data_message(message), 8192)
    return frame


FIVE = [mms.Name("L", str(number)) for number in range(5)]
REFUSAL = tlv(0xA2, tlv(0x80, b"\x07"), tlv(0xA2, tlv(0xA0, tlv(0x87, b"\x02"))))


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (framed(mms.confirmed_request(5, mms.identify())), "confirmed-request 5 identify"),
        (framed(mms.confirmed_request(5, mms.list_domains())), "confirmed-request 5 get-name-list"),
        (framed(mms.confirmed_request(5, mms.read(FIVE))), "confirmed-request 5 read L/0, L/1, L/2 and 2 more"),
        (framed(REFUSAL), "confirmed-error 7: access: object-non-existent"),
        (framed(mms.conclude_request()), "conclude-request"),
        (osi.packet(bytes((2, 0xF0, 0x80, 25))), "abort"),
        (osi.packet(bytes((6, 0x80, 0, 0, 0, 1, 0))), "COTP disconnect request"),
    ],
)  # fmt: skip
def test_frames_have_their_words(frame: bytes, words: str) -> None:
    assert describe(frame) == words


@pytest.mark.parametrize("frame", [b"", b"\x03", b"GET /", bytes(100), b"\x03\x00\x00\x07\xff\xf0\x80", framed(b"\x30\x05")])
def test_what_is_no_frame_is_said_to_be_none(frame: bytes) -> None:
    assert describe(frame).startswith("not understood")


def test_a_frame_that_the_log_cut_is_read_as_far_as_it_goes() -> None:
    names = tlv(0xA0, *(tlv(0x1A, f"LLN0$ST${number:06d}".encode()) for number in range(100)))
    whole = framed(tlv(0xA1, tlv(0x02, b"\x09"), tlv(0xA1, names, tlv(0x81, b"\x00"))))
    assert len(whole) > LONGEST_KEPT
    assert describe(whole[:LONGEST_KEPT]).startswith("confirmed-response 9 get-name-list")


async def test_tshark_reads_our_frames_without_a_warning(tmp_path: Path) -> None:
    async with simulated(POSITION, POSITION_CMD, POWER) as ied, connected(ied.target(), Store()) as driver:
        await until(lambda: driver._acquisition is not None and len(driver._acquisition.intake.subscriptions) == 2)
        await driver.write(DEVICE, "position_cmd", 1.0)
        await driver.browse(DEVICE)
        frames = [frame for frame in driver.traffic.log.frames() if frame.length == len(frame.raw)]
    file = tmp_path / "log.pcap"
    file.write_bytes(capture(frames, port=102))
    # -o: hat-drivers, our peer here, sends presentation contexts that only the opening names; the log has it.
    fields = [
        "-T",
        "fields",
        "-e",
        "frame.protocols",
        "-e",
        "_ws.expert.severity",
        "-e",
        "_ws.expert.message",
        "-e",
        "_ws.malformed",
    ]
    command = ["tshark", "-r", str(file), "-d", f"tcp.port==102,{Iec61850Driver.dissector}", *fields]
    seen = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    assert len(seen) == len(frames)
    ours = [line for line, frame in zip(seen, frames, strict=True) if frame.sent]
    assert sum(":mms" in line.partition("\t")[0] for line in ours) > 20
    assert [line for line in ours if "Malformed" in line or line.split("\t")[-1]] == []
