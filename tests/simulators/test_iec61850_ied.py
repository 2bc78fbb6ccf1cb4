"""The simulated IED against libiec61850's client, which we did not write, and its parts on their own."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pilots.catalogue.loader import load_profile
from pilots.domain.topology import ConnectionSpec, DeviceKind, DeviceSpec, PilotSpec, Protocol
from pilots.simulators.iec61850 import IntelligentDevice
from pilots.simulators.iec61850.library import mms, net
from pilots.simulators.ledger import Ledger
from pilots.simulators.plant import Plant
from tests.drivers.iec61850.peers import DEVICE, POSITION, POSITION_CMD, POWER, VOLTAGE, Ied, simulated, until

pytestmark = pytest.mark.wire
CLIENT = Path(__file__).with_name("libiec61850_client.py")


async def libiec61850(ied: Ied, task: str, *arguments: str) -> list[dict[str, Any]]:
    """What the foreign client saw, one mapping a line."""
    command = (sys.executable, str(CLIENT), str(ied.port), task, *arguments)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    async with asyncio.timeout(30):
        out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return [json.loads(line) for line in out.splitlines()]


async def test_a_foreign_client_browses_and_reads() -> None:
    async with simulated(POSITION, POSITION_CMD, POWER, VOLTAGE) as ied:
        identity, objects, power, data_set = await libiec61850(ied, "browse")
        expected = ied.plant.read(DEVICE, "active_power")
    assert (identity["vendor"], identity["devices"]) == ("INVADE SCADA", ["ES1LD0"])
    assert {"CSWI1", "LLN0", "LPHD1", "MMXU1", "XCBR1"} == set(identity["nodes"])
    assert {"TotW", "PhV"} <= set(objects["objects"]) and objects["attributes"] == ["phsA"]
    assert power["power"] == pytest.approx(expected) and power["whole"] == 3
    assert abs(power["at_ms"] / 1000 - datetime.now(UTC).timestamp()) < 30
    assert data_set == {"data_set": 2}


@pytest.mark.parametrize(("block", "data_set"), [("RP.urcbMeasured02", "dsMeasured"), ("BR.brcbStatus02", "dsStatus")])
async def test_a_foreign_client_gets_reports(block: str, data_set: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pilots.simulators.iec61850.ied.SCAN_S", 0.1)
    async with simulated(POSITION, POWER) as ied:
        (told,) = await libiec61850(ied, "report", block)
    assert told["data_set"] == f"ES1LD0/LLN0${data_set}"
    numbers = [report["number"] for report in told["reports"]]
    assert len(numbers) == 3 and numbers == list(range(numbers[0], numbers[0] + 3))
    # Their clock reads our entry time right, which hat-drivers by itself would not write.
    assert abs(told["reports"][0]["at_ms"] / 1000 - datetime.now(UTC).timestamp()) < 30


async def test_a_foreign_client_operates_and_is_told_why_not() -> None:
    async with simulated(POSITION, POSITION_CMD) as ied:
        model, opened, again, closed = await libiec61850(ied, "operate")
        assert model == {"model": 4}
        assert opened["said"] is True and opened["add_cause"] in (0, 25)
        assert again["said"] == "SelectError" and again["add_cause"] == 5  # position reached
        assert closed["said"] is True
        assert ied.plant.read(DEVICE, "position") == 2


# ---------------------------------------------------------------- its own parts, by hat-drivers' client


async def client_of(ied: Ied, reports: list[Any] | None = None) -> Any:
    taken = reports if reports is not None else []
    return await mms.connect(net.TcpAddress("127.0.0.1", ied.port), unconfirmed_cb=lambda _, report: taken.append(report))


def variable(item: str) -> Any:
    return mms.NameVariableSpecification(mms.DomainSpecificObjectName("ES1LD0", item))


async def write(client: Any, item: str, data: Any) -> Any:
    answer = await client.send_confirmed(mms.WriteRequest([variable(item)], [data]))
    return next(iter(answer.results))


async def test_only_one_client_enables_a_block_and_its_going_frees_it() -> None:
    async with simulated(POSITION) as ied:
        first, second = await client_of(ied), await client_of(ied)
        enable = "LLN0$BR$brcbStatus01$RptEna"
        assert await write(first, enable, mms.BooleanData(True)) is None
        assert await write(second, enable, mms.BooleanData(True)) is mms.DataAccessError.OBJECT_ACCESS_DENIED
        assert (
            await write(first, "LLN0$BR$brcbStatus01$IntgPd", mms.UnsignedData(5)) is mms.DataAccessError.TEMPORARILY_UNAVAILABLE
        )
        await first.async_close()
        await until(lambda: ied.block("brcbStatus01").owner is None)
        assert await write(second, enable, mms.BooleanData(True)) is None
        await second.async_close()


async def test_a_changed_configuration_empties_the_buffer() -> None:
    async with simulated(POSITION) as ied:
        await ied.move(1)
        block = ied.block("brcbStatus01")
        assert len(block.entries) == 1
        client = await client_of(ied)
        assert await write(client, "LLN0$BR$brcbStatus01$IntgPd", mms.UnsignedData(0)) is None
        assert len(block.entries) == 1  # the same as before is no change
        assert await write(client, "LLN0$BR$brcbStatus01$IntgPd", mms.UnsignedData(500)) is None
        assert len(block.entries) == 0
        await client.async_close()


async def test_unsent_entries_that_are_lost_are_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pilots.simulators.iec61850.reporting.BUFFER_ENTRIES", 2)
    async with simulated(POSITION) as ied:
        for position in (1, 2, 1):
            await ied.move(position)
        reports: list[Any] = []
        client = await client_of(ied, reports)
        await write(client, "LLN0$BR$brcbStatus01$RptEna", mms.BooleanData(True))
        await until(lambda: len(reports) == 2)
        overflows = [list(report.data)[5].value for report in reports]
        assert overflows == [True, False]
        await client.async_close()


@pytest.mark.parametrize("item", ["XCBR1$ST$Pos$stVal", "LLN0$BR$brcbStatus01$SqNum"])
async def test_what_is_not_writable_is_denied(item: str) -> None:
    async with simulated(POSITION) as ied:
        client = await client_of(ied)
        assert await write(client, item, mms.UnsignedData(1)) is mms.DataAccessError.OBJECT_ACCESS_DENIED
        assert await write(client, "XCBR1$ST$Nothing", mms.UnsignedData(1)) is mms.DataAccessError.OBJECT_NON_EXISTENT
        await client.async_close()


async def test_a_deadband_holds_values_back_and_a_missing_value_is_invalid() -> None:
    async with simulated(POWER) as ied:
        (bound,) = ied.server._bound
        now = datetime.now(UTC)
        assert bound.follow(100.0, now) == "data" and bound.follow(100.0, now) == ""
        assert bound.follow(None, now + timedelta(seconds=1)) == "quality"
        assert list(bound.holder.parts["q"].value.value)[1]
        assert bound.follow(100.0, now) == "quality"
        assert not any(bound.holder.parts["q"].value.value)


@pytest.mark.parametrize("name", ["iec61850-protection-ied", "iec61850-battery-gateway"])
def test_every_point_of_a_built_in_profile_has_its_place_in_the_device(name: str) -> None:
    profile = load_profile(name)
    kind = DeviceKind.SWITCH if "protection" in name else DeviceKind.STORAGE_UNIT
    plate = {"rated_power_w": 5e4}
    device = DeviceSpec(
        id="xx-D01", kind=kind, sgam="E.3.a", profile=name, connection="ied", address={"ied": "X"}, nameplate=plate
    )
    connection = ConnectionSpec(name="ied", protocol=Protocol.IEC61850, simulated=True)
    place = {"country": "ES", "time_zone": "UTC", "latitude": 40.0, "longitude": 2.0}
    pilot = PilotSpec(code="xx", name="", **place, connections=(connection,), devices=(device,))  # type: ignore[arg-type]
    plant = Plant(pilot, {name: profile}, seed=1, start=datetime.now(UTC))
    ied = IntelligentDevice(plant, connection, pilot, {name: profile}, Ledger(None))
    members = {member.item for listed in ied.tree.data_sets.values() for member in listed}
    for spec in profile.points.values():
        node, *path = str(spec.address["ref"]).partition("/")[2].split(".")
        assert ied.tree.find("XLD0", "$".join((node, spec.address["fc"], *path))) is not None, spec.name
        assert spec.kind.writable or f"{node}${spec.address['fc']}${path[0]}" in members
