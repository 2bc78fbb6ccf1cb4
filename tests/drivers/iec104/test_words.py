"""Frames of the log in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilots.drivers.iec104 import Iec104Driver, apci
from pilots.drivers.iec60870 import asdu
from pilots.drivers.iec60870.asdu import Asdu, InformationObject
from tests.drivers.iec104.peers import Store, floats, opened, raw_station


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (apci.u_frame(apci.STARTDT_ACT), "U STARTDT act"),
        (apci.u_frame(apci.STOPDT_CON), "U STOPDT con"),
        (apci.u_frame(0xFF), "U ff"),
        (apci.s_frame(32767), "S N(R) 32767"),
        (apci.i_frame(3, 4, asdu.encode(floats(2.5))), "I N(S) 3 N(R) 4: M_ME_NC_1 (13) spontaneous, CA 1: IOA 701 = 2.5"),
        (apci.i_frame(0, 0, b"\x0d"), "I N(S) 0 N(R) 0: bad ASDU: ASDU of 1 octets is shorter than its header: 0d"),
        (b"", "no APDU: "),
        (b"\x68\x04\x01\x00", "no APDU: 68 04 01 00"),
        (b"\x68\x05\x01\x00\x00\x00\x00", "no APDU: 68 05 01 00 00 00 00"),
    ],
)
def test_a_frame_is_one_line_of_words(frame: bytes, words: str) -> None:
    assert Iec104Driver.describe(frame) == words


@given(st.binary(max_size=300))
def test_no_frame_makes_the_describer_fail(frame: bytes) -> None:
    assert Iec104Driver.describe(frame)
    assert Iec104Driver.describe(bytes((0x68, len(frame) & 0xFF)) + frame)


async def test_the_log_keeps_whole_frames_of_both_directions() -> None:
    async with raw_station() as station, opened(station, Store().sink, w=1) as driver:
        await station.confirmed(asdu.C_CS)
        await station.confirmed(asdu.C_IC)
        station.send(Asdu(1, 3, 1, (InformationObject(703, 1),)))
        while await station.frame() != apci.s_frame(3)[2:]:
            pass

        words = [(frame.sent, driver.describe(frame.raw)) for frame in driver.traffic.log.frames()]

    assert words[:2] == [(True, "U STARTDT act"), (False, "U STARTDT con")]
    assert (True, "I N(S) 1 N(R) 0: C_IC_NA_1 (100) activation, CA 1: station") in words
    assert (False, "I N(S) 2 N(R) 0: M_SP_NA_1 (1) spontaneous, CA 1: IOA 703 = 1 (on)") in words
    assert (True, "S N(R) 3") in words
