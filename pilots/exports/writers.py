"""An export's file in each format: pages in, bytes on the disk, one page in memory at a time. [operation]"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pilots.domain.export import ExportFormat
from pilots.exports.sample_csv import quality_words
from pilots.exports.tables import FIGURES, Content, columns_of, long_lines, wide_lines
from pilots.history.selectors import Samples

#: A sheet ends here (ECMA-376, and every spreadsheet); what follows stands on the next.
ROWS_A_SHEET = 1_048_576
Writer = Callable[[Path, Content, Iterable[Samples]], int]


def write_csv_long(path: Path, content: Content, pages: Iterable[Samples]) -> int:
    return _write_lines(path, long_lines(content, pages))


def write_csv_wide(path: Path, content: Content, pages: Iterable[Samples]) -> int:
    return _write_lines(path, wide_lines(content, pages))


def _write_lines(path: Path, chunks: Iterable[str]) -> int:
    """How many lines follow the first."""
    lines = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        for chunk in chunks:
            file.write(chunk)
            lines += chunk.count("\n")
    return lines - 1


def write_xlsx(path: Path, content: Content, pages: Iterable[Samples]) -> int:
    """Sheets `data 1`, `data 2`, ... of at most 1,048,576 rows, and `about` with the head of the manifest."""
    from openpyxl import Workbook  # it costs a worker 20 MB that most never need

    book, rows = Workbook(write_only=True), 0
    sheet = _new_sheet(book, path, "data 1", content.header)
    try:
        for row in _rows(content, pages):
            if rows and rows % (ROWS_A_SHEET - 1) == 0:
                sheet.close()
                sheet = _new_sheet(book, path, f"data {rows // (ROWS_A_SHEET - 1) + 1}", content.header)
            sheet.append(row)
            rows += 1
    finally:
        if not sheet.closed:
            sheet.close()
    about = _new_sheet(book, path, "about", ["name", "value"])
    for name, value in content.about.items():
        about.append((name, value if isinstance(value, str | int) else json.dumps(value, ensure_ascii=False)[:32_000]))
    book.save(path)
    return rows


def _rows(content: Content, pages: Iterable[Samples]) -> Iterator[tuple[Any, ...]]:
    for page in pages:
        columns = columns_of(content, page)
        yield from zip(*(columns[name] for name in content.header), strict=True)


def _new_sheet(book: Any, path: Path, title: str, header: list[str]) -> Any:
    from openpyxl.worksheet._writer import ALL_TEMP_FILES, WorksheetWriter

    sheet = book.create_sheet(title)
    # Its rows would gather in the system's folder for temporary files, which may be memory and is nobody's to watch.
    gathered = f"{path}.{title.replace(' ', '')}.part"
    ALL_TEMP_FILES.append(gathered)
    sheet._writer = WorksheetWriter(sheet, out=gathered)
    sheet._writer.write_top()
    sheet.append(header)
    return sheet


def write_parquet(path: Path, content: Content, pages: Iterable[Samples]) -> int:
    """Times with the zone, words as dictionaries, numbers as float64, no value as null; the manifest's head as metadata."""
    import pyarrow as pa  # it costs a worker 60 MB that most never need
    import pyarrow.parquet as pq

    names, rows = content.header, 0
    schema = pa.schema([(name, _type_of(pa, name, content.zone.key)) for name in names])
    with path.open("wb") as file, pq.ParquetWriter(file, schema, compression="zstd", compression_level=1) as writer:
        for page in pages:
            columns = _arrow_columns(pa, content, page)
            writer.write_table(pa.Table.from_arrays([columns[name] for name in names], schema=schema))
            rows += len(page)
        writer.add_key_value_metadata({"manifest": json.dumps(content.about | {"rows": rows}, ensure_ascii=False)})
    return rows


def _type_of(pa: Any, name: str, zone: str) -> Any:
    if name in ("time", "received", "start", "end"):
        return pa.timestamp("us", tz=zone)
    if name in ("value", "good_share", *FIGURES):
        return pa.float64()
    return pa.int64() if name == "count" else pa.dictionary(pa.int32(), pa.string())


def _arrow_columns(pa: Any, content: Content, page: Samples) -> dict[str, Any]:
    points, by_key, zone = page["point"], content.by_key, content.zone.key
    columns = {
        "device": _worded(pa, points, lambda key: by_key[key].device.code),
        "point": _worded(pa, points, lambda key: by_key[key].name),
        "unit": _worded(pa, points, lambda key: by_key[key].unit),
    }
    if content.is_raw:
        columns |= {name: _moments(pa, page[name], zone) for name in ("time", "received")} | {"value": _floats(pa, page["value"])}
        kept = {packed: quality_words(packed) for packed in np.unique(page["quality"]).tolist()}
        words = {
            name: {packed: texts[n] for packed, texts in kept.items()} for n, name in enumerate(("validity", "source", "flags"))
        }
        return columns | {name: _worded(pa, page["quality"], found.__getitem__) for name, found in words.items()}
    columns |= {"start": _moments(pa, page["time"], zone), "end": _moments(pa, page["until"], zone)}
    columns |= {name: _floats(pa, page[name]) for name in (*FIGURES, "good_share")}
    return columns | {"count": pa.array(np.ascontiguousarray(page["count"]))}


def _moments(pa: Any, us: np.ndarray, zone: str) -> Any:
    return pa.array(np.ascontiguousarray(us)).cast(pa.timestamp("us", tz=zone))


def _floats(pa: Any, values: np.ndarray) -> Any:
    return pa.array(np.ascontiguousarray(values), mask=np.isnan(values))


def _worded(pa: Any, keys: np.ndarray, word: Callable[[int], str]) -> Any:
    """The word of each key, each word kept once."""
    found, which = np.unique(keys, return_inverse=True)
    words = [word(key) for key in found.tolist()]
    places = {text: place for place, text in enumerate(dict.fromkeys(words))}
    indices = np.array([places[text] for text in words], dtype=np.int32)[which]
    return pa.DictionaryArray.from_arrays(pa.array(indices), pa.array(list(places), type=pa.string()))


WRITERS: dict[ExportFormat, Writer] = {
    ExportFormat.CSV_LONG: write_csv_long,
    ExportFormat.CSV_WIDE: write_csv_wide,
    ExportFormat.XLSX: write_xlsx,
    ExportFormat.PARQUET: write_parquet,
}
