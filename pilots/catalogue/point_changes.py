"""A table of points against the rows of a pilot: first what would change, then, if nothing moved meanwhile, the change itself.

Nothing is applied in part, and a point that the table does not name stays as it is.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from pilots.catalogue.edit_history import FieldChange, flat_differences, keep_history, note_found, note_removed
from pilots.catalogue.editing import check_point, record_edit, why_kept
from pilots.catalogue.link_points import is_link_point
from pilots.catalogue.places import places_of
from pilots.catalogue.point_table import Table, TableRow
from pilots.catalogue.schema_check import address_errors, schema_of
from pilots.catalogue.table_files import TableFault
from pilots.catalogue.vocabulary import UNITS
from pilots.domain.errors import CatalogueError
from pilots.domain.topology import Protocol
from pilots.models import Device, Pilot, Point, PointTest, Setpoint

#: The columns of a point that a table speaks of.
COLUMNS = (
    "kind",
    "unit",
    "address",
    "scale",
    "offset",
    "sign",
    "deadband",
    "period_s",
    "max_interval_s",
    "low",
    "high",
    "labels",
    "feedback",
    "capability",
    "operating_minimum",
    "operating_maximum",
    "operating_ramp",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class PointChange:
    """What one row of the table does to one point. Without `fields` nothing."""

    row: int
    device: str
    point: str
    fields: tuple[FieldChange, ...] = ()
    values: Mapping[str, Any] | None = None

    @property
    def reference(self) -> str:
        return f"{self.device}/{self.point}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Changes:
    """What a table would do to a pilot. With `errors` nothing can be applied; `fingerprint` is of the rows it is made against."""

    pilot: Pilot
    added: tuple[PointChange, ...] = ()
    changed: tuple[PointChange, ...] = ()
    removed: tuple[PointChange, ...] = ()
    unchanged: tuple[PointChange, ...] = ()
    errors: tuple[TableFault, ...] = ()
    fingerprint: str = ""

    @property
    def any(self) -> bool:
        return bool(self.added or self.changed or self.removed)


def table_of(pilot: Pilot) -> list[TableRow]:
    """The pilot's points as rows of a table, by device and name; the points of links are not field points and stay out."""
    points = Point.objects.filter(device__pilot=pilot).select_related("device").order_by("device__code", "name")
    own = [point for point in points if not is_link_point(point)]
    return [
        TableRow(number=number, device=point.device.code, point=point.name, fields=_columns_of(point))
        for number, point in enumerate(own, start=2)
    ]


def plan_changes(pilot: Pilot, table: Table) -> Changes:
    """What the table would add, change and remove, and every reason why it cannot, by row and column."""
    plan = _Plan(pilot)
    for row in table.rows:
        plan.take(row)
    plan.check()
    errors = sorted([*table.errors, *plan.faults], key=lambda fault: fault.row)
    return Changes(
        pilot=pilot,
        added=tuple(plan.added),
        changed=tuple(plan.changed),
        removed=tuple(plan.removed),
        unchanged=tuple(plan.unchanged),
        errors=tuple(errors),
        fingerprint=fingerprint(pilot),
    )


def fingerprint(pilot: Pilot) -> str:
    """A digest of everything a plan depends on: the pilot's points, and their devices' addresses and connections."""
    points = Point.objects.filter(device__pilot=pilot).order_by("pk").values_list("pk", "device_id", "name", *COLUMNS)
    devices = Device.objects.filter(pilot=pilot).order_by("pk").values_list("pk", "code", "address", "connection__protocol")
    form = json.dumps([list(points), list(devices)], sort_keys=True, default=str)
    return hashlib.sha256(form.encode()).hexdigest()


