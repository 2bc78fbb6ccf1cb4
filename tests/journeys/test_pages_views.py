"""An engineer's round in a browser: the SGAM view and its way to the faceplate, the use cases, the alarm rules as a table."""

from __future__ import annotations

import csv
import io

import pytest

from tests.journeys.browser import Visitor
from tests.journeys.installation import Installation

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("scada", ["embedded"], indirect=True, scope="session")]
WHAT_IF = "The battery trips and stays off."


def test_the_model_shows_live_links_and_leads_to_faceplates_and_use_cases(scada: Installation, visitor: Visitor) -> None:
    page = visitor.go("/pilots/es/sgam/?layer=communication")
    link = page.locator('[data-keys="a|es-SCADA|es-RTU01"]')
    link.locator("[data-letter].up").wait_for()
    page.locator('a.label[data-line="a|es-SCADA|es-RTU01"] .chip.up').wait_for()
    assert "link=a%7Ces-SCADA" in str(page.get_attribute('a.way[data-line="a|es-SCADA|es-RTU01"]', "href"))
    link.click()
    page.wait_for_url("**/pilots/es/links/?link=*")
    page = visitor.go("/pilots/es/sgam/")
    page.click("a:text-is('es-STO01')")
    page.locator("[data-face] h2:has-text('es-STO01')").wait_for()
    page.click("summary:has-text('UC-2-STO')")
    page.locator(".caseitems li:has-text('state of charge'):has-text('live and good')").wait_for()
    page = visitor.go("/pilots/es/use-cases/")
    assert page.locator("section:has(#UC-3-GEN) tbody tr").count() == 11
    assert visitor.faults == []


def test_alarm_rules_are_taken_changed_compared_and_applied(scada: Installation, visitor: Visitor) -> None:
    page = visitor.go("/pilots/es/commissioning/alarms/")
    with page.expect_download() as download:
        page.click("a[href$='rules.csv']")
    taken = list(csv.DictReader(io.StringIO(download.value.path().read_text("utf-8-sig"))))
    row = next(row for row in taken if (row["subject"], row["kind"]) == ("es-STO01/temperature", "high_high"))
    table = io.StringIO()
    writer = csv.DictWriter(table, row)
    writer.writeheader()
    writer.writerow(row | {"consequence": WHAT_IF, "respond_s": "300"})
    file = {"name": "rules.csv", "mimeType": "text/csv", "buffer": table.getvalue().encode()}
    page.set_input_files("[name=file]", files=[file])  # type: ignore[list-item]
    page.click("button:has-text('Compare')")
    page.locator(f".difflist tr:has-text('es-STO01/temperature: high_high'):has-text('{WHAT_IF}')").wait_for()
    page.click("[data-apply-button]")
    page.locator("[data-said]:has-text('Applied')").wait_for()
    assert "import alarm rules" in visitor.go("/audit/?text=rules.csv").inner_text("main")
    page = visitor.go("/alarms/")
    page.click("a:has-text('Key figures')")
    page.locator(".figures tr:has-text('Alarms a day'):has-text('144 at most')").wait_for()
    assert visitor.faults == []
