"""The driver against our simulated IED: reports that lose nothing, reads, and controls refused with their reason."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pilots.domain.errors import AnswerTimeout, DeviceRefused, LinkDown
from pilots.domain.point import PointKind
from pilots.domain.quality import Flag, Validity
from pilots.drivers.iec61850 import Iec61850Driver
from pilots.drivers.iec61850.controls import ADD_CAUSES
from pilots.simulators.iec61850.controlling import Stage
from tests.drivers.iec61850.peers import (
    COMMAND,
    DEVICE,
    POSITION,
    POSITION_CMD,
    POWER,
    SETPOINT,
    STATUS,
    VOLTAGE,
    Ied,
    Store,
    able,
    connected,
    point,
    simulated,
    until,
)
from tests.drivers.tls_files import tls_files
from tests.waiting import timed

pytestmark = pytest.mark.wire
DIRECT = point("enable", "LD0/GGIO1.SPCSO1", "CO", COMMAND)
STEP = point("load_shed_level", "LD0/GGIO1.ISCSO1", "CO", COMMAND, labels={0: "none", 1: "some", 2: "all"})
WANTED = point("p_set", "LD0/DAGC1.WSpt", "CO", SETPOINT, capability=able(-1000, 1000))
SETTING = point("soc_min_set", "LD0/DSTO1.SocMin.setMag.f", "SP", SETPOINT, capability=able(5, 50), scale=0.5)
BUFFERED = {"reports": [{"rcb": "LD0/LLN0.brcbStatus"}]}
NONE = {"reports": []}


def held(driver: Iec61850Driver) -> set[str]:
    assert driver._acquisition is not None
    return {subscription.block.item for subscription in driver._acquisition.intake.subscriptions}


async def until_held(driver: Iec61850Driver, *names: str) -> None:
    await until(lambda: {name.rpartition("$")[2] for name in held(driver)} >= set(names))


# ---------------------------------------------------------------- values


async def test_values_come_by_report_from_blocks_the_driver_finds_by_itself() -> None:
    store = Store()
    async with simulated() as ied, connected(ied.target(), store) as driver:
        first = await store.wait_for("position")
        assert first.value == 2.0 and first.quality.validity is Validity.GOOD
        assert first.source_time is not None and abs((first.source_time - datetime.now(UTC)).total_seconds()) < 30
        await store.wait_for("active_power")
        assert {name.rpartition("$")[2] for name in held(driver)} == {"brcbStatus01", "urcbMeasured01"}
        store.forget()
        await ied.move(1)
        moved = await store.wait_for("position")
        assert moved.value == 1.0


async def test_what_no_report_covers_is_read_as_often_as_it_promises() -> None:
    store = Store()
    fast = point("active_power", "LD0/MMXU1.TotW.mag.f", "MX", max_interval_s=0.1)
    async with simulated(POSITION, fast, VOLTAGE, options=NONE) as ied:
        async with connected(ied.target(idle_read_s=0.2), store) as driver:
            with timed() as took:
                await until(lambda: len(store.readings("active_power")) >= 6)
            assert took.seconds > 0.4
            assert took.own_s < 3.0
            await until(lambda: store.readings("voltage_l1") and len(store.readings("position")) >= 2)
            assert held(driver) == set()


async def test_what_reports_bring_is_not_read_too() -> None:
    store = Store()
    fast = point("active_power", "LD0/MMXU1.TotW.mag.f", "MX", max_interval_s=0.05)
    beside = point("reactive_power", "LD0/MMXU1.TotVAr.mag.f", "MX", max_interval_s=0.05)
    async with simulated(POSITION, fast, beside) as ied:
        (measured,) = (listed for name, listed in ied.server.tree.data_sets.items() if "Measured" in name.item)
        measured.pop()  # reactive power is in no data set
        async with connected(ied.target(), store) as driver:
            await until_held(driver, "urcbMeasured01")
            await until(lambda: len(store.readings("reactive_power")) >= 5)
            read = [words for words in map(driver.describe, sent_by(driver)) if " read " in words and "$RP$" not in words]
    assert len([words for words in read if "TotVAr" in words]) >= 5
    assert not [words for words in read if "TotW" in words]


def sent_by(driver: Iec61850Driver) -> list[bytes]:
    return [frame.raw for frame in driver.traffic.log.frames() if frame.sent]


async def test_the_integrity_period_renews_what_does_not_change() -> None:
    store = Store()
    still = point("active_power", "LD0/MMXU1.TotW.mag.f", "MX", max_interval_s=1.0, deadband=1e9)
    async with simulated(still) as ied, connected(ied.target(), store) as driver:
        await until_held(driver, "urcbMeasured01")
        assert ied.block("urcbMeasured01")._value("IntgPd") == 1000
        await until(lambda: len(store.readings("active_power")) >= 3)


async def test_a_point_the_device_does_not_have_is_invalid_and_the_others_come() -> None:
    store = Store()
    absent = point("trip", "LD0/PTRC1.Tr.general", "ST", STATUS)
    async with simulated() as ied:
        ied.points["trip"] = absent  # configured here, unknown there
        async with connected(ied.target(), store) as driver:
            missing = await store.wait_for("trip")
            assert missing.value is None and missing.quality.validity is Validity.INVALID
            await store.wait_for("position")
            assert driver.counts["unknown_points"] == 1


async def test_quality_and_clock_of_the_device_are_kept() -> None:
    store = Store()
    async with simulated() as ied, connected(ied.target(), store) as driver:
        await until_held(driver, "brcbStatus01")
        await store.wait_for("position")
        bound = next(each for each in ied.server._bound if each.spec.name == "position")
        bound.spec = bound.spec.__class__(name="nowhere", kind=STATUS)  # nothing moves it behind our back
        await mark(ied, bound, quality=(0, 1, 7))
        old = await store.wait_for("position", lambda reading: Flag.OLD in reading.quality.flags)
        assert old.quality.validity is Validity.QUESTIONABLE
        await mark(ied, bound, quality=(), synchronised=False)
        await store.wait_for("position", lambda reading: Flag.CLOCK_UNSYNCED in reading.quality.flags)
        store.forget()
        await mark(ied, bound, quality=(11,))
        await until(lambda: driver.counts["test_values"])
        assert store.readings("position") == []


async def mark(ied: Ied, bound: object, *, quality: tuple[int, ...], synchronised: bool = True) -> None:
    from pilots.simulators.iec61850 import model
    from pilots.simulators.iec61850.library import mms

    parts = bound.holder.parts  # type: ignore[attr-defined]
    parts["q"].value = mms.BitStringData([index in quality for index in range(13)])
    parts["t"].value = model.stamp(datetime.now(UTC), synchronised=synchronised)
    await ied.block("brcbStatus01").note_changes({bound.member: "quality"}, datetime.now(UTC))  # type: ignore[attr-defined]


# ---------------------------------------------------------------- buffered reports


async def test_events_of_a_lost_connection_come_afterwards_in_order_and_once() -> None:
    store = Store()
    async with simulated(POSITION, POSITION_CMD, options=BUFFERED) as ied:
        async with connected(ied.target(), store) as driver:
            await until_held(driver, "brcbStatus01")
            await store.wait_for("position")  # the interrogation is over: it is an entry of its own
            await ied.move(1)
            await store.wait_for("position", lambda reading: reading.value == 1.0)
        store.forget()
        for position in (2, 0, 3, 1, 2):
            await ied.move(position)
        async with connected(ied.target(), store):
            await until(lambda: len(store.readings("position")) >= 6)
    assert store.values("position")[:5] == [2.0, 0.0, 3.0, 1.0, 2.0]
    stamps = [reading.source_time for reading in store.readings("position")[:5]]
    assert None not in stamps and stamps == sorted(set(stamps))  # type: ignore[type-var]


async def test_what_was_not_committed_is_asked_for_again() -> None:
    """Commit before remembering: the database fails, the events come again on the next connection."""
    store = Store()
    async with simulated(POSITION, options=BUFFERED) as ied:
        async with connected(ied.target(), store) as driver:
            await until_held(driver, "brcbStatus01")
            await store.wait_for("position")
            store.failing = True
            await ied.move(0)
            async with asyncio.timeout(30):
                await driver.closed.wait()
            assert isinstance(driver.failure, LinkDown)
        await ied.move(1)
        store.forget()
        store.failing = False
        async with connected(ied.target(), store):
            await until(lambda: len(store.readings("position")) >= 2)
    assert store.values("position")[:2] == [0.0, 1.0]


async def test_a_new_gateway_asks_for_everything_that_is_still_buffered() -> None:
    store = Store()
    async with simulated(POSITION, options=BUFFERED) as ied:
        for position in (1, 0, 2):
            await ied.move(position)
        async with connected(ied.target(), store):
            await until(lambda: len(store.readings("position")) >= 4)
        Iec61850Driver._memories.clear()  # as another process would see it
        store.forget()
        async with connected(ied.target(), store):
            await until(lambda: len(store.readings("position")) >= 5)
    assert store.values("position")[:3] == [1.0, 0.0, 2.0]


async def test_a_buffer_that_ran_over_is_counted_and_the_rest_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pilots.simulators.iec61850.reporting.BUFFER_ENTRIES", 4)
    store = Store()
    async with simulated(POSITION, options=BUFFERED) as ied:
        async with connected(ied.target(), store) as driver:
            await until_held(driver, "brcbStatus01")
            await store.wait_for("position")
        await until(lambda: ied.block("brcbStatus01").owner is None)
        store.forget()
        for position in (1, 2, 1, 2, 1, 2):
            await ied.move(position)
        async with connected(ied.target(), store) as driver:
            await until(lambda: len(store.readings("position")) >= 4)
            assert driver.counts["buffer_gaps"] == 1
            await until(lambda: driver.counts["buffer_overflows"])
    assert store.values("position")[:4] == [1.0, 2.0, 1.0, 2.0]


async def test_purge_begins_with_an_empty_buffer() -> None:
    store = Store()
    options = {"reports": [{"rcb": "LD0/LLN0.brcbStatus", "purge": True}]}
    async with simulated(POSITION, options=options) as ied:
        for position in (1, 0, 2):
            await ied.move(position)
        async with connected(ied.target(), store):
            await store.wait_for("position")
    assert store.values("position") == [2.0]


async def test_a_slow_database_holds_the_peer_back_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pilots.drivers.iec61850.intake.MOST_WAITING", 3)
    store = Store()
    async with simulated(POSITION, options=BUFFERED) as ied, connected(ied.target(), store) as driver:
        await until_held(driver, "brcbStatus01")
        await store.wait_for("position")
        store.forget()
        store.gate.clear()
        await ied.move(1)
        await until(lambda: store.waiting)  # the commit is under way; what comes now waits
        for number in range(1, 12):
            await ied.move(1 + number % 2)
        await until(lambda: driver._link is not None and driver._link._paused)
        store.gate.set()
        await until(lambda: len(store.readings("position")) >= 12)
    assert store.values("position")[:12] == [1.0, 2.0] * 6


async def test_a_lost_unbuffered_report_makes_the_driver_ask_for_the_present_state() -> None:
    store = Store()
    async with simulated(POWER) as ied, connected(ied.target(), store) as driver:
        await until_held(driver, "urcbMeasured01")
        await store.wait_for("active_power")
        block = ied.block("urcbMeasured01")
        block._sequence += 5
        await block._add({0: "data"}, datetime.now(UTC))
        await until(lambda: driver.counts["reports_missed"] == 1)
        await until(lambda: len([frame for frame in sent_by(driver) if "$GI" in driver.describe(frame)]) == 2)


async def test_two_clients_take_two_instances_and_a_third_reads() -> None:
    stores = [Store() for _ in range(4)]
    async with simulated(POWER) as ied:
        drivers = [Iec61850Driver(ied.target(), store.sink) for store in stores]
        try:
            for driver, store in zip(drivers, stores, strict=True):
                await driver.open()
                await store.wait_for("active_power")
            await until(lambda: held(drivers[2]))
            assert [sorted(held(driver)) for driver in drivers] == [
                ["LLN0$RP$urcbMeasured01"], ["LLN0$RP$urcbMeasured02"], ["LLN0$RP$urcbMeasured03"], [],
            ]  # fmt: skip
        finally:
            for driver in drivers:
                await driver.close()


async def test_a_block_somebody_else_held_is_taken_when_it_is_free() -> None:
    store = Store()
    options = {"reports": [{"rcb": "LD0/LLN0.urcbMeasured01", "buffered": False}]}
    async with simulated(POWER) as ied:
        ied.options = options
        other = Iec61850Driver(ied.target(), Store().sink)
        await other.open()
        await until(lambda: held(other))
        async with connected(ied.target(retry_s=0.05), store) as driver:
            await store.wait_for("active_power")  # read meanwhile
            assert held(driver) == set()
            await other.close()
            await until(lambda: held(driver))


async def test_the_instance_that_has_our_events_is_waited_for() -> None:
    """The device has not noticed yet that our last connection died: another instance would not have the events."""
    store = Store()
    async with simulated(POSITION, options=BUFFERED) as ied:
        async with connected(ied.target(), store) as driver:
            await until_held(driver, "brcbStatus01")
            await store.wait_for("position")
        block = ied.block("brcbStatus01")
        block.owner = object()
        block._set("RptEna", type(block._leaf("RptEna").value)(True))
        async with connected(ied.target(retry_s=0.05), store) as driver:
            await asyncio.sleep(0.15)
            assert held(driver) == set()
            block.forget(block.owner)
            await until_held(driver, "brcbStatus01")


# ---------------------------------------------------------------- commands

MODELS = {
    "enable": (1.0, "direct-normal: operate accepted"),
    "load_shed_level": (2.0, "sbo-normal: selected, operate accepted"),
    "p_set": (500.0, "direct-enhanced: operate accepted, terminated positively"),
    "position_cmd": (1.0, "sbo-enhanced: selected, operate accepted, terminated positively"),
}
CONTROLS = (POSITION, POSITION_CMD, DIRECT, STEP, WANTED)


@pytest.mark.parametrize("name", MODELS)
async def test_each_control_model_is_spoken(name: str) -> None:
    value, words = MODELS[name]
    async with simulated(*CONTROLS, options=NONE) as ied, connected(ied.target()) as driver:
        assert (await driver.write(DEVICE, name, value)).raw == words
        assert ied.plant.read(DEVICE, name if name != "position_cmd" else "position") == value


async def test_every_add_cause_is_told_in_words() -> None:
    async with simulated(*CONTROLS, options=NONE) as ied, connected(ied.target()) as driver:
        control = ied.control("position_cmd")
        for code, word in enumerate(ADD_CAUSES):
            control.blocked = {Stage.SELECT: code}
            with pytest.raises(DeviceRefused) as refused:
                await driver.write(DEVICE, "position_cmd", 1.0)
            assert refused.value.device_code == f"{word} (AddCause {code})"
        assert ied.plant.read(DEVICE, "position") == 2


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("name", MODELS)
async def test_a_refusal_at_any_step_is_a_refusal_with_its_reason(name: str, stage: Stage) -> None:
    async with simulated(*CONTROLS, options=NONE) as ied, connected(ied.target()) as driver:
        control = ied.control(name)
        control.blocked = {stage: 10}
        reaches = {Stage.SELECT: control.is_sbo, Stage.OPERATE: True, Stage.TERMINATION: control.is_enhanced}[stage]
        if not reaches:
            await driver.write(DEVICE, name, MODELS[name][0])
            return
        with pytest.raises(DeviceRefused) as refused:
            await driver.write(DEVICE, name, MODELS[name][0])
        # A select by read has no structure to name a reason for.
        plain = name == "load_shed_level" and stage is Stage.SELECT
        assert refused.value.device_code == ("select-failed" if plain else "blocked-by-interlocking (AddCause 10)")
        control.blocked = {}
        assert (await driver.write(DEVICE, name, MODELS[name][0])).raw


async def test_local_mode_interlock_and_position_are_the_devices_own_reasons() -> None:
    async with simulated(*CONTROLS, options=NONE) as ied, connected(ied.target()) as driver:
        ied.plant.set_local(DEVICE, True)
        assert await refusal(driver, "position_cmd", 1.0) == "blocked-by-switching-hierarchy (AddCause 2)"
        ied.plant.set_local(DEVICE, False)
        ied.control("position_cmd").interlocked = True
        assert await refusal(driver, "position_cmd", 1.0) == "blocked-by-interlocking (AddCause 10)"
        ied.control("position_cmd").interlocked = False
        assert await refusal(driver, "position_cmd", 2.0) == "position-reached (AddCause 5)"
        assert await refusal(driver, "p_set", 5000.0) == "inconsistent-parameters (AddCause 26)"


async def test_the_interlock_check_can_be_left_to_the_operator() -> None:
    async with simulated(*CONTROLS, options=NONE) as ied:
        ied.control("position_cmd").interlocked = True
        async with connected(ied.target(interlock_check=False)) as driver:
            assert (await driver.write(DEVICE, "position_cmd", 1.0)).raw


async def test_a_command_to_an_object_another_client_selected_is_refused() -> None:
    async with simulated(*CONTROLS, options=NONE) as ied, connected(ied.target()) as driver:
        ied.control("position_cmd")._select(object(), None)
        assert await refusal(driver, "position_cmd", 1.0) == "locked-by-other-client (AddCause 27)"


async def test_a_selection_ends_by_itself() -> None:
    async with simulated(*CONTROLS, options=NONE) as ied, connected(ied.target()) as driver:
        control = ied.control("position_cmd")
        control.select_s = 0.0
        assert await refusal(driver, "position_cmd", 1.0) == "object-not-selected (AddCause 18)"


async def refusal(driver: Iec61850Driver, name: str, value: float) -> str:
    with pytest.raises(DeviceRefused) as refused:
        await driver.write(DEVICE, name, value)
    return refused.value.device_code


@pytest.mark.parametrize(("name", "value"), [("position_cmd", 3.0), ("enable", 2.0), ("p_set", float("nan")), ("p_set", 1e300)])
async def test_a_value_that_fits_no_command_never_leaves(name: str, value: float) -> None:
    async with simulated(*CONTROLS, options=NONE) as ied, connected(ied.target()) as driver:
        assert await refusal(driver, name, value) == "not sent: range"
        assert ied.control(name)._selected_by is None


async def test_a_control_that_never_ends_is_unknown_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pilots.simulators.iec61850.controlling.OPERATING_S", 60.0)
    async with simulated(*CONTROLS, options=NONE) as ied, connected(ied.target(command_timeout_s=0.1)) as driver:
        with pytest.raises(AnswerTimeout, match="CommandTermination"):
            await driver.write(DEVICE, "p_set", 1.0)
        assert await refusal(driver, "p_set", 2.0) == "command-already-in-execution (AddCause 12)"


async def test_a_connection_lost_during_a_control_leaves_it_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pilots.simulators.iec61850.controlling.OPERATING_S", 60.0)
    async with simulated(*CONTROLS, options=NONE) as ied, connected(ied.target()) as driver:
        writing = asyncio.create_task(driver.write(DEVICE, "p_set", 1.0))
        await until(lambda: ied.control("p_set")._running is not None)
        ied.hang_up()
        with pytest.raises(AnswerTimeout, match="lost"):
            await writing
        with pytest.raises(LinkDown):
            await driver.write(DEVICE, "p_set", 1.0)


async def test_a_late_termination_does_not_end_the_next_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pilots.simulators.iec61850.controlling.OPERATING_S", 0.3)
    async with simulated(*CONTROLS, options=NONE) as ied, connected(ied.target(command_timeout_s=0.2)) as driver:
        with pytest.raises(AnswerTimeout):
            await driver.write(DEVICE, "p_set", 100.0)
        ied.control("p_set")._running = None  # a device that takes the next one meanwhile
        # The first one's termination comes while the second waits, its own would come too late.
        with pytest.raises(AnswerTimeout):
            await driver.write(DEVICE, "p_set", 200.0)


async def test_commands_to_one_object_wait_for_each_other() -> None:
    async with simulated(*CONTROLS, options=NONE) as ied, connected(ied.target()) as driver:
        await asyncio.gather(*(driver.write(DEVICE, "p_set", value) for value in (1.0, 2.0, 3.0)))
        assert ied.plant.read(DEVICE, "p_set") == 3.0


async def test_a_setting_is_read_back() -> None:
    async with simulated(SETTING, options=NONE) as ied, connected(ied.target()) as driver:
        assert (await driver.write(DEVICE, "soc_min_set", 20.0)).raw == "written and read back as 40"
        assert ied.plant.read(DEVICE, "soc_min_set") == 20.0
        assert await refusal(driver, "soc_min_set", 90.0) == "object-value-invalid"


async def test_a_device_that_confirms_and_keeps_its_value_has_refused() -> None:
    async with simulated(SETTING, options=NONE) as ied, connected(ied.target()) as driver:
        leaf = ied.server.tree.find("ES1LD0", "DSTO1$SP$SocMin$setMag$f")

        async def ignore(_connection: object, _data: object) -> None:
            return None

        assert leaf is not None
        leaf.on_write = ignore
        assert (await refusal(driver, "soc_min_set", 20.0)).startswith("kept ")


async def test_a_point_that_is_no_control_takes_no_command() -> None:
    async with simulated(options=NONE) as ied, connected(ied.target()) as driver:
        with pytest.raises(DeviceRefused, match="takes no command"):
            await driver.write_spec(DEVICE, POSITION, 1.0)
        with pytest.raises(DeviceRefused, match="ctlModel"):
            await driver.write_spec(DEVICE, point("x", "LD0/XCBR1.Pos", "CO", COMMAND), 1.0)
        with pytest.raises(DeviceRefused, match="reference"):
            await driver.write_spec(DEVICE, point("x", "nonsense", "CO", COMMAND), 1.0)


# ---------------------------------------------------------------- for engineers


async def test_the_device_tells_what_it_has() -> None:
    async with simulated(*CONTROLS, options=NONE) as ied, connected(ied.target()) as driver:
        found = {(each.ref, each.fc): each.type for each in await driver.browse(DEVICE)}
        assert found["LD0/XCBR1.Pos.stVal", "ST"] == "bit_string2"
        assert found["LD0/DAGC1.WSpt.Oper.ctlVal.f", "CO"] == "float32"
        assert found["LD0/LLN0.NamPlt.vendor", "DC"] == "visible_string"


async def test_one_address_is_examined_configured_or_not() -> None:
    async with simulated(*CONTROLS, options=NONE) as ied, connected(ied.target()) as driver:
        seen = await driver.examine(DEVICE, POSITION)
        assert seen.reading.value == 2.0 and "stVal: 10" in seen.raw and "q: 0000000000000" in seen.raw
        seen = await driver.examine(DEVICE, POSITION_CMD)
        assert "sbo-enhanced" in seen.raw and "SBOw, Oper, Cancel" in seen.raw
        with pytest.raises(DeviceRefused):
            await driver.examine(DEVICE, point("x", "LD0/XCBR1.Nothing.stVal", "ST"))
        assert (await driver.examine(DEVICE, point("x", "LD0/LLN0.NamPlt.vendor", "DC", PointKind.TEXT))).reading.value


async def test_probe_says_who_answers_and_which_points_are_missing() -> None:
    async with simulated() as ied:
        ied.points["trip"] = point("trip", "LD0/PTRC9.Tr.general", "ST", STATUS)
        driver = Iec61850Driver(ied.target(), Store().sink)
        steps = await driver.probe()
        assert "simulated IED" in steps[1] and steps[2] == f"{DEVICE}: 3 of 4 points found, missing: trip"
        target = ied.target()
        target.devices[0].address["ied"] = "OTHER"  # type: ignore[index]
        with pytest.raises(DeviceRefused, match="IED name"):
            await Iec61850Driver(target, Store().sink).probe()


async def test_tls_is_mutual(tmp_path: Path) -> None:
    files = tls_files(tmp_path)
    store = Store()
    async with simulated(connection={"tls": files.server}) as ied:
        async with connected(ied.target(tls=files.client), store) as driver:
            await store.wait_for("position")
            assert (await driver.write(DEVICE, "position_cmd", 1.0)).raw
        stranger = Iec61850Driver(ied.target(tls={**files.foreign, "ca": files.client["ca"]}), store.sink)
        with pytest.raises((LinkDown, AnswerTimeout)):
            await stranger.open()
        plain = Iec61850Driver(ied.target(tls=None, connect_timeout_s=0.3), store.sink)
        with pytest.raises((LinkDown, AnswerTimeout)):
            await plain.open()
