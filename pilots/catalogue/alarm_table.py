"""The rationalisation table (ISA-18.2, clause 9): every alarm rule of a pilot as one row of a spreadsheet, taken, compared,
applied whole or not at all. [zone: none, configuration]

A row is found by what the rule watches and its kind. A column that is not there leaves what the rule has; an empty cell means
none. A row of a new point and kind is a new rule; rules are switched off (`enabled`), not deleted.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from pilots.catalogue.alarm_rules import check_rule
from pilots.catalogue.edit_history import FieldChange, keep_history, note_found
from pilots.catalogue.editing import record_edit
from pilots.catalogue.point_table import CellReader, Writer, choice_of, number_of, safe_cell, text_of
from pilots.catalogue.table_files import Cell, RawTable, TableFault, read_cells
from pilots.domain.alarm import AlarmKind, Priority
from pilots.domain.errors import CatalogueError
from pilots.models import AlarmRule, Pilot, Point
from pilots.models.alarms import locked_rules

#: How the pilot's own rules, which watch no equipment, are named.
PILOT = "pilot"
NUMBERS = ("limit", "deadband", "on_delay_s", "off_delay_s", "realarm_s", "respond_s")
NEVER_EMPTY = {"deadband": 0.0, "on_delay_s": 0.0, "off_delay_s": 0.0}
CHOICES = ("latched", "enabled")
FIELDS: tuple[str, ...] = ("priority", "enabled", "limit", "limit_point", "codes", *NUMBERS[1:5], "latched", "suppress_when")
FIELDS += ("what", "why", "todo", "consequence", "respond_s")
COLUMNS = ("subject", "kind", *FIELDS)
PRIORITIES = [each.name.lower() for each in Priority]
_RELATED = ("pilot", "point", "device", "connection", "link", "limit_point")


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleChange:
    """What one row of the table does to one rule. Without `fields` nothing."""

    row: int
    rule: AlarmRule
    fields: tuple[FieldChange, ...] = ()

    @property
    def reference(self) -> str:
        return f"{self.rule.subject or PILOT}: {self.rule.kind}"


@dataclass(kw_only=True, slots=True)
class RuleChanges:
    """What a table would do to a pilot's rules. With `errors` nothing can be applied; `fingerprint` is of the rules compared."""

    pilot: Pilot
    fingerprint: str
    added: list[RuleChange] = field(default_factory=list)
    changed: list[RuleChange] = field(default_factory=list)
    removed: list[RuleChange] = field(default_factory=list)  # never: a default would come again
    unchanged: list[RuleChange] = field(default_factory=list)
    errors: list[TableFault] = field(default_factory=list)


def write_rules(pilot: Pilot, write: Writer) -> bytes:
    """The pilot's rules as a file (`table_files.write_csv` or `write_xlsx`); read again, it changes nothing."""
    rows = [[safe_cell(_shown(rule, name)) for name in COLUMNS] for rule in _rules(pilot)]
    return write(COLUMNS, rows)


def plan_rules(pilot: Pilot, file: bytes, filename: str) -> RuleChanges:
    """What the file would change, and every reason why it cannot, by row and column. Nothing is changed."""
    changes = RuleChanges(pilot=pilot, fingerprint=fingerprint(pilot))
    raw = read_cells(file, filename)
    if isinstance(raw, TableFault):
        changes.errors.append(raw)
        return changes
    columns = [heading.strip().lower().replace(" ", "_") for heading in raw.headings]
    changes.errors += _heading_faults(columns)
    if not changes.errors:
        _Plan(changes).take(raw, columns)
    return changes


@transaction.atomic
def apply_rules(changes: RuleChanges, *, by: str, now: datetime, source: str) -> None:
    """The rules are as the plan says, all of them, marked as changed here; the audit trail has each field before and after.

    Raises CatalogueError when the plan has errors or rules changed since it was made.
    """
    if changes.errors:
        raise CatalogueError(f"nothing was changed: {len(changes.errors)} errors, the first is {changes.errors[0]}", file=source)
    locked_rules(AlarmRule.objects.filter(pilot=changes.pilot).values_list("pk", flat=True))
    if fingerprint(changes.pilot) != changes.fingerprint:
        raise CatalogueError("nothing was changed: rules changed since the comparison, compare again", file=source)
    for change in [*changes.added, *changes.changed]:
        change.rule.own = True
    changed = [change.rule for change in changes.changed]
    note_found(changed, now=now)
    added = AlarmRule.objects.bulk_create(change.rule for change in changes.added)
    AlarmRule.objects.bulk_update(changed, [*FIELDS, "own"], batch_size=200)
    keep_history([*added, *changed], by=by, reason=f"import alarm rules {source}", now=now)
    details = {
        change.reference: {each.field: [each.old, each.new] for each in change.fields}
        for change in [*changes.added, *changes.changed]
    }
    if details:
        record_edit(changes.pilot, actor=by, action="import alarm rules", subject=source, details=details, now=now)


def fingerprint(pilot: Pilot) -> str:
    """A digest of the pilot's rules."""
    rows = AlarmRule.objects.filter(pilot=pilot).order_by("pk").values_list("pk", "subject", "kind", *FIELDS)
    return hashlib.sha256(json.dumps(list(rows), default=str).encode()).hexdigest()


def _rules(pilot: Pilot) -> list[AlarmRule]:
    rules = AlarmRule.objects.filter(pilot=pilot).select_related("pilot", "point", "device", "limit_point__device")
    return list(rules.order_by("priority", "subject", "kind"))


