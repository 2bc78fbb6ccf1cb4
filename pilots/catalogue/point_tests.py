"""The point-to-point test of a pilot: each point seen at the device and on our screen, and the whole list signed. [operation]

The signature (`signing`) is over the list's content, so this installation can tell whether a list, or its export, is what was
signed.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.db import transaction

from pilots.audit.services import record_event
from pilots.catalogue.link_points import is_link_point
from pilots.catalogue.point_table import safe_cell, unsafe_text
from pilots.catalogue.signing import is_signed, signature_of
from pilots.domain.errors import CatalogueError
from pilots.models import Pilot, Point, PointTest, PointTestList, User

FORMAT = "invade-point-test/1"
_SALT = "pilots.catalogue.point_tests"
_HEAD = ("format", "pilot", "name", "started_at", "started_by", "signed_at", "signed_by", "remark")
_COLUMNS = ("point", "unit", "expected", "shown", "result", "tested_at", "tested_by", "remark")


@transaction.atomic
def start_list(pilot: Pilot, by: str, now: datetime) -> PointTestList:
    """A list with every point that the pilot's devices have now, none of them tested. Points of links are not tested."""
    test_list = PointTestList.objects.create(pilot=pilot, started_at=now, started_by=by)
    points = [point for point in Point.objects.filter(device__pilot=pilot) if not is_link_point(point)]
    if not points:
        raise CatalogueError(f"{pilot.code} has no points to test", field="pilot")
    PointTest.objects.bulk_create(PointTest(test_list=test_list, point=point) for point in points)
    _audit(test_list, by, "start point test", {"points": len(points)}, now)
    return test_list


@transaction.atomic
def record(
    test_list: PointTestList,
    point: Point,
    *,
    expected: str,
    shown: str,
    passed: bool | None,
    by: str,
    now: datetime,
    remark: str = "",
) -> PointTest:
    """The point's row says what was seen, by whom and when; what it said before is gone, as long as nobody has signed.

    `passed` None marks the point as not applicable, which needs a remark. Raises CatalogueError naming the field.
    """
    _locked_open(test_list)
    test = PointTest.objects.filter(test_list=test_list, point=point).select_related("point__device").first()
    if test is None:
        raise CatalogueError(f"{point} is not in this list", field="point")
    if passed is None and not remark.strip():
        raise CatalogueError("a point that is not applicable needs a remark that says why", field="remark")
    texts = {"expected": expected.strip(), "shown": shown.strip(), "remark": remark.strip(), "tested_by": by}
    for name, text in texts.items():
        if passed is not None and name in ("expected", "shown") and not text:
            raise CatalogueError("a tested point says what was expected at the device and what was shown here", field=name)
        most: int = getattr(PointTest._meta.get_field(name), "max_length", 0)
        if len(text) > most:
            raise CatalogueError(f"{len(text)} characters are more than {most}", field=name)
        setattr(test, name, text)
    test.passed, test.tested_at = passed, now
    test.save(update_fields=["expected", "shown", "passed", "tested_at", "tested_by", "remark"])
    return test


@transaction.atomic
def sign(test_list: PointTestList, user: User, now: datetime, remark: str = "") -> str:
    """The list is signed and never changes again; returns the signature. Failed points may be signed: the list says so.

    Raises CatalogueError while a point is untested, or when the list is signed already.
    """
    test_list = _locked_open(test_list)
    untested = PointTest.objects.filter(test_list=test_list, tested_at=None).select_related("point__device")
    names = [str(test.point) for test in untested[:6]]
    if names:
        listed = ", ".join(names[:5]) + (" and others" if len(names) > 5 else "")
        raise CatalogueError(f"{untested.count()} points are not tested: {listed}", field="tests")
    test_list.signed_at, test_list.signed_by, test_list.remark = now, user, remark.strip()[:300]
    test_list.signature = signature_of(_content(test_list), _SALT)
    test_list.save(update_fields=["signed_at", "signed_by", "remark", "signature"])
    counts = {name: test_list.tests.filter(passed=value).count() for name, value in _RESULTS.items()}
    _audit(test_list, user.username, "sign point test", {**counts, "signature": test_list.signature}, now)
    return test_list.signature


