"""Schedules on pages: who sees and makes them, what the form reads, how they are drawn and cancelled."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.urls import reverse

from pilots.control.stepping import run_schedules
from pilots.domain.errors import SetpointRejected
from pilots.domain.schedule import Curve
from pilots.models import AuditEvent, FallbackRun, Role, Schedule
from pilots.ui.schedule_chart import schedule_figure
from pilots.ui.schedule_form import read_values
from tests.builders import make_latest, make_user
from tests.conftest import Battery

pytestmark = pytest.mark.django_db
MADRID = ZoneInfo("Europe/Madrid")


def signed_in(battery: Battery, role: Role) -> Client:
    client = Client()
    client.force_login(make_user(role, role=role, pilot=battery.pilot))
    return client


@pytest.fixture
def operator(battery: Battery) -> Client:
    return signed_in(battery, Role.OPERATOR)


def quarter(number: int = 0) -> datetime:
    """The beginning of a quarter hour, from the running one on, at the pilot's clock."""
    now = datetime.now(MADRID)
    return now.replace(minute=now.minute // 15 * 15, second=0, microsecond=0) + timedelta(minutes=15 * number)


def form(**fields: Any) -> dict[str, Any]:
    start = f"{quarter():%Y-%m-%dT%H:%M}"
    return {"point": "es-STO01/p_set", "start": start, "resolution": "PT15M", "values": "-20\n-12,5\n-\n30"} | fields


def made(operator: Client, **fields: Any) -> Schedule:
    answer = operator.post("/pilots/es/schedules/create", form(**fields))
    assert answer.status_code == 302, answer.content
    schedule = Schedule.objects.get()
    assert answer["Location"] == f"/pilots/es/schedules/{schedule.pk}/"
    return schedule


def test_a_new_form_is_empty_but_for_what_it_proposes(operator: Client) -> None:
    page = operator.get("/pilots/es/schedules/new/?point=es-STO01/p_set").content.decode()
    assert re.search(r"<textarea[^>]*></textarea>", page)
    assert '<option value="es-STO01/p_set" selected>' in page
    assert operator.post("/pilots/es/schedules/create", {}).content.decode().count("dict_values") == 0


def test_an_operators_form_is_a_schedule_in_the_units_of_the_point(operator: Client) -> None:
    schedule = made(operator, reason="peak", on_expiry="hold")
    assert schedule.values == [-20_000.0, -12_500.0, None, 30_000.0]
    assert schedule.start == quarter()
    assert (schedule.issuer, schedule.requested_by, schedule.state, schedule.on_expiry) == (
        "operator", "operator", "accepted", "hold",
    )  # fmt: skip


def test_another_value_for_gaps_and_the_end_is_given_in_the_form_and_told_on_the_page(operator: Client) -> None:
    schedule = made(operator, on_expiry="fallback", fallback_value="-2,5")
    assert (schedule.on_expiry, schedule.fallback_value) == ("fallback", -2_500.0)
    page = operator.get(f"/pilots/es/schedules/{schedule.pk}/").content.decode()
    assert "In a step without a value −2.5 kW is wanted, and the end leaves it there" in page


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"point": ""}, "point", "Choose the set-point"),
        ({"point": "es-STO01/none"}, "point", "Choose the set-point"),
        ({"start": "soon"}, "start", "as date and time"),
        ({"start": "2020-01-01T00:00"}, "start", "last step is over"),
        ({"resolution": "PT2M"}, "resolution", "how long a step is"),
        ({"values": " "}, "values", "one a line"),
        ({"values": "1\nx"}, "values", "Line 2: x is no number"),
        ({"values": "1\nnan"}, "values", "Line 2: nan is no number"),
        ({"values": "1\n1e400"}, "values", "is no number"),
        ({"values": "1\n200"}, "values", "200000 W is outside"),
        ({"values": "\n".join(["1"] * 193)}, "values", "at most 192 steps"),
        ({"values": "03:07; 5"}, "values", "the table says 03:07"),
        ({"on_expiry": "for_ever"}, "on_expiry", "in a gap"),
        ({"on_expiry": "fallback"}, "fallback_value", "wanted there"),
        ({"on_expiry": "fallback", "fallback_value": "200"}, "fallback_value", "A fallback of 200000 W is outside"),
    ],
)
def test_what_cannot_be_read_is_told_at_its_field_and_what_was_typed_stays(
    operator: Client, fields: dict[str, str], field: str, words: str
) -> None:
    answer = operator.post("/pilots/es/schedules/create", form(**fields))
    assert answer.status_code == 422
    page = answer.content.decode()
    assert words in page
    assert page.partition('aria-invalid="true"')[0].rpartition('name="')[2].startswith(field)
    assert form(**fields)["values"].strip().partition("\n")[0] in page
    assert Schedule.objects.count() == 0