@transaction.atomic
def apply_changes(changes: Changes, *, by: str, now: datetime, source: str = "") -> None:
    """The rows are as the plan says, all of them, and the audit trail names who did it and from which file (`source`).

    Raises CatalogueError when the plan has errors, when rows changed since it was made, or when one is refused after all.
    """
    pilot = changes.pilot
    if changes.errors:
        raise CatalogueError(f"nothing was changed: {len(changes.errors)} errors, the first is {changes.errors[0]}", file=source)
    # Whoever changes one of these rows now waits, or has been before and is seen.
    list(Point.objects.select_for_update(of=("self",)).filter(device__pilot=pilot).values_list("pk", flat=True))
    if fingerprint(pilot) != changes.fingerprint:
        raise CatalogueError("nothing was changed: points or devices changed since the comparison, compare again", file=source)
    if not changes.any:
        return
    devices = {device.code: device for device in Device.objects.filter(pilot=pilot)}
    rows = {
        (point.device.code, point.name): point for point in Point.objects.filter(device__pilot=pilot).select_related("device")
    }
    changed = [rows[change.device, change.point] for change in changes.changed]
    removed = [rows[change.device, change.point] for change in changes.removed]
    reason = f"import points {source}"
    note_found(changed, now=now)
    note_removed(removed, by=by, reason=reason, now=now)
    added = Point.objects.bulk_create(
        Point(device=devices[change.device], name=change.point, **(change.values or {})) for change in changes.added
    )
    for change in changes.changed:
        for column, value in (change.values or {}).items():
            setattr(rows[change.device, change.point], column, value)
    columns = {field.field.partition(".")[0] for change in changes.changed for field in change.fields}
    Point.objects.bulk_update(changed, columns or COLUMNS, batch_size=500)
    Point.objects.filter(pk__in=[point.pk for point in removed]).delete()
    keep_history([*added, *changed], by=by, reason=reason, now=now)
    record_edit(pilot, actor=by, action="import points", subject=source or pilot.code, details=_details(changes), now=now)


def _details(changes: Changes) -> dict[str, Any]:
    return {
        "added": [change.reference for change in changes.added],
        "removed": [change.reference for change in changes.removed],
        "changed": {
            change.reference: {field.field: [field.old, field.new] for field in change.fields} for change in changes.changed
        },
    }


