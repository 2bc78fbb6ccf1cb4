"""The list of all set-points, the page of one, and a faceplate by the keyboard alone: followed live, ended by a click."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page

from tests.journeys.browser import Visitor
from tests.journeys.installation import Installation

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("scada", ["embedded"], indirect=True, scope="session")]
FOCUSED = "document.activeElement.name ?? document.activeElement.className"
ROW = 'tr[data-setpoint="{}"]'


def send(scada: Installation, person: Visitor, code: str, device: str, value: float) -> str:
    """An operator's wish for a battery, as the pages post it; its id."""
    page = person.go(f"/pilots/{code}/?device={device}")
    token = page.locator("input[name=csrfmiddlewaretoken]").first.get_attribute("value")
    body = {"device": device, "point": "p_set", "value": value, "unit": "W", "valid_for_s": 600, "reason": "journey"}
    headers = {"X-CSRFToken": str(token), "Referer": scada.url + "/"}
    answer = person.context.request.post(f"{scada.url}/pilots/{code}/setpoints/", data=body, headers=headers)
    assert answer.status == 202, answer.text()
    return str(answer.json()["id"])


def reach(page: Page, state: str) -> None:
    """The page of one set-point tells this state, by itself."""
    page.locator(f'[data-part=head][data-state="{state}"]').wait_for()


def record_of(scada: Installation, number: str) -> dict[str, Any]:
    return dict(scada.api.setpoint(number))


def test_a_new_set_point_comes_into_the_list_and_is_followed_there_without_a_reload(
    scada: Installation, visitor: Visitor
) -> None:
    page = visitor.go("/setpoints/?device=de-STO01&issuer=platform")
    page.locator("[data-state-live]:has-text('Live')").wait_for()
    page.evaluate("window.untouched = true")
    number = scada.api.ask("de-STO01", "p_set", 800.0).json()["id"]
    page.locator(f'{ROW.format(number)}[data-state="executed"]').wait_for()
    assert page.locator(f"{ROW.format(number)} circle.on").count() == 4
    other = scada.api.ask("de-STO02", "p_set", 800.0).json()["id"]
    scada.until(lambda: record_of(scada, other)["state"] == "executed", 20, "executed elsewhere")
    assert page.locator(ROW.format(other)).count() == 0
    assert page.evaluate("window.untouched") is True
    assert visitor.faults == []


def test_the_list_is_filtered_walked_and_opened_by_keys(scada: Installation, visitor: Visitor) -> None:
    numbers = [scada.api.ask("bg-STO01", "p_set", value).json()["id"] for value in (1000.0, 2000.0)]
    page = visitor.go("/setpoints/")
    page.locator(ROW.format(numbers[0])).wait_for()
    page.keyboard.press("/")
    page.keyboard.type("bg-sto01")
    page.keyboard.press("Enter")
    page.wait_for_url("**/setpoints/?text=bg-sto01**")
    assert {row.inner_text().split()[0] for row in page.locator("tr[data-setpoint] a.open").all()} == {"bg-STO01"}
    for key in ("j", "ArrowDown", "k"):
        page.keyboard.press(key)
    focused = page.evaluate("document.activeElement.closest('tr').rowIndex")
    assert focused == 1
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-part=timeline]")
    with page.expect_download() as download:
        visitor.page.evaluate("location.href = '/setpoints/export.csv?device=bg-STO01'")
    lines = download.value.path().read_text().splitlines()
    assert set(numbers) <= {line.split(",")[0] for line in lines[1:]}
    assert visitor.faults == []


def test_a_set_points_page_follows_it_to_its_proof_with_the_measurement_drawn(scada: Installation, visitor: Visitor) -> None:
    number = send(scada, visitor, "de", "de-STO90", 7_000.0)
    page = visitor.go(f"/setpoints/{number}/")
    reach(page, "executed")
    events = [row.get_attribute("data-event") for row in page.locator("tr[data-event]").all()]
    assert events == ["received", "validated", "dispatched", "executed"]
    page.locator("details[data-fold] summary").first.click()
    assert page.locator("details[data-fold] code").first.inner_text()
    page.wait_for_selector("[data-chart] .scatterlayer .trace", state="attached")
    assert page.locator("[data-part=head] [data-countdown]").inner_text().startswith("ends in")
    assert page.locator(f'a[href="/audit/?text={number}"]').count() == 1
    assert visitor.faults == []


def test_back_to_automatic_is_one_click_that_says_before_what_it_does(scada: Installation, visitor: Visitor) -> None:
    number = send(scada, visitor, "es", "es-STO01", 9_000.0)
    page = visitor.go(f"/setpoints/{number}/")
    reach(page, "executed")
    deed = page.locator('[data-automatic="es-STO01/p_set"]')
    assert "0.0 kW is written to es-STO01 now." in deed.inner_text()
    deed.locator("button:enabled").click()
    page.locator('[data-automatic="es-STO01/p_set"]').wait_for(state="detached")
    record = record_of(scada, number)
    assert (record["state"], record["active"]) == ("executed", False)
    newest = scada.api.get("setpoints", device="es-STO01")["results"][0]
    assert (newest["issuer"], newest["value"], newest["requested_by"]) == ("fallback", 0.0, "admin")
    assert visitor.faults == []


def test_a_set_point_of_the_platform_is_cancelled_from_its_page(scada: Installation, visitor: Visitor) -> None:
    number = scada.api.ask("de-STO03", "p_set", 800.0).json()["id"]
    page = visitor.go(f"/setpoints/{number}/")
    reach(page, "executed")
    page.locator("[data-cancel]:enabled").click()
    page.locator("[data-cancel]").wait_for(state="detached")
    scada.until(lambda: not record_of(scada, number)["active"], 20, "the platform's set-point to end")
    assert visitor.faults == []


def test_a_set_point_is_sent_refused_mended_and_proved_by_the_keyboard_alone(scada: Installation, visitor: Visitor) -> None:
    page = visitor.open_faceplate("es", "es-STO01")
    page.locator('.device[data-device="es-STO01"]').focus()
    page.keyboard.press("Enter")
    assert page.evaluate(FOCUSED) == "direction"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Tab")
    page.keyboard.type("12.34")
    form = page.locator('form[data-setpoint][data-point="p_set"]')
    assert "more than now" in form.locator("[data-effect]").inner_text()
    page.keyboard.press("Enter")
    form.locator("[data-refused]:not([hidden])").wait_for()
    assert "goes in steps of 100 W" in form.locator("[data-refused]").inner_text()
    assert page.evaluate(FOCUSED) == "value"
    page.keyboard.press("Escape")
    assert form.locator("[name=value]").input_value() == ""
    assert page.evaluate(FOCUSED) == "value"
    page.keyboard.type("13")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type("by keyboard")
    page.keyboard.press("Enter")
    form.locator('[data-progress][data-state="executed"]').wait_for()
    assert form.locator("[data-progress] li.on").count() == 4
    assert page.evaluate(FOCUSED) == "reason"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.dataset.device") == "es-STO01"
    newest = scada.api.get("setpoints", device="es-STO01")["results"][0]
    assert (newest["value"], newest["request_reason"]) == (-13_000.0, "by keyboard")
    # The one refusal is all that the console has to tell.
    assert [fault for fault in visitor.faults if "status of 422" not in fault] == []
