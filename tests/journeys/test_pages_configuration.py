"""An engineer's file of points in a browser: refused by row, corrected, previewed, applied, in the history, taken back."""

from __future__ import annotations

import csv
import io

import pytest
from playwright.sync_api import Page

from tests.journeys.browser import Visitor
from tests.journeys.installation import Installation

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("scada", ["embedded"], indirect=True, scope="session")]


def choose(page: Page, row: dict[str, str]) -> None:
    """The preview of a file with this row is open."""
    table = io.StringIO()
    writer = csv.DictWriter(table, row)
    writer.writeheader()
    writer.writerow(row)
    page.set_input_files("[name=file]", {"name": "bands.csv", "mimeType": "text/csv", "buffer": table.getvalue().encode()})
    page.click("#content-main [type=submit]")
    page.wait_for_selector("[data-counts]")


def test_a_file_of_points_goes_in_and_back_out(scada: Installation, visitor: Visitor) -> None:
    page = visitor.go("/admin/pilots/point/?q=es-STO01+current")
    page.wait_for_selector("td.field-age.live-cell")
    with page.expect_download() as download:
        page.click("a[href$='/export/csv/']")
    taken = csv.DictReader(io.StringIO(download.value.path().read_text("utf-8-sig")))
    row = next(row for row in taken if (row["device"], row["point"]) == ("es-STO01", "current"))
    visitor.go("/admin/pilots/point/import/")
    choose(page, row | {"deadband": "-3"})
    assert page.locator("[data-refused] tbody td").all_inner_texts()[:3] == ["2", "es-STO01/current", "deadband"]
    assert page.locator(".submit-row [type=submit]").count() == 0
    visitor.go("/admin/pilots/point/import/")
    choose(page, row | {"deadband": "3.5"})
    assert page.locator("[data-changed] tbody td").all_inner_texts()[1:3] == ["es-STO01/current", "deadband"]
    page.click(".submit-row [type=submit]")
    page.wait_for_selector(".messagelist:has-text('1 row was imported.')")
    visitor.go("/admin/pilots/point/?q=es-STO01+current")
    page.click("th a:text-is('es-STO01/current')")
    page.click(".historylink")
    assert "import bands.csv" in page.locator("[data-history] tbody tr").first.inner_text()
    page.locator("[data-history] a:text-is('Back to this')").first.click()
    page.click(".submit-row [type=submit]")
    page.wait_for_selector(".messagelist:has-text('is as it was on')")
    assert page.locator("[data-history] tbody tr").count() == 3
    assert visitor.faults == []
