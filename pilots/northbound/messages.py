"""Forms of the northbound contract (docs/api.md). [towards enterprise]"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache


@lru_cache(maxsize=4096)  # a poll's values share their times
def rfc3339(moment: datetime) -> str:
    """UTC with milliseconds and Z.

    >>> rfc3339(datetime(2024, 5, 1, 10, 0, 3, 120000, tzinfo=UTC))
    '2024-05-01T10:00:03.120Z'
    """
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
