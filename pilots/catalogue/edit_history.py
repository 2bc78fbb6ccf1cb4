"""The history of configuration rows: an entry a change by a person, found again and gone back to. [zone: none, configuration]

An entry is written beside the audit event of the change, and only there. What happened to a row otherwise (a pilot file, its
device's profile, a default rule) is noted as found when a person changes the row next, so that it is nobody's deed but can be
gone back to. Columns that gateways write are in no entry.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Max, Model

#: What a table of the history takes of a reason.
_REASON = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldChange:
    """One field before and after; parts of addresses and capabilities are named, as `address.register`."""

    field: str
    old: Any
    new: Any


def keep_history(rows: Iterable[Model], *, by: str, reason: str, now: datetime) -> None:
    """Rows that are not as their newest entry says have one more; a row's first is its making when somebody is named.

    Without `by` it is what was found. The rows are read anew: a caller's may be older than what its save brought about.
    """
    for model, keys in _by_model(rows).items():
        fresh = model._base_manager.in_bulk(keys)
        newest = _newest_entries(model, keys)
        entries = [
            _entry(model, row, "~" if key in newest or not by else "+", by=by, reason=reason, now=now)
            for key, row in fresh.items()
            if key not in newest or newest[key].history_type == "-" or any(_differing(model, newest[key], row))
        ]
        model.history.bulk_create(entries, batch_size=200)


def note_found(rows: Iterable[Model], *, now: datetime) -> None:
    """What the rows are before a person changes them stands in their history."""
    keep_history(rows, by="", reason="", now=now)


def note_removed(rows: Iterable[Model], *, by: str, reason: str, now: datetime) -> None:
    """The rows, which are about to go, have their last entry."""
    for model, keys in _by_model(rows).items():
        fresh = model._base_manager.in_bulk(keys)
        entries = [_entry(model, row, "-", by=by, reason=reason, now=now) for row in fresh.values()]
        model.history.bulk_create(entries, batch_size=200)


def differences(model: Any, before: Any, after: Any) -> tuple[FieldChange, ...]:
    """The fields in which two entries, or an entry and a row, differ; parts of JSON by name."""
    old, new = ({name: getattr(each, name) for name in _differing(model, before, after)} for each in (before, after))
    return flat_differences(old, new)


def flat_differences(before: dict[str, Any], after: dict[str, Any]) -> tuple[FieldChange, ...]:
    """Fields and named parts in which two sets of columns differ; what is absent and what is empty is the same."""
    old, new = _flat(before), _flat(after)
    names = [name for name in (*old, *(name for name in new if name not in old)) if old.get(name) != new.get(name)]
    return tuple(FieldChange(field=name, old=old.get(name), new=new.get(name)) for name in names)


def _flat(columns: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in columns.items():
        for part, one in value.items() if isinstance(value, dict) else (("", value),):
            if one not in (None, "", {}, []):
                flat[f"{name}.{part}".rstrip(".")] = one
    return flat


def _by_model(rows: Iterable[Model]) -> dict[Any, set[Any]]:
    keys: dict[Any, set[Any]] = defaultdict(set)
    for row in rows:
        if hasattr(type(row), "history"):
            keys[type(row)].add(row.pk)
    return keys


def _newest_entries(model: Any, keys: set[Any]) -> dict[Any, Any]:
    newest = model.history.filter(id__in=keys).order_by().values("id").annotate(newest=Max("history_id")).values("newest")
    return {entry.id: entry for entry in model.history.filter(history_id__in=newest)}


def _differing(model: Any, entry: Any, row: Any) -> Iterator[str]:
    """The columns in which they differ; of a reference its key."""
    for field in model.history.model.tracked_fields:
        if getattr(entry, field.attname) != getattr(row, field.attname):
            yield field.attname


def _entry(model: Any, row: Any, kind: str, *, by: str, reason: str, now: datetime) -> Any:
    columns = {field.attname: getattr(row, field.attname) for field in model.history.model.tracked_fields}
    told = {"history_user_id": by, "history_change_reason": reason[:_REASON], "history_date": now, "history_type": kind}
    return model.history.model(**told, **columns)
