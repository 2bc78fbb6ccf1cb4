"""Devices and points as files: written as they are, and read as rows that shall be so. Of the reader's own pilots only.

Points have the columns of the commissioning page's point table, so a file serves both. Keys and digests are in no column.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import JSONField, QuerySet
from django.utils.translation import gettext as _

from pilots.admin.row_edits import Outcome, Values, Wanted
from pilots.catalogue.link_points import is_link_point
from pilots.catalogue.point_changes import COLUMNS as POINT_COLUMNS
from pilots.catalogue.point_table import TableRow, Writer, column_names, read_table, safe_cell, text_of, write_table
from pilots.catalogue.table_files import Cell, TableFault, read_cells
from pilots.models import Connection, Device, Pilot, Point

DEVICE_COLUMNS: tuple[str, ...] = (
    "pilot",
    "code",
    "kind",
    "name",
    "sgam",
    "operator",
    "parent",
    "measured_by",
    "connection",
    "profile",
    "address",
)
DEVICE_COLUMNS += ("position", "nudge_x", "nudge_y", "nameplate", "fallback", "documents")
#: References, by the word that stands in the file.
_REFERENCES: Mapping[str, tuple[Any, str]] = {
    "parent": (Device, "code"),
    "measured_by": (Device, "code"),
    "connection": (Connection, "name"),
}


@dataclass(slots=True)
class Read:
    """What a file asks for, and the rows that could not be read."""

    wanted: list[Wanted] = field(default_factory=list)
    refused: list[Outcome] = field(default_factory=list)

    def refuse(self, fault: TableFault, name: str = "") -> None:
        self.refused.append(Outcome(number=fault.row, name=name, kind="refused", faults=(fault,)))


@dataclass(frozen=True, slots=True)
class Table:
    """How rows of one kind are written and read."""

    columns: Callable[[], Sequence[str]]
    write: Callable[[QuerySet[Any], Writer], bytes]
    read: Callable[[bytes, str, QuerySet[Pilot]], Read]


def write_devices(devices: QuerySet[Device], write: Writer) -> bytes:
    """Each device a row; its profile options and keys are nobody's to set here and stay out."""
    rows = devices.select_related("pilot", "parent", "measured_by", "connection").order_by("pilot__code", "code")
    return write(DEVICE_COLUMNS, [[safe_cell(_device_cell(row, name)) for name in DEVICE_COLUMNS] for row in rows])


def write_points(points: QuerySet[Point], write: Writer) -> bytes:
    """Each point a row but those of links, which nobody sets up by hand."""
    rows = points.select_related("device").order_by("device__code", "name")
    own = [row for row in rows if not is_link_point(row)]
    return write_table([_table_row(row) for row in own], write)


def read_devices(file: bytes, filename: str, pilots: QuerySet[Pilot]) -> Read:
    """The devices that the file asks for, those before that others hang below."""
    read, raw = Read(), read_cells(file, filename)
    faults = [raw] if isinstance(raw, TableFault) else list(_heading_faults(raw.headings))
    for fault in faults:
        read.refuse(fault)
    if isinstance(raw, TableFault) or faults:
        return read
    columns = [_heading(each) for each in raw.headings]
    own = {pilot.code: pilot for pilot in pilots}
    known = {device.code: device for device in Device.objects.select_related("pilot", "parent", "measured_by", "connection")}
    given: dict[str, tuple[int, Mapping[str, str]]] = {}
    for number, cells in raw.rows:
        row = dict.fromkeys(filter(None, columns), "")
        row |= {name: text_of(cell) for name, cell in zip(columns, cells, strict=False) if name}
        if row["code"] in given:
            words = _("%(name)s stands in row %(row)s already") % {"name": row["code"], "row": given[row["code"]][0]}
            read.refuse(TableFault(number, "code", words), row["code"])
        elif (refusal := _pilot_fault(row, own, known)) is not None:
            read.refuse(TableFault(number, *refusal), row["code"])
        else:
            given[row["code"]] = number, row
    for code in _parents_first(given):
        number, asked = given[code]
        device = known.get(code) or Device(pilot=own[asked["pilot"]], code=code)
        read.wanted.append(Wanted(number, code, device, _later(_device_values, asked, device.pilot)))
    return read


def read_points(file: bytes, filename: str, pilots: QuerySet[Pilot]) -> Read:
    """The points that the file asks for, those before whose feedback others are."""
    table, read = read_table(file, filename), Read()
    for fault in table.errors:
        read.refuse(fault)
    devices = {
        row.code: row for row in Device.objects.filter(pilot__in=pilots.values("pk")).select_related("pilot", "connection")
    }
    points = Point.objects.filter(device__in=devices.values()).select_related("device__pilot", "device__connection")
    known = {(point.device.code, point.name): point for point in points}
    for row in sorted(table.rows, key=lambda row: bool(row.fields.get("feedback"))):
        existing = known.get((row.device, row.point))
        refusal = _point_fault(row, devices, existing)
        if refusal is not None:
            read.refuse(TableFault(row.number, *refusal), f"{row.device}/{row.point}")
            continue
        point = existing or Point(device=devices[row.device], name=row.point)
        read.wanted.append(Wanted(row.number, f"{row.device}/{row.point}", point, _later(dict, row.fields)))
    return read


