"""All peers together, in one process and as a process of its own."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pymodbus.client import AsyncModbusTcpClient

from invade_scada.ports import read_ports
from pilots.simulators.runner import simulating
from tests.simulators.peers import CODES, eventually, free_port, pilot

PROGRAM = """
import sys
from pathlib import Path
from pilots.catalogue.loader import load_pilots
from pilots.simulators.runner import run
run(list(load_pilots().values()), data_dir=Path(sys.argv[1]), first_port=int(sys.argv[2]))
"""


@pytest.fixture(autouse=True)
def zone_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The simulation sets the process to UTC; other tests keep theirs."""
    monkeypatch.setenv("TZ", "UTC")
    yield
    monkeypatch.undo()
    time.tzset()


async def test_every_listener_has_its_port_the_platform_the_first(tmp_path: Path) -> None:
    first = free_port()
    async with simulating([pilot("bg"), pilot("es")], data_dir=tmp_path, first_port=first) as simulation:
        ports = read_ports(tmp_path)
        assert set(ports) == {"platform", "bg-rtu01", "bg-rtu02", "bg-rtu03", "es-rtu01"}
        assert ports["platform"] == min(ports.values()) >= first
        async with httpx.AsyncClient(trust_env=False) as client:
            state = await client.get(f"http://127.0.0.1:{ports['platform']}/state")
        assert state.json() == {"counts": {}, "sequences": []}
        assert set(simulation.plants) == {"bg", "es"}


async def test_values_move_while_it_runs(tmp_path: Path) -> None:
    async with simulating([pilot("bg")], data_dir=tmp_path, first_port=free_port()):
        client = AsyncModbusTcpClient("127.0.0.1", port=read_ports(tmp_path)["bg-rtu01"], timeout=5, retries=0)
        await client.connect()
        seen: set[tuple[int, ...]] = set()

        async def look() -> bool:
            seen.add(tuple((await client.read_holding_registers(3059, count=2, device_id=1)).registers))
            return len(seen) > 2

        await eventually(look)
        client.close()


async def test_the_platform_takes_the_token_of_the_secrets_file_even_when_it_comes_later(tmp_path: Path) -> None:
    body = {"pilot": "bg", "epoch": 1, "sequence": 1, "values": []}
    headers = {"Authorization": "Bearer later", "Idempotency-Key": "k"}
    async with simulating([], data_dir=tmp_path, first_port=free_port()), httpx.AsyncClient(trust_env=False) as client:
        url = f"http://127.0.0.1:{read_ports(tmp_path)['platform']}/measurements"
        assert (await client.post(url, json=body, headers=headers)).status_code == 401
        (tmp_path / "simulator_secrets.json").write_text(json.dumps({"platform_push": "later"}))
        assert (await client.post(url, json=body, headers=headers)).status_code == 200


async def test_the_process_simulates_five_pilots_and_ends_within_two_seconds_of_sigterm(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, str(tmp_path), str(free_port()), cwd=Path(__file__).parents[2]
    )
    try:
        await eventually(lambda: "de-gw90" in read_ports(tmp_path), within_s=40)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    listeners = [c.name for code in CODES for c in pilot(code).connections if c.protocol in ("modbus_tcp", "iec104")]
    assert set(read_ports(tmp_path)) == {"platform", *listeners}
