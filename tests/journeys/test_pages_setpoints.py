"""The three set-points from a browser, in both modes, and who may not send one."""

from __future__ import annotations

import pytest

from tests.journeys.browser import Visitor
from tests.journeys.installation import Installation

pytestmark = pytest.mark.browser

#: Pilot, device, point, what is typed (kW), direction, the value that arrives (W).
THREE = [
    ("es", "es-STO01", "p_set", "18", "1", 18_000.0),
    ("de", "de-STO90", "p_set", "11", "-1", -11_000.0),
    ("nl", "nl-EVSE01", "p_limit", "5", None, 5_000.0),
]


EXECUTED = """before => {
    const row = document.querySelector("[data-life] li[data-setpoint-id]");
    return row && !before.includes(row.dataset.setpointId) && row.dataset.state === "executed";
}"""


@pytest.mark.parametrize(("code", "device", "point", "typed", "direction", "value"), THREE)
def test_a_setpoint_from_the_page_is_followed_step_by_step_until_executed(
    scada: Installation, visitor: Visitor, code: str, device: str, point: str, typed: str, direction: str | None, value: float
) -> None:
    page = visitor.open_faceplate(code, device)
    form = page.locator(f'form[data-setpoint][data-device="{device}"][data-point="{point}"]')
    if direction is not None:
        form.locator(f'input[name=direction][value="{direction}"]').check()
    form.locator("[name=value]").fill(typed)
    form.locator("[name=reason]").fill("journey from the page")
    button = form.locator("[data-send]")
    assert typed in button.inner_text()
    before = [record["id"] for record in scada.api.get("setpoints", device=device)["results"]]
    button.click()
    row = page.locator("[data-life] li[data-setpoint-id]").first
    # 20 s are the issue's own limit; older set-points of other journeys may stand in the list.
    page.wait_for_function(EXECUTED, arg=before, timeout=20_000)
    number = row.get_attribute("data-setpoint-id")
    record = scada.api.setpoint(str(number))
    assert [event["state"] for event in record["events"]] == ["received", "validated", "dispatched", "executed"]
    assert (record["value"], record["issuer"], record["requested_by"]) == (value, "operator", "admin")
    assert record["request_reason"] == "journey from the page"
    assert row.locator("svg.steps circle.on").count() == 4
    # It counts down and says what comes next; afterwards it says why it ended.
    assert record["active"] and record["ends_in_s"] > 0
    row.locator("[data-ends]", has_text="ends in").wait_for()
    assert ("by itself" if code == "nl" else "0.0 kW is written") in row.inner_text()
    row.locator("button").click()
    page.locator(f'[data-life] li[data-setpoint-id="{number}"]:not(:has(button))').wait_for()
    page.locator(f'[data-life] li[data-setpoint-id="{number}"]', has_text="Ended by admin.").wait_for()
    assert visitor.faults == []


@pytest.mark.parametrize("scada", ["embedded"], indirect=True, scope="session")
def test_another_value_at_its_end_is_chosen_at_the_faceplate_and_told_everywhere(scada: Installation, visitor: Visitor) -> None:
    page = visitor.open_faceplate("de", "de-STO90")
    form = page.locator('form[data-setpoint][data-device="de-STO90"][data-point="p_set"]')
    form.locator('input[name=direction][value="1"]').check()
    form.locator("[name=value]").fill("9")
    # SunSpec has a reversion timer, so a hold is offered too; without the value nothing can be sent.
    assert form.locator("[name=ending] option").all_inner_texts() == [
        "give the point back",
        "write nothing: the device ends it",
        "write another value",
    ]
    form.locator("[name=ending]").select_option("fallback")
    assert form.locator("[data-send]").is_disabled()
    form.locator("[name=fallback]").fill("4")
    form.locator("[name=fallback_turn]").select_option("-1")
    assert "then −4.0 kW is written and the point is free" in form.locator("[data-until]").inner_text()
    form.locator("[data-send]").click()
    form.locator("[data-progress] a").click()
    page.locator("[data-part=facts] dd", has_text="then −4.0 kW is written and the point is free").wait_for()
    page.locator('[data-part=head][data-state="executed"]', has_text="then −4.0 kW is written").wait_for()
    (record,) = scada.api.get("setpoints", device="de-STO90", limit=1)["results"]
    assert (record["on_expiry"], record["fallback_value"]) == ("fallback", -4_000.0)
    assert scada.api.send("POST", f"setpoints/{record['id']}/cancel", json={}).status_code == 200
    assert visitor.faults == []


@pytest.mark.parametrize("scada", ["embedded"], indirect=True, scope="session")
def test_a_setpoint_that_the_checks_refuse_says_why_beside_the_form(scada: Installation, visitor: Visitor) -> None:
    before = len([entry for entry in scada.ledger("writes") if entry["device"] == "es-STO01"])
    page = visitor.open_faceplate("es", "es-STO01")
    form = page.locator('form[data-setpoint][data-device="es-STO01"][data-point="p_set"]')
    form.locator('input[name=direction][value="1"]').check()
    form.locator("[name=value]").fill("18.03")
    form.locator("[data-send]").click()
    form.locator("[data-refused]", has_text="goes in steps of 100 W").wait_for()
    record = scada.api.get("setpoints", device="es-STO01", state="rejected")["results"][0]
    assert (record["code"], record["value"]) == ("out_of_range", 18_030.0)
    assert len([entry for entry in scada.ledger("writes") if entry["device"] == "es-STO01"]) == before


@pytest.mark.parametrize("scada", ["embedded"], indirect=True, scope="session")
def test_a_viewer_sees_why_it_may_not_switch_and_the_server_refuses_it_too(scada: Installation, viewer: Visitor) -> None:
    page = viewer.open_faceplate("es", "es-STO01")
    assert page.locator("form[data-setpoint] [data-send]:enabled").count() == 0
    assert "not switch" in page.locator("[data-face-inside]").inner_text()
    assert viewer.faults == []
    token = next(cookie["value"] for cookie in viewer.context.cookies() if cookie["name"] == "csrftoken")
    answer = viewer.context.request.post(
        f"{scada.url}/pilots/es/setpoints/",
        data={"device": "es-STO01", "point": "p_set", "value": 1000, "unit": "W", "valid_for_s": 60},
        headers={"X-CSRFToken": token, "Referer": scada.url + "/"},
    )
    assert answer.status == 403
