"""Which step of a curve is wanted when, whose curve it is, and what may be asked at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilots.domain.errors import SetpointRejected
from pilots.domain.point import Capability, PointKind, PointSpec
from pilots.domain.schedule import (
    LEAD,
    RESOLUTIONS,
    Claim,
    Curve,
    OnExpiry,
    ScheduleState,
    check_schedule,
    due_steps,
    may_ask_again,
    revised,
    state_at,
    step_at,
    step_ramp,
    winner,
)
from pilots.domain.setpoint import SetpointState

START = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
POINT = PointSpec(name="p_set", kind=PointKind.SETPOINT, unit="W", capability=Capability(minimum=-1e5, maximum=1e5, step=100))
S, C = ScheduleState, SetpointState


def curve(*values: float | None, **fields: Any) -> Curve:
    return Curve(**({"start": START, "resolution_s": 900, "values": values} | fields))


def minutes(number: float) -> datetime:
    return START + timedelta(minutes=number)


curves = st.builds(
    Curve,
    start=st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC)),
    resolution_s=st.sampled_from(sorted(RESOLUTIONS.values())),
    values=st.lists(st.none() | st.floats(-1e5, 1e5), min_size=1, max_size=40).map(tuple),
    on_expiry=st.sampled_from(OnExpiry),
)


@given(curves, st.floats(-0.2, 1.2))
def test_a_moment_lies_in_the_step_it_is_given(curve: Curve, share: float) -> None:
    moment = curve.start + (curve.end - curve.start) * share
    step = step_at(curve, moment)
    if step is not None:
        assert step.begins <= moment < step.ends <= curve.end
        assert curve.values[step.number] == step.value
    elif curve.start <= moment < curve.end and curve.on_expiry is OnExpiry.RELEASE:
        assert curve.values[curve.number_at(moment)] is None


@given(curves)
def test_steps_follow_one_another_without_overlap_and_each_value_comes_once(curve: Curve) -> None:
    """However often the clock looks: no step is due twice under another number, none is skipped."""
    moment, found = curve.start, []
    while moment < curve.end:
        step = step_at(curve, moment)
        if step is not None and step not in found:
            found.append(step)
        moment += timedelta(seconds=curve.resolution_s)
    assert [step.number for step in found] == [number for number, value in enumerate(curve.values) if value is not None]
    assert all(before.ends <= after.begins for before, after in pairwise(found))


@given(curves, st.floats(0, 1))
def test_only_now_and_the_next_minute_are_ever_due(curve: Curve, share: float) -> None:
    now = curve.start + (curve.end - curve.start) * share
    for step in due_steps(curve, now):
        assert step.begins <= now + LEAD
        assert step.ends > now


def test_a_step_is_due_a_minute_ahead() -> None:
    steps = curve(1.0, 2.0)
    assert [step.number for step in due_steps(steps, minutes(-2))] == []
    assert [step.number for step in due_steps(steps, minutes(-1))] == [0]
    assert [step.number for step in due_steps(steps, minutes(13.9))] == [0]
    assert [step.number for step in due_steps(steps, minutes(14))] == [0, 1]
    assert due_steps(steps, minutes(30)) == []


def test_a_gap_is_nobodys_or_held() -> None:
    gap = curve(None, 1.0, None, None, 2.0)
    assert step_at(gap, minutes(0)) is step_at(gap, minutes(31)) is None
    held = curve(None, 1.0, None, None, 2.0, on_expiry=OnExpiry.HOLD)
    step = step_at(held, minutes(50))
    assert step is not None
    assert (step.number, step.begins, step.ends) == (1, minutes(15), minutes(60))
    assert step_at(held, minutes(1)) is None


def test_a_gap_wants_the_fallback_value_where_there_is_one() -> None:
    gap = curve(None, 1.0, on_expiry=OnExpiry.FALLBACK, fallback_value=7.0)
    steps = [step_at(gap, minutes(minute)) for minute in (0, 16, 31)]
    assert [step and (step.number, step.value, step.begins, step.ends) for step in steps] == [
        (0, 7.0, minutes(0), minutes(15)),
        (1, 1.0, minutes(15), minutes(30)),
        None,
    ]


@pytest.mark.parametrize(("day", "hours"), [(datetime(2026, 3, 29), 23), (datetime(2026, 10, 25), 25)])
def test_a_day_of_another_clock_has_other_steps_of_the_same_length(day: datetime, hours: int) -> None:
    zone = ZoneInfo("Europe/Madrid")
    begins, ends = (moment.replace(tzinfo=zone).astimezone(UTC) for moment in (day, day + timedelta(days=1)))
    whole = curve(*range(4 * hours), start=begins)
    assert whole.end == ends
    moments = [begins + timedelta(minutes=15 * number) for number in range(4 * hours)]
    assert [step.value for moment in moments if (step := step_at(whole, moment))] == list(range(4 * hours))


def test_where_schedules_overlap_priority_decides_and_then_the_later() -> None:
    first, later = (Claim(6, minutes(number), UUID(int=number)) for number in (1, 2))
    stronger = Claim(5, minutes(0), UUID(int=3))
    assert winner([first, later]) == winner([later, first]) == later
    assert winner([first, later, stronger]) == stronger
    assert winner([]) is None


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 3), st.integers(0, 99)), min_size=1))
def test_everybody_names_the_same_winner_in_whatever_order_he_asks(rows: list[tuple[int, int, int]]) -> None:
    claims = [Claim(priority, minutes(issued), UUID(int=number)) for priority, issued, number in rows]
    assert winner(claims) == winner(reversed(claims)) == winner(sorted(claims, key=lambda claim: claim.id))


@given(st.lists(st.floats(0, 9)), st.lists(st.floats(0, 9)), st.integers(0, 9))
def test_a_revision_leaves_what_was_sent(old: list[float], new: list[float], kept: int) -> None:
    values = revised(old, new, kept)
    assert list(values[:kept])[: len(old)] == old[:kept]
    assert list(values[len(old[:kept]) :]) == new[kept:]


def test_the_clock_takes_a_schedule_through_its_states() -> None:
    steps = curve(1.0, 2.0)
    assert state_at(steps, S.ACCEPTED, minutes(-1), executed=False) is S.ACCEPTED
    assert state_at(steps, S.ACCEPTED, minutes(0), executed=False) is S.RUNNING
    assert state_at(steps, S.RUNNING, minutes(30), executed=True) is S.COMPLETED
    assert state_at(steps, S.RUNNING, minutes(30), executed=False) is S.FAILED
    for state in (S.DRAFT, S.CANCELLED, S.COMPLETED, S.FAILED):
        assert state_at(steps, state, minutes(10), executed=True) is state


def test_a_step_is_asked_again_after_what_passes_and_not_after_a_no() -> None:
    assert may_ask_again(C.CANCELLED, "superseded", displaced=True)
    assert may_ask_again(C.FAILED, "link_down", displaced=False)
    assert may_ask_again(C.EXECUTED, "", displaced=True)
    assert not may_ask_again(C.EXECUTED, "", displaced=False)
    assert not may_ask_again(C.REJECTED, "device_rejected", displaced=False)
    assert not may_ask_again(C.FAILED, "", displaced=False)
    assert not may_ask_again(C.UNKNOWN, "", displaced=False)


def refusal(steps: Curve, **fields: Any) -> SetpointRejected:
    form: dict[str, Any] = {"unit": "W", "mode": "absolute", "point": POINT, "now": START}
    with pytest.raises(SetpointRejected) as caught:
        check_schedule(steps, **(form | fields))
    return caught.value


@pytest.mark.parametrize(
    ("steps", "field", "words"),
    [
        (curve(1e3, 2e5), "values[1]", "Step 1, 2026-11-23 08:15 UTC: 200000 W is outside"),
        (curve(1e3, None, 50.0), "values[2]", "goes in steps of 100 W"),
        (curve(None, None), "values", "at least one value"),
        (curve(), "values", "at least one value"),
        (curve(*[0.0] * 193, resolution_s=60), "values", "at most 192 steps; this one has 193"),
        (curve(*[0.0] * 50, resolution_s=3600), "values", "48 h at most"),
        (curve(0.0, resolution_s=700), "resolution", "PT15M"),
        (curve(0.0, start=minutes(-15)), "start", "last step is over"),
        (curve(0.0, *[None] * 100, on_expiry=OnExpiry.HOLD), "values[0]", "held for more than 24 h"),
        (curve(0.0, on_expiry=OnExpiry.FALLBACK, fallback_value=2e5), "fallback_value", "A fallback of 200000 W is outside"),
        (curve(0.0, on_expiry=OnExpiry.FALLBACK, fallback_value=50.0), "fallback_value", "goes in steps of 100 W"),
        (curve(0.0, on_expiry=OnExpiry.FALLBACK), "fallback_value", "go together"),
        (curve(0.0, fallback_value=1e3), "fallback_value", "go together"),
    ],
)
def test_a_document_is_refused_whole_and_the_place_is_named(steps: Curve, field: str, words: str) -> None:
    error = refusal(steps)
    assert error.field == field
    assert words in error.reason


def test_what_is_wrong_with_every_step_names_its_own_field() -> None:
    assert refusal(curve(1e3), unit="kW").field == "unit"
    assert refusal(curve(1e3), mode="limit").field == "mode"


def test_two_days_of_quarter_hours_are_taken() -> None:
    check_schedule(curve(*[100.0] * 192), unit="W", mode="absolute", point=POINT, now=START)


def test_what_only_the_moment_can_tell_does_not_refuse_a_document() -> None:
    able = Capability(minimum=-1e5, maximum=1e5, ramp=10, interlock="soc > 5")
    ramped = PointSpec(name="p_set", kind=PointKind.SETPOINT, unit="W", capability=able)
    check_schedule(curve(1e4, -1e4), unit="W", mode="absolute", point=ramped, now=START)
    assert refusal(curve(1e4), point=PointSpec(name="power", kind=PointKind.MEASUREMENT, unit="W")).code == "not_capable"
    assert (step_ramp(ramped, "absolute"), step_ramp(ramped, "limit"), step_ramp(POINT, "absolute")) == (10, None, None)
