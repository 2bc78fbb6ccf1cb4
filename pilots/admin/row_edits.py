"""Rows changed together, by a file, for many at once or back to what they were: each through its page's own form.

So each row meets the same checks, consequences, audit event and history entry as one that is typed in. All of them or none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Model
from django.http import HttpRequest
from django.utils.translation import gettext as _
from import_export.instance_loaders import BaseInstanceLoader
from import_export.resources import Resource
from tablib import Dataset

from pilots.admin.rights import actor_of
from pilots.catalogue.edit_history import FieldChange, flat_differences, keep_history
from pilots.catalogue.editing import Edit, record_edits
from pilots.catalogue.places import clashes_of
from pilots.catalogue.table_files import TableFault
from pilots.domain.errors import CatalogueError
from pilots.models import Pilot

if TYPE_CHECKING:
    from pilots.admin.editing import ConfigurationAdmin

_ROW = "row"
Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """One row and the fields that it shall have; `number` as a spreadsheet counts, 0 where there is none.

    `values` is asked when its turn comes: it may refer to a row made just before. Raises ValidationError naming the field.
    """

    number: int
    name: str
    row: Model
    values: Callable[[], Values]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What becomes of one row: `kind` is new, changed, unchanged or refused."""

    number: int
    name: str
    kind: str
    changes: tuple[FieldChange, ...] = ()
    faults: tuple[TableFault, ...] = ()


class Edits:
    """The changes of one request, kept through the page's form and told once a pilot."""

    def __init__(self, page: ConfigurationAdmin, request: HttpRequest, *, reason: str = "") -> None:
        self._page, self._request, self._reason = page, request, reason
        self._classes: dict[bool, Any] = {}
        self._told: dict[Pilot, list[Edit]] = {}
        self._followed: list[Model] = []

    def form(self, row: Model, values: Values) -> Any:
        """The page's form, filled in as the row is but for `values`."""
        adding = row._state.adding
        if adding not in self._classes:
            self._classes[adding] = self._page.get_form(self._request, None if adding else row, change=not adding)
        blank = self._classes[adding](instance=row)
        data = {name: blank[name].value() for name in blank.fields}
        # Fields whose default is computed are compared with what the browser was shown.
        data |= {blank.add_initial_prefix(name): value for name, value in data.items()}
        for name, value in values.items():
            # What is equal already stays as it is written: as JSON 5 and 5.0 differ, and so do empty and absent parts.
            if name in blank.fields and flat_differences({name: getattr(row, name, None)}, {name: value}):
                data[name] = blank.fields[name].prepare_value(value)
        return self._classes[adding](data, instance=row)

    def save(self, form: Any) -> None:
        """The form's row is saved, with what follows. Raises CatalogueError when that cannot be; then the row is not."""
        created = form.instance._state.adding
        with transaction.atomic():
            row = self._page.save_form(self._request, form, change=not created)
            self._page.save_model(self._request, row, form, change=not created)
            self._page.after_save(row, form.changed_data, created=created)
        self._followed += self._page.followers(row, form.changed_data)
        self.note(row, "create" if created else "change", {} if created else audited_changes(form))

    def note(self, row: Any, action: str, details: Values) -> None:
        """A saved row is to be told."""
        pilot = self._page.pilot_of(row)
        assert pilot is not None  # noqa: S101  only rows of pilots are edited here
        what = row._meta.verbose_name
        edit = Edit(action=f"{action} {what}", subject=f"{what} {row}", details=details, row=row)
        self._told.setdefault(pilot, []).append(edit)

    def clashes(self) -> dict[str, tuple[str, str]]:
        """Name of a saved row -> its point, and the other one that stands at the same address."""
        found: dict[str, tuple[str, str]] = {}
        for pilot, edits in self._told.items():
            points = self._page.points_of([each.row for each in edits]).select_related("device")
            shared = clashes_of(pilot) if points else {}
            for point in points:
                if str(point) in shared:
                    found[str(point)] = found[point.device.code] = (str(point), shared[str(point)])
        return found

    def tell(self) -> None:
        """Gateways, audit trail and history know of all that was saved."""
        now, by = datetime.now(UTC), actor_of(self._request)
        for pilot, edits in self._told.items():
            record_edits(pilot, edits, actor=by, reason=self._reason, now=now)
        keep_history(self._followed, by=by, reason=self._reason, now=now)


