"""An export in a browser: asked for from a trend, followed, downloaded and read back beside the database's own rows."""

from __future__ import annotations

import csv
import hashlib
import json
from datetime import datetime, timedelta
from math import inf
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Page

from tests.journeys.browser import Visitor
from tests.journeys.installation import Installation

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("scada", ["embedded"], indirect=True, scope="session")]
ROWS = """
import json, sys
from datetime import datetime, timedelta
from math import inf
from pilots.history.selectors import read_samples
from pilots.models import ExportJob, Point
job = ExportJob.objects.get(pk="KEY")
points = [Point.objects.get(device__code=name.split("/")[0], name=name.split("/")[1]) for name in job.points]
rows = read_samples(points, job.start, job.end, limit=1_000_000)
names = {point.pk: f"{point.device.code}/{point.name}" for point in points}
kept = [[row.source_time.timestamp(), names[row.point_id], row.value, row.received_time.timestamp()] for row in rows]
print("ROWS" + json.dumps(kept))
"""


def kept(scada: Installation, key: str) -> list[list[Any]]:
    """What the database has in the export's window."""
    told = str(scada.manage("shell", "-c", ROWS.replace("KEY", key)).stdout)
    return sorted(json.loads(told.partition("ROWS")[2].splitlines()[0]))


def done(page: Page, shape: str) -> str:
    """The export's id, once its row says that it is done, without a reload."""
    page.select_option("[name=format]", shape)
    with page.expect_navigation():
        page.click("[data-export-form] button.primary")
    page.evaluate("window.untouched = true")
    row = page.locator("tr[data-export]").first
    page.locator(f'tr[data-export="{row.get_attribute("data-export")}"][data-state="done"]').wait_for()
    assert page.evaluate("window.untouched") is True
    return str(row.get_attribute("data-export"))


def downloaded(page: Page, key: str, folder: Path) -> bytes:
    with page.expect_download() as download:
        page.click(f'tr[data-export="{key}"] a.button')
    path = folder / key
    download.value.save_as(path)
    shown = page.locator(f'tr[data-export="{key}"] code').text_content()
    content = path.read_bytes()
    assert hashlib.sha256(content).hexdigest() == shown
    return content


def test_an_export_is_asked_for_followed_downloaded_and_read_back(scada: Installation, visitor: Visitor, tmp_path: Path) -> None:
    page = visitor.go("/pilots/es/trends/?hours=1&points=es-STO01/active_power")
    page.wait_for_function("() => document.querySelector('a[data-exports]').href.includes('start=')")
    page.click("a[data-exports]")
    page.locator("[data-count]:has-text('1')").wait_for()
    page.fill("[data-search]", "soc")
    page.locator('details:has(summary:has-text("es-STO01")) [data-point]:not([hidden]) input').first.check()
    key = done(page, "csv_long")
    text = downloaded(page, key, tmp_path).decode()
    found = list(csv.DictReader(text.splitlines()))
    assert len({row["point"] for row in found}) == 2
    as_kept = sorted(
        [datetime.fromisoformat(row["time"]).timestamp(), f"{row['device']}/{row['point']}", float(row["value"] or "inf")]
        for row in found
    )
    # What came after the file was written is no part of it.
    wanted = [row for row in kept(scada, key) if row[0] < as_kept[-1][0] + 0.001]
    assert [row[1:] for row in as_kept] == [[row[1], inf if row[2] is None else row[2]] for row in wanted]
    assert [row[0] for row in as_kept] == pytest.approx([row[0] for row in wanted], abs=0.001)

    # The form's clock shows whole seconds.
    end = datetime.fromisoformat(found[-1]["time"]) + timedelta(seconds=2)
    window = {"points": "es-STO01/active_power", "start": found[0]["time"], "end": end.isoformat()}
    page = visitor.go(f"/exports/?pilot=es&{urlencode(window)}")
    key = done(page, "parquet")
    downloaded(page, key, tmp_path)
    table = pq.read_table(tmp_path / key).to_pylist()
    rows = [
        [row["time"].timestamp(), f"{row['device']}/{row['point']}", row["value"], row["received"].timestamp()] for row in table
    ]
    assert rows
    assert sorted(rows) == [row for row in kept(scada, key) if row[0] <= max(rows)[0]]
    trail = visitor.go("/audit/?text=export").inner_text("main")
    assert "ask for export" in trail
    assert "download export" in trail
    assert visitor.faults == []


def test_a_list_that_is_heard_no_more_says_so(scada: Installation, visitor: Visitor) -> None:
    page = visitor.go("/exports/")
    page.route("**/exports/rows", lambda route: route.fulfill(status=503))
    page.locator("[data-exports-lost]").wait_for(state="visible")
    assert "Not live" in page.inner_text("[data-exports-lost]")
    page.unroute("**/exports/rows")
    page.locator("[data-exports-lost]").wait_for(state="hidden")
