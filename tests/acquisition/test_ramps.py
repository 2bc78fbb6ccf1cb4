"""A ramp on the wire: what a device with no ramp of its own is told, step by step."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta

import pytest

from pilots.control.services import request_setpoint
from pilots.domain.setpoint import Issuer, SetpointState
from pilots.models import AuditEvent, Pilot, Point, Setpoint
from tests.acquisition.conftest import Start
from tests.acquisition.field import Field, arrived
from tests.acquisition.test_gateway import now_is
from tests.waiting import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.wire]


def ask(value: float, *, ramp: float | None = None, unit: int = 1) -> Setpoint:
    now = datetime.now(UTC)
    point = Point.objects.get(device__code=f"bg-STO0{unit}", name="p_set")
    who = {"issuer": Issuer.OPERATOR, "requested_by": "ana"}
    return request_setpoint(point=point, value=value, unit="W", valid_until=now + timedelta(minutes=5), now=now, ramp=ramp, **who)


def written(field: Field) -> list[float]:
    return [struct.unpack(">f", request.body[-4:])[0] for request in field.writes]


@pytest.fixture
def quick(pilot: Pilot) -> None:
    """The batteries rest 0.2 s between two writes; they stand at 4.5 kW."""
    for point in Point.objects.filter(name="p_set"):
        point.capability = {**(point.capability or {}), "min_interval_s": 0.2, "step": 0}
        point.save()


def test_a_set_point_with_a_ramp_is_written_in_steps_and_proven(start: Start, pilot: Pilot, field: Field, quick: None) -> None:
    start()
    until(arrived)
    setpoint = ask(12_500.0, ramp=10_000.0)
    # It is executed once it is within its tolerance, and goes on to the value itself.
    until(lambda: now_is(setpoint, SetpointState.EXECUTED) and len(field.writes) == 4)
    assert written(field) == [6_500.0, 8_500.0, 10_500.0, 12_500.0]
    assert [event.state for event in setpoint.events.all()] == ["received", "validated", "dispatched", "executed"]
    assert AuditEvent.objects.filter(action="claim step of ramp").count() == 3


def test_a_newer_set_point_ends_a_ramp_under_way(start: Start, pilot: Pilot, field: Field, quick: None) -> None:
    start()
    until(arrived)
    slow = ask(90_000.0, ramp=10_000.0)
    until(lambda: len(field.writes) >= 2)
    newer = ask(-1_000.0)
    until(lambda: now_is(newer, SetpointState.EXECUTED))
    assert now_is(slow, SetpointState.CANCELLED)
    assert written(field)[-1] == -1_000.0 and max(written(field)) < 90_000.0
    assert written(field).count(-1_000.0) == 1
