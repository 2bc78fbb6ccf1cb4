"""Import, bulk edit, history and clone: the same checks, audit and consequences as one row typed in, all or nothing."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from openpyxl import load_workbook

from pilots.catalogue.alarm_rules import put_default_rules
from pilots.models import AlarmRule, AuditEvent, Device, Point, Role, Upload
from tests.admin.conftest import FormReader, LogIn, read_form, said, staff
from tests.builders import make_device, make_pilot, make_point
from tests.conftest import Battery

pytestmark = pytest.mark.django_db


@pytest.fixture
def engineer(battery: Battery, log_in: LogIn) -> Client:
    Device.objects.filter(pk=battery.device.pk).update(profile="iec104-storage", address={"ca": 1, "ioa": 700})
    Device.objects.update(nameplate={"rated_power_w": 100_000, "capacity_wh": 200_000})
    Point.objects.filter(pk=battery.power.pk).update(address={"ioa": 1, "type": [36, 13]})
    Point.objects.filter(pk=battery.p_set.pk).update(address={"ioa": 50, "command_type": 50})
    return staff(log_in, Role.ENGINEER, battery.pilot)


def url(name: str, *args: object) -> str:
    return reverse(f"admin:pilots_{name}", args=args)


def exported(client: Client, model: str) -> list[dict[str, str]]:
    content = client.get(url(f"{model}_export", "csv")).content.decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(content)))


def preview(client: Client, model: str, rows: list[dict[str, str]] | bytes, name: str = "rows.csv") -> Any:
    """The page after a file was chosen."""
    if isinstance(rows, list):
        out = io.StringIO()
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        rows = out.getvalue().encode()
    return client.post(url(f"{model}_import"), {"file": SimpleUploadedFile(name, rows)})


def faults(page: Any) -> list[tuple[int, str, str]]:
    found = [fault for outcome in page.context["shown"]["refused"] for fault in outcome.faults]
    return [(fault.row, fault.column, fault.message) for fault in found]


def confirm(client: Client, page: Any) -> Any:
    assert page.context["ready"], page.context["shown"]
    return client.post(page.context["confirm"], page.context["hidden"])


def test_an_exported_file_changes_nothing(engineer: Client) -> None:
    for model, count in (("device", 1), ("point", 2)):
        page = preview(engineer, model, exported(engineer, model))
        assert page.context["counts"] == {"refused": 0, "changed": 0, "new": 0, "unchanged": count}, page.context["shown"]
        xlsx = engineer.get(url(f"{model}_export", "xlsx")).content
        assert preview(engineer, model, xlsx, "rows.xlsx").context["counts"]["unchanged"] == count


def test_a_bad_row_refuses_the_file_and_leaves_nothing_behind(engineer: Client, battery: Battery) -> None:
    rows = exported(engineer, "point")
    rows[0] |= {"deadband": "25"}
    rows[1] |= {"capability.minimum": "200000"}
    page = preview(engineer, "point", rows)
    assert [fault[:2] for fault in faults(page)] == [(3, "capability")]
    assert "above the maximum" in faults(page)[0][2]
    assert not page.context["ready"]
    upload = Upload.objects.get()
    assert engineer.post(url("point_apply", upload.pk), {"fingerprint": "x"}).context["counts"]["refused"] == 1
    battery.power.refresh_from_db()
    battery.pilot.refresh_from_db()
    assert (battery.power.deadband, battery.pilot.revision) == (50, 1)
    assert not AuditEvent.objects.exists()
    assert not Point.history.exists()


def test_a_file_is_applied_whole_and_each_row_is_audited(engineer: Client, battery: Battery) -> None:
    rows = exported(engineer, "point")
    rows[0] |= {"deadband": "25"}
    new = dict.fromkeys(rows[0], "") | {"device": "es-STO01", "point": "soc", "kind": "measurement", "unit": "%"}
    page = preview(engineer, "point", [*rows, new | {"address.ioa": "9", "address.type": "36"}])
    assert page.context["counts"] == {"refused": 0, "changed": 1, "new": 1, "unchanged": 1}, faults(page)
    assert not AuditEvent.objects.exists()
    assert confirm(engineer, page).status_code == 302
    battery.pilot.refresh_from_db()
    assert (Point.objects.get(name="soc").unit, battery.pilot.revision) == ("%", 2)
    events = AuditEvent.objects.order_by("number")
    assert [(each.actor, each.action, each.reason) for each in events] == [
        ("engineer-es", "change point", "import rows.csv"),
        ("engineer-es", "create point", "import rows.csv"),
    ]
    assert events[0].details["deadband"] == [50, 25]
    entries = Point.history.filter(name="active_power").order_by("history_id")
    assert [(each.deadband, each.history_user_id) for each in entries] == [(50, ""), (25, "engineer-es")]
    assert not Upload.objects.exists()


def test_what_changed_since_the_preview_is_not_written_over(engineer: Client, battery: Battery) -> None:
    rows = exported(engineer, "point")
    rows[0] |= {"deadband": "25"}
    page = preview(engineer, "point", rows)
    Point.objects.filter(pk=battery.power.pk).update(deadband=70)
    answer = confirm(engineer, page)
    assert "rows changed since the preview" in said(answer)
    assert answer.context["shown"]["changed"][0].changes[0].old == 70
    assert Point.objects.get(pk=battery.power.pk).deadband == 70


def test_devices_come_with_their_parents_in_any_order(engineer: Client) -> None:
    rows = exported(engineer, "device")
    blank = dict.fromkeys(rows[0], "") | {"pilot": "es", "kind": "meter"}
    page = preview(engineer, "device", [blank | {"code": "es-B", "parent": "es-A"}, blank | {"code": "es-A"}])
    assert confirm(engineer, page).status_code == 302
    assert str(Device.objects.get(code="es-B").parent) == "es-A"


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        ({"pilot": "nl"}, (2, "pilot", "nl is no pilot whose engineer you are")),
        ({"connection": "nl-line"}, (2, "connection", "nl-line is no connection of this pilot")),
        ({"nameplate": "{big}"}, (2, "nameplate", 'is no JSON, as {"ca": 1, "ioa": 700}')),
        ({"kind": "toaster"}, (2, "kind", "Select a valid choice. toaster is not one of the available choices.")),
        ({"key_sha256": "0" * 64}, (1, "key_sha256", "is no column of ours")),
    ],
)
def test_a_refused_device_names_row_field_and_why(engineer: Client, columns: dict[str, str], fault: tuple[int, str, str]) -> None:
    make_device(make_pilot("nl"))
    page = preview(engineer, "device", [exported(engineer, "device")[0] | columns])
    row, column, words = faults(page)[0]
    assert (row, column) == fault[:2]
    assert words.startswith(fault[2])


def test_two_points_at_one_address_are_refused(engineer: Client) -> None:
    rows = exported(engineer, "point")
    new = dict.fromkeys(rows[0], "") | {"device": "es-STO01", "point": "soc", "kind": "measurement", "unit": "%"}
    page = preview(engineer, "point", [new | {"address.ioa": "1", "address.type": "36"}])
    assert faults(page) == [(2, "address", "es-STO01/soc would stand at the same address as es-STO01/active_power")]


def test_a_file_that_is_no_table_is_said_to_be_none(engineer: Client) -> None:
    assert faults(preview(engineer, "point", b"PK\x03\x04 no zip", "rows.xlsx"))[0][2].startswith("is no XLSX file")
    assert "is not UTF-8" in faults(preview(engineer, "device", "pilot,code\nes,é".encode("latin-1")))[0][2]
    assert "neither .csv nor .xlsx" in faults(preview(engineer, "device", b"x", "rows.pdf"))[0][2]
    big = engineer.post(url("point_import"), {"file": SimpleUploadedFile("big.csv", b"x" * (5 * 1024 * 1024 + 1))})
    assert "more than 5 MB" in str(big.context["form"].errors)


def test_others_rows_are_neither_exported_nor_changed(engineer: Client, log_in: LogIn) -> None:
    other = make_pilot("nl")
    make_point(make_device(other))
    stranger = staff(log_in, Role.ENGINEER, other)
    assert {row["device"] for row in exported(stranger, "point")} == {"nl-STO01"}
    page = preview(stranger, "point", exported(engineer, "point"))
    assert faults(page)[0] == (2, "device", "es-STO01 is no device of a pilot whose engineer you are")
    kept = preview(engineer, "point", [exported(engineer, "point")[0] | {"deadband": "1"}])
    assert stranger.post(kept.context["confirm"], kept.context["hidden"]).status_code == 302
    assert not AuditEvent.objects.exists()
    viewer = staff(log_in, Role.VIEWER, other)
    for name in ("point_import", "device_import", "point_live"):
        assert viewer.get(url(name)).status_code == 403
    assert viewer.get(url("point_export", "csv")).status_code == 403


def test_no_cell_is_a_formula_and_it_comes_back_as_it_was(engineer: Client, battery: Battery) -> None:
    Device.objects.update(name="=HYPERLINK(1)", operator="007")
    assert exported(engineer, "device")[0]["name"] == "'=HYPERLINK(1)"
    xlsx = engineer.get(url("device_export", "xlsx")).content
    cells = [cell for row in load_workbook(io.BytesIO(xlsx)).active.iter_rows() for cell in row]  # type: ignore[union-attr]
    assert {cell.data_type for cell in cells} <= {"s", "n", "inlineStr"}
    assert preview(engineer, "device", xlsx, "rows.xlsx").context["counts"]["unchanged"] == 1


def test_a_row_goes_back_through_its_checks_and_keeps_its_later_history(engineer: Client, battery: Battery) -> None:
    change = url("point_change", battery.power.pk)
    assert engineer.post(change, read_form(engineer, change) | {"deadband": "25"}).status_code == 302
    page = engineer.get(url("point_history", battery.power.pk))
    entries = [each["entry"] for each in page.context["rows"]]
    assert [(each.history_user_id, each.deadband) for each in entries] == [("engineer-es", 25), ("", 50)]
    assert page.context["rows"][0]["changes"][0].field == "deadband"
    asked = engineer.get(url("point_revert", battery.power.pk, entries[1].history_id))
    assert asked.context["shown"]["changed"][0].changes[0].new == 50
    assert Point.objects.get(pk=battery.power.pk).deadband == 25
    assert confirm(engineer, asked).status_code == 302
    assert Point.objects.get(pk=battery.power.pk).deadband == 50
    assert Point.history.filter(id=battery.power.pk).count() == 3
    assert AuditEvent.objects.order_by("-pk")[0].reason.startswith("back to 20")


def test_a_way_back_that_is_refused_today_says_why(engineer: Client, battery: Battery) -> None:
    feedback = make_point(battery.device, "p_set_feedback", address={"ioa": 51, "type": 36})
    Point.objects.filter(pk=battery.p_set.pk).update(feedback="p_set_feedback")
    change = url("point_change", battery.p_set.pk)
    engineer.post(change, read_form(engineer, change) | {"feedback": "active_power"})
    feedback.delete()
    found = Point.history.filter(id=battery.p_set.pk).order_by("history_id")[0]
    page = engineer.get(url("point_revert", battery.p_set.pk, found.history_id))
    assert faults(page) == [(0, "feedback", "'p_set_feedback' is no point of es-STO01")]


def test_states_are_in_no_history_and_saves_elsewhere_write_none(engineer: Client, battery: Battery) -> None:
    battery.connection.state = "down"
    battery.connection.save()
    assert not type(battery.connection).history.exists()
    change = url("connection_change", battery.connection.pk)
    engineer.post(change, read_form(engineer, change) | {"simulated": "on"})
    entry = type(battery.connection).history.first()
    assert not hasattr(entry, "state")
    engineer.post(url("connection_revert", battery.connection.pk, entry.prev_record.history_id), {"fingerprint": "-"})
    battery.connection.refresh_from_db()
    assert battery.connection.state == "down"


def test_chosen_rows_are_edited_together_or_not_at_all(engineer: Client, battery: Battery) -> None:
    chosen = {"action": "edit_chosen", "_selected_action": [battery.power.pk, battery.p_set.pk]}
    page = engineer.post(url("point_changelist"), chosen)
    keys = {"keys": page.context["keys"]}
    assert "Tick at least one field" in said(engineer.post(url("point_bulk"), keys))
    wrong = engineer.post(url("point_bulk"), keys | {"set-operating_maximum": "on", "operating_maximum": "900000"})
    assert [fault[1:] for fault in faults(wrong)] == [("operating_maximum", "outside -100000 to 100000")]
    page = engineer.post(url("point_bulk"), keys | {"set-deadband": "on", "deadband": "7", "low": "3"})
    assert page.context["changing"] == 2
    assert not AuditEvent.objects.exists()
    assert confirm(engineer, page).status_code == 302
    assert list(Point.objects.order_by("pk").values_list("deadband", "low")) == [(7, -200_000), (7, None)]
    assert AuditEvent.objects.filter(action="change point", reason="edit together").count() == 2


def test_a_device_is_made_again_with_points_and_own_rules(engineer: Client, battery: Battery) -> None:
    Device.objects.update(profile="", connection=None)
    battery.device.refresh_from_db()
    AlarmRule.objects.create(
        pilot=battery.pilot, device=battery.device, point=battery.power, subject="es-STO01/active_power",
        kind="high", limit=5, priority=2, what="Too much", own=True,
    )  # fmt: skip
    page = url("device_clone", battery.device.pk)
    form = read_form(engineer, page)
    refused = engineer.post(page, form | {"code": "nl-STO02"})
    assert "starts with es-" in refused.context["form"].errors["code"][0]
    assert engineer.post(page, form | {"code": "es-STO02"}).status_code == 302
    made = Device.objects.get(code="es-STO02")
    assert {point.name for point in made.points.all()} == {"active_power", "p_set"}
    assert made.points.get(name="active_power").deadband == 50
    assert AlarmRule.objects.get(subject="es-STO02/active_power", kind="high").limit == 5
    assert AuditEvent.objects.filter(action="create device", reason="clone of es-STO01").count() == 1


def test_a_clone_at_the_same_address_is_refused(engineer: Client, battery: Battery) -> None:
    page = url("device_clone", battery.device.pk)
    answer = engineer.post(page, read_form(engineer, page) | {"code": "es-STO02"})
    assert "same address" in str(answer.context["form"].errors["address"])
    assert not Device.objects.filter(code="es-STO02").exists()


def test_a_rule_is_made_again_for_another_point(engineer: Client, battery: Battery) -> None:
    put_default_rules(battery.pilot)
    make_point(battery.device, "reactive_power", unit="var")
    rule = AlarmRule.objects.create(
        pilot=battery.pilot, device=battery.device, point=battery.power, subject="es-STO01/active_power",
        kind="high", limit=5, priority=2, what="Too much", own=True,
    )  # fmt: skip
    page = url("alarmrule_clone", rule.pk)
    assert engineer.post(page, {"point": "es-STO01/reactive_power", "kind": "high"}).status_code == 302
    assert AlarmRule.objects.get(subject="es-STO01/reactive_power", kind="high").what == "Too much"
    told = engineer.get(url("alarmrule_history", AlarmRule.objects.get(subject="es-STO01/reactive_power", kind="high").pk))
    assert [each["entry"].history_type for each in told.context["rows"]] == ["+"]
    assert "clone of es-STO01/active_power: high" in told.content.decode()
    again = engineer.post(page, {"point": "es-STO01/reactive_power", "kind": "high"})
    assert "has a rule of this kind" in str(again.context["form"].errors["kind"])


def test_the_present_state_stands_beside_the_configuration(engineer: Client, battery: Battery) -> None:
    told = engineer.get(url("connection_live"), {"ids": battery.connection.pk}).json()["rows"]
    assert told[str(battery.connection.pk)]["state_now"] == "up"
    told = engineer.get(url("point_live"), {"ids": f"{battery.power.pk},nonsense"}).json()["rows"]
    assert told == {str(battery.power.pk): {"live": "–", "quality": "never received", "age": "–"}}


@pytest.mark.parametrize("name", ["point_import", "device_import", "point_changelist", "alarmrule_changelist"])
def test_no_page_has_inline_code(engineer: Client, name: str) -> None:
    reader = FormReader()
    reader.feed(engineer.get(url(name)).content.decode())
    assert reader.inline_code == []


def test_a_job_switched_off_is_audited(superuser: Client) -> None:
    rhythm = IntervalSchedule.objects.create(every=10, period="seconds")
    job = PeriodicTask.objects.create(name="a job", task="pilots.tasks.notify", interval=rhythm)
    page = reverse("admin:django_celery_beat_periodictask_changelist")
    superuser.post(page, {"action": "disable_tasks", "_selected_action": [job.pk]})
    job.refresh_from_db()
    event = AuditEvent.objects.get()
    assert (job.enabled, event.action, event.subject) == (False, "disable tasks periodic task", "a job: every 10 seconds")


def test_each_deed_at_a_rhythm_is_in_the_audit_trail(superuser: Client) -> None:
    place = "admin:django_celery_beat_intervalschedule"
    add = reverse(f"{place}_add")
    assert superuser.post(add, read_form(superuser, add) | {"every": 5, "period": "minutes"}).status_code == 302
    rhythm = IntervalSchedule.objects.get(every=5, period="minutes")
    change, delete = (reverse(f"{place}_{deed}", args=[rhythm.pk]) for deed in ("change", "delete"))
    assert superuser.post(change, read_form(superuser, change) | {"every": 7}).status_code == 302
    assert superuser.post(delete, {"post": "yes"}).status_code == 302
    assert list(AuditEvent.objects.order_by("pk").values_list("action", "subject", "actor")) == [
        ("create interval", "every 5 minutes", "root"),
        ("change interval", "every 7 minutes", "root"),
        ("delete interval", "every 7 minutes", "root"),
    ]
