"""ASDUs of every type and every field size, for hypothesis."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from pilots.drivers.iec60870.asdu import Asdu, InformationObject, Sizes

_SINGLE = st.tuples(st.integers(0, 1), st.integers(0, 127).map(lambda n: n << 1))
_DOUBLE = st.tuples(st.integers(0, 3), st.integers(0, 63).map(lambda n: n << 2))
_OCTET = st.integers(0, 255)
_TWO = st.integers(0, 0xFFFF)
_SHORT = st.integers(-32768, 32767)
_FLOAT = st.floats(width=32, allow_nan=False)
_NONE = st.just(0)
_ABOVE = st.tuples(_OCTET, _TWO).map(lambda pair: pair[0] | pair[1] << 8)
ELEMENTS = {
    **dict.fromkeys((1, 2, 30, 45, 58), _SINGLE),
    **dict.fromkeys((3, 4, 31, 46, 47, 59, 60), _DOUBLE),
    **dict.fromkeys((5, 6, 32), st.tuples(st.integers(-64, 63), st.integers(0, 511))),
    **dict.fromkeys((7, 8, 33), st.tuples(st.integers(0, 2**32 - 1), _OCTET)),
    **dict.fromkeys((9, 10, 34, 48, 61), st.tuples(_SHORT.map(lambda n: n / 32768), _OCTET)),
    **dict.fromkeys((11, 12, 35, 49, 62), st.tuples(_SHORT, _OCTET)),
    **dict.fromkeys((13, 14, 36, 50, 63), st.tuples(_FLOAT, _OCTET)),
    **dict.fromkeys((15, 16, 37), st.tuples(st.integers(-(2**31), 2**31 - 1), _OCTET)),
    **dict.fromkeys((17, 38), st.tuples(st.integers(0, 3), _ABOVE.map(lambda n: n & ~3))),
    **dict.fromkeys((18, 19, 39, 40), st.tuples(_OCTET, _ABOVE)),
    20: st.tuples(_TWO, _ABOVE),
    21: st.tuples(_SHORT.map(lambda n: n / 32768), _NONE),
    **dict.fromkeys((51, 64), st.tuples(st.integers(0, 2**32 - 1), _NONE)),
    **dict.fromkeys((70, 100, 101), st.tuples(_OCTET, _NONE)),
    **dict.fromkeys((102, 103), st.tuples(_NONE, _NONE)),
    **dict.fromkeys((104, 107), st.tuples(_TWO, _NONE)),
}
LONG = {*range(30, 41), *range(58, 65), 103, 107}
SHORT = {2, 4, 6, 8, 10, 12, 14, 16, 17, 18, 19}
RECEIVED = datetime(2026, 7, 1, 3, 4, 1, tzinfo=UTC)
TIMES = st.datetimes(datetime(2000, 1, 2), datetime(2099, 12, 31)).map(
    lambda time: time.replace(microsecond=time.microsecond // 1000 * 1000, tzinfo=UTC)
)
SHORT_TIMES = st.integers(-1_799_000, 1_799_000).map(lambda ms: RECEIVED + timedelta(milliseconds=ms))
ALL_SIZES = st.builds(
    Sizes, cause=st.sampled_from((1, 2)), common_address=st.sampled_from((1, 2)), object_address=st.sampled_from((1, 2, 3))
)


def times_of(type_id: int) -> st.SearchStrategy[datetime | None]:
    if type_id in LONG:
        return st.one_of(st.none(), TIMES)
    return st.one_of(st.none(), SHORT_TIMES) if type_id in SHORT else st.none()


@st.composite
def asdus(draw: st.DrawFn, sizes: Sizes, types: Sequence[int] = tuple(sorted(ELEMENTS))) -> Asdu:
    """An ASDU of one of the types, as a peer would send it."""
    type_id = draw(st.sampled_from(types))
    count = draw(st.integers(0, 10))
    highest = 256**sizes.object_address - 1
    sequence = draw(st.booleans())
    first = draw(st.integers(0, highest - count))
    objects = tuple(
        InformationObject(
            first + position if sequence else draw(st.integers(0, highest)),
            *draw(ELEMENTS[type_id]),
            draw(times_of(type_id)),
        )
        for position in range(count)
    )
    return Asdu(
        type_id,
        draw(st.integers(0, 63)),
        draw(st.integers(0, 256**sizes.common_address - 1)),
        objects,
        draw(st.booleans()),
        draw(st.booleans()),
        draw(_OCTET) if sizes.cause == 2 else 0,
        sequence,
    )
