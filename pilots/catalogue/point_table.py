"""Points as a table that engineers keep in a spreadsheet: CSV and XLSX, read with every fault named by row and column, and
written so that reading it again gives the same. [zone: none, configuration]

Columns are our own field names: `device`, `point`, then `kind`, `unit`, `scale` ..., `address.<part>`, `capability.<part>`,
`delete`. A part of an address may stand without its prefix (`register`, `ioa`, `ref`). An empty cell means that the point has
no such value; a column that is not there leaves what the point has. Nothing here knows a database.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pilots.catalogue.schema_check import schema_of
from pilots.catalogue.table_files import Cell, RawTable, TableFault, read_cells
from pilots.domain.errors import CatalogueError
from pilots.domain.point import PointKind

#: Scalar columns -> what an empty cell means; those without a default may not be empty.
SCALARS: Mapping[str, Any] = {
    "kind": ...,
    "unit": "",
    "scale": 1.0,
    "offset": 0.0,
    "sign": 1,
    "deadband": 0.0,
    "period_s": None,
    "max_interval_s": None,
    "low": None,
    "high": None,
    "labels": {},
    "feedback": "",
    "operating_minimum": None,
    "operating_maximum": None,
    "operating_ramp": None,
}
CAPABILITY: tuple[str, ...] = ("minimum", "maximum", "step", "tolerance", "response_time_s", "modes", "min_interval_s")
CAPABILITY += ("max_per_hour", "minimum_from", "maximum_from", "soc", "soc_min", "soc_max", "interlock", "interlock_words")
CAPABILITY += ("ramp", "ramp_by", "command_class", "default", "watchdog_s", "self_expiring")
_CAPABILITY_TEXTS = ("minimum_from", "maximum_from", "soc", "interlock", "interlock_words", "ramp_by", "command_class")
_TEXTS = ("unit", "feedback")
_YES, _NO = {"yes", "true", "1", "x", "delete"}, {"", "no", "false", "0"}


@dataclass(frozen=True, kw_only=True, slots=True)
class TableRow:
    """One line of the table (`number` as the spreadsheet counts): the fields of one point that it speaks of."""

    number: int
    device: str
    point: str
    fields: Mapping[str, Any]
    delete: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """What a file holds; with `errors`, `rows` are those that could be read."""

    rows: tuple[TableRow, ...]
    errors: tuple[TableFault, ...] = ()


@dataclass(slots=True)
class CellReader:
    """One file on its way to a table. One decimal mark holds for the whole file: 1.000 is one or a thousand, never both."""

    faults: list[TableFault] = field(default_factory=list)
    mark: str = ""
    marked_in: int = 0
    seen: dict[tuple[str, str], int] = field(default_factory=dict)


def read_table(file: bytes, filename: str) -> Table:
    """The table of a CSV or XLSX file. Never raises: what is wrong stands in `errors`, by row and column."""
    raw = read_cells(file, filename)
    if isinstance(raw, TableFault):
        return Table(rows=(), errors=(raw,))
    reader = CellReader()
    columns = _columns(reader, raw)
    if reader.faults:
        return Table(rows=(), errors=tuple(reader.faults))
    rows = [row for number, cells in raw.rows if (row := _row(reader, number, columns, cells)) is not None]
    return Table(rows=tuple(rows), errors=tuple(reader.faults))


@cache
def address_parts() -> dict[str, frozenset[str]]:
    """Part of an address, as `register` or `enable.value`, -> the forms it can have over all protocols, see `_forms`."""
    found: dict[str, frozenset[str]] = {}
    for form in schema_of("profile")["$defs"].values():
        for each in (form, *form.get("oneOf", ())):
            for name, part in each.get("properties", {}).items():
                inner = part.get("properties")
                parts = {f"{name}.{key}": one for key, one in inner.items()} if inner else {name: part}
                for path, schema in parts.items():
                    found[path] = found.get(path, frozenset()) | _forms(schema)
    return found


def _forms(schema: Mapping[str, Any]) -> frozenset[str]:
    """What a value of that schema may be: text, whole (number), number, choice (yes, no), list (of whole numbers).

    >>> sorted(_forms({"oneOf": [{"enum": ["short"]}, {"type": "integer"}]}))
    ['text', 'whole']
    """
    if "oneOf" in schema:
        return frozenset[str]().union(*map(_forms, schema["oneOf"]))
    examples = [schema["const"]] if "const" in schema else schema.get("enum", [])
    if examples:
        return frozenset({"text" if isinstance(examples[0], str) else "whole"})
    words = {"string": "text", "integer": "whole", "number": "number", "boolean": "choice", "array": "list"}
    return frozenset({words[schema["type"]]})


def column_names() -> list[str]:
    """Every column a table can have, in the order we write them."""
    address = [f"address.{part}" for part in address_parts()]
    return ["device", "point", *SCALARS, *address, *(f"capability.{part}" for part in CAPABILITY), "delete"]


def _columns(reader: CellReader, raw: RawTable) -> list[str]:
    """The full name of each column, "" for those without a heading; faults are noted."""
    known, columns = set(column_names()), []
    for heading in raw.headings:
        name = heading.strip().lower().replace(" ", "_")
        name = f"address.{name}" if name not in known and name in address_parts() else name
        if name and name not in known:
            reader.faults.append(TableFault(1, heading.strip(), "is no column of ours (docs/profiles.md)"))
        elif name and name in columns:
            reader.faults.append(TableFault(1, heading.strip(), "stands here twice"))
        columns.append(name)
    reader.faults += [TableFault(1, name, "this column is missing") for name in ("device", "point") if name not in columns]
    return columns


def _row(reader: CellReader, number: int, columns: Sequence[str], cells: Sequence[Cell]) -> TableRow | None:
    """The row, None where nothing stands in it or something is wrong."""
    given = dict(zip(columns, [*cells, *[None] * len(columns)], strict=False))
    extra = [cell for cell in cells[len(columns) :] if cell not in (None, "")]
    extra += [cell for name, cell in zip(columns, cells, strict=False) if not name and cell not in (None, "")]
    if all(cell in (None, "") for cell in cells):
        return None
    before = len(reader.faults)
    if extra:
        reader.faults.append(TableFault(number, "", f"{extra[0]!r} stands in no column"))
    device, point = (text_of(given.get(name)) for name in ("device", "point"))
    for name, value in (("device", device), ("point", point)):
        if not value:
            reader.faults.append(TableFault(number, name, "is empty"))
    first = reader.seen.setdefault((device, point), number)
    if first != number and device and point:
        reader.faults.append(TableFault(number, "point", f"{device}/{point} stands in row {first} already"))
    fields = _fields(reader, number, given)
    delete = choice_of(reader, number, given.get("delete"))
    if len(reader.faults) > before:
        return None
    return TableRow(number=number, device=device, point=point, fields=fields, delete=delete)


def _fields(reader: CellReader, number: int, given: Mapping[str, Cell]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, empty in SCALARS.items():
        if name in given:
            fields[name] = _value(reader, number, name, given[name], empty)
    address = {name: cell for name, cell in given.items() if name.startswith("address.")}
    if address:
        fields["address"] = _nested(reader, number, address, "address.")
    capability = {name: cell for name, cell in given.items() if name.startswith("capability.")}
    if capability:
        fields["capability"] = _nested(reader, number, capability, "capability.") or None
    return fields


def _value(reader: CellReader, number: int, name: str, cell: Cell, empty: Any) -> Any:
    if cell in (None, ""):
        if empty is ...:
            reader.faults.append(TableFault(number, name, "is empty"))
        return empty
    if name == "kind":
        word = text_of(cell).lower()
        if word not in list(PointKind):
            reader.faults.append(TableFault(number, name, f"{word!r} is none of {', '.join(PointKind)}"))
        return word
    if name in _TEXTS:
        return text_of(cell)
    if name == "labels":
        return _labels(reader, number, cell)
    value = number_of(reader, number, name, cell)
    return int(value) if name == "sign" and value in (1, -1) else value


def _nested(reader: CellReader, number: int, cells: Mapping[str, Cell], prefix: str) -> dict[str, Any]:
    """The parts that are filled in, as a mapping; `enable.value` becomes a mapping of its own."""
    form: dict[str, Any] = {}
    for name, cell in cells.items():
        if cell in (None, ""):
            continue
        part, _, inner = name.removeprefix(prefix).partition(".")
        value = _part(reader, number, name, cell, prefix)
        if inner:
            form.setdefault(part, {})[inner] = value
        else:
            form[part] = value
    return form


def _part(reader: CellReader, number: int, name: str, cell: Cell, prefix: str) -> Any:
    if prefix == "capability.":
        return _capability_part(reader, number, name, cell)
    forms = address_parts()[name.removeprefix(prefix)]
    words = text_of(cell).replace(",", " ").strip("[]").split()
    numeric = all(word.lstrip("+-").replace(".", "", 1).isdigit() for word in words)
    if "choice" in forms:
        return choice_of(reader, number, cell, name)
    if "text" in forms and not (numeric and len(forms) > 1):
        return text_of(cell)
    if "list" in forms and (len(words) > 1 or text_of(cell).startswith("[") or "whole" not in forms):
        return [_whole(reader, number, name, word) for word in words]
    return number_of(reader, number, name, cell) if "number" in forms else _whole(reader, number, name, cell)


def _capability_part(reader: CellReader, number: int, name: str, cell: Cell) -> Any:
    part = name.removeprefix("capability.")
    if part == "modes":
        return text_of(cell).split()
    if part == "self_expiring":
        return choice_of(reader, number, cell, name)
    point = part in ("soc_min", "soc_max") and math.isnan(_float(text_of(cell)))
    return text_of(cell) if point or part in _CAPABILITY_TEXTS else number_of(reader, number, name, cell)


def text_of(cell: Cell) -> str:
    """The cell as text."""
    if cell is None:
        return ""
    text = str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)
    return unsafe_text(text.strip())


def number_of(reader: CellReader, number: int, name: str, cell: Cell) -> float:
    if isinstance(cell, (int, float)) and not isinstance(cell, bool):
        value = float(cell)
    else:
        text = text_of(cell)
        mark = "".join(char for char in text if char in ".,")
        if mark and reader.mark and mark != reader.mark:
            sentence = f"{text}: the decimal mark of this table is {reader.mark!r} (row {reader.marked_in})"
            reader.faults.append(TableFault(number, name, sentence))
            return 0.0
        if mark in (".", ",") and not reader.mark:
            reader.mark, reader.marked_in = mark, number
        value = _float(text.replace(",", ".") if mark == "," else text)
    if not math.isfinite(value):
        reader.faults.append(TableFault(number, name, f"{text_of(cell)!r} is no number"))
        return 0.0
    return value


def _whole(reader: CellReader, number: int, name: str, cell: Cell) -> int:
    value = float(cell) if isinstance(cell, (int, float)) and not isinstance(cell, bool) else _float(text_of(cell))
    if not value.is_integer():
        reader.faults.append(TableFault(number, name, f"{text_of(cell)!r} is no whole number"))
        return 0
    return int(value)


def _float(text: str) -> float:
    """The number, NaN where there is none; underscores and words that Python would take are none."""
    if "_" in text or not any(char.isdigit() for char in text):
        return math.nan
    try:
        return float(text)
    except ValueError:
        return math.nan


def choice_of(reader: CellReader, number: int, cell: Cell, name: str = "delete") -> bool:
    word = text_of(cell).lower()
    if word not in _YES | _NO:
        reader.faults.append(TableFault(number, name, f"{word!r} is neither yes nor no"))
    return word in _YES


def _labels(reader: CellReader, number: int, cell: Cell) -> dict[str, str]:
    """`0=open|1=closed`, or the JSON object."""
    text = text_of(cell)
    try:
        form = json.loads(text) if text.startswith("{") else dict(pair.split("=", 1) for pair in text.split("|"))
        labels = {str(int(code)): str(word).strip() for code, word in form.items()}
    except ValueError:
        labels = {}
    if not labels or not all(labels.values()):
        reader.faults.append(TableFault(number, "labels", f"{text!r} is not written as 0=open|1=closed"))
    return labels


_DANGEROUS = tuple("=+-@\t\r")


def safe_cell(value: Any) -> str:
    """A value as a cell's text: numbers as they are, and no text that a spreadsheet would take for a formula.

    >>> safe_cell(-1.5), safe_cell("=HYPERLINK(1)"), safe_cell("-1"), safe_cell(1e12), safe_cell(None)
    ('-1.5', "'=HYPERLINK(1)", '-1', '1000000000000', '')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return str(int(value)) if float(value).is_integer() else repr(value)
    text = str(value)
    quoted = text.startswith("'") or (text.startswith(_DANGEROUS) and math.isnan(_float(text)))
    return f"'{text}" if quoted else text


