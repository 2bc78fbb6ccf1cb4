"""The driver against libiec61850's server, which we did not write: reads, reports of both kinds, accepted controls.

It takes every command (its control handlers cannot be set from Python): refusals stand in test_driver_with_simulator.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from pilots.domain.quality import Flag, Validity
from pilots.drivers.iec61850 import Iec61850Driver
from tests.drivers.iec61850.peers import (
    COMMAND,
    DEVICE,
    SETPOINT,
    STATUS,
    CServer,
    Store,
    able,
    connected,
    libiec61850,
    point,
    until,
)

pytestmark = pytest.mark.wire
POWER = point("active_power", "LD0/MMXU1.TotW.mag.f", "MX", period_s=60.0)
VOLTAGE = point("voltage_l1", "LD0/MMXU1.PhV.phsA.cVal.mag.f", "MX", period_s=0.1)
POSITION = point("position", "LD0/CSWI1.Pos.stVal", "ST", STATUS)
STARTED = point("protection_start", "LD0/PTOC1.Str.general", "ST", STATUS)
MONITORED = (POWER, VOLTAGE, POSITION, STARTED)
CONTROLS = (
    *(point(f"c{number}", f"LD0/GGIO1.SPCSO{number}", "CO", COMMAND) for number in (1, 2, 3, 4)),
    point("position_cmd", "LD0/CSWI1.Pos", "CO", COMMAND),
    point("p_set", "LD0/GGIO1.AnOut1", "CO", SETPOINT, capability=able(-1e6, 1e6)),
)
BUFFERED = {"reports": [{"rcb": "LD0/LLN0.brcbA"}]}
UNBUFFERED = {"reports": [{"rcb": "LD0/LLN0.urcbA", "buffered": False}]}


@pytest.fixture
async def peer() -> AsyncIterator[CServer]:
    async with libiec61850() as server:
        yield server


async def test_reads_of_all_forms(peer: CServer) -> None:
    store = Store()
    await peer.say("float", "LD0/MMXU1.TotW.mag.f", 1234.5)
    await peer.say("position", "LD0/CSWI1.Pos.stVal", 2)
    async with connected(peer.target(*MONITORED, device_options={"reports": []}), store):
        assert (await store.wait_for("active_power")).value == 1234.5
        assert (await store.wait_for("voltage_l1")).value == 0.0
        assert (await store.wait_for("position")).value == 2.0
        assert (await store.wait_for("protection_start")).value == 0.0


async def test_the_device_tells_what_it_is_and_has(peer: CServer) -> None:
    steps = await Iec61850Driver(peer.target(*MONITORED), Store().sink).probe()
    assert "LIBIEC61850" in steps[1] and steps[2] == f"{DEVICE}: 4 of 4 points found"
    async with connected(peer.target(*MONITORED)) as driver:
        found = {(each.ref, each.fc): each.type for each in await driver.browse(DEVICE)}
    assert found["LD0/MMXU1.PhV.phsB.cVal.mag.f", "MX"] == "float32"
    assert found["LD0/CSWI1.Pos.SBOw.origin.orIdent", "CO"] == "octet_string"


@pytest.mark.parametrize("options", [BUFFERED, UNBUFFERED], ids=["buffered", "unbuffered"])
async def test_changes_come_by_report_with_quality_and_time(peer: CServer, options: dict[str, object]) -> None:
    store = Store()
    async with connected(peer.target(POWER, POSITION, STARTED, device_options=options), store):
        await store.wait_for("active_power")
        await peer.say("time", "LD0/MMXU1.TotW.t", 1795402420290)
        await peer.say("float", "LD0/MMXU1.TotW.mag.f", 77.0)
        changed = await store.wait_for("active_power", lambda reading: reading.value == 77.0)
        assert changed.source_time == datetime.fromtimestamp(1795402420.29, UTC)
        assert changed.quality.validity is Validity.GOOD
        await peer.say("quality", "LD0/MMXU1.TotW.q", 3)  # questionable
        doubtful = await store.wait_for("active_power", lambda reading: reading.quality.validity is Validity.QUESTIONABLE)
        assert doubtful.value == 77.0
        await peer.say("bool", "LD0/PTOC1.Str.general", "true")
        await store.wait_for("protection_start", lambda reading: reading.value == 1.0)


async def test_events_of_a_lost_connection_come_afterwards(peer: CServer) -> None:
    store = Store()
    target = peer.target(STARTED, device_options=BUFFERED)
    async with connected(target, store):
        await store.wait_for("protection_start")
    store.forget()
    for state in ("true", "false", "true"):
        await peer.say("bool", "LD0/PTOC1.Str.general", state)
        await asyncio.sleep(0.06)  # one entry each: the buffer time has passed
    async with connected(target, store):
        await until(lambda: len(store.readings("protection_start")) >= 3)
        await peer.say("bool", "LD0/PTOC1.Str.general", "false")
        await until(lambda: store.values("protection_start")[-1] == 0.0)
    # Three from the buffer, the general interrogation's, and the new one: none is missing, none comes twice.
    assert store.values("protection_start") == [1.0, 0.0, 1.0, 1.0, 0.0]
    stamps = [reading.source_time for reading in store.readings("protection_start")]
    assert stamps == sorted(set(stamps), key=str)
    # The member has no stamp of its own: the entry's stands in, right to the second.
    entered = store.readings("protection_start")[0].source_time
    assert entered is not None and abs(entered - datetime.now(UTC)) < timedelta(seconds=30)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("c1", "direct-normal: operate accepted"),
        ("c2", "sbo-normal: selected, operate accepted"),
        ("c3", "direct-enhanced: operate accepted, terminated positively"),
        ("c4", "sbo-enhanced: selected, operate accepted, terminated positively"),
    ],
)
async def test_each_control_model_is_accepted(peer: CServer, name: str, words: str) -> None:
    async with connected(peer.target(*CONTROLS, device_options={"reports": []})) as driver:
        assert (await driver.write(DEVICE, name, 1.0)).raw == words


async def test_double_commands_and_set_points_are_accepted(peer: CServer) -> None:
    async with connected(peer.target(*CONTROLS, device_options={"reports": []})) as driver:
        assert "terminated positively" in (await driver.write(DEVICE, "position_cmd", 2.0)).raw
        assert (await driver.write(DEVICE, "p_set", -1234.5)).raw == "direct-normal: operate accepted"


async def test_a_clock_that_was_never_set_is_flagged(peer: CServer) -> None:
    store = Store()
    async with connected(peer.target(VOLTAGE, device_options={"reports": []}), store):
        reading = await store.wait_for("voltage_l1")
        assert reading.source_time is None and Flag.CLOCK_UNSYNCED in reading.quality.flags
