"""Pages of an export as columns of text and numbers, and as lines of CSV. [operation]

A page is an array of `history.selectors.SAMPLE` (raw) or `exports.rolled.ROLLED`. Values are in stored SI units, times in ISO
8601 with the zone's offset of that moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from pilots.exports.sample_csv import HEADER, cells, csv_lines, harmless, local_times, numbers, quality_words
from pilots.history.selectors import Samples
from pilots.models import Point

ROLLED_HEADER = ["start", "end", "device", "point", "unit", "mean", "min", "max", "last", "count", "good_share"]
FIGURES = ("mean", "min", "max", "last")
#: A wide block holds about so many cells at once.
CELLS_A_BLOCK = 200_000
Columns = dict[str, list[Any]]


@dataclass(frozen=True)
class Content:
    """What stands in the file: these points, in the zone's time, raw or rolled up; `about` heads the manifest."""

    points: list[Point]
    zone: ZoneInfo
    is_raw: bool
    about: dict[str, Any]

    @cached_property
    def by_key(self) -> dict[int, Point]:
        return {point.pk: point for point in self.points}

    @property
    def header(self) -> list[str]:
        return HEADER if self.is_raw else ROLLED_HEADER


def columns_of(content: Content, page: Samples) -> Columns:
    """The page as the columns of a long table, None where there is no number."""
    points = [content.by_key[key] for key in page["point"].tolist()]
    whose: Columns = {
        "device": [harmless(point.device.code) for point in points],
        "point": [harmless(point.name) for point in points],
        "unit": [harmless(point.unit) for point in points],
    }
    return whose | (_raw(content, page) if content.is_raw else _rolled(content, page))


def _raw(content: Content, page: Samples) -> Columns:
    worded = {packed: quality_words(packed) for packed in np.unique(page["quality"]).tolist()}
    words = [worded[packed] for packed in page["quality"].tolist()]
    return {
        "time": local_times(page["time"], content.zone),
        "value": _optional(page["value"]),
        "validity": [word[0] for word in words],
        "source": [word[1] for word in words],
        "flags": [word[2] for word in words],
        "received": local_times(page["received"], content.zone),
    }


def _rolled(content: Content, page: Samples) -> Columns:
    times: Columns = {"start": local_times(page["time"], content.zone), "end": local_times(page["until"], content.zone)}
    figures: Columns = {name: _optional(page[name]) for name in FIGURES}
    return times | figures | {"count": page["count"].tolist(), "good_share": page["good_share"].tolist()}


def _optional(values: np.ndarray) -> list[float | None]:
    return [None if gap else value for value, gap in zip(values.tolist(), np.isnan(values).tolist(), strict=True)]


def long_lines(content: Content, pages: Iterable[Samples]) -> Iterator[str]:
    """A line a sample, or an interval and point."""
    if content.is_raw:
        yield from csv_lines(content.points, pages, content.zone)
        return
    yield cells(ROLLED_HEADER) + "\r\n"
    for page in pages:
        yield "".join(_rolled_lines(content, page))


def _rolled_lines(content: Content, page: Samples) -> Iterator[str]:
    whose = {key: cells([point.device.code, point.name, point.unit]) for key, point in content.by_key.items()}
    figures = zip(*(numbers(page[name]) for name in (*FIGURES, "count", "good_share")), strict=True)
    times = (local_times(page["time"], content.zone), local_times(page["until"], content.zone))
    for start, end, key, values in zip(*times, page["point"].tolist(), figures, strict=True):
        yield f"{start},{end},{whose[key]},{','.join(values)}\r\n"


def wide_lines(content: Content, pages: Iterable[Samples]) -> Iterator[str]:
    """A line an instant, or interval, with the columns of every point beside each other."""
    yield cells(wide_header(content)) + "\r\n"
    for page in pages:
        times = np.unique(page["time"])
        rows_a_block = max(1, CELLS_A_BLOCK // (6 * len(content.points)))
        for first in range(0, len(times), rows_a_block):
            low, high = np.searchsorted(page["time"], [times[first], times[min(first + rows_a_block, len(times)) - 1] + 1])
            yield "".join(_wide_block(content, page[low:high]))


def wide_header(content: Content) -> list[str]:
    names = [(f"{point.device.code}/{point.name}", f" [{point.unit}]" if point.unit else "") for point in content.points]
    if content.is_raw:
        return ["time", *(cell for name, unit in names for cell in (name + unit, f"{name} quality", f"{name} received"))]
    return ["start", "end", *(f"{name} {word}{unit}" for name, unit in names for word, unit in _rolled_words(unit))]


def _rolled_words(unit: str) -> list[tuple[str, str]]:
    return [*((word, unit) for word in FIGURES), ("count", ""), ("good_share", "")]


def _wide_block(content: Content, page: Samples) -> Iterator[str]:
    """Of samples that share point and instant the last received stands."""
    times, rows = np.unique(page["time"], return_inverse=True)
    fields = _raw_cells(content, page) if content.is_raw else _rolled_cells(page)
    width, place = len(fields), {point.pk: number for number, point in enumerate(content.points)}
    grid = [[""] * (width * len(content.points)) for _ in times]
    for row, key, cell in zip(rows.tolist(), page["point"].tolist(), zip(*fields, strict=True), strict=True):
        at = width * place[key]
        grid[row][at : at + width] = cell
    heads = local_times(times, content.zone)
    if not content.is_raw:
        ends = local_times(page["until"][np.searchsorted(page["time"], times)], content.zone)
        heads = [f"{start},{end}" for start, end in zip(heads, ends, strict=True)]
    for head, line in zip(heads, grid, strict=True):
        yield f"{head},{','.join(line)}\r\n"


def _raw_cells(content: Content, page: Samples) -> list[list[str]]:
    worded = {packed: cells([" ".join(quality_words(packed)).strip()]) for packed in np.unique(page["quality"]).tolist()}
    quality = [worded[packed] for packed in page["quality"].tolist()]
    return [numbers(page["value"]), quality, local_times(page["received"], content.zone)]


def _rolled_cells(page: Samples) -> list[list[str]]:
    return [numbers(page[name]) for name in (*FIGURES, "count", "good_share")]
