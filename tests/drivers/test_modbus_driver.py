"""The Modbus TCP driver against a responder that is not pymodbus, and against a pymodbus server."""

from __future__ import annotations

import asyncio
import random
import struct
from typing import Any

import pytest
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from pilots.domain.errors import AnswerTimeout, DeviceRefused, LinkDown, ProtocolViolation
from pilots.domain.point import PointKind
from pilots.domain.quality import Flag, Validity
from pilots.drivers.modbus import ModbusTcpDriver
from pilots.drivers.modbus.health import UnitHealth
from pilots.drivers.modbus.link import POLL, Turnstile
from tests.drivers.builders import Committed, make_device, make_point, make_target
from tests.drivers.modbus_benches import FLOATS, SETPOINT, opened, peer_with_floats
from tests.drivers.raw_modbus import Request, raw_modbus


def wrong_answers() -> dict[str, Any]:
    body = bytes([3, 4]) + struct.pack(">f", 9.0)
    return {
        "another unit": lambda r: r.frame(body, unit=9),
        "another function": lambda r: r.frame(bytes([4]) + body[1:]),
        "unknown function": lambda r: r.frame(b"\x63" + body[1:]),
        "too few registers": lambda r: r.frame(bytes([3, 2, 0, 1])),
        "a lying byte count": lambda r: r.frame(bytes([3, 40, 0, 1])),
        "transaction id 0": lambda r: r.frame(body, transaction=0),
        "no Modbus at all": lambda r: b"HTTP/1.1 400 Bad Request\r\n\r\n",
        "an impossible length": lambda r: struct.pack(">HHHB", r.transaction, 0, 9999, 1) + body,
    }


async def test_a_block_is_read_in_one_request_and_decoded() -> None:
    async with raw_modbus(registers=peer_with_floats()) as peer, opened(peer.port, make_device(*FLOATS)) as driver:
        readings = await driver.read("bg-M01", ["a", "b"])
        assert {r.point: r.value for r in readings} == {"a": 1.5, "b": -2.25}
        assert [(r.address, r.count) for r in peer.asked] == [(10, 6)]
        assert driver.device_up("bg-M01") is True
        assert (driver.traffic.sent, driver.traffic.received, len(driver.traffic.round_trips_s)) == (1, 1, 1)


async def test_a_pymodbus_server_is_read_and_written_too() -> None:
    meter = SimDevice(7, simdata=[SimData(0, values=[0] * 60, datatype=DataType.REGISTERS)])
    server = ModbusTcpServer(meter, address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    assert isinstance(server.transport, asyncio.Server)
    port = server.transport.sockets[0].getsockname()[1]
    try:
        async with opened(port, make_device(SETPOINT, address={"unit": 7}), timeout_s=1.0) as driver:
            await driver.write("bg-M01", "p_set", -70000)
            (reading,) = await driver.read("bg-M01", ["p_set"])
            assert reading.value == -70000
            with pytest.raises(DeviceRefused, match="exception 2, illegal data address"):
                await driver._opened().read(7, "holding", 500, 2)
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]


async def test_a_bad_block_costs_only_its_own_points() -> None:
    device = make_device(*FLOATS, make_point("c", register=900))
    async with raw_modbus(registers=peer_with_floats()) as peer, opened(peer.port, device) as driver:
        readings = {r.point: r for r in await driver.read("bg-M01", ["a", "c"])}
        assert readings["a"].value == 1.5
        assert readings["c"].value is None
        assert readings["c"].quality.validity is Validity.INVALID
        assert readings["c"].quality.flags == Flag.FAILURE | Flag.COMM_FAILURE


async def test_when_every_block_is_refused_the_refusal_is_raised() -> None:
    async with raw_modbus() as peer, opened(peer.port, make_device(*FLOATS)) as driver:
        with pytest.raises(DeviceRefused, match="unit 1: exception 2, illegal data address") as refusal:
            await driver.read("bg-M01", ["a"])
        assert refusal.value.device_code == "2"
        assert driver.device_up("bg-M01") is True


