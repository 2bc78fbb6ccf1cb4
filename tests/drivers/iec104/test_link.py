"""The link layer against a scripted peer on a raw socket: acknowledgements, windows, tests, violations."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest

from pilots.domain.errors import AnswerTimeout, CatalogueError, LinkDown, ProtocolViolation
from pilots.domain.measurement import RawReading
from pilots.domain.quality import Flag, Validity
from pilots.drivers.iec104 import Iec104Driver, apci
from pilots.drivers.iec60870 import asdu
from pilots.drivers.iec60870.asdu import Asdu, InformationObject
from tests.drivers.iec104.peers import PATIENCE_S, RawStation, Store, floats, make_target, opened, raw_station, receive_number

GI_AND_CLOCK = 2  # I-frames the driver sends by itself at the start


async def _interrogated(station: RawStation) -> None:
    """The driver's clock synchronisation and interrogation have come."""
    await station.request(asdu.C_CS)
    await station.request(asdu.C_IC)


async def test_a_frame_is_acknowledged_only_after_the_commit() -> None:
    store = Store()
    async with raw_station() as station, opened(station, store.sink, w=2, t2=0.05):
        await _interrogated(station)
        store.gate.clear()
        station.send(floats(1.0), floats(2.0), floats(3.0))
        await store.wait_for("active_power", 1)

        assert await station.frame_within(0.4) is None

        store.gate.set()
        frame = await station.frame()
        while receive_number(frame) < 3:  # the three may have come in more than one segment
            frame = await station.frame()
        assert frame[0] == 0x01
        assert receive_number(frame) == 3
        assert [reading.value for reading in store.readings("active_power")] == [1.0, 2.0, 3.0]


async def test_a_command_carries_no_acknowledgement_of_what_is_not_committed() -> None:
    store = Store()
    async with raw_station() as station, opened(station, store.sink) as driver:
        await _interrogated(station)
        store.gate.clear()
        station.send(floats(1.0))
        await store.wait_for("active_power")
        writing = asyncio.ensure_future(driver.write("es-STO01", "p_set", 100.0))

        frame = await station.frame()

        assert frame[4] == 50
        assert receive_number(frame) == 0
        station.send(asdu.decode(frame[4:])._replace(cause=asdu.ACTIVATION_CON))
        assert (await writing).raw == "ACT_CON COT 7 P/N 0"  # the answer does not queue behind the commit


async def test_everything_that_came_during_a_commit_is_committed_at_once() -> None:
    store = Store()
    async with raw_station() as station, opened(station, store.sink, w=4):
        await _interrogated(station)
        store.gate.clear()
        station.send(floats(1.0))
        await store.wait_for("active_power")
        for value in range(2, 6):
            station.send(floats(float(value)))
        station.write(apci.u_frame(apci.TESTFR_ACT))
        assert await station.frame() == bytes((apci.TESTFR_CON, 0, 0, 0))  # so all of them are in
        store.gate.set()

        frame = await station.frame()

        assert receive_number(frame) == 5
        assert [len(readings) for _, readings in store.calls] == [1, 4]


async def test_t2_acknowledges_fewer_than_w() -> None:
    store = Store()
    async with raw_station() as station, opened(station, store.sink, w=8, t2=0.1):
        await _interrogated(station)
        station.send(floats(1.0))

        frame = await station.frame()

        assert (frame[0], receive_number(frame)) == (0x01, 1)


async def test_w_frames_are_acknowledged_without_waiting_for_t2() -> None:
    store = Store()
    async with raw_station() as station, opened(station, store.sink, w=3, t1=900, t2=800, t3=900):
        await _interrogated(station)
        station.send(floats(1.0), floats(2.0), floats(3.0))

        assert receive_number(await station.frame()) == 3


