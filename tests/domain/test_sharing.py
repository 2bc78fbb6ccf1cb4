"""One target for several devices: its sum, everybody's limits and steps, its sign, and nothing left to chance."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilots.domain.errors import SetpointRejected
from pilots.domain.guards import ConnectionPoint
from pilots.domain.setpoint import SetpointState
from pilots.domain.sharing import GroupState, Member, group_state, has_room, overloaded, reach, share

S = SetpointState
STEPS = st.sampled_from([0.0, 1.0, 8.0, 100.0, 110.0, 250.0])


@st.composite
def members(draw: st.DrawFn) -> list[Member]:
    """Devices of 1 to 100 kW, narrowed at this moment by anything, some of which may not stand still."""
    found = []
    for number in range(draw(st.integers(2, 8))):
        step = draw(STEPS)
        rating = draw(st.integers(1, 100)) * (step or 500.0) + draw(st.sampled_from([0.0, 0.5]))
        low, high = draw(st.floats(-rating, rating / 10)), draw(st.floats(0, rating))
        if draw(st.booleans()):
            low, high = -rating, rating
        found.append(Member(name=f"d{number}", low=min(low, high), high=high, step=step, ends=(-rating, rating)))
    return found


PARTS = st.floats(-1, 1, allow_nan=False)


def target_of(part: float, able: list[Member]) -> float:
    least, most = reach(math.copysign(1.0, part), able)
    return math.copysign(least + abs(part) * (most - least), part)


def is_taken(value: float, member: Member) -> bool:
    whole = member.step == 0 or abs(value / member.step - round(value / member.step)) <= 1e-6
    return member.low <= value <= member.high and (whole or value in member.ends)


def able_to(part: float, found: list[Member]) -> list[Member]:
    return [member for member in found if has_room(math.copysign(1.0, part), member)]


@given(members(), PARTS)
def test_shares_sum_to_the_target_within_rounding_and_never_beyond_it(found: list[Member], part: float) -> None:
    able = able_to(part, found)
    target = target_of(part, able)
    if not able or target == 0:
        return
    shares = share(target, able)
    lacking = abs(target) - abs(sum(shares.values()))
    assert lacking >= -1e-3
    for member in able:
        bound = member.high if target > 0 else -member.low
        given_ = abs(shares[member.name])
        following = given_ + lacking + 1e-3
        # Nobody has room for what is lacking: the next value that it takes is beyond its limit or beyond the target.
        if member.step == 0:
            assert lacking <= 1e-3 or given_ >= bound - 1e-6
        else:
            next_ = (math.floor(given_ / member.step + 1e-9) + 1) * member.step
            assert next_ > following - 2e-3 or next_ > bound


@given(members(), PARTS)
def test_nobody_gets_what_its_checks_refuse_or_a_share_of_the_other_sign(found: list[Member], part: float) -> None:
    able = able_to(part, found)
    target = target_of(part, able)
    if not able:
        return
    for member in able:
        try:
            value = share(target, able)[member.name]
        except SetpointRejected:
            assert target == 0  # who may not stand still cannot take a share of nothing
            return
        assert value * target >= 0
        assert is_taken(value, member), (value, member)


@given(members(), PARTS, st.data())
def test_the_order_of_the_members_changes_nothing(found: list[Member], part: float, data: st.DataObject) -> None:
    able = able_to(part, found)
    target = target_of(part, able)
    if not able or target == 0:
        return
    assert share(target, data.draw(st.permutations(able))) == share(target, able)


@given(members(), PARTS)
def test_without_steps_everybody_gets_the_same_part_of_its_room(found: list[Member], part: float) -> None:
    smooth = [replace(member, step=0.0, low=min(member.low, 0.0)) for member in found]
    able = able_to(part, smooth)
    target = target_of(part, able)
    if not able or target == 0:
        return
    shares = share(target, able)
    for member in able:
        room = member.high if target > 0 else member.low
        assert shares[member.name] == pytest.approx(room * abs(part), rel=1e-6, abs=1e-3)


@given(members(), st.sampled_from([-1.0, 1.0]), st.floats(1.0, 1e6))
def test_beyond_what_all_can_do_is_refused_with_the_figure(found: list[Member], sign: float, more: float) -> None:
    able = [member for member in found if has_room(sign, member)]
    if not able:
        return
    _, most = reach(sign, able)
    with pytest.raises(SetpointRejected) as refusal:
        share(sign * (most + more), able)
    assert (refusal.value.code, refusal.value.field) == ("out_of_range", "target")
    assert f"can do {sign * most:g} W together now" in refusal.value.reason
    assert sum(share(sign * most, able).values()) == pytest.approx(sign * most)


def test_the_whole_target_goes_out_though_no_ones_part_is_a_whole_step() -> None:
    three = [Member(name=name, low=0, high=11_000, step=100, ends=(0, 11_000)) for name in "abc"]
    assert share(10_000, three) == {"a": 3_400.0, "b": 3_300.0, "c": 3_300.0}


def test_an_end_that_is_no_whole_step_can_be_reached() -> None:
    pair = [Member(name="a", low=0, high=3_450, step=100, ends=(0, 3_450)), Member(name="b", low=0, high=1_000, step=100)]
    assert share(4_450, pair) == {"a": 3_450.0, "b": 1_000.0}
    assert reach(1, [replace(pair[0], ends=(0, 5_000))]) == (0, 3_400)


def test_who_may_not_go_below_a_value_gets_at_least_that_and_the_others_the_rest() -> None:
    pair = [Member(name="a", low=6_000, high=10_000, step=100), Member(name="b", low=0, high=10_000, step=100)]
    assert share(8_000, pair) == {"a": 6_000.0, "b": 2_000.0}
    with pytest.raises(SetpointRejected, match="cannot go below 6000 W together now"):
        share(5_000, pair)


def test_zero_is_everybodys_zero() -> None:
    pair = [Member(name="a", low=-10, high=10), Member(name="b", low=0, high=0)]
    assert share(0, pair) == {"a": 0.0, "b": 0.0}
    assert [has_room(0, member) for member in pair] == [True, True]
    assert not any(has_room(0, Member(name="c", low=low, high=low + 5)) for low in (5, -10))
    assert [has_room(sign, pair[1]) for sign in (-1, 1)] == [False, False]


def test_a_common_connection_narrows_those_behind_it_together() -> None:
    place = ConnectionPoint(name="es-TR01", capacity_w=100_000, measured_w=40_000)
    behind = [Member(name=name, low=-80_000, high=60_000, step=1_000, own=0.0, behind=(place,)) for name in "ab"]
    free = Member(name="c", low=-80_000, high=60_000, step=1_000, own=0.0)
    assert reach(1, [*behind, free]) == (0, 120_000)
    shares = share(90_000, [*behind, free])
    assert shares == {"a": 23_000.0, "b": 22_000.0, "c": 45_000.0}
    assert overloaded(shares, [*behind, free]) == ""
    # Towards generation there is more room, by what is consumed now.
    assert reach(-1, behind) == (0, 140_000)
    assert share(-140_000, behind) == {"a": -70_000.0, "b": -70_000.0}


@given(st.integers(-100, 100), st.integers(-50, 50), st.integers(-50, 50), st.floats(-1, 1))
def test_shares_never_take_a_common_connection_further_out(measured: int, one: int, other: int, part: float) -> None:
    """The connection may be beyond its capacity already; and towards the other side it is refused instead."""
    place = ConnectionPoint(name="es-TR01", capacity_w=60.0, measured_w=float(measured))
    pair = [Member(name=n, low=-50, high=50, step=0, own=float(own), behind=(place,)) for n, own in (("a", one), ("b", other))]
    able = [member for member in pair if has_room(part, member)]
    target = target_of(part, able)
    if not able or target == 0:
        return
    shares = share(target, able)
    expected = measured + sum(shares[member.name] - (member.own or 0.0) for member in able)
    beyond = abs(expected) > max(60.0, abs(measured)) + 1e-3
    assert beyond == (overloaded(shares, able) != "")
    if target * expected > 0:
        assert not beyond


def test_who_has_no_room_cannot_be_given_a_share() -> None:
    with pytest.raises(SetpointRejected, match="b can take no share of it now"):
        share(5, [Member(name="a", low=0, high=10), Member(name="b", low=3, high=-2)])


@pytest.mark.parametrize(
    ("members", "aborted", "expected"),
    [
        ([(S.EXECUTED, True), (S.VALIDATED, False)], False, GroupState.UNDER_WAY),
        ([(S.EXECUTED, True), (S.UNKNOWN, False)], False, GroupState.UNDER_WAY),
        ([(S.EXECUTED, True), (S.EXECUTED, True)], False, GroupState.IN_FORCE),
        ([(S.EXECUTED, True), (S.EXECUTED, False)], False, GroupState.PARTLY),
        ([(S.REJECTED, False), (S.EXECUTED, False)], False, GroupState.ENDED),
        ([(S.EXECUTED, True)], True, GroupState.ABORTED),
    ],
)
def test_a_group_stands_where_its_members_stand(members: list[tuple[S, bool]], aborted: bool, expected: GroupState) -> None:
    assert group_state(members, aborted=aborted) is expected
