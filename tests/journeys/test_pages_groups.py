"""One target for three batteries by the keyboard: chosen, looked at, sent, followed to its proof, aborted."""

from __future__ import annotations

import pytest

from tests.journeys.browser import Visitor
from tests.journeys.installation import Installation
from tests.journeys.test_setpoints import writes

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("scada", ["embedded"], indirect=True, scope="session")]
FLEET = ("de-STO05", "de-STO06", "de-STO07")


def test_s20_a_group_is_chosen_previewed_sent_followed_and_aborted_by_the_keyboard(scada: Installation, visitor: Visitor) -> None:
    before = {device: len(writes(scada, device, "p_set")) for device in FLEET}
    page = visitor.go("/pilots/de/")
    page.get_by_role("link", name="Group set-point…").press("Enter")
    for device in FLEET:
        page.locator(f'[name=member][value="{device}"]').press("Space")
    assert page.locator("[data-sum]").inner_text().startswith("3 chosen")
    page.locator("[name=direction]:checked").press("ArrowLeft")
    page.locator("[data-group-form] [name=value]").press_sequentially("3.6")
    page.locator("[data-group-form] [name=reason]").press_sequentially("journey")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-preview]")
    assert page.locator("tfoot .share").inner_text() == "→ 3.6 kW"
    assert page.evaluate("document.activeElement.textContent").startswith("Charge 3.6 kW with 3 devices until")
    page.keyboard.press("Enter")

    page.wait_for_selector('[data-part=head][data-state="in_force"]')
    number = page.url.rstrip("/").rpartition("/")[2]
    record = scada.api.get(f"setpoint-groups/{number}")
    assert [(each["device"], each["state"]) for each in record["members"]] == [(device, "executed") for device in FLEET]
    assert abs(record["measured"] - 3_600.0) <= 3 * 80  # each within its tolerance
    page.locator("tfoot .v .n").get_by_text("3.").wait_for()

    page.locator(".abort [name=reason]").press_sequentially("enough")
    page.keyboard.press("Enter")
    page.wait_for_selector('[data-part=head][data-state="aborted"]')
    page.locator("tbody .said .why").nth(2).wait_for()
    for each in record["members"]:
        device, share = each["device"], each["share"]

        def written(device: str = device) -> list[float]:
            return [entry["value"] for entry in writes(scada, device, "p_set", before[device])]

        scada.until(lambda written=written: written()[-1] == 0.0, 20, f"{device} given back")
        # The reversion timer of such a battery is wound up by writing the share again; nothing else was ever written.
        assert (written()[0], set(written())) == (share, {share, 0.0})
    assert visitor.faults == []
