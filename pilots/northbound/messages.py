"""Forms of the northbound contract (docs/api.md). [towards enterprise]"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache

import numpy as np
import orjson

from pilots.domain.columns import Ints, Measurements
from pilots.domain.quality import Quality

#: Device, point and unit as the platform knows them.
PointName = tuple[str, str, str]


@lru_cache(maxsize=4096)  # a poll's values share their times
def rfc3339(moment: datetime) -> str:
    """UTC with milliseconds and Z.

    >>> rfc3339(datetime(2024, 5, 1, 10, 0, 3, 120000, tzinfo=UTC))
    '2024-05-01T10:00:03.120Z'
    """
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def pack_values(names: Sequence[PointName], points: Ints, measurements: Measurements) -> str:
    """The values of a message as the outbox keeps them, a column each: a quarter of what `written_values` makes of them.

    `points` tells the place of each measurement's point in `names`.
    """
    places, of = np.unique(points, return_inverse=True)
    worded = np.flatnonzero(measurements.text != None).tolist()  # noqa: E711  element by element
    packed = {
        "points": [names[place] for place in places.tolist()],
        "of": of,
        "t_us": measurements.source_us,
        "received_us": measurements.received_us,
        "value": measurements.value,
        "quality": measurements.quality,
        "texts": {str(row): measurements.text[row] for row in worded},
    }
    return orjson.dumps(packed, option=orjson.OPT_SERIALIZE_NUMPY).decode()


def written_values(packed: str) -> str:
    """The `values` of the message as JSON: the same words for the same row, however often it is sent."""
    columns = orjson.loads(packed)
    if isinstance(columns, list):
        return packed  # kept by a version that wrote the message at once
    heads = np.array([_head(*point) for point in columns["points"]], dtype=object)
    # Filled column by column and joined once: a string for each value, joined again, takes three times as long.
    pieces = ["", "", '","received":"', "", '","value":', "", ""] * len(columns["of"])
    pieces[0::7] = heads[columns["of"]].tolist()
    pieces[1::7] = _stamps(columns["t_us"])
    pieces[3::7] = _stamps(columns["received_us"])
    pieces[5::7] = orjson.dumps(columns["value"]).decode()[1:-1].split(",")
    pieces[6::7] = [_tail(quality) for quality in columns["quality"]]
    for row, text in columns["texts"].items():
        pieces[7 * int(row) + 6] = f',"text":{orjson.dumps(text).decode()}{pieces[7 * int(row) + 6]}'
    return "[" + "".join(pieces)[:-1] + "]"


def _head(device: str, point: str, unit: str) -> str:
    """How a value begins: what is the same at every measurement of the point."""
    fixed = {"device": device, "point": point, "unit": unit, "resolution": None, "agg": "last", "t": ""}
    return orjson.dumps(fixed).decode()[:-2]


@lru_cache(maxsize=1024)
def _tail(quality: int) -> str:
    return f',"quality":{orjson.dumps(Quality.unpack(quality).as_dict()).decode()}}},'


def _stamps(us: Sequence[int]) -> list[str]:
    """As `rfc3339` writes them; a poll's values share their times."""
    moments, rows = np.unique(np.array(us, dtype="datetime64[us]"), return_inverse=True)
    words = np.datetime_as_string(moments, unit="ms", timezone="UTC").tolist()
    return [words[row] for row in rows.tolist()]
