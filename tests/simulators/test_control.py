"""The control endpoint of a running simulation: places, faults, media, and who may ask."""

from __future__ import annotations

import asyncio
import json
import stat
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from invade_scada.ports import read_ports
from pilots.domain.topology import ConnectionSpec, PilotSpec, Protocol, Way
from pilots.simulators.control_client import CONTROL_FILE, SimulatorAway, SimulatorControl
from pilots.simulators.faults import FaultRefused
from pilots.simulators.runner import Simulation, simulating
from tests.simulators.peers import eventually, free_port, pilot

Found = TypeVar("Found")


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")


def with_backup(spec: PilotSpec, name: str) -> PilotSpec:
    """The pilot with a second address for one of its gateways."""

    def change(connection: ConnectionSpec) -> ConnectionSpec:
        return replace(connection, backups=(Way(protocol=Protocol.MODBUS_TCP),)) if connection.name == name else connection

    return replace(spec, connections=tuple(change(connection) for connection in spec.connections))


@pytest.fixture
async def simulation(tmp_path: Path) -> AsyncIterator[Simulation]:
    spec = with_backup(pilot("bg"), "bg-rtu01")
    async with simulating([spec], data_dir=tmp_path, first_port=free_port(), platform=False) as running:
        yield running


@pytest.fixture
def control(tmp_path: Path) -> SimulatorControl:
    return SimulatorControl(tmp_path)


async def away(work: Callable[..., Found], *arguments: Any, **named: Any) -> Found:
    """The client waits for its answer; the simulation of this test lives in the same loop."""
    return await asyncio.to_thread(work, *arguments, **named)


