"""The simulated RTU against c104 as a client."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import c104
import pytest

from pilots.catalogue.loader import profiles_of
from pilots.simulators.iec104_rtu import RemoteTerminalUnit
from pilots.simulators.iec60870_objects import TAGGED
from pilots.simulators.ledger import Ledger
from pilots.simulators.plant import Plant
from tests.simulators.peers import connection_of, eventually, free_port, pilot, plant_of, stepping


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@dataclass
class Rig:
    unit: RemoteTerminalUnit
    plant: Plant
    client: c104.Client
    connection: c104.Connection
    station: c104.Station
    ledger: Ledger

    def monitored(self, device: str, offset: int, type_: c104.Type) -> Any:
        """An object of the client's, with all others of its type: c104 reads an ASDU up to the first object it does not know."""
        number = type_.value
        for (common, address), each in self.unit.station._monitored.items():
            if TAGGED.get(number, number) == each.type_id and self.station.get_point(address) is None:
                assert common == self.station.common_address
                self.station.add_point(address, type_)
        address = self.base(device) + offset
        point = self.station.get_point(address) or self.station.add_point(address, type_)
        assert point is not None
        return point

    def base(self, device: str) -> int:
        return int(pilot("es").device(device).address["ioa"])

    async def connect(self) -> None:
        await asyncio.to_thread(self.client.start)
        await eventually(self._is_open)

    async def _is_open(self) -> bool:
        if self.connection.state == c104.ConnectionState.OPEN_MUTED:
            # The library sometimes forgets its STARTDT. Its calls block, and the unit answers in this loop.
            await asyncio.to_thread(self.connection.unmute)
            await asyncio.to_thread(self.connection.interrogation, self.station.common_address)
        return self.connection.state == c104.ConnectionState.OPEN


@asynccontextmanager
async def rig(folder: Path) -> AsyncIterator[Rig]:
    spec, plant = pilot("es"), plant_of("es", start=datetime.now(UTC))
    ledger, port = Ledger(folder / "writes.jsonl"), free_port()
    unit = RemoteTerminalUnit(plant, connection_of(spec, "es-rtu01"), spec, profiles_of(spec), ledger)
    await unit.start("127.0.0.1", port)
    client = c104.Client(command_timeout_ms=5000)
    connection = client.add_connection("127.0.0.1", port, init=c104.Init.ALL)
    assert connection is not None
    station = connection.add_station(int(spec.device("es-STO01").address["ca"]))
    assert station is not None
    try:
        async with stepping(plant):
            yield Rig(unit, plant, client, connection, station, ledger)
    finally:
        await asyncio.to_thread(client.stop)
        await unit.stop()


async def test_an_interrogation_tells_every_value(tmp_path: Path) -> None:
    async with rig(tmp_path) as peer:
        soc = peer.monitored("es-STO01", 6, c104.Type.M_ME_NC_1)
        position = peer.monitored("es-SW04", 1, c104.Type.M_DP_NA_1)
        await peer.connect()
        await eventually(lambda: soc.value > 1.0)
        assert soc.value == pytest.approx(float(peer.plant.read("es-STO01", "soc") or 0), abs=0.5)
        await eventually(lambda: position.value == c104.Double.ON)


async def test_c104_gets_the_group_it_asks_for_and_no_other(tmp_path: Path) -> None:
    """Objects of types without time tag come with interrogations only."""
    async with rig(tmp_path) as peer:
        inside = peer.monitored("es-SW02", 1, c104.Type.M_DP_NA_1)  # of the third device
        outside = peer.monitored("es-SW01", 1, c104.Type.M_DP_NA_1)
        await peer.connect()
        await eventually(lambda: {inside.value, outside.value} == {c104.Double.OFF, c104.Double.ON})
        ask = functools.partial(peer.connection.interrogation, 1, c104.Cot.ACTIVATION, c104.Qoi.GROUP_3)

        async def only_the_group_came() -> bool:
            before = inside.processed_at, outside.processed_at
            if not await asyncio.to_thread(ask):
                return False
            await eventually(lambda: inside.processed_at > before[0])
            return bool(outside.processed_at == before[1])

        # The client's own general interrogation may still be under way at the first try.
        await eventually(only_the_group_came)


