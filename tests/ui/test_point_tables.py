"""Points by a table: taken, compared, applied whole; the point test: recorded, signed, checked."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from pilots.models import AuditEvent, Point, PointTest, PointTestList, User
from tests.ui.conftest import Plant

TABLE, TESTS = "/pilots/es/commissioning/table/", "/pilots/es/commissioning/tests/"


def file(text: str, name: str = "points.csv") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, text.encode())


def compare(client: Client, text: str, name: str = "points.csv") -> Any:
    return client.post(f"{TABLE}compare", {"file": file(text, name)})


@pytest.mark.parametrize("path", [TABLE, TESTS, f"{TABLE}points.csv"])
def test_only_engineers_come_here(viewer: Client, operator: Client, engineer: Client, plant: Plant, path: str) -> None:
    assert engineer.get(path).status_code == 200
    assert [client.get(path).status_code for client in (viewer, operator)] == [403, 403]


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_the_table_that_was_taken_changes_nothing_when_it_comes_back(engineer: Client, plant: Plant, kind: str) -> None:
    taken = engineer.get(f"{TABLE}points.{kind}").content
    answer = engineer.post(f"{TABLE}compare", {"file": SimpleUploadedFile(f"points.{kind}", taken)}).json()
    assert answer["counts"] == {"errors": 0, "added": 0, "changed": 0, "removed": 0, "unchanged": 3}


def test_a_change_is_shown_first_and_applied_as_it_was_shown(engineer: Client, plant: Plant) -> None:
    text = "device,point,unit\nes-STO01,soc,1\n"
    shown = compare(engineer, text).json()
    assert shown["changed"] == [{"row": 2, "point": "es-STO01/soc", "fields": [["unit", "%", "1"]]}]
    assert Point.objects.get(name="soc").unit == "%"
    answer = engineer.post(f"{TABLE}apply", {"file": file(text), "fingerprint": shown["fingerprint"]})
    assert answer.json() == {"added": 0, "changed": 1, "removed": 0}
    assert Point.objects.get(name="soc").unit == "1"
    event = AuditEvent.objects.get(action="import points")
    assert (event.actor, event.subject) == ("enza", "points.csv")


def test_what_moved_since_the_comparison_is_not_overwritten(engineer: Client, plant: Plant) -> None:
    text = "device,point,unit\nes-STO01,soc,1\n"
    shown = compare(engineer, text).json()
    Point.objects.filter(name="soc").update(unit="Wh")
    answer = engineer.post(f"{TABLE}apply", {"file": file(text), "fingerprint": shown["fingerprint"]})
    assert answer.status_code == 422 and "Compare again" in answer.json()["reason"]
    assert Point.objects.get(name="soc").unit == "Wh"


def test_faults_come_with_row_and_column_and_stop_everything(engineer: Client, plant: Plant) -> None:
    text = "device,point,unit,scale\nes-STO01,soc,1,fast\nes-NONE,x,W,1\n"
    shown = compare(engineer, text).json()
    assert [(fault["row"], fault["column"]) for fault in shown["errors"]] == [(2, "scale"), (3, "device")]
    answer = engineer.post(f"{TABLE}apply", {"file": file(text), "fingerprint": shown["fingerprint"]})
    assert answer.status_code == 422 and Point.objects.get(name="soc").unit == "%"


def test_no_file_and_a_strange_one_are_refused_with_a_sentence(engineer: Client, plant: Plant) -> None:
    assert engineer.post(f"{TABLE}compare").json()["field"] == "file"
    assert "neither .csv nor .xlsx" in compare(engineer, "x", "points.exe").json()["errors"][0]["message"]


@pytest.fixture
def started(engineer: Client, plant: Plant) -> PointTestList:
    answer = engineer.post(f"{TESTS}start")
    assert engineer.get(answer.json()["url"]).status_code == 200
    return PointTestList.objects.get()


def record(client: Client, test: PointTest, result: str = "passed", **seen: str) -> Any:
    form = {"test": test.pk, "result": result, "expected": "20.0 kW", "shown": "20.0 kW"} | seen
    return client.post(f"{TESTS}{test.test_list_id}/record", form)


def test_a_list_is_tested_point_by_point(engineer: Client, started: PointTestList) -> None:
    test = started.tests.get(point__name="active_power")
    assert record(engineer, test).json() == {"result": "passed", "by": "enza", "tested": 1, "all": 3}
    html = engineer.get(f"{TESTS}{started.pk}/").content.decode()
    assert "1 of 3 points tested" in html and "not signed" in html


def test_a_point_that_is_not_here_needs_a_reason(engineer: Client, started: PointTestList) -> None:
    test = started.tests.get(point__name="soc")
    assert record(engineer, test, "not_applicable").json()["field"] == "remark"
    assert record(engineer, test, "not_applicable", remark="no BMS yet").status_code == 200
    assert record(engineer, test, "perhaps").status_code == 422


def test_only_a_whole_list_is_signed_with_the_signers_password(engineer: Client, started: PointTestList) -> None:
    user = User.objects.get(username="enza")
    user.set_password("correct horse battery")
    user.save()
    engineer.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    sign = f"{TESTS}{started.pk}/sign"
    assert engineer.post(sign, {"password": "wrong"}).json()["field"] == "password"
    assert "not tested" in engineer.post(sign, {"password": "correct horse battery"}).json()["reason"]
    for test in started.tests.all():
        record(engineer, test)
    assert engineer.post(sign, {"password": "correct horse battery"}).json()["signature"].startswith("hmac-sha256:")
    assert record(engineer, started.tests.all()[0]).status_code == 422
    assert "the signature holds" in engineer.get(f"{TESTS}{started.pk}/").content.decode()
    exported = engineer.get(f"{TESTS}{started.pk}/list.json").content
    assert engineer.post(f"{TESTS}verify", {"file": SimpleUploadedFile("x.json", exported)}).json() == {"signed": True}
    forged = json.dumps({**json.loads(exported), "remark": "all well"})
    assert engineer.post(f"{TESTS}verify", {"file": file(forged, "x.json")}).json() == {"signed": False}
    PointTest.objects.filter(point__name="soc").update(passed=False)
    assert "DOES NOT HOLD" in engineer.get(f"{TESTS}{started.pk}/").content.decode()


def test_a_list_of_another_pilot_is_not_here(engineer: Client, started: PointTestList, plant: Plant) -> None:
    assert engineer.get(f"{TESTS}{started.pk + 1}/").status_code == 404
    assert engineer.get(f"{TESTS}{started.pk}/list.csv")["Content-Type"].startswith("text/csv")
