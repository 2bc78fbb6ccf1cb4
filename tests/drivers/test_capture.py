"""The frame log and its capture file, read by tshark."""

from __future__ import annotations

import random
import struct
import subprocess
from pathlib import Path

from pilots.drivers.capture import capture
from pilots.drivers.traffic import BLOCK, LOG_LENGTH, LONGEST_KEPT, MOST_BYTES, FrameLog, Traffic

READ = bytes.fromhex("0001 0000 0006 01 03 0BD3 0002")
ANSWER = bytes.fromhex("0001 0000 0007 01 03 04 4366 8000")


def tshark(path: Path, *options: str) -> list[str]:
    command = ["tshark", "-r", str(path), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.splitlines()


def test_the_log_keeps_at_least_the_newest_five_hundred_in_order():
    log = FrameLog()
    for number in range(LOG_LENGTH + 3 * BLOCK + 7):
        log.note(b"%d" % number, sent=number % 2 == 0)
    kept = log.frames()
    assert len(kept) >= LOG_LENGTH
    assert [frame.number for frame in kept] == list(range(kept[0].number, log.count))
    assert all(frame.raw == b"%d" % frame.number and frame.sent is (frame.number % 2 == 0) for frame in kept)


def test_large_frames_are_fewer_until_somebody_looks():
    log, source = FrameLog(), random.Random(1)

    def fill() -> int:
        for _ in range(LOG_LENGTH):
            log.note(source.randbytes(240), sent=False)
        return sum(map(len, log._closed))

    assert fill() <= MOST_BYTES
    assert 100 <= len(log.frames()) < LOG_LENGTH
    assert fill() > MOST_BYTES
    assert len(log.frames()) >= LOG_LENGTH


def test_five_hundred_frames_of_a_meter_with_fifty_changing_floats_are_kept():
    log, source, values = FrameLog(), random.Random(1), [230.0] * 50
    for number in range(LOG_LENGTH // 2):
        values = [value + source.gauss(0, 0.02) for value in values]
        log.note(READ, sent=True)
        log.note(struct.pack(">HHHBBB50f", number, 0, 203, 1, 3, 200, *values), sent=False)
    assert len(log.frames()) == LOG_LENGTH


def test_frames_of_any_length_come_back_as_they_passed():
    log, source = FrameLog(), random.Random(2)
    passed = [source.randbytes(source.choice((0, 1, 12, 12, 209, LONGEST_KEPT))) for _ in range(2 * BLOCK + 3)]
    for frame in passed:
        log.note(frame, sent=True)
    assert [(frame.length, frame.raw) for frame in log.frames()] == [(len(frame), frame) for frame in passed]


def test_only_frames_after_a_number_are_asked_for():
    log = FrameLog()
    for number in range(120):
        log.note(b"%d" % number, sent=True)
    assert [frame.number for frame in log.frames(after=97)] == list(range(98, 120))
    assert log.frames(after=119) == []


def test_a_long_frame_is_cut_and_keeps_its_length():
    traffic = Traffic()
    traffic.note_received(bytes(5000))
    (frame,) = traffic.log.frames()
    assert (frame.length, len(frame.raw), traffic.received_bytes) == (5000, LONGEST_KEPT, 5000)


def test_tshark_reads_request_and_answer_of_modbus(tmp_path: Path):
    traffic = Traffic()
    traffic.note_sent(READ)
    traffic.note_received(ANSWER)
    path = tmp_path / "log.pcap"
    path.write_bytes(capture(traffic.log.frames(), port=502))
    words = ["-T", "fields", "-e", "mbtcp.trans_id", "-e", "modbus.func_code", "-e", "tcp.checksum.status", "-e", "_ws.malformed"]
    assert tshark(path, "-o", "tcp.check_checksum:TRUE", *words) == ["1\t3\t1\t", "1\t3\t1\t"]


def test_tshark_sees_a_cut_frame_as_cut_and_the_next_one_whole(tmp_path: Path):
    traffic = Traffic()
    traffic.note_received(bytes(3000))
    traffic.note_sent(READ)
    path = tmp_path / "log.pcap"
    path.write_bytes(capture(traffic.log.frames(), port=40000))
    lengths = tshark(path, "-T", "fields", "-e", "frame.len", "-e", "frame.cap_len")
    assert lengths == [f"{3000 + 40}\t{LONGEST_KEPT + 40}", "52\t52"]