class _Plan:
    """A table on its way to changes; nothing is written."""

    def __init__(self, pilot: Pilot) -> None:
        self.devices = {d.code: d for d in Device.objects.filter(pilot=pilot).select_related("connection", "pilot")}
        rows = Point.objects.filter(device__pilot=pilot).select_related("device")
        self.points = {(point.device.code, point.name): point for point in rows}
        #: Points that set-points or point tests refer to: they stay, and stay what they are.
        self.recorded = set(Setpoint.objects.filter(point__device__pilot=pilot).values_list("point_id", flat=True))
        self.recorded |= set(PointTest.objects.filter(point__device__pilot=pilot).values_list("point_id", flat=True))
        #: What the points will be, of every device; and the row that says so.
        self.after = dict(self.points)
        self.row_of: dict[tuple[str, str], int] = {}
        self.faults: list[TableFault] = []
        self.added: list[PointChange] = []
        self.changed: list[PointChange] = []
        self.removed: list[PointChange] = []
        self.unchanged: list[PointChange] = []

    def take(self, row: TableRow) -> None:
        device = self.devices.get(row.device)
        if device is None:
            self._fault(row, "device", f"{row.device!r} is no device of this pilot")
            return
        key = row.device, row.point
        existing = self.points.get(key)
        self.row_of[key] = row.number
        if existing is not None and is_link_point(existing):
            self._fault(row, "point", f"{row.point} tells of a link and is not set up by hand")
        elif row.delete:
            self._remove(row, existing)
        elif existing is None:
            self._add(row, device)
        else:
            self._change(row, existing)

    def check(self) -> None:
        """Faults that show only when the whole table is taken: feedback points, and two points at one address."""
        for key, point in self.after.items():
            feedback = (key[0], point.feedback)
            if point.feedback and feedback not in self.after and (key in self.row_of or feedback in self.row_of):
                row = self.row_of.get(key) or self.row_of[feedback]
                self.faults.append(
                    TableFault(row, "feedback", f"{point.feedback!r} would be no point of {key[0]} (for {key[1]})")
                )
        if not self.faults:
            self._check_places()

    def _remove(self, row: TableRow, existing: Point | None) -> None:
        if existing is None:
            self._fault(row, "delete", f"{row.device}/{row.point} does not exist")
            return
        if existing.pk in self.recorded:
            self._fault(row, "delete", why_kept([existing.pk]))
            return
        del self.after[row.device, row.point]
        self.removed.append(PointChange(row=row.number, device=row.device, point=row.point))

    def _add(self, row: TableRow, device: Device) -> None:
        if "kind" not in row.fields:
            self._fault(row, "kind", f"{row.device} has no point {row.point} yet: a new one needs its kind")
            return
        point = Point(device=device, name=row.point, **row.fields)
        if self._is_right(row, point):
            self.after[row.device, row.point] = point
            fields = flat_differences({}, _columns_of(point))
            self.added.append(
                PointChange(row=row.number, device=row.device, point=row.point, fields=fields, values=_columns_of(point))
            )

    def _change(self, row: TableRow, existing: Point) -> None:
        before = _columns_of(existing)
        fields = flat_differences(before, {**before, **row.fields})
        if not fields:
            self.unchanged.append(PointChange(row=row.number, device=row.device, point=row.point))
            return
        point = Point(device=self.devices[row.device], name=existing.name, **{**before, **row.fields})
        if point.kind != existing.kind and existing.pk in self.recorded:
            self._fault(
                row, "kind", "set-points or point tests refer to this point, and their record must keep saying what it was"
            )
        elif self._is_right(row, point):
            self.after[row.device, row.point] = point
            self.changed.append(
                PointChange(row=row.number, device=row.device, point=row.point, fields=fields, values=_columns_of(point))
            )

    def _is_right(self, row: TableRow, point: Point) -> bool:
        faults = list(_faults_of(point))
        for column, message in faults:
            self._fault(row, column, message)
        return not faults

    def _check_places(self) -> None:
        """No two points of one connection stand at one address; the fault is named at the row that brings it about."""
        taken: dict[tuple[Any, ...], tuple[str, str]] = {}
        for key, point in self.after.items():
            point.device = self.devices[key[0]]
            for place in places_of(point):
                other = taken.setdefault(place, key)
                row = self.row_of.get(key) or self.row_of.get(other)
                if other != key and row is not None:
                    sentence = f"{'/'.join(key)} stands at the same address as {'/'.join(other)}"
                    self.faults.append(TableFault(row, "address", sentence))
                    break

    def _fault(self, row: TableRow, column: str, message: str) -> None:
        self.faults.append(TableFault(row.number, column, message))


def _columns_of(point: Point) -> dict[str, Any]:
    return {name: getattr(point, name) for name in COLUMNS}


def _faults_of(point: Point) -> Iterable[tuple[str, str]]:
    """What keeps the row from becoming this point: column and sentence."""
    pattern = schema_of("profile")["properties"]["points"]["propertyNames"]["pattern"]
    if not point.name or not _fits(pattern, point.name):
        yield "point", f"{point.name!r} is no name: small letters, digits and _"
    if point.scale == 0:
        yield "scale", "a scale of 0 would make every value 0"
    if point.unit not in UNITS:
        yield "unit", f"{point.unit!r} is no unit of ours; scale turns kW into W"
    connection = point.device.connection
    if connection is not None:
        for error in address_errors(point.address, Protocol(connection.protocol)):
            yield error.field, str(error).removeprefix(f"{error.field}: ")
    feedback = point.feedback
    try:
        point.feedback = ""  # it may be new itself: the plan looks at all points together
        point.clean_fields(exclude=["id", "device"])
        check_point(point)
    except ValidationError as error:
        yield from ((column, " ".join(messages)) for column, messages in error.message_dict.items())
    except CatalogueError as error:
        yield error.field, str(error).removeprefix(f"{error.field}: ")
    finally:
        point.feedback = feedback


def _fits(pattern: str, text: str) -> bool:
    return re.fullmatch(pattern.strip("^$"), text) is not None