def unsafe_text(cell: str) -> str:
    """The text that `safe_cell` made a cell of.

    >>> unsafe_text("'=HYPERLINK(1)"), unsafe_text("'s Heerenberg"), unsafe_text("-1")
    ('=HYPERLINK(1)', "'s Heerenberg", '-1')
    """
    return cell[1:] if cell[:1] == "'" and cell[1:2] in (*_DANGEROUS, "'") else cell


def cells_of(row: TableRow) -> dict[str, Any]:
    """A point's fields as cells by column name; what it has not is absent. Raises CatalogueError for a part without column."""
    cells: dict[str, Any] = {"device": row.device, "point": row.point}
    for name, value in row.fields.items():
        if name in ("address", "capability"):
            for part, one in (value or {}).items():
                inner = one.items() if isinstance(one, Mapping) else (("", one),)
                cells |= {f"{name}.{part}.{key}".rstrip("."): each for key, each in inner}
        else:
            cells[name] = value
    cells = {name: _cell(name, value) for name, value in cells.items() if value not in (None, "", {}, [])}
    strange = sorted(cells.keys() - set(column_names()))
    if strange:
        raise CatalogueError(f"{row.device}/{row.point}: no column holds {strange[0]}", field=strange[0])
    return cells


def _cell(name: str, value: Any) -> Any:
    if name == "labels":
        plain = all("|" not in word for word in value.values())
        pairs = sorted(value.items(), key=lambda pair: int(pair[0]))
        return "|".join(f"{code}={word}" for code, word in pairs) if plain else json.dumps(dict(pairs))
    if isinstance(value, (list, tuple)):
        words = " ".join(map(str, value))
        return f"[{words}]" if len(value) == 1 and name.startswith("address.") else words
    return value


def used_columns(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The columns that some row fills, in our order; kind and unit always, so that a reader knows what he sees."""
    filled = {name for row in rows for name in row} | {"device", "point", "kind", "unit"}
    return [name for name in column_names() if name in filled]


Writer = Callable[[Sequence[str], Sequence[Sequence[str]]], bytes]


def write_table(rows: Sequence[TableRow], write: Writer) -> bytes:
    """The rows as a file (`table_files.write_csv` or `write_xlsx`); read again, it gives the same fields."""
    cells = [cells_of(row) for row in rows]
    columns = used_columns(cells)
    return write(columns, [[safe_cell(row.get(name)) for name in columns] for row in cells])
