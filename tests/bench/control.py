"""From the click to the device, a thousand others being polled: request_setpoint, wake-up, claim, write. [bench]

First one after the other, then many a second for many devices, each until its measurement shows it. The field worker is a
process of its own, as in production; this one asks as the web process does.
"""

from __future__ import annotations

import queue
import socket
import struct
import subprocess
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from pilots.control.services import request_setpoint
from pilots.domain.setpoint import Issuer, SetpointState
from pilots.models import Connection, Device, LatestValue, Pilot, Point, Setpoint
from tests.bench import plant
from tests.bench.figures import Goal, note, quantile, report
from tests.bench.peers import HEADER, peer

POLLED, POINTS, LINKS = 1000, 5, 50
CLICKS, ROUNDS = 30, 3
#: A tenth more a second than the goal, for so long; a battery's next comes when its last has long been measured.
RATE, BATTERIES, SUSTAINED_S = 22, 50, 12.0
REGISTER = 2000
#: Without rest: a click each 50 ms at one battery measures the way, not the interval.
CAPABILITY = {"min_interval_s": 0, "minimum": -100_000, "maximum": 100_000, "response_time_s": 5, "modes": ["absolute"]}


class Write(NamedTuple):
    """One that a device received; the moment is the machine's monotonic clock."""

    moment: float
    register: int
    octets: bytes


def main() -> None:
    with peer("modbus") as (port, process):
        arrivals = _arrivals(process)
        batteries = make_batteries(plant.make_meters(POLLED, connections=LINKS, port=port, points=POINTS), port)
        rounds, sustained = [], []
        with plant.product(role="field"):
            _wait_for_feedback(batteries)
            for turn in range(ROUNDS):
                note(f"control: round {turn + 1}")
                rounds.append((_clicks_p95(batteries[0], arrivals, turn), _writes_p95(port, arrivals)))
                sustained.append(_sustained(batteries, arrivals, turn))
    unit = f"ms p95, {POLLED:,} devices polled each second"
    bare = "bare Modbus write, there and back"
    report("control.click_to_write_ms", unit, bare, rounds, Goal("value", "<=", 500))
    asked = [(rate, float(RATE)) for rate, _ in sustained]
    report("control.sustained_setpoints_s", "set-points/s executed", "as many as were asked for", asked, Goal("value", ">=", 20))
    waits = [(wait, alone) for (_, wait), (_, alone) in zip(sustained, rounds, strict=True)]
    report("control.sustained_write_ms", f"{unit}, {RATE} set-points/s", bare, waits, Goal("value", "<=", 500))


def make_batteries(pilot: Pilot, port: int, batteries: int = BATTERIES) -> list[Point]:
    """Set-points of batteries on lines of their own, whose registers show what was written."""
    return [_make_battery(pilot, port, number) for number in range(batteries)]


def _make_battery(pilot: Pilot, port: int, number: int) -> Point:
    name, register = f"es-battery{number:02d}", REGISTER + 2 * number
    line = Connection.objects.create(pilot=pilot, name=name, protocol="modbus_tcp", host="127.0.0.1", port=port)
    battery = Device.objects.create(
        pilot=pilot, code=f"es-STO{number:02d}", kind="storage_unit", connection=line, address={"unit": 1}
    )
    address = {"register": register, "type": "float32"}
    Point.objects.create(device=battery, name="active_power", kind="measurement", unit="W", period_s=1.0, address=address)
    return Point.objects.create(
        device=battery, name="p_set", kind="setpoint", unit="W", address=address, feedback="active_power", capability=CAPABILITY
    )


def _arrivals(process: subprocess.Popen[str]) -> queue.Queue[Write]:
    """What the device was written, and when."""
    moments: queue.Queue[Write] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            moment, register, octets = line.split()
            moments.put(Write(float(moment), int(register), bytes.fromhex(octets)))

    threading.Thread(target=read, daemon=True).start()
    return moments


def _wait_for_feedback(batteries: list[Point]) -> None:
    end = time.monotonic() + 60
    devices = [point.device_id for point in batteries]
    while LatestValue.objects.filter(point__device__in=devices).count() < len(devices):
        if time.monotonic() > end:
            raise RuntimeError("the gateway does not poll")
        time.sleep(0.1)
    time.sleep(1.0)


def _clicks_p95(point: Point, arrivals: queue.Queue[Write], turn: int) -> float:
    waits = []
    for click in range(CLICKS):
        started = _click(point, 1000.0 * (turn + 1) + 10 * click)
        waits.append(1000 * (arrivals.get(timeout=10).moment - started))
        time.sleep(0.05)
    return quantile(waits, 0.95)


def _sustained(batteries: list[Point], arrivals: queue.Queue[Write], turn: int) -> tuple[float, float]:
    """Executed set-points a second, and ms p95 from their request to the write."""
    began, asked = time.monotonic(), dict[tuple[int, bytes], float]()
    first = datetime.now(UTC)
    for number in range(int(SUSTAINED_S * RATE)):
        time.sleep(max(0.0, began + number / RATE - time.monotonic()))
        point, value = batteries[number % BATTERIES], 20_000.0 * (turn + 1) + 500 * (number // BATTERIES)
        asked[int(point.address["register"]), struct.pack(">f", value)] = _click(point, value)
    lasted = time.monotonic() - began
    ended = _ends(first)
    waits = []
    while not arrivals.empty():
        write = arrivals.get()
        waits.append(1000 * (write.moment - asked[write.register, write.octets]))
    if set(ended) != {SetpointState.EXECUTED}:
        note(f"control: {len(waits)} writes, {dict(ended)}: {_why_not(first)}")
    return ended[SetpointState.EXECUTED] / lasted, quantile(waits, 0.95)


def _ends(since: datetime) -> Counter[str]:
    """What became of all set-points since then, when the last has its end."""
    end = time.monotonic() + 30
    while True:
        states = Counter(Setpoint.objects.filter(received_at__gte=since).values_list("state", flat=True))
        if all(SetpointState(state).terminal for state in states):
            return states
        if time.monotonic() > end:
            raise RuntimeError(f"not all have their end: {states}")
        time.sleep(0.2)


def _why_not(since: datetime) -> set[str]:
    """What the others were told."""
    others = Setpoint.objects.filter(received_at__gte=since).exclude(state=SetpointState.EXECUTED)
    return {f"{each.state}: {each.explanation}" for each in others}


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


def _writes_p95(port: int, arrivals: queue.Queue[Write]) -> float:
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
