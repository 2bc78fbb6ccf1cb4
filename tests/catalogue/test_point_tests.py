"""The point-to-point test: recorded while open, signed whole, unchangeable after, and its exports prove themselves."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pilots.catalogue.editing import check_point, why_kept
from pilots.catalogue.point_tests import export_csv, export_json, record, sign, start_list, verify, verify_export
from pilots.catalogue.services import put_points
from pilots.domain.errors import CatalogueError
from pilots.models import AuditEvent, Device, PointTest, PointTestList, User
from tests.builders import make_device, make_pilot, make_point, make_user

pytestmark = pytest.mark.django_db
NOW = datetime(2025, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)


@pytest.fixture
def battery() -> Device:
    device = make_device(make_pilot("xx"), "xx-STO01")
    make_point(device)
    make_point(device, "p_set")
    make_point(device, "comm_state", kind="status", unit="", address={"link": "a"})
    return device


@pytest.fixture
def ana() -> User:
    return make_user("ana", role=None, first_name="Ana", last_name="Puig")


@pytest.fixture
def tests(battery: Device) -> PointTestList:
    return start_list(battery.pilot, "ana", NOW)


def see(tests: PointTestList, device: Device, name: str, *, passed: bool | None = True, **fields: str) -> PointTest:
    texts = {"expected": "5000 W", "shown": "5.00 kW"} | fields
    return record(tests, device.points.get(name=name), passed=passed, by="ana", now=NOW, **texts)


def see_all(tests: PointTestList, device: Device) -> None:
    see(tests, device, "active_power")
    see(tests, device, "p_set", passed=False, shown="=4+1", remark="sign is wrong")


def test_a_list_holds_every_point_of_the_field_untested(tests: PointTestList) -> None:
    assert [test.point.name for test in tests.tests.all()] == ["active_power", "p_set"]
    assert not tests.tests.exclude(tested_at=None, passed=None).exists()
    event = AuditEvent.objects.get()
    assert (event.actor, event.action, event.pilot, event.details) == ("ana", "start point test", "xx", {"points": 2})


def test_a_pilot_without_points_has_nothing_to_test() -> None:
    with pytest.raises(CatalogueError, match="no points"):
        start_list(make_pilot("yy"), "ana", NOW)
    assert not PointTestList.objects.exists()


def test_a_result_says_who_saw_what_and_when(tests: PointTestList, battery: Device) -> None:
    see(tests, battery, "active_power", passed=False)
    test = see(tests, battery, "active_power", remark="second try")
    test.refresh_from_db()
    assert (test.expected, test.shown, test.passed, test.tested_by, test.tested_at) == ("5000 W", "5.00 kW", True, "ana", NOW)
    assert tests.tests.count() == 2


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"expected": " "}, "expected"),
        ({"shown": ""}, "shown"),
        ({"shown": "5" * 81}, "shown"),
        ({"remark": "x" * 301}, "remark"),
        ({"passed": None}, "remark"),
    ],
)
def test_a_result_that_says_nothing_is_refused(tests: PointTestList, battery: Device, fields: dict[str, str], field: str) -> None:
    with pytest.raises(CatalogueError) as caught:
        see(tests, battery, "active_power", **fields)  # type: ignore[arg-type]
    assert caught.value.field == field
    assert tests.tests.filter(tested_at=None).count() == 2


def test_a_point_of_another_list_is_refused(tests: PointTestList) -> None:
    other = make_point(make_device(make_pilot("yy"), "yy-STO01"))
    with pytest.raises(CatalogueError, match="not in this list"):
        record(tests, other, expected="1", shown="1", passed=True, by="ana", now=NOW)


def test_nothing_is_signed_while_a_point_is_untested(tests: PointTestList, battery: Device, ana: User) -> None:
    see(tests, battery, "active_power")
    with pytest.raises(CatalogueError, match="1 points are not tested: xx-STO01/p_set"):
        sign(tests, ana, LATER)
    see(tests, battery, "p_set", passed=None, expected="", shown="", remark="no set-points at this site")
    assert sign(tests, ana, LATER).startswith("hmac-sha256:")


def test_a_signature_holds_and_is_audited(tests: PointTestList, battery: Device, ana: User) -> None:
    see_all(tests, battery)
    assert not verify(tests)
    signature = sign(tests, ana, LATER, remark="witnessed by the DSO")
    tests.refresh_from_db()
    assert (tests.signature, tests.signed_by, tests.signed_at, tests.remark) == (signature, ana, LATER, "witnessed by the DSO")
    assert verify(tests)
    event = AuditEvent.objects.get(action="sign point test")
    assert event.details == {"passed": 1, "failed": 1, "not applicable": 0, "signature": signature}


def test_a_signed_list_refuses_every_change(tests: PointTestList, battery: Device, ana: User) -> None:
    see_all(tests, battery)
    sign(tests, ana, LATER)
    with pytest.raises(CatalogueError, match="signed by ana and cannot change"):
        see(tests, battery, "active_power")
    with pytest.raises(CatalogueError, match="signed by ana and cannot change"):
        sign(tests, ana, LATER)
    assert verify(tests)


@pytest.mark.parametrize(
    "change",
    [
        lambda tests: tests.tests.filter(passed=False).update(passed=True),
        lambda tests: tests.tests.filter(passed=True).update(shown="6.00 kW"),
        lambda tests: tests.tests.filter(passed=True).update(tested_at=LATER),
        lambda tests: tests.tests.filter(passed=True).delete(),
        lambda tests: PointTestList.objects.update(signed_at=NOW),
        lambda tests: PointTestList.objects.update(signed_by=make_user("ben")),
        lambda tests: PointTestList.objects.update(remark="all well"),
        lambda tests: PointTestList.objects.update(signature="hmac-sha256:" + "0" * 64),
    ],
)
def test_a_row_changed_behind_our_back_breaks_the_signature(
    tests: PointTestList, battery: Device, ana: User, change: object
) -> None:
    see_all(tests, battery)
    sign(tests, ana, LATER)
    change(tests)  # type: ignore[operator]
    assert not verify(tests)


@pytest.mark.parametrize("export", [export_json, export_csv], ids=["json", "csv"])
def test_an_export_proves_itself(tests: PointTestList, battery: Device, ana: User, export: object) -> None:
    see_all(tests, battery)
    assert not verify_export(export(tests))  # type: ignore[operator]
    sign(tests, ana, LATER, remark="'quoted', and\na line break")
    tests.refresh_from_db()
    file: bytes = export(tests)  # type: ignore[operator]
    assert verify_export(file)
    assert not verify_export(file.replace(b"5.00 kW", b"6.00 kW"))
    assert not verify_export(file.replace(b"sign is wrong", b"sign is right"))
    assert b"xx/xx-STO01/p_set" in file
    assert b"Ana Puig (ana)" in file
    assert tests.signature.encode() in file


def test_an_export_runs_nothing_in_a_spreadsheet(tests: PointTestList, battery: Device) -> None:
    see_all(tests, battery)
    assert b",'=4+1," in export_csv(tests)


def test_an_export_of_another_installation_proves_nothing(
    tests: PointTestList, battery: Device, ana: User, settings: Any
) -> None:
    see_all(tests, battery)
    sign(tests, ana, LATER)
    tests.refresh_from_db()
    file, old = export_json(tests), settings.SECRET_KEY
    settings.SECRET_KEY = "x" * 50
    assert not verify_export(file)
    settings.SECRET_KEY_FALLBACKS = [old]
    assert verify_export(file)


@pytest.mark.parametrize(
    "file", [b"", b"{}", b"[]", b"\xff", b"device,point\n", b'{"signature": 1}', b'{"signature": "x"}', b'"x']
)
def test_what_is_no_export_proves_nothing(file: bytes) -> None:
    assert not verify_export(file)


def test_the_export_reads_as_a_report(tests: PointTestList, battery: Device, ana: User) -> None:
    see_all(tests, battery)
    sign(tests, ana, LATER)
    tests.refresh_from_db()
    form = json.loads(export_json(tests))
    assert (form["pilot"], form["started_at"], form["signed_at"]) == (
        "xx",
        "2025-03-01T12:00:00.123456+00:00",
        "2025-03-01T12:05:00.123456+00:00",
    )
    assert [(test["point"], test["result"]) for test in form["tests"]] == [
        ("xx/xx-STO01/active_power", "passed"),
        ("xx/xx-STO01/p_set", "failed"),
    ]


def test_a_tested_point_keeps_its_name_and_its_place(tests: PointTestList, battery: Device) -> None:
    point = battery.points.get(name="active_power")
    assert "Point tests refer to xx-STO01/active_power" in why_kept([point.pk])
    point.name = "dc_power"
    with pytest.raises(CatalogueError, match="point tests refer to xx-STO01/active_power"):
        check_point(point)
    with pytest.raises(CatalogueError, match="its point tests are kept"):
        put_points(battery, {})
