"""A breaker and a charge point from a browser: select, the password, operate, to executed at the simulated equipment."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page

from tests.journeys.browser import Visitor
from tests.journeys.installation import PASSWORD, Installation

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("scada", ["embedded"], indirect=True, scope="session")]

EXECUTED = """([before, label]) => {
    const row = document.querySelector("[data-life] li[data-setpoint-id]");
    return row && !before.includes(row.dataset.setpointId) && row.dataset.state === "executed"
        && row.querySelector(".num").textContent === label;
}"""
CHOSEN = "[data-selection][data-state=selected]"


def select(page: Page, point: str, value: int, reason: str) -> None:
    """The command is selected; the password is given where it is asked for."""
    form = page.locator(f'form[data-select]:has(input[name=point][value="{point}"])')
    form.locator("[name=reason]").fill(reason)
    form.locator(f'button[value="{value}"]').click()
    page.locator(f"{CHOSEN}, [data-step-up-form]").first.wait_for()
    if page.locator("[data-step-up-form]").count():
        page.locator("[data-step-up-form] [name=password]").fill(PASSWORD)
        page.locator("[data-step-up-form] .primary").click()
    page.locator(CHOSEN).wait_for()


def switched(scada: Installation, page: Page, device: str, label: str) -> dict[str, Any]:
    """What was selected is operated; its record once the equipment shows it."""
    before = [record["id"] for record in scada.api.get("setpoints", device=device)["results"]]
    page.locator("[data-step=operate] button:enabled").click()
    page.wait_for_function(EXECUTED, arg=[before, label])
    number = page.locator("[data-life] li[data-setpoint-id]").first.get_attribute("data-setpoint-id")
    record: dict[str, Any] = scada.api.setpoint(str(number))
    assert [event["state"] for event in record["events"]] == ["received", "validated", "dispatched", "executed"]
    assert (record["kind"], record["label"], record["requested_by"]) == ("command", label, "admin")
    return record


def unexpected(visitor: Visitor) -> list[str]:
    """The password is asked for by a refusal, which the browser's console notes; nothing else may stand there."""
    return [fault for fault in visitor.faults if "status of 403" not in fault]


@pytest.mark.parametrize(
    ("code", "device", "point", "steps"),
    [
        ("es", "es-SW04", "position_cmd", [(1, "open"), (2, "closed")]),
        ("de", "de-SW01", "position_cmd", [(1, "open"), (2, "closed")]),
        ("nl", "nl-EVSE02", "enable", [(0, "disabled"), (1, "enabled")]),
    ],
    ids=["iec104", "modbus", "ocpp"],
)
def test_a_command_from_the_page_is_selected_looked_at_operated_and_executed(
    scada: Installation, visitor: Visitor, code: str, device: str, point: str, steps: list[tuple[int, str]]
) -> None:
    page = visitor.open_faceplate(code, device)
    for value, label in steps:
        select(page, point, value, "journey of switching")
        told = page.locator("[data-selection]").inner_text()
        assert device in told and label in told and "journey of switching" in told
        record = switched(scada, page, device, label)
        assert page.locator("[data-selection]").count() == 0
    if code == "es":
        # The telecontrol unit wants its own select: it got one within the dispatch.
        dispatched = next(event for event in record["events"] if event["state"] == "dispatched")
        assert "select" in dispatched["raw"]
    assert unexpected(visitor) == []


def test_what_is_cancelled_or_waits_too_long_switches_nothing(scada: Installation, visitor: Visitor) -> None:
    before = scada.api.get("setpoints", device="es-SW02")["results"]
    page = visitor.open_faceplate("es", "es-SW02")
    select(page, "position_cmd", 2, "to be cancelled")
    page.locator("[data-step=cancel] button").click()
    page.locator("[data-selection]").wait_for(state="detached")
    select(page, "position_cmd", 2, "to be left alone")
    page.locator("[data-over]:not([hidden])").wait_for()
    assert page.locator("[data-step] button:enabled").count() == 0
    assert scada.api.get("setpoints", device="es-SW02")["results"] == before
    assert unexpected(visitor) == []


APPROVER = """
from pilots.models import Pilot, RoleGrant, User
user, _ = User.objects.get_or_create(username="petra")
user.set_password("approver-of-the-journeys")
user.save()
RoleGrant.objects.get_or_create(user=user, pilot=None, role="approver")
Pilot.objects.filter(code="es").update(four_eyes="%s")
"""


def test_a_second_person_agrees_in_a_window_of_their_own(scada: Installation, visitor: Visitor, viewer: Visitor) -> None:
    scada.manage("shell", "-c", APPROVER % "critical")
    try:
        page = visitor.open_faceplate("es", "es-SW04")
        select(page, "position_cmd", 1, "two of us")
        page.locator("[data-step=approval] button").click()
        page.locator("[data-state=awaiting_approval]").wait_for()
        viewer.context.clear_cookies()
        viewer.sign_in("petra", "approver-of-the-journeys")
        other = viewer.go("/approvals/")
        other.locator("[data-approval] button.primary").click()
        other.locator("[data-step-up-form] [name=password]").fill("approver-of-the-journeys")
        other.locator("[data-step-up-form] .primary").click()
        other.locator("[data-approval]").wait_for(state="detached")
        page.locator("[data-state=approved]").wait_for()
        assert "petra agrees" in page.locator("dd[data-approval]").inner_text()
        switched(scada, page, "es-SW04", "open")
    finally:
        scada.manage("shell", "-c", APPROVER % "none")
    select(page, "position_cmd", 2, "as it was")
    switched(scada, page, "es-SW04", "closed")
    assert unexpected(visitor) + unexpected(viewer) == []