def verify(test_list: PointTestList) -> bool:
    """Whether the rows, as they stand in the database, are what was signed; an unsigned list is not."""
    test_list = PointTestList.objects.get(pk=test_list.pk)
    return test_list.signed_at is not None and is_signed(_content(test_list), _SALT, test_list.signature)


def export_json(test_list: PointTestList) -> bytes:
    """The list with its signature (empty while unsigned), as `verify_export` takes it."""
    form = {**_content(test_list), "signature": test_list.signature}
    return json.dumps(form, indent=1, ensure_ascii=False, sort_keys=True).encode()


def export_csv(test_list: PointTestList) -> bytes:
    """The same as a table under a head of names and values; no cell is a formula."""
    content = _content(test_list)
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerows([name, safe_cell(content[name])] for name in _HEAD)
    writer.writerows([["signature", test_list.signature], [], _COLUMNS])
    writer.writerows([safe_cell(test[name]) for name in _COLUMNS] for test in content["tests"])
    return out.getvalue().encode("utf-8-sig")


def verify_export(file: bytes) -> bool:
    """Whether an exported file, JSON or CSV, is what somebody signed at this installation."""
    try:
        text = file.decode("utf-8-sig")
        form = json.loads(text) if text.lstrip().startswith("{") else _from_csv(text)
        signature = form.pop("signature")
    except (ValueError, KeyError, AttributeError, csv.Error):
        return False
    return isinstance(signature, str) and form.get("signed_at") != "" and is_signed(form, _SALT, signature)


_RESULTS: dict[str, bool | None] = {"passed": True, "failed": False, "not applicable": None}


def _locked_open(test_list: PointTestList) -> PointTestList:
    """The list's row, kept from others until the transaction ends. Raises CatalogueError when it is signed."""
    row = PointTestList.objects.select_for_update().get(pk=test_list.pk)
    if row.signed_at is not None:
        signer = row.signed_by.username if row.signed_by else "somebody"
        raise CatalogueError(f"this list was signed by {signer} and cannot change; start another one", field="signed_at")
    return row


def _content(test_list: PointTestList) -> dict[str, Any]:
    """Everything a signature covers, as text and lists only."""
    tests = test_list.tests.select_related("point__device").order_by("point__device__code", "point__name")
    signer = test_list.signed_by
    return {
        "format": FORMAT,
        "pilot": test_list.pilot.code,
        "name": test_list.pilot.name,
        "started_at": _time(test_list.started_at),
        "started_by": test_list.started_by,
        "signed_at": _time(test_list.signed_at),
        "signed_by": "" if signer is None else f"{signer.get_full_name()} ({signer.username})".strip(),
        "remark": test_list.remark,
        "tests": [_test(test_list.pilot.code, test) for test in tests],
    }


def _test(pilot: str, test: PointTest) -> dict[str, str]:
    results = {value: name for name, value in _RESULTS.items()}
    return {
        "point": f"{pilot}/{test.point}",
        "unit": test.point.unit,
        "expected": test.expected,
        "shown": test.shown,
        "result": results[test.passed] if test.tested_at else "not tested",
        "tested_at": _time(test.tested_at),
        "tested_by": test.tested_by,
        "remark": test.remark,
    }


def _time(moment: datetime | None) -> str:
    return "" if moment is None else moment.astimezone(UTC).isoformat(timespec="microseconds")


def _from_csv(text: str) -> dict[str, Any]:
    """The content of an exported CSV. Raises ValueError or KeyError when it is none."""
    rows = list(csv.reader(io.StringIO(text, newline="")))
    table = rows.index(list(_COLUMNS))
    form: dict[str, Any] = {name: unsafe_text(value) for name, value in (row for row in rows[:table] if row)}
    tests = [dict(zip(_COLUMNS, map(unsafe_text, row), strict=True)) for row in rows[table + 1 :]]
    return {**form, "tests": tests}


def _audit(test_list: PointTestList, actor: str, action: str, details: Mapping[str, Any], now: datetime) -> None:
    record_event(at=now, actor=actor, action=action, pilot=test_list.pilot.code, subject=str(test_list), details=details)
