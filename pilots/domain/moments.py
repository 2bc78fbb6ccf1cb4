"""Moments as whole microseconds since 1970 UTC, as columns and tables hold them. [all zones]"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970 UTC, exact (a float would lose the last digits).

    >>> microseconds(datetime(2024, 5, 1, 10, 0, 3, 120000, tzinfo=UTC))
    1714557603120000
    """
    return (moment - _EPOCH) // _MICROSECOND


def moment_of(us: int) -> datetime:
    """The inverse of `microseconds`.

    >>> moment_of(1714557603120000).isoformat()
    '2024-05-01T10:00:03.120000+00:00'
    """
    return _EPOCH + timedelta(microseconds=us)