def _later(values: Callable[..., Values], *given: Any) -> Callable[[], Values]:
    return lambda: values(*given)


def _point_fault(row: TableRow, devices: Mapping[str, Device], existing: Point | None) -> tuple[str, str] | None:
    if row.device not in devices:
        return "device", _("%(name)s is no device of a pilot whose engineer you are") % {"name": row.device}
    if row.delete:
        return "delete", _("points are taken away one by one here, or by the point table of their pilot")
    if existing is not None and is_link_point(existing):
        return "point", _("%(name)s tells of a link and is not set up by hand") % {"name": row.point}
    if existing is None and "kind" not in row.fields:
        return "kind", _("a new point needs its kind")
    return None


def _table_row(point: Point) -> TableRow:
    fields = {name: getattr(point, name) for name in POINT_COLUMNS}
    return TableRow(number=0, device=point.device.code, point=point.name, fields=fields)


def _device_cell(device: Device, name: str) -> Any:
    value = getattr(device, name)
    if name == "pilot":
        return device.pilot.code
    if name in _REFERENCES:
        return "" if value is None else str(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) and value else value or ""


def _heading(text: str) -> str:
    return text.strip().lower().replace(" ", "_")


def _heading_faults(headings: Iterable[str]) -> Iterable[TableFault]:
    columns = [_heading(each) for each in headings]
    for name in dict.fromkeys(columns):
        if name and name not in DEVICE_COLUMNS:
            yield TableFault(1, name, _("is no column of ours; there are %(names)s") % {"names": ", ".join(DEVICE_COLUMNS)})
        elif name and columns.count(name) > 1:
            yield TableFault(1, name, _("stands here twice"))
    yield from (TableFault(1, name, _("this column is missing")) for name in ("pilot", "code") if name not in columns)


def _pilot_fault(row: Mapping[str, str], own: Mapping[str, Pilot], known: Mapping[str, Device]) -> tuple[str, str] | None:
    if not row["code"]:
        return "code", _("is empty")
    if row["pilot"] not in own:
        return "pilot", _("%(name)s is no pilot whose engineer you are") % {"name": row["pilot"] or "–"}
    device = known.get(row["code"])
    if device is not None and device.pilot.code != row["pilot"]:
        if device.pilot.code not in own:
            return "code", _("there is a device of this id already, and ids are unique over all pilots")
        return "pilot", _("%(name)s belongs to %(pilot)s and stays there") % {"name": device, "pilot": device.pilot.code}
    return None


def _parents_first(given: Mapping[str, tuple[int, Mapping[str, str]]]) -> list[str]:
    """The codes, each after those of the file that it names."""
    ordered: dict[str, None] = {}
    started: set[str] = set()

    def put(code: str) -> None:
        if code in started or code not in given:
            return
        started.add(code)
        put(given[code][1].get("parent", ""))
        put(given[code][1].get("measured_by", ""))
        ordered[code] = None

    for code in given:
        put(code)
    return list(ordered)


def _device_values(row: Mapping[str, str], pilot: Pilot) -> Values:
    values: dict[str, Any] = {}
    for name, text in row.items():
        if name in ("pilot", "code"):
            continue
        model_field = Device._meta.get_field(name)
        if name in _REFERENCES:
            values[name] = _referred(name, text, pilot)
        elif not text:
            values[name] = model_field.get_default()  # type: ignore[union-attr]
        else:
            values[name] = _json(name, text) if isinstance(model_field, JSONField) else text
    return values


def _referred(name: str, text: str, pilot: Pilot) -> Any:
    if not text:
        return None
    model, key = _REFERENCES[name]
    row = model.objects.filter(pilot=pilot, **{key: text}).first()
    if row is None:
        what = str(model._meta.verbose_name)
        raise ValidationError({name: [_("%(name)s is no %(what)s of this pilot") % {"name": text, "what": what}]})
    return row.pk


def _json(name: str, text: Cell) -> Any:
    try:
        return json.loads(str(text))
    except ValueError as error:
        raise ValidationError({name: [_("is no JSON, as %(form)s") % {"form": '{"ca": 1, "ioa": 700}'}]}) from error


DEVICES = Table(columns=lambda: DEVICE_COLUMNS, write=write_devices, read=read_devices)
POINTS = Table(columns=lambda: [name for name in column_names() if name != "delete"], write=write_points, read=read_points)