def _shown(rule: AlarmRule, name: str) -> Any:
    """A rule's field as a cell."""
    if name == "subject":
        return rule.subject or PILOT
    if name == "priority":
        return PRIORITIES[rule.priority - 1]
    if name == "limit_point":
        return "" if rule.limit_point is None else str(rule.limit_point)
    return " ".join(map(str, rule.codes)) if name == "codes" else getattr(rule, name)


def _heading_faults(columns: Sequence[str]) -> list[TableFault]:
    strange = [name for name in columns if name and name not in COLUMNS]
    twice = [name for name in dict.fromkeys(columns) if name and columns.count(name) > 1]
    missing = [name for name in ("subject", "kind") if name not in columns]
    return [
        *(TableFault(1, name, "is no column of ours (docs/admins.md, alarm rules)") for name in strange),
        *(TableFault(1, name, "stands here twice") for name in twice),
        *(TableFault(1, name, "this column is missing") for name in missing),
    ]


class _Plan:
    """A table on its way to changes; nothing is written."""

    def __init__(self, changes: RuleChanges) -> None:
        self._changes = changes
        self._reader = CellReader(faults=changes.errors)
        self._rules = {(rule.subject, rule.kind): rule for rule in _rules(changes.pilot)}
        points = Point.objects.filter(device__pilot=changes.pilot).select_related("device__pilot")
        self._points = {str(point): point for point in points}
        self._rows: dict[tuple[str, str], int] = {}

    def take(self, raw: RawTable, columns: Sequence[str]) -> None:
        for number, cells in raw.rows:
            given = {name: cell for name, cell in zip(columns, cells, strict=False) if name}
            subject, kind = text_of(given.get("subject")), text_of(given.get("kind")).lower()
            key = ("" if subject == PILOT else subject, kind)
            first = self._rows.setdefault(key, number)
            if not subject:
                self._fault(number, "subject", "is empty")
            elif kind not in list(AlarmKind):
                self._fault(number, "kind", f"{kind!r} is none of {', '.join(AlarmKind)}")
            elif first != number:
                self._fault(number, "subject", f"{subject}: {kind} stands in row {first} already")
            else:
                self._rule(number, key, {name: cell for name, cell in given.items() if name in FIELDS})

    def _rule(self, number: int, key: tuple[str, str], given: Mapping[str, Cell]) -> None:
        before, faults = self._rules.get(key), len(self._changes.errors)
        rule = copy.copy(before) if before is not None else self._new(number, key, given)
        if rule is None:
            return
        for name, cell in given.items():
            setattr(rule, name, self._value(number, name, cell))
        old = {name: "" if before is None else _shown(before, name) for name in FIELDS}
        new = {name: _shown(rule, name) for name in FIELDS} if len(self._changes.errors) == faults else old
        fields = tuple(FieldChange(field=name, old=old[name], new=new[name]) for name in FIELDS if _differ(old[name], new[name]))
        if fields:
            self._check(number, rule)
        if len(self._changes.errors) > faults:
            return
        place = self._changes.unchanged if not fields else self._changes.added if before is None else self._changes.changed
        place.append(RuleChange(row=number, rule=rule, fields=fields))

    def _new(self, number: int, key: tuple[str, str], given: Mapping[str, Cell]) -> AlarmRule | None:
        subject, kind = key
        point = self._points.get(subject)
        if point is None or not AlarmKind(kind).is_of_values:
            words = "there is no such rule, and a new one is for a point and one of its limits or states"
            self._fault(number, "subject", f"{subject or PILOT}: {kind}: {words}")
            return None
        missing = [name for name in ("priority", "what") if not text_of(given.get(name))]
        if missing:
            self._fault(number, missing[0], "is empty: a new rule needs it")
            return None
        return AlarmRule(
            pilot=self._changes.pilot, point=point, device=point.device, subject=subject, kind=kind, priority=Priority.LOW
        )

    def _value(self, number: int, name: str, cell: Cell) -> Any:
        text = text_of(cell)
        if name in NUMBERS:
            return number_of(self._reader, number, name, cell) if text else NEVER_EMPTY.get(name)
        if name in CHOICES:
            return choice_of(self._reader, number, cell, name)
        if name == "priority":
            return self._priority(number, text.lower())
        if name == "limit_point":
            return self._limit_point(number, text)
        return self._codes(number, text) if name == "codes" else text

    def _priority(self, number: int, word: str) -> int:
        word = PRIORITIES[int(word) - 1] if word in ("1", "2", "3", "4") else word
        if word not in PRIORITIES:
            self._fault(number, "priority", f"{word!r} is none of {', '.join(PRIORITIES)}")
            return Priority.LOW
        return PRIORITIES.index(word) + 1

    def _limit_point(self, number: int, text: str) -> Point | None:
        if text and text not in self._points:
            self._fault(number, "limit_point", f"{text!r} is no point of this pilot")
        return self._points.get(text)

    def _codes(self, number: int, text: str) -> list[int]:
        words = text.strip("[]").replace(",", " ").split()
        if not all(word.isdecimal() and len(word) < 11 for word in words):
            self._fault(number, "codes", f"{text!r} is no list of whole numbers, as 2 3")
            return []
        return [int(word) for word in words]

    def _check(self, number: int, rule: AlarmRule) -> None:
        try:
            rule.clean_fields(exclude=["id", "subject", *_RELATED])
            check_rule(rule)
        except ValidationError as error:
            for column, messages in error.message_dict.items():
                self._fault(number, column, " ".join(messages))
        except CatalogueError as error:
            self._fault(number, error.field, str(error).removeprefix(f"{error.field}: "))

    def _fault(self, number: int, column: str, message: str) -> None:
        self._changes.errors.append(TableFault(number, column, message))


def _differ(old: Any, new: Any) -> bool:
    """What is absent and what is empty is the same; 0 is not empty."""
    return (None if old == "" else old) != (None if new == "" else new)
