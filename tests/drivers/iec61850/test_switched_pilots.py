"""Spain's protection IED and Germany's storage gateway on IEC 61850, by configuration alone: commissioned, measured, commanded.

The built-in pilot files, with the two places changed that docs/protocols/iec61850.md names.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from pilots.acquisition.ingest import Ingest
from pilots.acquisition.targets import read_plan
from pilots.catalogue.loader import PILOTS, load_pilot, profiles_of
from pilots.catalogue.services import commission_pilot
from pilots.domain.measurement import RawReading
from pilots.domain.quality import Source
from pilots.domain.topology import PilotSpec
from pilots.drivers.iec61850 import Iec61850Driver
from pilots.models import Connection, LatestValue
from pilots.simulators.iec61850 import IntelligentDevice
from pilots.simulators.ledger import Ledger
from pilots.simulators.plant import Plant
from tests.simulators.peers import free_port, stepping

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.wire]

#: File, connection, device, its address and profile.
SPAIN = ("spain", "es-sw04", "es-SW04", {"ied": "ESSW04"}, "iec61850-protection-ied")
GERMANY = ("germany", "de-gw90-mms", "de-GW90", {"ied": "DEGW90"}, "iec61850-battery-gateway")


def switched(folder: Path, name: str, connection: str, device: str, address: dict[str, str], profile: str) -> PilotSpec:
    """The built-in pilot with one device moved to a connection of its own."""
    form: dict[str, Any] = yaml.safe_load((PILOTS / f"{name}.yaml").read_text())
    often = {"periods": {"F": 1, "N": 1}}
    form["connections"].append({"name": connection, "protocol": "iec61850", "simulated": True, "options": often})
    (row,) = (each for each in form["devices"] if each["id"] == device)
    row.update(profile=profile, connection=connection, address=address)
    row.setdefault("nameplate", {}).setdefault("rated_power_w", 50000)
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(form))
    return load_pilot(path)


@asynccontextmanager
async def running(pilot: PilotSpec, name: str, plan: Any, ingest: Ingest) -> AsyncIterator[tuple[Iec61850Driver, Plant]]:
    """The device is simulated, and our driver, configured from the database, is connected to it and to ingest."""
    profiles, port = profiles_of(pilot), free_port()
    plant = Plant(pilot, profiles, seed=1, start=datetime.now(UTC))
    connection = next(each for each in pilot.connections if each.name == name)
    device = IntelligentDevice(plant, connection, pilot, profiles, Ledger(None))

    async def sink(device_id: str, readings: Sequence[RawReading]) -> None:
        await asyncio.wrap_future(ingest.put(device_id, readings, datetime.now(UTC)))

    driver = Iec61850Driver(replace(plan.target, host="127.0.0.1", port=port), sink)
    await device.start("127.0.0.1", port)
    try:
        async with stepping(plant):
            await driver.open()
            yield driver, plant
    finally:
        await driver.close()
        await device.stop()


def latest(device: str) -> dict[str, LatestValue]:
    rows = LatestValue.objects.filter(point__device__code=device).select_related("point")
    return {row.point.name: row for row in rows}


async def test_spains_protection_ied_is_switched_by_configuration(tmp_path: Path, door: Ingest) -> None:
    pilot = switched(tmp_path, *SPAIN)
    plan = await asyncio.to_thread(commissioned, pilot, "es-sw04", door)
    async with running(pilot, "es-sw04", plan, door) as (driver, plant):
        await seen(lambda: latest("es-SW04").keys() >= {"position", "trip", "active_power", "voltage_l1", "frequency"})
        rows = await asyncio.to_thread(latest, "es-SW04")
        assert rows["position"].value == 2.0
        assert rows["frequency"].value == pytest.approx(50.0, abs=0.2)
        result = await driver.write("es-SW04", "position_cmd", 1.0)
        assert result.raw == "sbo-enhanced: selected, operate accepted, terminated positively"
        assert plant.read("es-SW04", "position") == 1
        await seen(lambda: latest("es-SW04")["position"].value == 1.0)


async def test_germanys_storage_gateway_is_switched_by_configuration(tmp_path: Path, door: Ingest) -> None:
    pilot = switched(tmp_path, *GERMANY)
    plan = await asyncio.to_thread(commissioned, pilot, "de-gw90-mms", door)
    async with running(pilot, "de-gw90-mms", plan, door) as (driver, plant):
        await seen(lambda: latest("de-GW90").keys() >= {"active_power", "soc", "storage_state", "energy_import", "temperature"})
        rows = await asyncio.to_thread(latest, "de-GW90")
        assert rows["soc"].value == pytest.approx(float(plant.read("de-STO90", "soc") or 0), abs=0.5)
        assert rows["soc"].unpacked_quality.source is Source.SIMULATED
        result = await driver.write("de-GW90", "p_set", 20000.0)
        assert result.raw == "direct-enhanced: operate accepted, terminated positively"
        await seen(lambda: latest("de-GW90")["active_power"].value == pytest.approx(20000.0, rel=0.03))


def commissioned(pilot: PilotSpec, connection: str, ingest: Ingest) -> Any:
    commission_pilot(pilot, profiles_of(pilot))
    ingest.directory.refresh(force=True)  # it would look by itself within two seconds
    return read_plan(Connection.objects.get(name=connection))


async def seen(look: Any) -> None:
    """Until the database shows it."""
    async with asyncio.timeout(15):
        while not await asyncio.to_thread(look):
            await asyncio.sleep(0.05)
