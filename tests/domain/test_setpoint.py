"""The rules that a set-point obeys, apart from any database."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilots.domain.point import Capability, PointKind, PointSpec
from pilots.domain.setpoint import TERMINAL, TRANSITIONS, SetpointState, feedback_shows, may_become

S = SetpointState
POINT = PointSpec(name="p_set", kind=PointKind.SETPOINT, unit="W", capability=Capability(minimum=-1e5, maximum=1e5, step=100))
ALLOWED = {
    (S.RECEIVED, S.VALIDATED),
    (S.RECEIVED, S.REJECTED),
    (S.RECEIVED, S.EXPIRED),
    (S.RECEIVED, S.CANCELLED),
    (S.VALIDATED, S.DISPATCHED),
    (S.VALIDATED, S.REJECTED),
    (S.VALIDATED, S.EXPIRED),
    (S.VALIDATED, S.FAILED),
    (S.VALIDATED, S.CANCELLED),
    (S.VALIDATED, S.UNKNOWN),
    (S.DISPATCHED, S.EXECUTED),
    (S.DISPATCHED, S.REJECTED),
    (S.DISPATCHED, S.EXPIRED),
    (S.DISPATCHED, S.FAILED),
    (S.DISPATCHED, S.CANCELLED),
    (S.DISPATCHED, S.UNKNOWN),
    (S.UNKNOWN, S.EXECUTED),
    (S.UNKNOWN, S.FAILED),
}


def test_exactly_the_documented_transitions_are_allowed() -> None:
    assert {(old, new) for old in S for new in S if may_become(old, new)} == ALLOWED


def test_nothing_leaves_a_terminal_state() -> None:
    assert all(not TRANSITIONS[state] for state in TERMINAL)
    assert {state for state in S if state.terminal} == TERMINAL


def test_every_state_can_be_reached() -> None:
    reached, following = {S.RECEIVED}, {S.RECEIVED}
    while following:
        following = {new for old in following for new in TRANSITIONS[old]} - reached
        reached |= following
    assert reached == set(S)


@pytest.mark.parametrize(("measured", "shown"), [(-22_000, True), (-22_001, False), (-18_000, True), (0, False)])
def test_a_target_is_shown_within_two_percent_of_the_range(measured: float, shown: bool) -> None:
    assert POINT.capability is not None
    assert feedback_shows(-20_000, "absolute", measured, POINT.capability) is shown


@given(limit=st.floats(0, 11_000), measured=st.floats(-20_000, 20_000))
def test_a_ceiling_bounds_the_magnitude_only(limit: float, measured: float) -> None:
    capability = Capability(minimum=0, maximum=11_000, modes=("limit",))
    assert feedback_shows(limit, "limit", measured, capability) is (abs(measured) <= limit + 220)