async def test_no_more_than_k_frames_of_ours_are_unacknowledged() -> None:
    store = Store()
    async with raw_station() as station, opened(station, store.sink, k=3) as driver:
        await _interrogated(station)
        writes = [asyncio.ensure_future(driver.write("es-STO01", point, 0.0)) for point in ("p_set", "p_scaled")]
        first = await station.frame()

        assert first[4] == 50
        assert await station.frame_within(0.2) is None

        station.write(apci.s_frame(GI_AND_CLOCK + 1))
        assert (await station.frame())[4] == 49
        for write in writes:
            write.cancel()


async def test_a_test_frame_is_answered() -> None:
    async with raw_station() as station, opened(station, Store().sink):
        await _interrogated(station)
        station.write(apci.u_frame(apci.TESTFR_ACT))

        assert await station.frame() == bytes((apci.TESTFR_CON, 0, 0, 0))


async def test_silence_of_t3_is_tested_and_the_round_trip_noted() -> None:
    async with raw_station() as station, opened(station, Store().sink, t3=0.1) as driver:
        await _interrogated(station)
        before = len(driver.traffic.round_trips_s)

        assert await station.frame() == bytes((apci.TESTFR_ACT, 0, 0, 0))
        station.write(apci.u_frame(apci.TESTFR_CON))
        assert await station.frame() == bytes((apci.TESTFR_ACT, 0, 0, 0))  # the silence after it is tested again
        assert len(driver.traffic.round_trips_s) == before + 1
        assert not driver.closed.is_set()


async def test_a_half_open_connection_is_closed_after_t3_and_t1() -> None:
    async with raw_station() as station, opened(station, Store().sink, t1=0.2, t2=0.1, t3=0.1) as driver:
        await _interrogated(station)
        station.write(apci.s_frame(GI_AND_CLOCK))

        await asyncio.wait_for(driver.closed.wait(), PATIENCE_S)

        assert isinstance(driver.failure, AnswerTimeout)
        assert driver.traffic.timeouts >= 1


async def test_an_unacknowledged_frame_of_ours_closes_the_link_after_t1() -> None:
    async with raw_station() as station, opened(station, Store().sink, t1=0.2, t2=0.1, t3=60) as driver:
        await asyncio.wait_for(driver.closed.wait(), PATIENCE_S)

        assert isinstance(driver.failure, AnswerTimeout)


VIOLATIONS = {
    "garbage": ("framing", b"\x00\x01\x02\x03\x04\x05"),
    "second start octet missing": ("framing", apci.s_frame(0) + b"\x16"),
    "length too small": ("framing", bytes((0x68, 3, 0, 0, 0))),
    "length too large": ("framing", bytes((0x68, 254)) + bytes(254)),
    "long S-frame": ("length", bytes((0x68, 5, 1, 0, 0, 0, 0))),
    "unknown U function": ("U-frame", apci.u_frame(0xC3)),
    "STARTDT act from the station": ("U-frame", apci.u_frame(apci.STARTDT_ACT)),
    "send number ahead": ("sequence number", apci.i_frame(1, 0, asdu.encode(floats(1.0)))),
    "acknowledges what was never sent": ("acknowledgement", apci.s_frame(100)),
    "I-frame without ASDU": ("asdu", apci.i_frame(0, 0, b"")),
    "ASDU cut short": ("asdu", apci.i_frame(0, 0, asdu.encode(floats(1.0))[:-1])),
    "ASDU with more objects than octets": ("asdu", apci.i_frame(0, 0, b"\x0d\x05" + asdu.encode(floats(1.0))[2:])),
}


@pytest.mark.parametrize(("kind", "octets"), VIOLATIONS.values(), ids=VIOLATIONS.keys())
async def test_a_violation_closes_the_link_is_counted_by_its_kind_and_stores_nothing(kind: str, octets: bytes) -> None:
    store = Store()
    async with raw_station() as station, opened(station, store.sink) as driver:
        await _interrogated(station)
        station.write(octets)

        await asyncio.wait_for(driver.closed.wait(), PATIENCE_S)

        await station.hung_up()
        assert isinstance(driver.failure, ProtocolViolation)
        assert (driver.traffic.violations, driver.traffic.kinds) == (1, {kind: 1})
        assert any(not frame.sent and octets.endswith(frame.raw) for frame in driver.traffic.log.frames())
        assert store.calls == []


