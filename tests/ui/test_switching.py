"""Switching from the pages: select, the password again, operate, a second person; who may and what is said (S10, S11, S12)."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from pilots.models import AuditEvent, Point, Role, RoleGrant, Selection, Setpoint, User
from pilots.ui.step_up import STEPPED_UP_AT
from tests.builders import make_device, make_latest, make_pilot, make_point
from tests.ui.conftest import Plant, client_of

PASSWORD = "correct horse battery"
LABELS = {"1": "open", "2": "closed"}
CAPABILITY = {"minimum": 1, "maximum": 2, "step": 1, "tolerance": 0, "response_time_s": 5}
FORM = {"device": "es-STO01", "point": "position_cmd", "value": "1", "reason": "work on line 2"}


@pytest.fixture
def breaker(plant: Plant) -> Point:
    position = make_point(plant.storage, "position", kind="status", unit="", labels=LABELS)
    make_latest(position, 2.0)
    form = {"kind": "command", "unit": "", "labels": LABELS, "feedback": "position", "capability": CAPABILITY}
    return make_point(plant.storage, "position_cmd", **form)


@pytest.fixture
def proved(operator: Client, breaker: Point) -> Client:
    """The operator, who has just given the password again."""
    prove(operator)
    return operator


def prove(client: Client) -> None:
    session = client.session
    session[STEPPED_UP_AT] = datetime.now(UTC).timestamp()
    session.save()


def post(client: Client, path: str, form: dict[str, Any] | None = None) -> Any:
    return client.post(path, form or {}, headers={"Accept": "application/json"})


def selected(client: Client, **changes: str) -> str:
    answer = post(client, "/pilots/es/selections/", FORM | changes)
    assert answer.status_code == 201, answer.content
    return f"/pilots/es/selections/{answer.json()['id']}"


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def approver(plant: Plant, username: str = "petra") -> Client:
    client = client_of(Role.APPROVER, username, pilot=plant.pilot)
    prove(client)
    return client


def two_persons(plant: Plant, client: Client) -> str:
    """The path of a selection that waits for a second person."""
    plant.pilot.four_eyes = "all"
    plant.pilot.save()
    path = selected(client)
    assert post(client, f"{path}/approval").status_code == 204
    return path


def test_a_breaker_is_selected_looked_at_and_operated(proved: Client, breaker: Point) -> None:
    path = selected(proved)
    html = proved.get(f"{path}/").content.decode()
    for words in ("es-STO01", "closed → <b>open</b>", "work on line 2", "Open es-STO01 now", 'data-left-ms="'):
        assert words in html
    answer = post(proved, f"{path}/operate", {"value": "1"})
    assert (answer.status_code, answer.json()["state"], answer.json()["label"]) == (202, "validated", "open")
    setpoint = Setpoint.objects.get()
    assert (setpoint.kind, setpoint.requested_by, setpoint.reason) == ("command", "olaf", "work on line 2")
    assert "The selection is over" in proved.get(f"{path}/").content.decode()


def test_the_dialog_tells_what_would_refuse_and_closes_the_button(proved: Client, breaker: Point) -> None:
    breaker.capability = CAPABILITY | {"interlock": "abs(active_power) < 100", "interlock_words": "No load"}
    breaker.save()
    html = proved.get(f"{selected(proved)}/").content.decode()
    assert "No load: abs(active_power) &lt; 100 does not hold, active_power is 20000." in html
    assert re.search(r"<button class=\"primary\" disabled data-never>Open es-STO01 now", html)


def test_s10_operate_late_with_another_value_or_in_another_session_is_refused(proved: Client, breaker: Point) -> None:
    path = selected(proved)
    assert code(post(proved, f"{path}/operate", {"value": "2"})) == (409, "selection_differs")
    assert code(post(proved, f"{path}/operate", {"value": "nan"})) == (422, "malformed")
    elsewhere = Client()
    elsewhere.force_login(User.objects.get(username="olaf"), backend="django.contrib.auth.backends.ModelBackend")
    prove(elsewhere)
    other = client_of(Role.OPERATOR, "otto", pilot=breaker.device.pilot)
    prove(other)
    for client in (elsewhere, other):
        assert code(post(client, f"{path}/operate", {"value": "1"})) == (403, "other_session")
        assert code(post(client, f"{path}/cancel")) == (403, "other_session")
        assert code(post(client, "/pilots/es/selections/", FORM)) == (409, "already_selected")
    Selection.objects.update(selected_at=datetime(2026, 1, 1, tzinfo=UTC), until=datetime(2026, 1, 2, tzinfo=UTC))
    assert code(post(proved, f"{path}/operate", {"value": "1"})) == (409, "selection_over")
    assert not Setpoint.objects.exists()
    assert AuditEvent.objects.filter(action="refuse operate").count() == 4


def test_s10_a_command_posted_as_a_set_point_is_refused_and_kept_in_the_trail(proved: Client, breaker: Point) -> None:
    body = {"device": "es-STO01", "point": "position_cmd", "value": 1, "unit": "", "valid_for_s": 60, "reason": ""}
    answer = proved.post("/pilots/es/setpoints/", json.dumps(body), content_type="application/json")
    assert code(answer) == (403, "not_selected")
    assert AuditEvent.objects.get(action="refuse command").actor == "olaf"
    assert not Setpoint.objects.exists()


def test_a_cancelled_selection_switches_nothing(proved: Client, breaker: Point) -> None:
    path = selected(proved)
    assert post(proved, f"{path}/cancel").status_code == 204
    assert code(post(proved, f"{path}/operate", {"value": "1"})) == (409, "selection_over")
    assert not Setpoint.objects.exists()


def test_who_may_only_look_selects_nothing(viewer: Client, breaker: Point) -> None:
    prove(viewer)
    assert code(post(viewer, "/pilots/es/selections/", FORM)) == (403, "not_authorised")
    assert "data-select" not in viewer.get("/pilots/es/faceplate/es-STO01/").content.decode()


def test_nothing_of_another_pilot_is_selected_or_operated(proved: Client, breaker: Point) -> None:
    make_device(make_pilot("de"), "de-STO01")
    assert post(proved, "/pilots/es/selections/", FORM | {"device": "de-STO01"}).status_code == 404
    path = selected(proved).replace("/es/", "/de/")
    assert post(proved, f"{path}/operate", {"value": "1"}).status_code == 404


def test_the_faceplate_offers_each_value_of_a_command_and_no_form_for_the_password(operator: Client, breaker: Point) -> None:
    html = operator.get("/pilots/es/faceplate/es-STO01/").content.decode()
    assert re.findall(r'name="value" value="(\d)">(\w+)…', html) == [("1", "Open"), ("2", "Close")]
    for page in ("/", "/pilots/es/", "/pilots/es/faceplate/es-STO01/"):
        assert 'type="password"' not in operator.get(page).content.decode()


@pytest.mark.parametrize("seconds_ago", [None, 301.0, -60.0])
def test_s11_a_direct_post_without_step_up_is_403_whatever_the_step(
    operator: Client, breaker: Point, seconds_ago: float | None
) -> None:
    prove(operator)
    path = selected(operator)
    session = operator.session
    session.pop(STEPPED_UP_AT)
    if seconds_ago is not None:
        session[STEPPED_UP_AT] = datetime.now(UTC).timestamp() - seconds_ago
    session.save()
    assert code(post(operator, "/pilots/es/selections/", FORM)) == (403, "step_up_required")
    assert code(post(operator, f"{path}/operate", {"value": "1"})) == (403, "step_up_required")
    assert not Setpoint.objects.exists()
    assert AuditEvent.objects.filter(details__code="step_up_required").count() == 2


def test_s11_the_password_again_opens_critical_commands_for_this_session_only(operator: Client, breaker: Point) -> None:
    cache.clear()
    user = User.objects.get(username="olaf")
    user.set_password(PASSWORD)
    user.save()
    here, there = Client(), Client()
    for client in (here, there):
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    assert 'type="password"' in here.get("/step-up/").content.decode()
    assert code(post(here, "/step-up/", {"password": "wrong"})) == (403, "wrong_password")
    assert post(here, "/step-up/", {"password": PASSWORD}).status_code == 204
    assert code(post(there, "/pilots/es/selections/", FORM)) == (403, "step_up_required")
    assert post(here, "/pilots/es/selections/", FORM).status_code == 201
    assert list(AuditEvent.objects.order_by("pk").values_list("action", flat=True)[:2]) == ["refuse step up", "step up"]


def test_s11_guessing_the_password_is_limited_together_with_the_login(operator: Client, breaker: Point) -> None:
    cache.clear()
    answers = [code(post(operator, "/step-up/", {"password": f"guess {n}"})) for n in range(7)]
    assert answers == [(403, "wrong_password")] * 5 + [(429, "rate_limited")] * 2
    login = Client().post("/accounts/login/", {"login": "olaf", "password": "guess"})
    assert b"Too many" in login.content
    cache.clear()


def test_a_selection_needs_a_reason(proved: Client, breaker: Point) -> None:
    answer = post(proved, "/pilots/es/selections/", FORM | {"reason": " "})
    assert (code(answer), answer.json()["field"]) == ((422, "reason_missing"), "reason")


def test_s12_a_second_person_agrees_on_their_own_page_and_the_first_operates(
    proved: Client, breaker: Point, plant: Plant
) -> None:
    path = two_persons(plant, proved)
    assert "asked, no answer yet" in proved.get(f"{path}/").content.decode()
    assert code(post(proved, f"{path}/operate", {"value": "1"})) == (403, "approval_required")
    second = approver(plant)
    html = second.get("/approvals/").content.decode()
    assert "closed → <b>open</b>" in html and "olaf" in html
    approval = re.search(r"/approvals/([0-9a-f-]{36})/approve", html)
    assert approval is not None
    assert post(second, approval[0], {"reason": "seen"}).status_code == 204
    assert "petra agrees" in proved.get(f"{path}/").content.decode()
    assert post(proved, f"{path}/operate", {"value": "1"}).status_code == 202


def test_s12_self_approval_is_refused_even_with_the_right(proved: Client, breaker: Point, plant: Plant) -> None:
    RoleGrant.objects.create(user=User.objects.get(username="olaf"), role=Role.APPROVER, pilot=plant.pilot)
    path = two_persons(plant, proved)
    approval = Selection.objects.get().approval
    assert "You asked for this yourself" in proved.get("/approvals/?part=list").content.decode()
    assert code(post(proved, f"/approvals/{approval.pk}/approve")) == (403, "self_approval")
    assert code(post(proved, f"{path}/operate", {"value": "1"})) == (403, "approval_required")


def test_s12_an_operator_without_the_approvers_right_agrees_to_nothing(proved: Client, breaker: Point, plant: Plant) -> None:
    two_persons(plant, proved)
    other = client_of(Role.OPERATOR, "otto", pilot=plant.pilot)
    prove(other)
    assert post(other, f"/approvals/{Selection.objects.get().approval.pk}/approve").status_code == 404
    assert other.get("/approvals/").status_code == 404
    elsewhere = client_of(Role.APPROVER, "paul", pilot=make_pilot("de"))
    prove(elsewhere)
    assert post(elsewhere, f"/approvals/{Selection.objects.get().approval.pk}/approve").status_code == 404
    assert "Nothing waits" in elsewhere.get("/approvals/").content.decode()


def test_s12_a_second_person_who_does_not_agree_ends_it(proved: Client, breaker: Point, plant: Plant) -> None:
    path = two_persons(plant, proved)
    second = approver(plant)
    assert post(second, f"/approvals/{Selection.objects.get().approval.pk}/refuse", {"reason": "line 1 first"}).status_code == 204
    assert "petra does not agree: line 1 first. Nothing was switched." in proved.get(f"{path}/").content.decode()
    assert code(post(proved, f"{path}/operate", {"value": "1"})) == (409, "selection_over")


def test_the_frame_leads_to_the_approvals_of_who_may_give_them(operator: Client, plant: Plant) -> None:
    assert 'href="/approvals/"' not in operator.get("/").content.decode()
    assert 'href="/approvals/"' in approver(plant).get("/").content.decode()
