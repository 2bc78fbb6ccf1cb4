"""Kept samples as CSV, a page of columns at a time: row objects cost ten times as much."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from zoneinfo import ZoneInfo

import numpy as np
import orjson

from pilots.domain.moments import moment_of
from pilots.domain.quality import Quality
from pilots.history.selectors import Samples
from pilots.models import Point

HEADER = ["time", "device", "point", "value", "unit", "validity", "source", "flags", "received"]
#: No zone of today changes its offset but at such a moment.
QUARTER_US = 900_000_000


def csv_lines(points: Iterable[Point], pages: Iterable[Samples], zone: ZoneInfo) -> Iterator[str]:
    """CSV in chunks: stored SI units, times as ISO 8601 with the zone's offset, cells no spreadsheet takes for formulas."""
    by_key = {point.pk: point for point in points}
    before, behind = dict[int, str](), dict[int, str]()
    yield cells(HEADER) + "\r\n"
    for page in pages:
        # What a line says beside its times and number is the same for a point and quality.
        keys = page["point"] << 16 | page["quality"]
        for key in set(np.unique(keys).tolist()) - before.keys():
            point = by_key[key >> 16]
            before[key] = f",{cells([point.device.code, point.name])},"
            behind[key] = f",{cells([point.unit, *quality_words(key & 0xFFFF)])},"
        # Columns laid between each other and joined at once: a third less than a line at a time.
        of, laid = keys.tolist(), ["\r\n"] * (6 * len(page))
        laid[0::6], laid[1::6] = local_times(page["time"], zone), map(before.__getitem__, of)
        laid[2::6], laid[3::6] = numbers(page["value"]), map(behind.__getitem__, of)
        laid[4::6] = local_times(page["received"], zone)
        yield "".join(laid)


def local_times(us: np.ndarray, zone: ZoneInfo) -> list[str]:
    """Microseconds since 1970 UTC as ISO 8601 in milliseconds, with the zone's offset of that moment.

    >>> local_times(np.array([1774746000_000_000 - 1, *[1774746000_000_000] * 2]), ZoneInfo("Europe/Madrid"))
    ['2026-03-29T01:59:59.999+01:00', '2026-03-29T03:00:00.000+02:00', '2026-03-29T03:00:00.000+02:00']
    """
    instants, repeats = _runs(us)  # devices are read together
    quarters, of_quarter = _runs(instants // QUARTER_US)
    moments = [moment_of(quarter * QUARTER_US).astimezone(zone) for quarter in quarters.tolist()]
    shifts = [int(1e6 * (moment.utcoffset() or timedelta()).total_seconds()) for moment in moments]
    shifted = instants + np.repeat(np.array(shifts, dtype=np.int64), of_quarter)
    offsets = np.repeat([moment.isoformat()[-6:] for moment in moments], of_quarter).tolist()
    texts = map(str.__add__, np.datetime_as_string(shifted.astype("datetime64[us]"), unit="ms").tolist(), offsets)
    told: list[str] = np.repeat(np.array(list(texts), dtype=object), repeats).tolist()
    return told


def _runs(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The number of each run of equal ones, and how long it is."""
    firsts = np.flatnonzero(np.append(True, numbers[1:] != numbers[:-1])[: len(numbers)])
    return numbers[firsts], np.diff(np.append(firsts, len(numbers)))


def cells(texts: Sequence[str]) -> str:
    """The cells of a line, quoted where CSV asks for it."""
    line: str = csv.writer(Echo()).writerow([harmless(text) for text in texts])
    return line.removesuffix("\r\n")


def harmless(cell: str) -> str:
    """The text, quoted when a spreadsheet would run it as a formula.

    >>> harmless("=1+1"), harmless("W")
    ("'=1+1", 'W')
    """
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell


class Echo:
    """A file that hands each line back instead of keeping it."""

    def write(self, line: str) -> str:
        return line


def quality_words(packed: int) -> list[str]:
    """Validity, source and flags of a packed quality."""
    form = Quality.unpack(packed).as_dict()
    flags = form["flags"]
    return [str(form["validity"]), str(form["source"]), " ".join(flags) if isinstance(flags, list) else ""]


def numbers(values: np.ndarray) -> list[str]:
    """Each in the shortest form that reads back the same; nothing where there is none."""
    return orjson.dumps(values.tolist())[1:-1].decode().replace("null", "").split(",") if len(values) else []
