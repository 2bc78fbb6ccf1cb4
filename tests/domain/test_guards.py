"""The checks a set-point must pass, apart from any database."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilots.domain.errors import SetpointRejected
from pilots.domain.guards import Circumstances, ConnectionPoint, Wish, check_setpoint, range_now, range_of
from pilots.domain.interlock import Reading
from pilots.domain.point import Capability, PointKind, PointSpec
from pilots.domain.ramp import ramp_steps

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
WIDE = PointSpec(name="p_set", kind=PointKind.SETPOINT, unit="W", capability=Capability(minimum=-1e5, maximum=1e5))
ABLE = Capability(
    minimum=-1e5,
    maximum=1e5,
    step=100,
    max_per_hour=4,
    minimum_from="-p_discharge_max",
    maximum_from="p_charge_max",
    soc="soc",
    soc_min=10,
    soc_max="soc_max_set_feedback",
    interlock="es-SW01/position = 'closed'",
    interlock_words="Feeder 1 must be closed",
)
BATTERY = PointSpec(
    name="p_set", kind=PointKind.SETPOINT, unit="W", feedback="active_power", capability=ABLE, operating_maximum=80_000
)
QUIET = Circumstances(link_up=True, control_mode_local=False, holder_priority=None)
READINGS = {
    "active_power": Reading(0.0),
    "p_charge_max": Reading(60_000.0),
    "p_discharge_max": Reading(50_000.0),
    "soc": Reading(50.0),
    "soc_max_set_feedback": Reading(90.0),
    "es-SW01/position": Reading(2.0, "closed"),
}
PLANT = replace(QUIET, readings=READINGS, connections=(ConnectionPoint(name="es-GRID", capacity_w=100_000, measured_w=60_000),))


def wish(value: Any, **fields: Any) -> Wish:
    form: dict[str, Any] = {"unit": "W", "mode": "absolute", "priority": 3, "valid_from": NOW, "issued_at": None}
    return Wish(value=value, valid_until=NOW + timedelta(minutes=5), **(form | fields))


def refusal(asked: Wish, point: PointSpec = BATTERY, around: Circumstances = PLANT) -> tuple[str, str]:
    with pytest.raises(SetpointRejected) as caught:
        check_setpoint(asked, point, NOW, around)
    return caught.value.code, caught.value.reason


def plant(**readings: Reading) -> Circumstances:
    return replace(PLANT, readings=READINGS | {name.replace("__", "/"): reading for name, reading in readings.items()})


@given(value=st.floats(allow_nan=True, allow_infinity=True))
def test_nothing_outside_the_capability_ever_passes(value: float) -> None:
    if -1e5 <= value <= 1e5:
        check_setpoint(wish(value), WIDE, NOW, QUIET)
    else:
        assert refusal(wish(value), WIDE, QUIET)[0] == "out_of_range"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, False, "20000", None, [1.0]])
def test_what_is_no_finite_number_is_refused_with_the_field_named(value: Any) -> None:
    with pytest.raises(SetpointRejected) as caught:
        check_setpoint(wish(value), BATTERY, NOW, PLANT)
    assert (caught.value.code, caught.value.field) == ("out_of_range", "value")


def test_s3_of_a_hundred_thousand_generated_set_points_none_passes_outside_any_limit() -> None:
    draw = random.Random(20261123)
    passed = 0
    for _ in range(100_000):
        value = draw.choice([draw.uniform(-1.5e5, 1.5e5), 100.0 * draw.randint(-1500, 1500), math.nan, math.inf, True])
        soc, most, least = draw.uniform(0, 100), draw.uniform(0, 1.2e5), draw.uniform(0, 1.2e5)
        own, measured = draw.uniform(-1e5, 1e5), draw.uniform(-1.5e5, 1.5e5)
        closed = draw.random() < 0.8
        around = replace(
            plant(
                active_power=Reading(own),
                p_charge_max=Reading(most),
                p_discharge_max=Reading(least),
                soc=Reading(soc),
                **{"es-SW01__position": Reading(2.0 if closed else 1.0, "closed" if closed else "open")},
            ),
            connections=(ConnectionPoint(name="es-GRID", capacity_w=1e5, measured_w=measured),),
        )
        try:
            check_setpoint(wish(value), BATTERY, NOW, around)
        except SetpointRejected:
            continue
        passed += 1
        assert value is not True and math.isfinite(value)
        assert max(-1e5, -least) <= value <= min(8e4, most)
        assert value % 100 == 0 or value == -1e5
        assert not (value > 0 and soc >= 90) and not (value < 0 and soc <= 10)
        assert abs(measured + value - own) <= max(1e5, abs(measured))
        assert closed
    assert passed > 3000  # the rules were met often enough to have been tried


def test_a_value_between_two_steps_is_refused_and_told_both() -> None:
    code, reason = refusal(wish(20_050.0))
    assert code == "out_of_range"
    assert "take 20000 or 20100" in reason


def test_the_ends_of_the_range_need_not_be_whole_steps() -> None:
    point = replace(WIDE, capability=Capability(minimum=-1, maximum=1103.7, step=100))
    check_setpoint(wish(1103.7), point, NOW, QUIET)
    assert refusal(wish(1103.6), point, QUIET)[0] == "out_of_range"


def test_a_step_that_is_no_binary_number_does_not_refuse_its_own_multiples() -> None:
    point = replace(WIDE, capability=Capability(minimum=0, maximum=100, step=0.1))
    for tenths in range(1000):
        check_setpoint(wish(tenths / 10), point, NOW, QUIET)


def test_an_engineers_limits_narrow_the_capability_and_never_widen_it() -> None:
    assert "limits set for operation" in refusal(wish(90_000.0))[1]
    wide = replace(WIDE, operating_maximum=2e5)
    assert refusal(wish(150_000.0), wide, QUIET)[0] == "out_of_range"


def test_what_the_device_can_now_bounds_it_while_that_is_known() -> None:
    assert "p_charge_max" in refusal(wish(70_000.0))[1]
    assert "-p_discharge_max" in refusal(wish(-50_100.0))[1]
    check_setpoint(wish(40_000.0), BATTERY, NOW, plant(p_charge_max=Reading(40_000.0)))
    check_setpoint(wish(70_000.0), BATTERY, NOW, replace(plant(p_charge_max=Reading(5.0, fault="is old")), connections=()))


def test_a_full_battery_is_not_charged_and_an_empty_one_not_discharged() -> None:
    full, empty = plant(soc=Reading(90.0)), plant(soc=Reading(10.0))
    assert "upper limit 90 %" in refusal(wish(1000.0), around=full)[1]
    assert "lower limit 10 %" in refusal(wish(-1000.0), around=empty)[1]
    check_setpoint(wish(-1000.0), BATTERY, NOW, full)
    check_setpoint(wish(1000.0), BATTERY, NOW, empty)
    check_setpoint(wish(0.0), BATTERY, NOW, full)


def test_a_connection_is_not_overloaded_and_may_be_relieved() -> None:
    assert "es-GRID would carry 101000 W" in refusal(wish(41_000.0))[1]
    check_setpoint(wish(40_000.0), BATTERY, NOW, PLANT)
    over = replace(PLANT, connections=(ConnectionPoint(name="es-GRID", capacity_w=100_000, measured_w=130_000),))
    check_setpoint(wish(-10_000.0), BATTERY, NOW, over)
    assert refusal(wish(1000.0), around=over)[0] == "out_of_range"


def test_a_worn_switch_rests_for_the_hour() -> None:
    check_setpoint(wish(1000.0), BATTERY, NOW, replace(PLANT, writes_last_hour=3))
    assert refusal(wish(1000.0), around=replace(PLANT, writes_last_hour=4))[0] == "rate_limited"


def test_s15_an_interlock_that_does_not_hold_says_its_condition_and_the_values() -> None:
    code, reason = refusal(wish(1000.0), around=plant(**{"es-SW01__position": Reading(1.0, "open")}))
    assert code == "interlock"
    assert reason == "Feeder 1 must be closed: es-SW01/position = 'closed' does not hold, es-SW01/position is open."


@pytest.mark.parametrize(
    ("reading", "words"), [(Reading(2.0, "closed", "is 40 s old"), "is 40 s old"), (Reading(None), "was never received")]
)
def test_s15_an_interlock_on_a_stale_or_missing_value_refuses_and_names_it(reading: Reading, words: str) -> None:
    code, reason = refusal(wish(1000.0), around=plant(**{"es-SW01__position": reading}))
    assert (code, f"es-SW01/position {words}" in reason) == ("interlock", True)


@pytest.mark.parametrize(
    ("field", "code"), [("tag", "tagged"), ("commands_off", "commands_off")], ids=["S14 tagged", "S21 commands off"]
)
def test_what_people_blocked_is_refused_in_their_words(field: str, code: str) -> None:
    assert refusal(wish(0.0), around=replace(PLANT, **{field: "Not now."})) == (code, "Not now.")


def test_what_gives_a_point_back_passes_what_would_keep_the_device_on_an_old_value() -> None:
    around = replace(plant(soc=Reading(95.0)), commands_off="Off.", tag="Tagged.", writes_last_hour=9)
    check_setpoint(wish(90_000.0, gives_back=True), BATTERY, NOW, around)
    assert refusal(wish(100_001.0, gives_back=True), around=around)[0] == "out_of_range"
    assert refusal(wish(0.0, gives_back=True), around=replace(around, control_mode_local=True))[0] == "local_mode"


LATER = NOW + timedelta(minutes=10)


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"unit": "kW"}, "wrong_unit", "p_set is in W, not kW."),
        ({"mode": "limit"}, "not_capable", "takes absolute, not limit"),
        ({"issued_at": NOW - timedelta(seconds=61)}, "clock_skew", "60 s off our clock"),
        ({"valid_from": LATER}, "stale_request", "not after valid_from"),
        ({"valid_until": NOW}, "stale_request", "has passed"),
        ({"valid_until": NOW + timedelta(hours=25)}, "out_of_range", "24 h at most"),
    ],
)
def test_a_wish_that_is_wrong_in_itself_is_told_what_is_wrong(fields: dict[str, Any], code: str, words: str) -> None:
    found, reason = refusal(replace(wish(1000.0), **fields), WIDE, QUIET)
    assert (found, words in reason) == (code, True)


def test_a_point_that_takes_nothing_says_so() -> None:
    for point in (replace(WIDE, capability=None), replace(WIDE, kind=PointKind.MEASUREMENT)):
        assert refusal(wish(1000.0), point, QUIET) == ("not_capable", "p_set takes no set-points.")
    with pytest.raises(ValueError, match="p_set has no capability"):
        range_of(replace(WIDE, capability=None))


def test_a_silent_device_refuses_what_is_for_now_and_a_stronger_holder_whoever_is_weaker() -> None:
    down = replace(QUIET, link_up=False)
    assert refusal(wish(1000.0), WIDE, down)[0] == "link_down"
    later = replace(wish(1000.0), valid_from=NOW + timedelta(minutes=16), valid_until=NOW + timedelta(minutes=20))
    check_setpoint(later, WIDE, NOW, down)
    held = replace(QUIET, holder_priority=2, holder="operator ana")
    assert refusal(wish(1000.0), WIDE, held) == ("conflict_priority", "operator ana holds this point with priority 2.")
    check_setpoint(wish(1000.0, priority=2), WIDE, NOW, held)


def test_s3_the_range_of_the_moment_is_just_what_passes() -> None:
    draw = random.Random(4)
    taken = 0
    for _ in range(5_000):
        around = replace(
            plant(
                active_power=Reading(draw.uniform(-1e5, 1e5), fault=draw.choice(["", "", "is old"])),
                soc=Reading(draw.uniform(0, 100)),
                p_charge_max=Reading(draw.uniform(0, 1.2e5), fault=draw.choice(["", "is old"])),
            ),
            connections=(ConnectionPoint(name="es-GRID", capacity_w=1e5, measured_w=draw.uniform(-1.5e5, 1.5e5)),),
        )
        value = 100.0 * draw.randint(-1100, 1100)
        low, high = range_now(BATTERY, around)
        if low <= value <= high:
            check_setpoint(wish(value), BATTERY, NOW, around)
            taken += 1
        else:
            assert refusal(wish(value), around=around)[0] == "out_of_range"
    assert 1_000 < taken < 4_000
    assert range_now(replace(WIDE, operating_maximum=5e4), QUIET) == (-1e5, 5e4)


@pytest.mark.parametrize(("last", "code"), [(None, ""), (6, ""), (7, "superseded"), (8, "superseded")])
def test_s8_only_a_newer_number_of_the_same_source_passes(last: int | None, code: str) -> None:
    asked, around = wish(1000.0, sequence=7), replace(PLANT, last_sequence=last)
    if code:
        assert refusal(asked, around=around)[0] == code
    else:
        check_setpoint(asked, BATTERY, NOW, around)
    check_setpoint(wish(1000.0), BATTERY, NOW, around)


SLOW = replace(BATTERY, capability=replace(ABLE, ramp=1_000.0))


def test_a_ramp_bounds_the_step_unless_the_device_or_the_wish_has_one() -> None:
    check_setpoint(wish(1_000.0), SLOW, NOW, PLANT)
    assert "is a step of more than 1000 W" in refusal(wish(1_100.0), SLOW)[1]
    check_setpoint(wish(30_000.0, ramp=1_000.0), SLOW, NOW, PLANT)
    check_setpoint(wish(30_000.0), replace(SLOW, capability=replace(ABLE, ramp=1_000.0, ramp_by="device")), NOW, PLANT)
    check_setpoint(wish(30_000.0, gives_back=True), SLOW, NOW, PLANT)
    assert "more than 500 W" in refusal(wish(1_000.0), replace(SLOW, operating_ramp=500.0))[1]
    rested = replace(SLOW, capability=replace(ABLE, ramp=1_000.0, min_interval_s=5))
    check_setpoint(wish(5_000.0), rested, NOW, PLANT)


@pytest.mark.parametrize("ramp", [0.0, -1.0, math.nan, math.inf, True, "fast", 1_001.0])
def test_a_ramp_that_is_none_is_refused_with_the_field_named(ramp: Any) -> None:
    with pytest.raises(SetpointRejected) as caught:
        check_setpoint(wish(1_000.0, ramp=ramp), SLOW, NOW, PLANT)
    assert (caught.value.code, caught.value.field) == ("out_of_range", "ramp")


def test_a_ramp_needs_to_know_where_it_begins_and_to_end_in_time() -> None:
    assert refusal(wish(1_000.0), SLOW, plant(active_power=Reading(0.0, fault="is 40 s old")))[1].endswith("that is 40 s old.")
    assert refusal(wish(1_000.0), SLOW, QUIET)[1].endswith("that was never received.")
    assert "longer than the set-point is valid (300 s)" in refusal(wish(30_000.0, ramp=100.0), SLOW)[1]


def test_only_a_target_has_a_ramp() -> None:
    ceiling = replace(SLOW, capability=replace(ABLE, ramp=1_000.0, modes=("limit",)))
    check_setpoint(wish(30_000.0, mode="limit"), ceiling, NOW, PLANT)
    assert refusal(wish(1_000.0, mode="limit", ramp=10.0), ceiling)[0] == "not_capable"
    switch = PointSpec(name="position_cmd", kind=PointKind.COMMAND, capability=Capability(minimum=1, maximum=2))
    assert refusal(wish(1.0, unit="", ramp=10.0), switch)[0] == "not_capable"


@given(
    start=st.floats(-1e6, 1e6),
    target=st.integers(-1000, 1000),
    ramp=st.floats(500, 1e6),
    step=st.sampled_from([0.0, 100.0, 7_000.0]),
)
def test_the_steps_of_a_ramp_never_leave_the_range_turn_back_or_run_ahead(
    start: float, target: int, ramp: float, step: float
) -> None:
    able = Capability(minimum=-1e5, maximum=1e5, step=step)
    begin = min(max(start, -1e5), 1e5)
    values = list(ramp_steps(start, 100.0 * target, ramp, able))
    assert values[-1] == 100.0 * target
    ahead, rising = begin, 100.0 * target > begin
    for number, value in enumerate(values[:-1], 1):
        if value is None:
            continue
        assert (value > ahead) if rising else (value < ahead)
        assert abs(value - begin) <= number * ramp + 1e-3 and -1e5 <= value <= 1e5
        assert step == 0 or abs(value / step - round(value / step)) < 1e-6
        ahead = value
    assert abs(100.0 * target - begin) <= len(values) * ramp + 1e-3
