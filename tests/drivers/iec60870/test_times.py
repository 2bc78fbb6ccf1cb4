"""Time tags: known octets, what is no time, the hour a short tag belongs to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilots.domain.columns import NEVER
from pilots.domain.moments import moment_of
from pilots.drivers.iec60870 import times

MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31)).map(
    lambda time: time.replace(microsecond=time.microsecond // 1000 * 1000, tzinfo=UTC)
)


def tag(milliseconds: int, *rest: int) -> bytes:
    return milliseconds.to_bytes(2, "little") + bytes(rest)


@given(MOMENTS)
def test_every_moment_survives_a_long_tag(moment: datetime) -> None:
    assert times.decode_long(times.encode_long(moment)) == moment


@given(MOMENTS, st.integers(-1_799_999, 1_799_999))
def test_a_short_tag_finds_its_hour_within_half_an_hour_of_its_arrival(moment: datetime, off_ms: int) -> None:
    received = moment + timedelta(milliseconds=off_ms)

    assert times.decode_short(times.encode_short(moment), received) == moment


@given(st.binary(min_size=7, max_size=7))
def test_any_seven_octets_are_a_time_or_none(octets: bytes) -> None:
    time = times.decode_long(octets)

    assert time is None or time.tzinfo is UTC


@given(st.binary(min_size=3, max_size=3))
def test_any_three_octets_are_a_time_near_the_arrival_or_none(octets: bytes) -> None:
    received = datetime(2026, 12, 31, 23, 59, tzinfo=UTC)

    time = times.decode_short(octets, received)

    assert time is None or abs(time - received) <= timedelta(minutes=30)


def test_tags_of_one_asdu_are_decoded_as_one_by_one() -> None:
    tags = [tag(ms, minute, 3, 1, 7, 26) for ms, minute in ((1500, 4), (59_999, 4), (60_000, 4), (0, 5), (7, 0x84))]

    milliseconds = np.array([int.from_bytes(one[:2], "little") for one in tags])

    together = times.decode_column(milliseconds, np.array([list(one[2:]) for one in tags], dtype=np.uint8))

    assert [None if us == NEVER else moment_of(us) for us in together.tolist()] == [times.decode_long(one) for one in tags]
    assert together[2] == together[4] == NEVER


@pytest.mark.parametrize(
    "octets",
    [
        tag(0, 0x84, 3, 1, 7, 26),
        tag(60_000, 0, 0, 1, 1, 26),
        tag(0, 60, 0, 1, 1, 26),
        tag(0, 0, 24, 1, 1, 26),
        tag(0, 0, 0, 31, 2, 26),
        tag(0, 0, 0, 1, 0, 26),
        tag(0, 0, 0, 1, 1, 100),
    ],
)
def test_an_invalid_tag_or_one_that_is_no_date_is_no_time(octets: bytes) -> None:
    assert times.decode_long(octets) is None


@pytest.mark.parametrize("octets", [tag(0, 0x84), tag(60_000, 0), tag(0, 60)])
def test_a_short_tag_that_is_invalid_or_no_minute_is_no_time(octets: bytes) -> None:
    assert times.decode_short(octets, datetime(2026, 1, 1, tzinfo=UTC)) is None


def test_a_short_tag_means_nothing_without_its_arrival() -> None:
    assert times.decode_short(tag(0, 4), None) is None


def test_day_of_week_and_summer_time_do_not_move_the_moment() -> None:
    winter = times.decode_long(tag(0, 0, 3, 1, 7, 26))
    summer = times.decode_long(tag(0, 0, 0x80 | 3, 3 << 5 | 1, 7, 26))

    assert winter is not None and summer is not None
    assert winter - summer == timedelta(hours=1)


def test_other_zones_go_out_as_utc_and_other_centuries_do_not() -> None:
    moment = datetime(2026, 7, 1, 5, 4, tzinfo=timezone(timedelta(hours=2)))

    assert times.encode_long(moment)[3] == 3
    with pytest.raises(ValueError, match="1999"):
        times.encode_long(datetime(1999, 12, 31, tzinfo=UTC))


def test_no_time_goes_out_as_invalid() -> None:
    assert times.decode_long(times.encode_long(None)) is None
    assert times.decode_short(times.encode_short(None), datetime(2026, 1, 1, tzinfo=UTC)) is None
