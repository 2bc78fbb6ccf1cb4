"""F21: connections whose packets vanish both ways are found dead in time, and their values with them. [zones: field, station]

IEC 60870-5-104 5.2 and 9.6 (t1, t3); TCP_USER_TIMEOUT (RFC 5482). A whole-packet loss is made by the kernel where it
can be, else by the relay (`vanishing`).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from pilots.acquisition.gateway import Gateway
from pilots.acquisition.supervisor import Supervisor
from pilots.domain.quality import Flag
from pilots.domain.topology import LinkState, Protocol
from pilots.live.hub import hub
from tests.builders import make_pilot
from tests.faults.far_side import FarSide
from tests.faults.plant import arrived, iec104_line, latest, modbus_line
from tests.faults.vanishing import vanishing
from tests.waiting import stalls, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.wire]


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


@dataclass(eq=False)
class Page:
    """What a page of the pilot is sent: by device, when the frame left that first showed its power as old."""

    became_old: dict[str, float] = field(default_factory=dict)

    def __call__(self, number: int, frame: str, gap: bool) -> None:
        shown = json.loads(frame)
        for reference, _, quality, *_ in shown["points"]:
            if quality >> 5 & Flag.OLD:
                self.became_old.setdefault(reference.split("/")[0], shown["now_ms"] / 1000)


@pytest.mark.parametrize("kernel", [True, False], ids=["kernel", "relay"])
@pytest.mark.parametrize("times", [SHORT, pytest.param(DEFAULT, marks=pytest.mark.rig)], ids=["short", "rig"])
def test_f21_half_open_connections_are_found_dead_and_their_values_old(
    far: FarSide, start: Callable[[], Gateway], times: Times, kernel: bool
) -> None:
    pilot, threads, page = make_pilot("bg"), set(threading.enumerate()), Page()
    with vanishing(far, kernel=kernel) as end:
        place = {"host": end.host}
        options = {"timeout_s": times.timeout_s}
        modbus_line(pilot, "bg-m", end.port(Protocol.MODBUS_TCP), period_s=times.period_s, options=options, **place)
        iec104_line(pilot, "bg-r", end.port(Protocol.IEC104), max_interval_s=times.period_s, options=times.options_104, **place)
        gateway = start()
        until(lambda: arrived("bg-m", "bg-r") and all(state is LinkState.UP for state in states(gateway).values()))
        modbus, iec104 = (supervisor_of(gateway, name) for name in ("bg-m", "bg-r"))
        until(lambda: 0.2 < since_frame_s(iec104) < 0.35)  # between two reports: their answer is not under way
        hub().subscribe("bg", page)
        with stalls() as machine:
            end.vanish()
            vanished = time.time()
            within_s = 4 * (times.t1 + times.t3 + times.period_s)
            until(lambda: all(state is LinkState.DOWN for state in states(gateway).values()), within_s=within_s)
            until(lambda: page.became_old.keys() == {"bg-m-1", "bg-r-1"}, within_s=within_s)
        hub().unsubscribe("bg", page)
        assert all(Flag.OLD in latest(name).unpacked_quality.flags for name in ("bg-m", "bg-r"))
        asked_in_vain, modbus_down, iec104_down = first_question_in_vain(modbus), down_at(modbus), down_at(iec104)
        end.return_()
        until(lambda: all(state is LinkState.UP for state in states(gateway).values()), within_s=60)
    old_s = {name: moment - vanished for name, moment in page.became_old.items()}
    found_s, lost_s = modbus_down - asked_in_vain, iec104_down - vanished
    print(
        f"F21 ({end.how}): Modbus with time-out {times.timeout_s:g} s: down {found_s:.2f} s after the first question in vain, "
        f"old on pages after {old_s['bg-m-1']:.2f} s of period {times.period_s:g} s; 104 with t3 {times.t3:g} s and "
        f"t1 {times.t1:g} s: down after {lost_s:.2f} s, old on pages after {old_s['bg-r-1']:.2f} s; the machine stood still "
        f"for {machine.seconds:.2f} s"
    )
    # Where our kernel sees the silence it ends the connection; where something acknowledges in the device's place, three
    # questions without an answer do, each a period after the last was given up.
    apart_s = 0.0 if "kernel" in end.how else 2 * times.period_s
    assert found_s <= 3 * times.timeout_s + apart_s + machine.seconds
    assert lost_s <= times.t3 + times.t1 + machine.seconds
    assert max(old_s.values()) <= 2 * times.period_s + 2 + machine.seconds
    gateway.stop()
    until(lambda: not {thread.name for thread in set(threading.enumerate()) - threads})


def states(gateway: Gateway) -> dict[str, LinkState]:
    return {each.plan.target.name: each.state for each in list(gateway.supervisors.values())}


def supervisor_of(gateway: Gateway, name: str) -> Supervisor:
    return next(each for each in gateway.supervisors.values() if each.plan.target.name == name)


def since_frame_s(supervisor: Supervisor) -> float:
    last = supervisor.row(time.monotonic()).last_frame
    assert last is not None
    return time.time() - last.timestamp()


def first_question_in_vain(supervisor: Supervisor) -> float:
    """When the first frame left after which nothing came any more."""
    frames = supervisor.traffic.log.frames()
    heard = max(frame.at for frame in frames if not frame.sent)
    return min(frame.at for frame in frames if frame.sent and frame.at > heard)


def down_at(supervisor: Supervisor) -> float:
    since = supervisor.row(time.monotonic()).since
    assert since is not None
    return since.timestamp()
