"""F22: devices that answer after ten seconds, or byte by byte, cost the others nothing. [zones: field, station]"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from pilots.acquisition.gateway import Gateway
from pilots.drivers.modbus.options import LinkOptions
from tests.builders import make_pilot
from tests.drivers.raw_modbus import Request
from tests.faults.far_side import FarSide
from tests.faults.peers import Answers, Meters
from tests.faults.plant import drifts, modbus_line, quantile, wait
from tests.waiting import Stalls, stalls, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.wire]
PERIOD_S, SLOW_SHARE, LIMIT = 1.0, 0.05, 0.10
ANSWER_S = 10.0


def late(request: Request, answer: bytes) -> Answers:
    return [(ANSWER_S, answer)]


def trickled(request: Request, answer: bytes) -> Answers:
    """One byte a second."""
    return [(float(second), answer[second : second + 1]) for second in range(len(answer))]


@pytest.mark.parametrize(
    ("devices", "lasts_s"), [(100, 6.0), pytest.param(1000, 120.0, marks=pytest.mark.rig)], ids=["short", "rig"]
)
def test_f22_slow_devices_leave_the_others_their_period(
    far: FarSide, start: Callable[[], Gateway], devices: int, lasts_s: float
) -> None:
    assert LinkOptions().timeout_s < ANSWER_S
    good, slow, trickling, shared = Meters(), Meters(), Meters(), Meters()
    ports = {id(meters): far.serve(meters.protocol) for meters in (good, slow, trickling)}
    pilot = make_pilot("bg")
    bad = round(devices * SLOW_SHARE)
    for number in range(devices):
        meters = good if number >= bad else (slow, trickling)[number % 2]
        modbus_line(pilot, f"bg-m{number:04}", ports[id(meters)], period_s=PERIOD_S)
    # A gateway with twenty units of which one is slow: the nineteen share its line.
    modbus_line(pilot, "bg-gw", far.serve(shared.protocol), units=20, period_s=PERIOD_S)

    start()
    until(lambda: len(good.asked) == devices - bad and min(map(len, good.asked.values())) >= 3, within_s=60)
    until(lambda: slow.asked and trickling.asked)
    # What the machine is up to just now, nobody being slow yet.
    _, calm, _ = watched(far, good, shared, lasts_s)
    slow.reply, trickling.reply = late, trickled
    shared.reply = lambda request, answer: late(request, answer) if request.unit == 20 else [(0.005, answer)]
    machine, found, rate = watched(far, good, shared, lasts_s)
    p95, calm_p95 = quantile(found, 0.95), quantile(calm, 0.95)
    print(
        f"F22: p95 drift {p95:.1%} beside {calm_p95:.1%} when all are quick (p50 {quantile(found, 0.5):.1%}, "
        f"max {found[-1]:.1%}) over {devices - bad} devices at "
        f"{PERIOD_S:g} s for {lasts_s:g} s beside {bad} that answer after {ANSWER_S:g} s or at 1 B/s; a gateway with one slow "
        f"unit of 20 was asked {rate:.1f} times a second; the machine stood still for {machine.seconds:.2f} s"
    )
    assert p95 <= (LIMIT if lasts_s > 60 else max(LIMIT, calm_p95 + LIMIT / 2))
    assert rate >= 19 / PERIOD_S * (1 - LIMIT)


def watched(far: FarSide, good: Meters, shared: Meters, lasts_s: float) -> tuple[Stalls, list[float], float]:
    """For so long: when the machine stood still, the good devices' drifts, and how often a second the gateway was asked."""
    since, wanted = time.monotonic(), len(good.asked) * (lasts_s / PERIOD_S - 2)
    with stalls() as machine:
        wait(lasts_s)
        until(lambda: len(far.call(drifts, good.asked, PERIOD_S, since, machine)) >= wanted, within_s=10 * lasts_s)
        found = far.call(drifts, good.asked, PERIOD_S, since, machine)
        moments = [moment for moment in shared.asked[0] if moment >= since]
    return machine, found, (len(moments) - 1) / (moments[-1] - moments[0] - machine.seconds)