@pytest.mark.parametrize(("code", "error"), [(11, AnswerTimeout), (5, AnswerTimeout), (10, DeviceRefused), (6, DeviceRefused)])
async def test_gateway_exceptions_keep_their_meaning(code: int, error: type[Exception]) -> None:
    async def refuse(request: Request) -> bytes:
        return request.exception(code)

    async with raw_modbus(script=refuse) as peer, opened(peer.port, make_device(*FLOATS)) as driver:
        with pytest.raises(error, match=f"exception {code}"):
            await driver.read("bg-M01", ["a"])
        assert not driver.closed.is_set()


async def test_a_late_answer_is_never_taken_for_the_next_one() -> None:
    async with raw_modbus() as peer, opened(peer.port, make_device(*FLOATS)) as driver:
        late: list[bytes] = []

        async def script(request: Request) -> bytes | None:
            value = struct.pack(">f", float(len(peer.asked)))
            frame = request.frame(bytes([3, 4]) + value)
            if not late:
                late.append(frame)
                return None
            return late[0] + frame

        peer.script = script
        with pytest.raises(AnswerTimeout):
            await driver.read("bg-M01", ["a"])
        (reading,) = await driver.read("bg-M01", ["a"])
        assert reading.value == 2.0
        assert not driver.closed.is_set()


@pytest.mark.parametrize("kind", sorted(wrong_answers()))
async def test_a_wrong_answer_is_a_counted_violation_and_the_next_is_read(kind: str) -> None:
    async with raw_modbus(registers=peer_with_floats()) as peer, opened(peer.port, make_device(*FLOATS)) as driver:

        async def script(request: Request) -> bytes:
            return bytes(wrong_answers()[kind](request))

        peer.script = script
        with pytest.raises(ProtocolViolation):
            await driver.read("bg-M01", ["a"])
        assert driver.traffic.violations == 1
        peer.script = None
        (reading,) = await driver.read("bg-M01", ["a"])
        assert reading.value == 1.5


async def test_a_short_frame_is_waited_for_and_then_a_timeout() -> None:
    async def script(request: Request) -> bytes:
        return request.frame(bytes([3, 4, 0, 0, 0, 0]))[:9]

    async with raw_modbus(script=script) as peer, opened(peer.port, make_device(*FLOATS)) as driver:
        with pytest.raises(AnswerTimeout):
            await driver.read("bg-M01", ["a"])
        assert driver.traffic.timeouts == 1


async def test_a_dead_unit_costs_only_itself() -> None:
    async with raw_modbus(registers=peer_with_floats()) as peer:

        async def script(request: Request) -> bytes | None:
            return None if request.unit == 2 else peer.answer(request)

        peer.script = script
        devices = make_device(*FLOATS), make_device(*FLOATS, id="bg-M02", address={"unit": 2})
        async with opened(peer.port, *devices, timeout_s=0.05) as driver:
            assert driver.device_up("bg-M02") is None
            for _ in range(6):
                with pytest.raises(AnswerTimeout):
                    await driver.read("bg-M02", ["a", "b"])
                assert len(await driver.read("bg-M01", ["a"])) == 1
            assert driver.device_up("bg-M02") is False
            assert driver.device_up("bg-M01") is True
            assert sum(request.unit == 2 for request in peer.asked) == 3
            assert not driver.closed.is_set()