class RowResource(Resource):
    """The package's import of a table, row by row in one transaction, with our form for what it would set and save itself."""

    class Meta:
        skip_diff = True  # its differences are HTML with inline style
        report_skipped = True
        instance_loader_class = BaseInstanceLoader  # rows bring their instance

    def __init__(self, edits: Edits) -> None:
        super().__init__()
        self._edits = edits
        self._form: Any = None
        self.outcomes: list[Outcome] = []

    def get_db_connection_name(self) -> str:
        return "default"

    def get_or_init_instance(self, _loader: Any, row: Mapping[str, Any]) -> tuple[Model, bool]:
        wanted: Wanted = row[_ROW]
        return wanted.row, wanted.row._state.adding

    def import_instance(self, instance: Model, row: Mapping[str, Any], **_kwargs: Any) -> None:
        self._form = None
        self._form = self._edits.form(instance, row[_ROW].values())

    def skip_row(self, instance: Model, _original: Any, _row: Any, import_validation_errors: Any = None) -> bool:
        return not import_validation_errors and not instance._state.adding and not self._form.has_changed()

    def validate_instance(self, _instance: Model, import_validation_errors: Any = None, **_kwargs: Any) -> None:
        if import_validation_errors:
            raise ValidationError(import_validation_errors)
        if not self._form.is_valid():
            raise ValidationError(self._form.errors.as_data())

    def save_instance(self, _instance: Model, _is_create: bool, _row: Any, **_kwargs: Any) -> None:
        try:
            self._edits.save(self._form)
        except CatalogueError as error:
            raise ValidationError({"__all__": [str(error)]}) from error

    def save_m2m(self, _instance: Model, _row: Any, **_kwargs: Any) -> None:
        """Nothing: no row here has such fields."""

    def after_import_row(self, row: Mapping[str, Any], row_result: Any, **_kwargs: Any) -> None:
        kind = {"new": "new", "update": "changed"}.get(row_result.import_type, "unchanged")
        wanted: Wanted = row[_ROW]
        changes = () if kind == "unchanged" else shown_changes(self._form, created=kind == "new")
        self.outcomes.append(Outcome(number=wanted.number, name=wanted.name, kind=kind, changes=changes))

    def after_import(self, _dataset: Dataset, result: Any, **_kwargs: Any) -> None:
        for each in result.invalid_rows:
            wanted: Wanted = each.values[0]
            faults = tuple(_fault(wanted.number, field, texts) for field, texts in each.error_dict.items())
            self.outcomes.append(Outcome(number=wanted.number, name=wanted.name, kind="refused", faults=faults))

    def get_diff_headers(self) -> list[str]:
        return [_ROW]


def edit_rows(edits: Edits, rows: Iterable[Wanted], *, dry_run: bool, expected: str = "") -> list[Outcome]:
    """What becomes of the rows, in their order; all of them are kept, or with a refusal or in a dry run none.

    Raises CatalogueError when that is not what was `expected` (a fingerprint of the outcomes of a dry run).
    """
    resource = RowResource(edits)
    dataset = Dataset(*((wanted,) for wanted in rows), headers=[_ROW])
    with transaction.atomic():
        result = resource.import_data(dataset, use_transactions=True, rollback_on_validation_errors=True)
        for error in [*result.base_errors, *(each for row in result.error_rows for each in row.errors)]:
            raise error.error
        outcomes = resource.outcomes if result.invalid_rows else list(_without_clashes(edits, resource.outcomes))
        if dry_run or refused(outcomes):
            transaction.set_rollback(True)
        elif expected and fingerprint(outcomes) != expected:
            raise CatalogueError(_("Nothing was changed: rows changed since the preview. Look at it again."))
        else:
            edits.tell()
    return sorted(outcomes, key=lambda each: each.number)


def _without_clashes(edits: Edits, outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    """Points at one address show only when all rows are taken: then those rows are refused."""
    found = edits.clashes()
    for each in outcomes:
        if each.name in found and each.kind in ("new", "changed"):
            words = _("%(mine)s would stand at the same address as %(other)s")
            fault = TableFault(each.number, "address", words % dict(zip(("mine", "other"), found[each.name], strict=True)))
            yield Outcome(number=each.number, name=each.name, kind="refused", faults=(fault,))
        else:
            yield each


def fingerprint(outcomes: Sequence[Outcome]) -> str:
    """A digest of what would become of the rows."""
    told = sorted((each.number, each.name, each.kind, [str(change) for change in each.changes]) for each in outcomes)
    return hashlib.sha256(repr(told).encode()).hexdigest()


def refused(outcomes: Iterable[Outcome]) -> bool:
    return any(each.kind == "refused" for each in outcomes)


def audited_changes(form: Any) -> dict[str, Any]:
    """`{field: [before, after]}` of what a form changed."""
    return {name: [_plain(_before(form, name)), _plain(form.cleaned_data.get(name))] for name in form.changed_data}


def shown_changes(form: Any, *, created: bool) -> tuple[FieldChange, ...]:
    """The same for a page: parts of JSON by name, words of choices."""
    after = {name: _words(form, name, form.cleaned_data.get(name)) for name in form.changed_data}
    before = {} if created else {name: _words(form, name, _before(form, name)) for name in form.changed_data}
    return flat_differences(before, after)


def _words(form: Any, name: str, value: Any) -> Any:
    field = form.fields[name]
    choices = {} if hasattr(field, "queryset") else dict(getattr(field, "choices", ()))
    return _plain(str(choices[value]) if isinstance(value, (str, int)) and value in choices else value)


def _before(form: Any, name: str) -> Any:
    value = form.initial.get(name)
    choices = getattr(form.fields[name], "queryset", None)
    if choices is None or value is None:
        return value
    return choices.filter(pk=value).first() or value


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, (bool, int, float, str, dict, list)) else str(value)


def _fault(number: int, field: str, texts: Sequence[Any]) -> TableFault:
    sentence = " ".join(str(text) for text in texts)
    return TableFault(number, "" if field == "__all__" else field, sentence.removeprefix(f"{field}: "))
