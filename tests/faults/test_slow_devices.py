"""F22: devices that answer after ten seconds, or byte by byte, cost the others nothing. [zones: field, station]"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from pilots.acquisition.gateway import Gateway
from pilots.drivers.modbus.options import LinkOptions
from tests.builders import make_pilot
from tests.faults.plant import drifts, modbus_line, quantile, wait
from tests.faults.street import ANSWER_S, Street, street
from tests.waiting import Stalls, stalls, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.wire]
PERIOD_S, SLOW_SHARE, LIMIT = 1.0, 0.05, 0.10


@dataclass(frozen=True)
class Watched:
    """A while: when the machine stood still; by how much of a period the good devices' questions were off, smallest first;
    how often a second the gateway of twenty was asked."""

    machine: Stalls
    drifts: list[float]
    rate: float

    def p(self, share: float) -> float:
        return quantile(self.drifts, share)


@pytest.mark.parametrize(
    ("devices", "lasts_s"), [(100, 6.0), pytest.param(1000, 120.0, marks=pytest.mark.rig)], ids=["short", "rig"]
)
def test_f22_slow_devices_leave_the_others_their_period(start: Callable[[], Gateway], devices: int, lasts_s: float) -> None:
    assert LinkOptions().timeout_s < ANSWER_S
    bad = round(devices * SLOW_SHARE)
    with street() as meters:
        built(meters, good=devices - bad, bad=bad)
        start()
        until(lambda: len(meters.questions("good")) == devices - bad and min(meters.questions("good")) >= 3, within_s=60)
        until(lambda: meters.questions("slow") and meters.questions("trickling"))
        # What the machine is up to just now, nobody being slow yet.
        calm = watched(meters, lasts_s)
        meters.slow("slow", "late")
        meters.slow("trickling", "trickled")
        meters.slow("shared", "one_late")
        found = watched(meters, lasts_s)
    print(
        f"F22: p95 drift {found.p(0.95):.1%} beside {calm.p(0.95):.1%} when all are quick (p50 {found.p(0.5):.1%}, "
        f"max {found.drifts[-1]:.1%}) over {devices - bad} devices at {PERIOD_S:g} s for {lasts_s:g} s beside {bad} that answer "
        f"after {ANSWER_S:g} s or at 1 B/s; a gateway with one slow unit of 20 was asked {found.rate:.1f} times a second; "
        f"the machine stood still for {found.machine.seconds:.2f} s"
    )
    assert found.p(0.95) <= (LIMIT if lasts_s > 60 else max(LIMIT, calm.p(0.95) + LIMIT / 2))
    assert found.rate >= 19 / PERIOD_S * (1 - LIMIT)


def built(meters: Street, *, good: int, bad: int) -> None:
    """Connections to so many meters, and to a gateway with twenty units: one will be slow, and the nineteen share its line."""
    pilot = make_pilot("bg")
    ports = {name: meters.serve(name) for name in ("good", "slow", "trickling", "shared")}
    for number in range(good + bad):
        name = "good" if number >= bad else ("slow", "trickling")[number % 2]
        modbus_line(pilot, f"bg-m{number:04}", ports[name], period_s=PERIOD_S)
    modbus_line(pilot, "bg-gw", ports["shared"], units=20, period_s=PERIOD_S)


def watched(meters: Street, lasts_s: float) -> Watched:
    """For so long, and until as many good intervals were seen as that time has."""
    since, wanted = time.monotonic(), len(meters.questions("good")) * (lasts_s / PERIOD_S - 2)
    with stalls() as machine:
        wait(lasts_s)
        until(lambda: len(drifts(meters.asked("good"), PERIOD_S, since, machine)) >= wanted, within_s=10 * lasts_s)
        found = drifts(meters.asked("good"), PERIOD_S, since, machine)
        moments = [moment for moment in meters.asked("shared")[0] if moment >= since]
    return Watched(machine, found, (len(moments) - 1) / (moments[-1] - moments[0] - machine.seconds))