def test_a_dead_unit_is_asked_again_ever_more_rarely() -> None:
    health, now, pauses = UnitHealth(), 0.0, []
    for _ in range(8):
        health.note_silence(now)
        pauses.append(health.next_try - now if health.next_try else 0.0)
        now = max(now, health.next_try)
        assert health.may_ask(now)
    assert pauses == [0.0, 0.0, 5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
    health.note_answer()
    assert health.up is True and health.may_ask(now)


async def test_a_sunspec_point_the_device_lacks_is_missing_not_zero() -> None:
    device = make_device(make_point("q", register=1, type="int16"), sunspec=True)
    async with raw_modbus(registers={1: 0x8000}) as peer, opened(peer.port, device) as driver:
        (reading,) = await driver.read("bg-M01", ["q"])
        assert reading.value is None
        assert reading.quality.flags == Flag.NOT_AVAILABLE


async def test_a_cancelled_poll_leaves_the_line_usable() -> None:
    async with raw_modbus(registers=peer_with_floats()) as peer, opened(peer.port, make_device(*FLOATS)) as driver:
        asked = asyncio.Event()

        async def script(request: Request) -> bytes | None:
            asked.set()
            return None

        peer.script = script
        polls = [asyncio.create_task(driver.read("bg-M01", ["a"])) for _ in range(3)]
        await asked.wait()
        for poll in polls:
            poll.cancel()
        await asyncio.gather(*polls, return_exceptions=True)
        peer.script = None
        assert len(await driver.read("bg-M01", ["a"])) == 1


async def test_a_link_that_breaks_under_a_request_tells_at_once() -> None:
    async with raw_modbus() as peer, opened(peer.port, make_device(SETPOINT), timeout_s=30) as driver:

        async def hang_up(request: Request) -> None:
            peer.hang_up()

        peer.script = hang_up
        async with asyncio.timeout(30):
            with pytest.raises(AnswerTimeout, match="broke"):
                await driver.write("bg-M01", "p_set", 5)
            await driver.closed.wait()
        with pytest.raises(LinkDown):
            await driver.read("bg-M01", ["p_set"])


async def test_probe_names_the_device_that_does_not_answer() -> None:
    async with raw_modbus() as peer:
        driver = ModbusTcpDriver(make_target(peer.port, make_device(*FLOATS)), Committed())
        with pytest.raises(DeviceRefused, match=r"bg-M01 \(unit 1\), reading a: .*illegal data address"):
            await driver.probe()
        assert driver.closed.is_set()


async def test_a_scale_factor_nobody_gives_makes_its_points_invalid_and_unwritable() -> None:
    far = make_point("far", PointKind.SETPOINT, register=40, type="int16", scale_register=900)
    async with raw_modbus(registers={40: 7}) as peer, opened(peer.port, make_device(far)) as driver:
        (reading,) = await driver.read("bg-M01", ["far"])
        assert reading.value is None
        assert reading.quality.flags == Flag.FAILURE | Flag.COMM_FAILURE
        peer.registers[900] = 0x8000
        (reading,) = await driver.read("bg-M01", ["far"])
        assert reading.quality.flags == Flag.NOT_AVAILABLE
        with pytest.raises(DeviceRefused, match="scale factor register 900 holds none"):
            await driver.write("bg-M01", "far", 1)


async def test_a_scale_factor_may_lie_in_another_block_of_the_plan() -> None:
    device = make_device(
        make_point("a", register=40, type="int16", scale_register=300), make_point("b", register=300, type="int16")
    )
    async with raw_modbus(registers={40: 7, 300: 1}) as peer, opened(peer.port, device) as driver:
        assert {r.point: r.value for r in await driver.read("bg-M01", ["a", "b"])} == {"a": 70.0, "b": 1}
        assert len(peer.asked) == 2


async def test_a_point_with_an_unreadable_address_is_refused_not_guessed() -> None:
    async with raw_modbus() as peer, opened(peer.port, make_device(make_point("x", register=1, type="uint24"))) as driver:
        with pytest.raises(DeviceRefused, match="uint24"):
            await driver.read("bg-M01", ["x"])
        assert await driver.read("bg-M01", []) == []


async def test_a_turn_given_to_a_poll_that_was_just_cancelled_is_handed_on() -> None:
    turnstile, order = Turnstile(), []

    async def pass_through(name: str) -> None:
        await turnstile.wait(POLL)
        order.append(name)
        turnstile.leave()

    assert turnstile.take()
    second = asyncio.create_task(pass_through("second"))
    third = asyncio.create_task(pass_through("third"))
    await asyncio.sleep(0)
    assert not turnstile.take()
    turnstile.leave()
    second.cancel()  # it has its turn already, but has not run yet
    await asyncio.gather(second, third, return_exceptions=True)
    assert order == ["third"]
    assert turnstile.take()


async def test_bits_of_both_tables_are_read_in_one_request_each() -> None:
    points = [make_point(f"s{at}", PointKind.STATUS, register=at, table="discrete") for at in (3, 20)]
    async with raw_modbus(coils={20: True}) as peer, opened(peer.port, make_device(*points)) as driver:
        assert {r.point: r.value for r in await driver.read("bg-M01", ["s3", "s20"])} == {"s3": 0, "s20": 1}
        assert [(r.function, r.address, r.count) for r in peer.asked] == [(2, 3, 18)]


async def test_too_few_bits_are_a_violation() -> None:
    async def script(request: Request) -> bytes:
        return request.frame(bytes([request.function, 1, 1]))

    points = [make_point(f"s{at}", PointKind.STATUS, register=at, table="coil") for at in (3, 20)]
    async with raw_modbus(script=script) as peer, opened(peer.port, make_device(*points)) as driver:
        with pytest.raises(ProtocolViolation, match="wrong length"):
            await driver.read("bg-M01", ["s3", "s20"])
        assert driver.traffic.kinds == {"wrong length": 1}


async def test_no_late_answer_is_taken_for_the_current_one_among_ten_thousand_values() -> None:
    """Each register holds its own number; one answer in five comes after its time-out, some two requests later."""
    count, polls, source = 100, 100, random.Random(1)
    points = [make_point(f"r{at}", register=at) for at in range(count * polls)]
    names = [[point.name for point in points[at : at + count]] for at in range(0, count * polls, count)]
    async with raw_modbus(registers={at: at for at in range(count * polls)}) as peer:

        async def script(request: Request) -> bytes | None:
            answer = peer.answer(request)
            if source.random() > 0.2:
                return answer
            asyncio.get_running_loop().call_later(source.choice((0.05, 0.06, 0.1)), peer.writers[0].write, answer)
            return None

        peer.script = script
        async with opened(peer.port, make_device(*points), timeout_s=0.04) as driver:
            seen = wrong = 0
            for asked in names:
                driver._health["bg-M01"].note_answer()  # the pause of a dead unit is not what is tried here
                try:
                    readings = await driver.read("bg-M01", asked)
                except AnswerTimeout:
                    continue
                seen += len(readings)
                wrong += sum(reading.value != int(reading.point[1:]) for reading in readings)
            assert driver.traffic.kinds["late answer"] >= 10 and set(driver.traffic.kinds) == {"late answer"}
    assert wrong == 0 and seen >= 5_000


async def test_a_busy_unit_is_asked_once_more_within_the_cycle() -> None:
    async with raw_modbus(registers=peer_with_floats()) as peer, opened(peer.port, make_device(*FLOATS)) as driver:

        async def busy_once(request: Request) -> bytes:
            return request.exception(6) if len(peer.asked) == 1 else peer.answer(request)

        peer.script = busy_once
        (reading,) = await driver.read("bg-M01", ["a"])
        assert reading.value == 1.5
        assert (driver.traffic.retries, driver.traffic.refused, len(peer.asked)) == (1, 0, 2)


async def test_a_unit_that_stays_busy_is_refused_after_two_questions() -> None:
    async def busy(request: Request) -> bytes:
        return request.exception(6)

    async with raw_modbus(script=busy) as peer, opened(peer.port, make_device(*FLOATS)) as driver:
        with pytest.raises(DeviceRefused) as refusal:
            await driver.read("bg-M01", ["a"])
        assert not refusal.value.permanent and len(peer.asked) == 2


async def test_while_one_unit_is_busy_another_is_asked() -> None:
    async with raw_modbus(registers=peer_with_floats()) as peer:

        async def script(request: Request) -> bytes:
            return request.exception(6) if request.unit == 2 else peer.answer(request)

        peer.script = script
        devices = make_device(*FLOATS), make_device(*FLOATS, id="bg-M02", address={"unit": 2})
        async with opened(peer.port, *devices) as driver:
            busy = asyncio.create_task(driver.read("bg-M02", ["a"]))
            await asyncio.sleep(0.03)
            await driver.read("bg-M01", ["a"])
            assert not busy.done()
            with pytest.raises(DeviceRefused):
                await busy
            assert [request.unit for request in peer.asked] == [2, 1, 2]


async def test_units_0_and_255_are_the_gateways_own() -> None:
    devices = [make_device(*FLOATS, id=f"u{unit}", address={"unit": unit}) for unit in (0, 255, 256)]
    async with raw_modbus(registers=peer_with_floats()) as peer, opened(peer.port, *devices) as driver:
        for device in ("u0", "u255"):
            assert (await driver.read(device, ["a"]))[0].value == 1.5
        with pytest.raises(DeviceRefused, match="u256: unit is a whole number from 0 to 255, not 256"):
            await driver.read("u256", ["a"])


EXAMINED: list[tuple[dict[str, Any], float | str | None, str]] = [
    ({"register": 10, "type": "float32"}, 1.5, "3fc0 0000"),
    ({"register": 10, "type": "uint32", "word_order": "little"}, 0x3FC0, "3fc0 0000"),
    ({"register": 20, "type": "int16", "scale_register": 23}, 123.4, "04d2"),
    ({"register": 20, "type": "int16", "scale_register": 900}, 12340.0, "04d2"),
    ({"register": 20, "bits": [4, 7]}, 0xD, "04d2"),
    ({"register": 21, "type": "bcd16"}, 1234, "1234"),
    ({"register": 20, "type": "bcd16"}, None, "04d2"),
    ({"register": 20, "type": "mod10_32"}, 12_344_660, "04d2 1234"),
    ({"register": 24, "type": "string", "length": 2}, "ABC", "4142 4300"),
    ({"register": 22, "type": "acc16"}, None, "0000"),
    ({"register": 3, "table": "coil"}, 1, "1"),
]


@pytest.mark.parametrize(("address", "value", "raw"), EXAMINED)
async def test_any_address_can_be_examined_without_being_a_point(address: dict[str, Any], value: Any, raw: str) -> None:
    registers = peer_with_floats() | {20: 1234, 21: 0x1234, 22: 0, 23: 0xFFFF, 24: 0x4142, 25: 0x4300, 900: 1}
    async with raw_modbus(registers=registers, coils={3: True}) as peer, opened(peer.port, make_device(*FLOATS)) as driver:
        examined = await driver.examine("bg-M01", make_point("nobodys", **address))
        assert (examined.reading.value, examined.raw) == (value, raw)
        assert (examined.reading.quality.validity is Validity.GOOD) is (value is not None)


async def test_an_address_that_cannot_be_examined_says_why() -> None:
    async with raw_modbus(registers=peer_with_floats()) as peer, opened(peer.port, make_device(*FLOATS)) as driver:
        for address, words in (
            ({"register": 900}, "exception 2"),
            ({"register": 70000}, "cannot be read"),
            ({"register": 1, "type": "uint24"}, "point x: unknown register type uint24; there are uint16"),
            ({"register": 1, "bits": [4, 16]}, "point x: uint16 has no bits 4 to 16"),
            ({"register": "3060"}, "point x: register is a whole number from 0, not 3060"),
            ({"register": 1, "type": "string"}, "point x: a string has a length"),
            ({"register": 1, "word_order": "middle"}, "point x: word_order is big or little"),
        ):
            with pytest.raises(DeviceRefused, match=words):
                await driver.examine("bg-M01", make_point("x", **address))


async def test_frames_that_cannot_be_told_apart_end_the_connection() -> None:
    async def garbage(request: Request) -> bytes:
        return b"\xff" * 20

    async with raw_modbus(script=garbage) as peer, opened(peer.port, make_device(*FLOATS)) as driver:
        for _ in range(3):
            assert not driver.closed.is_set()
            with pytest.raises(ProtocolViolation):
                await driver.read("bg-M01", ["a"])
        await asyncio.sleep(0)
        assert driver.closed.is_set() and driver.traffic.kinds == {"framing": 3}


async def test_a_good_answer_before_garbage_counts() -> None:
    async with raw_modbus(registers=peer_with_floats()) as peer, opened(peer.port, make_device(*FLOATS)) as driver:

        async def script(request: Request) -> bytes:
            return peer.answer(request) + b"\xff" * 20

        peer.script = script
        assert (await driver.read("bg-M01", ["a"]))[0].value == 1.5
        assert driver.traffic.kinds == {"framing": 1}


async def test_half_an_answer_is_noted_as_cut_and_does_not_spoil_the_next() -> None:
    async with (
        raw_modbus(registers=peer_with_floats()) as peer,
        opened(peer.port, make_device(*FLOATS), timeout_s=0.05) as driver,
    ):

        async def script(request: Request) -> bytes:
            return peer.answer(request)[: 9 if len(peer.asked) == 1 else None]

        peer.script = script
        with pytest.raises(AnswerTimeout):
            await driver.read("bg-M01", ["a"])
        assert (await driver.read("bg-M01", ["a"]))[0].value == 1.5
        assert driver.traffic.kinds == {"truncated": 1}