def test_a_step_table_names_the_time_of_each_step() -> None:
    """Over the night when clocks go back: the hour that comes twice stands in it twice."""
    curve = Curve(start=datetime(2026, 10, 25, 0, 30, tzinfo=UTC), resolution_s=1800, values=())
    table = "02:30;1\n02:00\t2\n2026-10-25 02:30:00; \n03:00;−4"
    assert read_values(table, curve, factor=1000, zone=MADRID) == (1000.0, 2000.0, None, -4000.0)
    with pytest.raises(SetpointRejected, match="Line 2 begins at 02:00, the table says 03:00"):
        read_values("02:30;1\n03:00;2", curve, factor=1000, zone=MADRID)


def test_the_list_and_the_page_show_what_there_is(operator: Client, battery: Battery) -> None:
    assert "No schedules yet" in operator.get("/pilots/es/schedules/").content.decode()
    schedule = made(operator, reason="peak <b>")
    listed = operator.get("/pilots/es/schedules/").content.decode()
    assert reverse("schedule", args=["es", schedule.pk]) in listed
    assert "peak &lt;b&gt;" in listed
    assert "−20 kW to 30 kW" in listed
    page = operator.get(f"/pilots/es/schedules/{schedule.pk}/").content.decode()
    assert page.count("data-step=") == 4
    assert 'aria-current="step"' in page
    assert "due, not asked for" in page


def test_the_curve_is_drawn_against_the_measurement(operator: Client, battery: Battery) -> None:
    schedule = made(operator)
    make_latest(battery.power, -19_500.0, at=datetime.now(UTC))
    run_schedules(now=datetime.now(UTC))
    body = operator.get(f"/pilots/es/schedules/{schedule.pk}/data").json()
    assert (body["version"], body["steps"][0]["words"]) == ("1 running", "validated, waiting to be sent")
    wanted, measured = body["figure"]["data"]
    assert wanted["y"] == [-20.0, -20.0, -12.5, -12.5, None, None, 30.0, 30.0]
    assert wanted["x"][0] == f"{quarter():%Y-%m-%dT%H:%M}:00.000"
    assert measured["y"] == [-19.5]
    low, high = body["figure"]["layout"]["yaxis"]["range"]
    assert low < -20.0 < 30.0 < high
    later = schedule_figure(schedule, MADRID, schedule.end)
    assert (len(body["figure"]["layout"]["shapes"]), later["layout"]["shapes"]) == (1, [])


def test_a_draft_is_put_in_force_and_a_schedule_cancelled(operator: Client) -> None:
    schedule = made(operator, draft="1")
    assert "Put it in force" in operator.get(f"/pilots/es/schedules/{schedule.pk}/").content.decode()
    assert operator.post(f"/pilots/es/schedules/{schedule.pk}/accept").status_code == 204
    assert operator.post(f"/pilots/es/schedules/{schedule.pk}/cancel", {"reason": "storm"}).status_code == 204
    again = operator.post(f"/pilots/es/schedules/{schedule.pk}/cancel")
    assert (again.status_code, again.json()["reason"]) == (409, "The schedule is already cancelled.")
    schedule.refresh_from_db()
    assert (schedule.state, schedule.explanation) == ("cancelled", "storm")
    assert AuditEvent.objects.filter(action="cancel schedule", actor="operator", reason="storm").exists()


def test_a_viewer_sees_and_does_nothing(operator: Client, battery: Battery) -> None:
    schedule = made(operator)
    viewer = signed_in(battery, Role.VIEWER)
    page = viewer.get(f"/pilots/es/schedules/{schedule.pk}/")
    assert (page.status_code, "Cancel the schedule" in page.content.decode()) == (200, False)
    assert viewer.get("/pilots/es/schedules/new/").status_code == 403
    assert viewer.post("/pilots/es/schedules/create", form()).status_code == 403
    assert viewer.post(f"/pilots/es/schedules/{schedule.pk}/cancel").status_code == 403
    assert viewer.get(f"/pilots/es/schedules/{'0' * 8}-0000-0000-0000-{'0' * 12}/").status_code == 404


def test_a_fallback_plan_is_taken_over_on_the_faceplate(operator: Client, battery: Battery) -> None:
    run = FallbackRun.objects.create(
        point=battery.p_set, cause="platform_lost", value=0.0, owner="fallback plan", reason="Silence.", set_at=datetime.now(UTC)
    )
    face = operator.get("/pilots/es/faceplate/es-STO01/").content.decode()
    assert "Fallback plan: Power 0 kW" in face
    assert f"/pilots/es/fallbacks/{run.pk}/end" in face
    assert operator.post(f"/pilots/es/fallbacks/{run.pk}/end", {"reason": ""}).status_code == 409
    assert operator.post(f"/pilots/es/fallbacks/{run.pk}/end", {"reason": "by hand"}).status_code == 204
    run.refresh_from_db()
    assert (run.removed_by, run.overridden) == ("operator", True)