async def test_frames_cut_into_single_octets_are_put_together() -> None:
    store = Store()
    async with raw_station() as station, opened(station, store.sink, w=1):
        await _interrogated(station)
        for octet in apci.i_frame(0, 0, asdu.encode(floats(7.0))):
            station.write(bytes((octet,)))
            await station.writer.drain()

        assert receive_number(await station.frame()) == 1
        assert store.readings("active_power")[0].value == 7.0


async def test_sequence_numbers_wrap_at_two_to_the_fifteen() -> None:
    store = Store()
    frames = 33_000
    async with raw_station() as station, opened(station, store.sink, w=100):
        await _interrogated(station)
        for start in range(0, frames, 500):
            for _ in range(500):
                station.write(apci.i_frame(station.sent % apci.MODULUS, 0, asdu.encode(floats(1.0))))
                station.sent += 1
            wanted = (start + 500) % apci.MODULUS
            station.write(apci.u_frame(apci.TESTFR_ACT))
            async with asyncio.timeout(PATIENCE_S):
                while wanted - receive_number(await station.frame()) >= 100:
                    pass
        await store.wait_for("active_power", frames)


async def test_a_sink_that_fails_closes_the_link_without_acknowledging() -> None:
    async def broken(device_id: str, readings: Sequence[RawReading]) -> None:
        raise OSError("disk full")

    async with raw_station() as station, opened(station, broken, w=1) as driver:
        await _interrogated(station)
        station.send(floats(1.0))
        await asyncio.wait_for(driver.closed.wait(), PATIENCE_S)

        assert isinstance(driver.failure, LinkDown)
        assert await station.reader.read() == b""


async def test_close_says_stopdt_and_leaves_no_task() -> None:
    store = Store()
    before = asyncio.all_tasks()
    async with raw_station() as station:
        async with opened(station, store.sink) as driver:
            await _interrogated(station)
            closing = asyncio.ensure_future(driver.close())
            assert await station.frame() == bytes((apci.STOPDT_ACT, 0, 0, 0))
            station.write(apci.u_frame(apci.STOPDT_CON))
            await closing
            assert driver.closed.is_set()
            assert driver.failure is None
            await driver.close()
        assert {task for task in asyncio.all_tasks() - before if "iec104" in task.get_name()} == set()


async def test_what_came_before_the_loss_is_still_stored() -> None:
    store = Store()
    async with raw_station() as station, opened(station, store.sink) as driver:
        await _interrogated(station)
        store.gate.clear()
        station.send(floats(1.0))
        await store.wait_for("active_power")
        station.send(floats(2.0))
        await station.writer.drain()
        station.writer.close()
        await asyncio.wait_for(driver.closed.wait(), PATIENCE_S)
        store.gate.set()

        assert [reading.value for reading in await store.wait_for("active_power", 2)] == [1.0, 2.0]


async def test_random_streams_never_store_and_never_break_the_driver() -> None:
    source = random.Random(5)
    for _ in range(20):
        store = Store()
        async with raw_station() as station, opened(station, store.sink) as driver:
            station.write(bytes((source.randrange(0, 0x68),)) + source.randbytes(300))
            await asyncio.wait_for(driver.closed.wait(), PATIENCE_S)
            assert isinstance(driver.failure, ProtocolViolation)
            assert store.calls == []


async def test_a_flood_beyond_every_k_waits_in_the_socket_and_is_all_stored() -> None:
    store = Store()
    frames = 3 * apci.MAX_UNCOMMITTED
    async with raw_station() as station, opened(station, store.sink, w=2000) as driver:
        await _interrogated(station)
        store.gate.clear()
        for start in range(0, frames, 256):
            station.send(*(floats(float(number)) for number in range(start, start + 256)))
        await store.wait_for("active_power")
        async with asyncio.timeout(PATIENCE_S):
            while driver.traffic.received < apci.MAX_UNCOMMITTED:
                await asyncio.sleep(0.01)
        store.gate.set()

        readings = await store.wait_for("active_power", frames)

        assert [reading.value for reading in readings] == [float(number) for number in range(frames)]