async def ask(port: int, unit: int = 1, register: int = 3059, *, within_s: float = 20.0) -> bytes:
    """The answer of a gateway to one question; nothing when none comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(struct.pack(">HHHBBHH", 7, 0, 6, unit, 3, register, 2))
    try:
        return await asyncio.wait_for(reader.read(300), within_s)
    except TimeoutError:
        return b""
    finally:
        writer.close()


async def answers(port: int) -> bool:
    try:
        return len(await ask(port)) == 13
    except ConnectionError:
        return False


async def test_only_the_owner_reads_the_token_and_nobody_enters_without(simulation: Simulation, tmp_path: Path) -> None:
    path = tmp_path / CONTROL_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    place = json.loads(path.read_text())
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{place['port']}", trust_env=False) as client:
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            assert (await client.get("/faults", headers=headers)).status_code == 401
        right = {"Authorization": f"Bearer {place['token']}"}
        assert (await client.get("/faults", headers=right)).json() == {"faults": []}
        assert (await client.get("/elsewhere", headers=right)).status_code == 404
        assert (await client.post("/faults", headers=right, content=b"{")).status_code == 400
        for form in ({"kind": 3}, {"kind": "silence", "target": "bg-rtu01", "lasts_s": "long"}, ["silence"]):
            assert (await client.post("/faults", headers=right, json=form)).status_code == 400


async def test_the_file_goes_with_the_simulation(tmp_path: Path, control: SimulatorControl) -> None:
    assert not control.is_there
    async with simulating([], data_dir=tmp_path, first_port=free_port(), platform=False):
        assert control.is_there
    assert not control.is_there
    with pytest.raises(SimulatorAway, match="no simulation runs"):
        control.faults()


async def test_a_file_of_a_killed_simulation_is_told_from_a_running_one(tmp_path: Path, control: SimulatorControl) -> None:
    (tmp_path / CONTROL_FILE).write_text(json.dumps({"port": free_port(), "token": "x"}))
    with pytest.raises(SimulatorAway, match="does not answer"):
        await away(control.connections)


async def test_every_place_is_told_with_what_can_happen_there(simulation: Simulation, control: SimulatorControl) -> None:
    connections = {each["name"]: each for each in await away(control.connections)}
    assert set(connections) == {"bg-rtu01", "bg-rtu02", "bg-rtu03", "bg-ocpp", "bg-wx"}
    gateway = connections["bg-rtu01"]
    assert (gateway["protocol"], gateway["medium"], gateway["media_on"]) == ("modbus_tcp", "fibre", False)
    assert [each["name"] for each in gateway["backups"]] == ["bg-rtu01/1"]
    meter = next(each for each in gateway["devices"] if each["name"] == "bg-PM01")
    assert meter["label"] == "Incomer hotel 1"
    assert {"silence", "exception", "stuck_value"} <= set(meter["kinds"]) and "refuse" not in meter["kinds"]
    assert "half_open" in next(each for each in connections["bg-ocpp"]["devices"] if each["name"] == "bg-EVSE01")["kinds"]


async def test_a_fault_starts_is_listed_and_ends(simulation: Simulation, control: SimulatorControl) -> None:
    port = read_ports(simulation.data_dir)["bg-rtu01"]
    assert len(await ask(port)) == 13
    fault = await away(control.start, "exception", "bg-PM01", options={"code": 10})
    assert (fault["kind"], fault["target"], fault["pilot"], fault["left_s"]) == ("exception", "bg-PM01", "bg", None)
    assert (await ask(port))[7:] == b"\x83\x0a"
    assert len(await ask(port, unit=2)) == 13
    assert await away(control.faults) == [fault]
    assert [each["id"] for each in await away(control.end, fault["id"])] == [fault["id"]]
    assert len(await ask(port)) == 13
    with pytest.raises(KeyError):
        await away(control.end, fault["id"])


async def test_a_fault_ends_when_its_time_is_up(simulation: Simulation, control: SimulatorControl) -> None:
    port = read_ports(simulation.data_dir)["bg-rtu01"]
    await away(control.start, "silence", "bg-rtu01", lasts_s=3.0)
    assert 0 < (await away(control.faults))[0]["left_s"] <= 3.0
    assert await ask(port, within_s=0.3) == b""

    async def is_over() -> bool:
        return not await away(control.faults)

    await eventually(is_over, within_s=20)
    assert len(await ask(port)) == 13


async def test_all_faults_end_together(simulation: Simulation, control: SimulatorControl) -> None:
    for target in ("bg-rtu01", "bg-rtu02"):
        await away(control.start, "silence", target)
    assert len(await away(control.end)) == 2
    assert await away(control.faults) == []


@pytest.mark.parametrize(
    ("kind", "target", "more", "words"),
    [
        ("silence", "bg-nothing", {}, "nothing simulated is called bg-nothing"),
        ("refuse", "bg-PM01", {}, "refuse is not possible at bg-PM01; possible are silence"),
        ("clock_skew", "bg-rtu01", {}, "clock_skew is not possible"),
        ("nonsense", "bg-rtu01", {}, "nonsense is not possible"),
        ("stuck_value", "bg-PM01", {"point": "colour"}, "no point colour"),
        ("noise", "bg-rtu01", {"options": {"share": 7.0}}, "between 0 and 1"),
        ("silence", "bg-rtu01", {"lasts_s": -1.0}, "cannot last"),
    ],
)
async def test_what_is_impossible_is_refused_in_words(
    simulation: Simulation, control: SimulatorControl, kind: str, target: str, more: dict[str, Any], words: str
) -> None:
    with pytest.raises(FaultRefused, match=words):
        await away(control.start, kind, target, **more)
    assert await away(control.faults) == []


async def test_a_backup_way_shows_the_same_plant_and_fails_on_its_own(simulation: Simulation, control: SimulatorControl) -> None:
    ports = read_ports(simulation.data_dir)
    await away(control.start, "refuse", "bg-rtu01")
    with pytest.raises(ConnectionRefusedError):
        await ask(ports["bg-rtu01"])
    assert len(await ask(ports["bg-rtu01/1"])) == 13
    await away(control.end)
    await eventually(lambda: answers(ports["bg-rtu01"]), within_s=20)
    await away(control.start, "silence", "bg-rtu01/1")
    assert await ask(ports["bg-rtu01/1"], within_s=0.3) == b""


async def test_a_reboot_takes_the_equipment_away_for_a_while(simulation: Simulation, control: SimulatorControl) -> None:
    port = read_ports(simulation.data_dir)["bg-rtu02"]
    fault = await away(control.start, "reboot", "bg-rtu02")
    assert 0 < fault["left_s"] <= 10
    with pytest.raises(ConnectionRefusedError):
        await ask(port)
    await away(control.end)

    await eventually(lambda: answers(port), within_s=20)


async def test_media_are_switched_by_connection(simulation: Simulation, control: SimulatorControl) -> None:
    await away(control.set_media, "bg-ocpp", True)
    state = {each["name"]: each["media_on"] for each in await away(control.connections)}
    assert state["bg-ocpp"] and not state["bg-rtu01"]
    stations = [way for way in simulation.desk.ways if way.connection == "bg-ocpp"]
    assert len(stations) > 1 and all(way.media_on for way in stations)
    await away(control.set_media, "bg-ocpp", False)
    assert not any(way.media_on for way in simulation.desk.ways)
    with pytest.raises(KeyError):
        await away(control.set_media, "bg-none", True)


async def test_media_may_be_on_from_the_start(tmp_path: Path) -> None:
    async with simulating([pilot("bg")], data_dir=tmp_path, first_port=free_port(), platform=False, media=True) as simulation:
        assert all(way.media_on for way in simulation.desk.ways if way.medium is not None)
        assert len(await ask(read_ports(tmp_path)["bg-rtu01"])) == 13
