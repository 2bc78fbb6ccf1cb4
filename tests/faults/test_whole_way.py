"""S1, S3: generated set-points (1,000 in the rig) from the door to the devices' own ledger: nothing outside limits. [station]"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from pilots.acquisition.gateway import Gateway
from pilots.control.services import request_setpoint
from pilots.domain.errors import SetpointRejected
from pilots.domain.setpoint import Issuer, SetpointState
from pilots.models import LatestValue, Point, Setpoint
from tests.acquisition.field import add_unit
from tests.builders import make_connection, make_pilot
from tests.faults.far_side import FarSide
from tests.faults.inverters import Inverters, unit_of
from tests.waiting import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.wire]
LINES, UNITS = 5, 10
MOST_W, STEP_W = 100_000.0, 100.0
#: What an engineer narrows half of the points to while their set-points wait.
NARROW_W = 40_000.0
#: So long before its begin a set-point waits there: longer than it takes to ask for all of a turn.
LEAD_S = 5.0


@pytest.mark.parametrize("turns", [4, pytest.param(20, marks=pytest.mark.rig)], ids=["short", "rig"])
def test_s1_s3_whatever_is_asked_nothing_is_written_outside_its_limits(
    far: FarSide, start: Callable[[], Gateway], turns: int
) -> None:
    inverters, pilot, chance = Inverters(), make_pilot("bg"), random.Random(3)
    port = far.serve_streams(inverters.peer.accept)
    for number in range(LINES):
        line = make_connection(
            pilot, f"bg-rtu{number}", protocol="modbus_tcp", port=port, state="unknown", options={"timeout_s": 5.0}
        )
        for unit in range(number * UNITS + 1, (number + 1) * UNITS + 1):
            add_unit(pilot, line, unit, code=f"bg-STO{unit:02d}", period_s=0.5)
    start()
    points = list(Point.objects.filter(name="p_set").select_related("device__pilot", "device__connection"))
    until(lambda: LatestValue.objects.filter(point__name="active_power").count() == len(points), within_s=60)

    refused, narrowed = Counter[str](), list[tuple[datetime, datetime]]()
    for turn in range(turns):
        began = datetime.now(UTC)
        Point.objects.filter(name="p_set").update(operating_maximum=None, operating_minimum=None)
        begins = began + timedelta(seconds=LEAD_S if turn % 2 else 0.0)
        for point in points:
            _ask(point.pk, _any_value(chance), refused, begins)
        if turn % 2:
            narrow = Point.objects.filter(pk__in=[point.pk for point in points[::2]])
            narrow.update(operating_maximum=NARROW_W, operating_minimum=-NARROW_W)
            narrowed.append((began, datetime.now(UTC)))
        until(lambda began=began: _all_over(began), within_s=60)

    setpoints = list(Setpoint.objects.select_related("point__device"))
    written = Counter((each.unit, each.value) for each in inverters.ledger)
    wished = Counter((unit_of(each), each.value) for each in setpoints if each.state == SetpointState.EXECUTED)
    ends = Counter(f"{each.state} {each.code}".strip() for each in setpoints)
    print(f"S3: {LINES * UNITS * turns} set-points: no number {refused.total()}, ends {dict(ends)}, written {written.total()}")
    assert refused.total() + len(setpoints) == LINES * UNITS * turns
    assert refused["out_of_range"] and ends["rejected out_of_range"] and ends["executed"]
    assert all(abs(each.value) <= MOST_W and each.value % STEP_W == 0 for each in inverters.ledger)
    # What waited while its point was narrowed was looked at again, right before the write.
    waited = [each for each in setpoints if each.point in points[::2] and abs(each.value) > NARROW_W and _waited(each, narrowed)]
    assert waited and {(each.state, each.code, each.claimed_at) for each in waited} == {("rejected", "out_of_range", None)}
    assert written == wished  # S1: no write without its set-point, and each of those once


def _any_value(chance: random.Random) -> float:
    """Half of them are good."""
    kind = chance.randrange(8)
    if kind < 4:
        return STEP_W * chance.randrange(-int(MOST_W / STEP_W), int(MOST_W / STEP_W) + 1)
    return (
        chance.uniform(-MOST_W, MOST_W),
        chance.choice([-1, 1]) * chance.uniform(MOST_W, 1e9),
        chance.choice([math.nan, math.inf, -math.inf, 1e308]),
        chance.choice([MOST_W + STEP_W, -MOST_W - STEP_W, MOST_W + 1e-6]),
    )[kind - 4]


def _ask(key: int, value: float, refused: Counter[str], begins: datetime) -> None:
    point, now = Point.objects.select_related("device__pilot", "device__connection").get(pk=key), datetime.now(UTC)
    try:
        request_setpoint(
            point=point,
            value=value,
            unit="W",
            issuer=Issuer.OPERATOR,
            requested_by="ana",
            valid_from=max(begins, now),
            valid_until=now + timedelta(minutes=10),
            now=now,
        )
    except SetpointRejected as refusal:
        refused[refusal.code] += 1


def _waited(setpoint: Setpoint, narrowed: list[tuple[datetime, datetime]]) -> bool:
    """Whether it had passed at the door and was still waiting when its turn's limits were narrowed."""
    if "validated" not in {event.state for event in setpoint.events.all()}:
        return False
    spans = [(began, done) for began, done in narrowed if began <= setpoint.received_at <= done]
    return any(setpoint.valid_from > done for _, done in spans)


def _all_over(since: datetime) -> bool:
    states = Setpoint.objects.filter(received_at__gte=since).values_list("state", flat=True)
    return all(SetpointState(state).terminal for state in states)