async def test_changed_values_come_by_themselves_with_their_time(tmp_path: Path) -> None:
    async with rig(tmp_path) as peer:
        power = peer.monitored("es-STO01", 1, c104.Type.M_ME_TF_1)
        await peer.connect()
        peer.plant.write("es-STO01", "p_set", -60000.0)
        await eventually(lambda: power.value == pytest.approx(-60000.0, rel=0.01))
        assert abs(power.recorded_at.replace(tzinfo=UTC) - datetime.now(UTC)) < timedelta(seconds=30)


async def test_a_set_point_is_confirmed_and_obeyed(tmp_path: Path) -> None:
    async with rig(tmp_path) as peer:
        wanted = peer.monitored("es-STO01", 50, c104.Type.C_SE_NC_1)
        await peer.connect()
        wanted.value = 40000.0
        assert await asyncio.to_thread(wanted.transmit, c104.Cot.ACTIVATION)
        await eventually(lambda: float(peer.plant.read("es-STO01", "active_power") or 0) == pytest.approx(40000, rel=0.01))
    assert [(e["device"], e["point"], e["value"], e["peer"]) for e in peer.ledger.entries()] == [
        ("es-STO01", "p_set", 40000.0, "es-rtu01")
    ]


@pytest.mark.parametrize("value", [500000.0, float("nan")])
async def test_an_impossible_set_point_is_confirmed_negatively(tmp_path: Path, value: float) -> None:
    async with rig(tmp_path) as peer:
        wanted = peer.monitored("es-STO01", 50, c104.Type.C_SE_NC_1)
        await peer.connect()
        wanted.value = value
        assert not await asyncio.to_thread(wanted.transmit, c104.Cot.ACTIVATION)
        assert peer.plant.read("es-STO01", "p_set") == 0.0
        # A refusal must not cost the callback: the next good value still works.
        wanted.value = 1000.0
        assert await asyncio.to_thread(wanted.transmit, c104.Cot.ACTIVATION)


async def test_local_mode_refuses_a_set_point(tmp_path: Path) -> None:
    async with rig(tmp_path) as peer:
        wanted = peer.monitored("es-STO01", 50, c104.Type.C_SE_NC_1)
        await peer.connect()
        peer.plant.set_local("es-STO01", True)
        wanted.value = 1000.0
        assert not await asyncio.to_thread(wanted.transmit, c104.Cot.ACTIVATION)


async def test_a_breaker_opens_by_select_and_execute(tmp_path: Path) -> None:
    async with rig(tmp_path) as peer:
        position = peer.monitored("es-SW04", 1, c104.Type.M_DP_TB_1)
        command = peer.monitored("es-SW04", 60, c104.Type.C_DC_NA_1)
        command.command_mode = c104.CommandMode.SELECT_AND_EXECUTE
        await peer.connect()
        command.value = c104.Double.OFF
        # The client library now and then loses a command beside its own initial interrogation; opening twice is opening.
        await eventually(lambda: asyncio.to_thread(command.transmit, c104.Cot.ACTIVATION))
        await eventually(lambda: position.value == c104.Double.OFF)
        assert peer.plant.read("es-SW04", "position") == 1


async def test_a_breaker_does_not_open_without_its_selection(tmp_path: Path) -> None:
    async with rig(tmp_path) as peer:
        command = peer.monitored("es-SW04", 60, c104.Type.C_DC_NA_1)
        await peer.connect()
        command.value = c104.Double.OFF
        assert not await asyncio.to_thread(command.transmit, c104.Cot.ACTIVATION)
        assert peer.plant.read("es-SW04", "position") == 2
