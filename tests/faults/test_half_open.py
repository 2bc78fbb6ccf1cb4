"""F21: connections whose packets vanish both ways are found dead in time, and their values with them. [zones: field, station]

IEC 60870-5-104 5.2 and 9.6 (t1, t3); TCP_USER_TIMEOUT (RFC 5482). A whole-packet loss is made by the kernel where it
can be, else by the relay (`vanishing`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from pilots.acquisition.gateway import Gateway
from pilots.domain.quality import Flag
from pilots.domain.topology import LinkState, Protocol
from tests.builders import make_pilot
from tests.faults.far_side import FarSide
from tests.faults.plant import arrived, iec104_line, latest, modbus_line
from tests.faults.vanishing import vanishing
from tests.waiting import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.wire]
#: The tests look so often.
LOOK_S = 0.15


@dataclass(frozen=True, kw_only=True)
class Times:
    """Seconds: of Modbus' time-out and period, and of the 104 link."""

    timeout_s: float
    period_s: float
    t1: float
    t3: float

    @property
    def options_104(self) -> dict[str, Any]:
        return {"t1": self.t1, "t2": self.t1 * 2 / 3, "t3": self.t3}


SHORT = Times(timeout_s=1.0, period_s=1.0, t1=1.5, t3=2.0)
DEFAULT = Times(timeout_s=1.0, period_s=1.0, t1=15.0, t3=20.0)


@pytest.mark.parametrize("kernel", [True, False], ids=["kernel", "relay"])
@pytest.mark.parametrize("times", [SHORT, pytest.param(DEFAULT, marks=pytest.mark.rig)], ids=["short", "rig"])
def test_f21_half_open_connections_are_found_dead_and_their_values_old(
    far: FarSide, start: Callable[[], Gateway], times: Times, kernel: bool
) -> None:
    pilot, threads = make_pilot("bg"), set(threading.enumerate())
    with vanishing(far, kernel=kernel) as end:
        place = {"host": end.host}
        options = {"timeout_s": times.timeout_s}
        modbus_line(pilot, "bg-m", end.port(Protocol.MODBUS_TCP), period_s=times.period_s, options=options, **place)
        iec104_line(pilot, "bg-r", end.port(Protocol.IEC104), max_interval_s=times.period_s, options=times.options_104, **place)
        gateway = start()
        until(lambda: arrived("bg-m", "bg-r"))
        end.vanish()
        found = seen(gateway, times)
        end.return_()
        until(lambda: all(state is LinkState.UP for state in states(gateway).values()), within_s=60)
    print(
        f"F21 ({end.how}): Modbus time-out {times.timeout_s:g} s: no answer noted after {found['bg-m timeout']:.1f} s, "
        f"down after {found['bg-m down']:.1f} s, old after {found['bg-m old']:.1f} s of period {times.period_s:g} s; "
        f"104 with t3 {times.t3:g} s and t1 {times.t1:g} s: "
        f"down after {found['bg-r down']:.1f} s, old after {found['bg-r old']:.1f} s"
    )
    stopped = time.monotonic()
    gateway.stop()
    print(f"F21: {len(set(threading.enumerate()) - threads)} threads left, gateway stopped in {time.monotonic() - stopped:.1f} s")
    # Counted from the first question into the void. Where our kernel sees the silence it ends the connection; where something
    # acknowledges in the device's place, three questions without an answer do, a period apart.
    asked_s, three_s = found["bg-m timeout"] - times.timeout_s, 3 * times.timeout_s
    assert asked_s <= times.period_s + 3 * LOOK_S
    assert found["bg-m down"] - asked_s <= three_s + (0.5 if "kernel" in end.how else 3 * times.period_s)
    assert found["bg-r down"] <= times.t3 + times.t1 + 0.5
    for name in ("bg-m", "bg-r"):
        assert found[f"{name} old"] <= 2 * times.period_s + 2
    assert not any(thread.name == "gateway" for thread in set(threading.enumerate()) - threads)


def states(gateway: Gateway) -> dict[str, LinkState]:
    return {each.plan.target.name: each.state for each in gateway.supervisors.values()}


def seen(gateway: Gateway, times: Times) -> dict[str, float]:
    """Seconds until each connection was known to be down and its value old, and until Modbus' first time-out."""
    began, found = time.monotonic(), dict[str, float]()
    modbus = next(each for each in gateway.supervisors.values() if each.plan.target.name == "bg-m")
    before = modbus.counters.failed
    wanted = {"bg-m timeout", "bg-m down", "bg-m old", "bg-r down", "bg-r old"}
    while wanted - found.keys():
        passed = time.monotonic() - began
        now = {f"{name} down" for name, state in states(gateway).items() if state is LinkState.DOWN}
        now |= {f"{name} old" for name in ("bg-m", "bg-r") if Flag.OLD in latest(name).unpacked_quality.flags}
        now |= {"bg-m timeout"} if modbus.counters.failed > before else set()
        for what in now - found.keys():
            found[what] = passed
        assert passed < 4 * (times.t1 + times.t3 + times.period_s), f"only {found}"
        time.sleep(LOOK_S)  # the links are watched
    return found
