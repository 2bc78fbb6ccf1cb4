"""CSV and XLSX files as rows of cells, within bounds, and back. [zone: none, configuration]

Whatever spreadsheet people use: comma, semicolon or tab between cells, with or without byte order mark.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from openpyxl import Workbook, load_workbook
from openpyxl.utils.exceptions import InvalidFileException

MAX_BYTES = 5 * 1024 * 1024
MAX_ROWS = 10_000
MAX_COLUMNS = 100
#: An XLSX is a zip: what it may unpack to.
MAX_UNPACKED = 100 * 1024 * 1024

Cell = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class TableFault:
    """What is wrong, and where: row as the spreadsheet counts (0: the whole file) and column."""

    row: int
    column: str
    message: str

    def __str__(self) -> str:
        place = f"row {self.row}" if self.row else ""
        return ": ".join(part for part in (", ".join(filter(None, (place, self.column))), self.message) if part)


@dataclass(frozen=True, slots=True)
class RawTable:
    """Headings of the first row, and the rows after it with their numbers."""

    headings: tuple[str, ...]
    rows: tuple[tuple[int, tuple[Cell, ...]], ...]


def read_cells(file: bytes, filename: str) -> RawTable | TableFault:
    """The cells of a .csv or .xlsx file, or what keeps it from being read."""
    if len(file) > MAX_BYTES:
        return TableFault(0, "", f"{len(file) / 1024 / 1024:.1f} MB are more than the {MAX_BYTES // 1024 // 1024} MB allowed")
    if filename.lower().endswith(".xlsx"):
        return _from_xlsx(file)
    if filename.lower().endswith((".csv", ".txt", ".tsv")):
        return _from_csv(file)
    return TableFault(0, "", f"{filename!r} is neither .csv nor .xlsx")


def _from_csv(file: bytes) -> RawTable | TableFault:
    try:
        text = file.decode("utf-16") if file[:2] in (b"\xff\xfe", b"\xfe\xff") else file.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = file.count(b"\n", 0, error.start) + 1
        return TableFault(row, "", "is not UTF-8: save it as 'CSV UTF-8'")
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    return _collect(_numbered(reader))


def _numbered(reader: Any) -> Iterator[tuple[int, Sequence[Cell]] | TableFault]:
    """Rows with the line they begin at: a quoted cell may hold line breaks."""
    begins = 1
    try:
        for cells in reader:
            yield begins, [cell.strip() for cell in cells]
            begins = reader.line_num + 1
    except csv.Error as error:
        yield TableFault(begins, "", f"cannot be read: {error}")


def _from_xlsx(file: bytes) -> RawTable | TableFault:
    try:
        with zipfile.ZipFile(io.BytesIO(file)) as archive:
            unpacked = sum(info.file_size for info in archive.infolist())
        if unpacked > MAX_UNPACKED:
            return TableFault(0, "", f"unpacks to {unpacked // 1024 // 1024} MB, more than {MAX_UNPACKED // 1024 // 1024} MB")
        book = load_workbook(io.BytesIO(file), read_only=True, data_only=True)
        try:
            sheet = book.worksheets[0]
            return _collect((number, row) for number, row in enumerate(sheet.iter_rows(values_only=True), start=1))
        finally:
            book.close()
    except (zipfile.BadZipFile, InvalidFileException, KeyError, ValueError, TypeError, IndexError, OSError, SyntaxError) as error:
        # What openpyxl raises on files that are none; an XML that cannot be parsed is a SyntaxError.
        return TableFault(0, "", f"is no XLSX file: {str(error)[:100] or type(error).__name__}")


def _collect(rows: Iterable[tuple[int, Sequence[Any]] | TableFault]) -> RawTable | TableFault:
    headings: tuple[str, ...] | None = None
    found: list[tuple[int, tuple[Cell, ...]]] = []
    for row in rows:
        if isinstance(row, TableFault):
            return row
        number, cells = row
        if len(cells) > MAX_COLUMNS and any(cell not in (None, "") for cell in cells[MAX_COLUMNS:]):
            return TableFault(number, "", f"has more than {MAX_COLUMNS} columns")
        if headings is None:
            headings = tuple("" if cell is None else str(cell) for cell in cells[:MAX_COLUMNS])
            continue
        if all(cell in (None, "") for cell in cells):
            continue
        if len(found) == MAX_ROWS:
            return TableFault(number, "", f"there are more than {MAX_ROWS} rows")
        found.append((number, tuple(_plain(cell) for cell in cells[:MAX_COLUMNS])))
    if headings is None or not any(headings):
        return TableFault(1, "", "the first row holds no headings")
    return RawTable(headings, tuple(found))


def _plain(cell: Any) -> Cell:
    """Dates and durations of a spreadsheet become text, which no column of ours takes."""
    return cell if isinstance(cell, (str, int, float, bool)) or cell is None else str(cell)


def write_csv(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    """UTF-8 with byte order mark, so that spreadsheets know; decimal point, commas between cells."""
    out = io.StringIO(newline="")
    csv.writer(out).writerows([columns, *rows])
    return out.getvalue().encode("utf-8-sig")


def write_xlsx(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    """One sheet; numbers are numbers, all else is text, and nothing is a formula."""
    book = Workbook(write_only=True)
    sheet = book.create_sheet("points")
    sheet.append(list(columns))
    for row in rows:
        sheet.append([_xlsx(cell) for cell in row])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def _xlsx(cell: str) -> Cell:
    """The number, where its text is how we write that number: 007 stays a text."""
    try:
        number = float(cell) if cell[:1].isdigit() or cell[:1] == "-" else None
    except ValueError:
        return cell
    return number if number is not None and cell in (str(number), repr(number).removesuffix(".0"), f"{number:.0f}") else cell
