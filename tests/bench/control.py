"""From the click to the device: request_setpoint, wake-up, claim, write. [bench]"""

from __future__ import annotations

import queue
import socket
import struct
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta

from pilots.acquisition.gateway import Gateway
from pilots.control.services import request_setpoint
from pilots.domain.setpoint import Issuer, SetpointState
from pilots.models import Connection, Device, LatestValue, Pilot, Point
from tests.bench import plant
from tests.bench.figures import Goal, note, quantile, report
from tests.bench.peers import HEADER, peer

POLLED, LINKS = 40, 4
CLICKS, ROUNDS = 30, 3
REGISTER = 2000
#: Without rest: a click each 50 ms at one battery measures the way, not the interval.
CAPABILITY = {"min_interval_s": 0, "minimum": -100_000, "maximum": 100_000, "response_time_s": 5, "modes": ["absolute"]}


def main() -> None:
    with peer("modbus") as (port, process):
        arrivals = _arrivals(process)
        point = _make_battery(plant.make_meters(POLLED, connections=LINKS, port=port), port)
        gateway = Gateway()
        gateway.start()
        _wait_for_feedback(point)
        rounds = []
        for turn in range(ROUNDS):
            note(f"control: round {turn + 1}")
            rounds.append((_clicks_p95(point, arrivals, turn), _writes_p95(port, arrivals)))
        gateway.stop()
    polled = POLLED * plant.POINTS
    report(
        "control.click_to_write_ms",
        f"ms p95, {polled:,} points/s polled",
        "bare Modbus write, there and back",
        rounds,
        Goal("value", "<=", 500),
    )


def _make_battery(pilot: Pilot, port: int) -> Point:
    """A battery on a line of its own whose set-point register shows what was written."""
    line = Connection.objects.create(pilot=pilot, name="es-battery", protocol="modbus_tcp", host="127.0.0.1", port=port)
    battery = Device.objects.create(pilot=pilot, code="es-STO01", kind="storage_unit", connection=line, address={"unit": 1})
    address = {"register": REGISTER, "type": "float32"}
    Point.objects.create(device=battery, name="active_power", kind="measurement", unit="W", period_s=1.0, address=address)
    return Point.objects.create(
        device=battery, name="p_set", kind="setpoint", unit="W", address=address, feedback="active_power", capability=CAPABILITY
    )


def _arrivals(process: subprocess.Popen[str]) -> queue.Queue[float]:
    """Moments at which the device received a write."""
    moments: queue.Queue[float] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            moments.put(float(line.split()[0]))

    threading.Thread(target=read, daemon=True).start()
    return moments


def _wait_for_feedback(point: Point) -> None:
    end = time.monotonic() + 20
    while not LatestValue.objects.filter(point__device=point.device).exists():
        if time.monotonic() > end:
            raise RuntimeError("the gateway does not poll")
        time.sleep(0.1)
    time.sleep(1.0)


def _clicks_p95(point: Point, arrivals: queue.Queue[float], turn: int) -> float:
    waits = []
    for click in range(CLICKS):
        started = _click(point, 1000.0 * (turn + 1) + 10 * click)
        waits.append(1000 * (arrivals.get(timeout=10) - started))
        time.sleep(0.05)
    return quantile(waits, 0.95)


def _click(point: Point, value: float) -> float:
    """The moment of a request that was not refused: a machine that stalls for seconds takes its own link down for a while."""
    setpoint = None
    for _ in range(20):
        now, started = datetime.now(UTC), time.monotonic()
        setpoint = request_setpoint(
            point=Point.objects.select_related("device__pilot", "device__connection").get(pk=point.pk),
            value=value,
            unit="W",
            issuer=Issuer.OPERATOR,
            requested_by="bench",
            valid_until=now + timedelta(seconds=60),
            now=now,
        )
        if setpoint.state != SetpointState.REJECTED:
            return started
        time.sleep(0.5)
    raise RuntimeError("set-points are refused" if setpoint is None else setpoint.explanation)


def _writes_p95(port: int, arrivals: queue.Queue[float]) -> float:
    trips = []
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(CLICKS):
            body = struct.pack(">HHBf", 3000, 2, 4, float(number))
            started = time.monotonic()
            line.sendall(HEADER.pack(number, 0, len(body) + 2, 1, 16) + body)
            line.recv(260)
            trips.append(1000 * (time.monotonic() - started))
            arrivals.get(timeout=10)
            time.sleep(0.01)
    return quantile(trips, 0.95)
