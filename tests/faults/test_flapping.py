"""F27: a link that goes up and down keeps its history whole and is not hammered with connections. [zones: field, station]"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from pilots.acquisition.gateway import Gateway
from pilots.acquisition.ways import FIRST_PAUSE_S, LONGEST_PAUSE_S
from pilots.history.selectors import SampleRow, read_samples
from pilots.models import Point
from tests.builders import make_pilot
from tests.faults.far_side import FarSide
from tests.faults.peers import Meters
from tests.faults.plant import arrived, modbus_line, wait
from tests.waiting import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.wire]
PERIOD_S = 0.1


def slots(opened: list[float]) -> list[tuple[float, float]]:
    """Seconds between connections, and the shortest that the back-off of that turn allows: it doubles from turn to turn."""
    pause_s, found = FIRST_PAUSE_S, []
    for before, after in pairwise(opened):
        found.append((after - before, pause_s / 2))
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
    return found


@pytest.mark.parametrize(
    ("times", "up_s", "down_s"), [(12, 0.45, 0.15), pytest.param(60, 5.0, 5.0, marks=pytest.mark.rig)], ids=["short", "rig"]
)
def test_f27_a_flapping_link_is_tried_once_a_slot_and_loses_nothing(
    far: FarSide, start: Callable[[], Gateway], times: int, up_s: float, down_s: float
) -> None:
    meters, pilot, began = Meters(), make_pilot("bg"), datetime.now(UTC)
    modbus_line(pilot, "bg-m1", far.serve(meters.protocol), period_s=PERIOD_S, options={"timeout_s": 5.0})
    start()
    until(lambda: arrived("bg-m1") and len(meters.told) >= 10)
    flapped = time.monotonic()
    for _ in range(times):
        meters.hangs_up = True
        far.call(meters.hang_up)
        wait(down_s)
        meters.hangs_up = False
        wait(up_s)
    lasted_s = time.monotonic() - flapped
    tried = slots(list(meters.opened))
    before = len(meters.told)
    until(lambda: len(meters.told) > before + 3, within_s=2 * LONGEST_PAUSE_S)
    back_s = time.monotonic() - flapped - lasted_s

    point = Point.objects.get()
    told = list(meters.told[:-2])
    until(lambda: {row.value for row in samples(point, began)} >= set(told[-3:]))
    values = [row.value for row in samples(point, began) if row.value is not None and row.value <= told[-1]]
    stored = list(dict.fromkeys(values))
    lost = set(told) - set(stored) - meters.unsure
    print(
        f"F27: {times} up/downs in {lasted_s:.0f} s: {len(tried)} reconnects, each in its back-off slot "
        f"(least share of it {min((gap / least for gap, least in tried), default=0):.2f}); {len(told)} values told, "
        f"{len(lost)} not in history; back after {back_s:.1f} s"
    )
    assert tried
    assert all(gap >= least for gap, least in tried)
    assert not lost
    assert stored == sorted(set(stored) & set(told))


def samples(point: Point, began: datetime) -> list[SampleRow]:
    return list(read_samples([point], began - timedelta(seconds=5), datetime.now(UTC) + timedelta(seconds=5), limit=100_000))
