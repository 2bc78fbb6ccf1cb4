"""A gateway with 250 connections that works and works: its memory stands still. [station]"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from pilots.acquisition.gateway import Gateway
from pilots.domain.topology import LinkState, Protocol
from tests.builders import make_pilot
from tests.faults.far_side import HOST
from tests.faults.plant import iec104_line, modbus_line
from tests.faults.vanishing import end_process, peer_process
from tests.waiting import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.wire]
MODBUS, IEC104 = 200, 50
#: While frame logs fill (500 frames each) a connection grows by so much; afterwards by nothing.
FILLING_KIB, SLOPE = 16.0, 0.01
#: The slowest thing to fill is the last hundred round trips of an IEC 104 link that tests itself each t3 (20 s).
SETTLED_S = 2100.0


@pytest.fixture
def ports() -> Iterator[tuple[int, int]]:
    peers = [peer_process(protocol, HOST) for protocol in (Protocol.MODBUS_TCP, Protocol.IEC104)]
    yield peers[0][1], peers[1][1]
    for peer, _ in peers:
        end_process(peer)


@pytest.mark.parametrize(
    ("settles_s", "lasts_s"), [(1.0, 8.0), pytest.param(SETTLED_S, 3600.0, marks=pytest.mark.rig)], ids=["short", "rig"]
)
def test_memory_of_a_gateway_stands_still(
    start: Callable[[], Gateway], ports: tuple[int, int], settles_s: float, lasts_s: float
) -> None:
    pilot = make_pilot("bg")
    for number in range(MODBUS):
        modbus_line(pilot, f"bg-m{number}", ports[0], options={"timeout_s": 5.0})
    for number in range(IEC104):
        iec104_line(pilot, f"bg-r{number}", ports[1])
    gateway = start()
    until(lambda: sum(each.state is LinkState.UP for each in list(gateway.supervisors.values())) == MODBUS + IEC104, within_s=120)
    time.sleep(settles_s)  # caches and frame logs fill
    began, marks, blocks = time.monotonic(), list[tuple[float, float]](), sys.getallocatedblocks()
    while time.monotonic() - began < lasts_s:
        marks.append((time.monotonic() - began, resident_kib()))
        time.sleep(lasts_s / 40)  # a soak is a wait
    grown = marks[-1][1] - marks[0][1]
    slope = slope_per_hour(marks)
    print(
        f"Soak: {MODBUS} Modbus and {IEC104} IEC 104 connections, {lasts_s:g} s: RSS {marks[0][1] / 1024:.0f} MiB, grown by "
        f"{grown / (MODBUS + IEC104):.1f} KiB a connection, slope {slope / 1024:.1f} MiB/h ({slope / marks[0][1]:.2%}/h); "
        f"blocks that Python holds: {blocks}, then {sys.getallocatedblocks()}"
    )
    assert all(each.state is LinkState.UP for each in gateway.supervisors.values())
    if lasts_s < 3600:
        assert grown / (MODBUS + IEC104) <= FILLING_KIB
    else:
        assert slope <= SLOPE * marks[0][1]


def resident_kib() -> float:
    gc.collect()
    return float(psutil.Process().memory_info().rss / 1024)


def slope_per_hour(marks: list[tuple[float, float]]) -> float:
    """KiB an hour, by least squares."""
    count = len(marks)
    t_mean, kib_mean = (sum(mark[axis] for mark in marks) / count for axis in (0, 1))
    spread = sum((t - t_mean) ** 2 for t, _ in marks)
    return 3600 * sum((t - t_mean) * (kib - kib_mean) for t, kib in marks) / spread