async def test_a_cancelled_commit_closes_the_link() -> None:
    async def cancelled(device_id: str, readings: Sequence[RawReading]) -> None:
        raise asyncio.CancelledError

    async with raw_station() as station, opened(station, cancelled) as driver:
        await _interrogated(station)
        station.send(floats(1.0))

        await asyncio.wait_for(driver.closed.wait(), PATIENCE_S)
        assert isinstance(driver.failure, LinkDown)


async def test_a_command_that_waits_for_the_window_never_left_when_the_link_is_lost() -> None:
    async with raw_station() as station, opened(station, Store().sink, k=2) as driver:
        await _interrogated(station)
        writing = asyncio.ensure_future(driver.write("es-STO01", "p_set", 1.0))
        assert await station.frame_within(0.1) is None
        station.hang_up()

        with pytest.raises(LinkDown):
            await writing


async def test_an_interrogation_without_end_is_counted_and_the_next_one_follows() -> None:
    store = Store()
    async with raw_station() as station, opened(station, store.sink, gi_timeout_s=0.1, gi_period_s=0.1) as driver:
        request = await station.request(asdu.C_IC)
        station.send(request._replace(cause=asdu.ACTIVATION_CON))
        counters = await station.request(asdu.C_CI)
        station.send(counters._replace(cause=asdu.ACTIVATION_CON, negative=True))
        await station.request(asdu.C_IC)

        assert driver.counts["interrogations_unterminated"] == 1
        assert driver.counts["interrogations_failed"] == 1


async def test_a_test_asdu_is_acknowledged_and_not_stored() -> None:
    store = Store()
    async with raw_station() as station, opened(station, store.sink, w=1) as driver:
        await _interrogated(station)
        station.send(floats(1.0)._replace(test=True))

        assert receive_number(await station.frame()) == 1
        assert (store.calls, driver.counts["test_asdus"]) == ([], 1)


async def test_a_value_whose_clock_is_invalid_is_kept_and_flagged() -> None:
    store = Store()
    async with raw_station() as station, opened(station, store.sink):
        await _interrogated(station)
        station.send(Asdu(36, 3, 1, (InformationObject(701, 5.0),)))
        (reading,) = await store.wait_for("active_power")

        assert (reading.value, reading.source_time) == (5.0, None)
        assert reading.quality.validity is Validity.GOOD
        assert reading.quality.flags is Flag.CLOCK_UNSYNCED


async def test_without_clock_sync_only_the_interrogation_leaves() -> None:
    async with raw_station() as station, opened(station, Store().sink, clock_sync=False, originator=9):
        frame = await station.frame()

        request = asdu.decode(frame[4:])
        assert (request.type_id, request.originator) == (asdu.C_IC, 9)


@pytest.mark.parametrize(
    "options",
    [{"originator": 256}, {"ca": 0}, {"command_timeout_s": 0}, {"t1": 5, "t2": 5}, {"k": 0}, {"w": 40_000}, {"t3": "soon"}],
)
def test_parameters_that_make_no_sense_are_a_catalogue_error(options: dict[str, object]) -> None:
    with pytest.raises(CatalogueError):
        Iec104Driver(make_target(2404, options), Store().sink)


async def test_an_answer_to_nobody_and_unknown_types_are_counted_and_acknowledged() -> None:
    store = Store()
    async with raw_station() as station, opened(station, store.sink, w=2) as driver:
        await _interrogated(station)
        station.send(Asdu(50, asdu.ACTIVATION_CON, 1, (InformationObject(9, 1.0),)))
        station.write(apci.i_frame(1, 0, bytes.fromhex("2901030001000a00000102030405060708090a")))

        assert receive_number(await station.frame()) == 2
        assert (driver.counts["unexpected_answers"], driver.counts["unknown_types"]) == (1, 1)
        assert store.calls == []
