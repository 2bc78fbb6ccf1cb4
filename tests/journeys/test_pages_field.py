"""Links, frames, the month's quality and training in a browser, against the running simulators."""

from __future__ import annotations

import csv
import io
import re
import subprocess
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page

from tests.journeys.browser import Visitor
from tests.journeys.installation import CODES, Installation

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("scada", ["embedded"], indirect=True, scope="session")]
#: The gateway has newer frames of the connection than `number`.
HAS_NEWER = """async ([place, number]) => {
  const answer = await fetch(`${place}&after=${number}`);
  return answer.ok && (await answer.json()).frames.length > 0;
}"""
FAULTS = {"silence", "slowness", "garbage", "wrong_length", "wrong_unit", "exception", "reboot"}
FAULTS |= {"stuck_value", "counter_reset", "noise"}


def links(visitor: Visitor, code: str) -> Page:
    page = visitor.go(f"/pilots/{code}/links/")
    page.wait_for_function("() => document.querySelectorAll('.linklist .letter.up').length > 0")
    return page


def choose(page: Page, letter: str) -> None:
    row = page.locator("tr[data-group]", has=page.locator(f"[data-letter]:text-is('{letter}')")).first
    row.locator("[data-open]").click()
    page.wait_for_selector(f"[data-d-letter]:text-is('{letter}')")


@pytest.mark.parametrize("code", CODES)
def test_every_pilots_links_are_shown_with_letter_and_state(scada: Installation, visitor: Visitor, code: str) -> None:
    page = links(visitor, code)
    letters = {text.strip() for text in page.locator("[data-letter]").all_inner_texts()}
    assert letters == {link["letter"].replace("'", "′") for link in scada.api.get(f"pilots/{code}/links")["results"]}
    assert {"a", "b", "c"} <= letters
    for row in page.locator("tr[data-group]").all():
        assert re.match("up|weak|down|unknown|no protocol", row.locator("[data-state]").inner_text())
    assert visitor.faults == []


def test_a_link_of_ours_shows_its_round_trip_and_frames_in_words(scada: Installation, visitor: Visitor) -> None:
    page = links(visitor, "bg")
    choose(page, "b")
    page.wait_for_function("() => /^[0-9]+$/.test(document.querySelector('tr.on [data-p50]').textContent)")
    page.wait_for_function("() => document.querySelectorAll('[data-log] li[data-n]').length > 5")
    heard = page.locator("tr.on [data-last]").inner_text()
    page.wait_for_function("(heard) => document.querySelector('tr.on [data-last]').textContent !== heard", arg=heard)
    page.fill("[data-log-filter]", "read")
    shown = page.locator("[data-log] li[data-n]")
    shown.first.wait_for()
    assert all("read" in text.lower() for text in shown.all_inner_texts())
    page.fill("[data-log-filter]", "no frame says this")
    page.wait_for_selector("[data-log] li.none")
    assert visitor.faults == []


def test_the_page_and_the_api_tell_the_same_link(scada: Installation, visitor: Visitor) -> None:
    page = links(visitor, "bg")
    choose(page, "b")
    key = parse_qs(urlsplit(page.url).query)["link"][0]
    told = next(link for link in scada.api.get("pilots/bg/links")["results"] if "|".join((link["letter"], *link["ends"])) == key)
    figures = told["figures"]
    assert all(isinstance(figures[name], int | float) for name in ("p50_ms", "p95_ms", "loss", "bytes_per_s", "last_frame_ms"))
    page.wait_for_function("() => Number(document.querySelector('[data-log] li[data-n]')?.dataset.n) > 5")
    newest = int(page.locator("[data-log] li[data-n]").first.get_attribute("data-n") or 0)
    log = scada.api.get(f"connections/{figures['connection']}/frames")
    assert newest <= log["frames"][-1]["number"]
    assert log["frames"][-1]["words"]


def test_a_link_stays_chosen_and_its_state_has_a_history(scada: Installation, visitor: Visitor) -> None:
    page = links(visitor, "es")
    choose(page, "c")
    page.reload()
    page.wait_for_selector("[data-d-letter]:text-is('c')")
    page.click("[data-d-trend]")
    page.wait_for_url("**/pilots/es/trends/?points=*comm_state*")
    page.wait_for_selector("[data-chart] .scatterlayer .trace", state="attached")
    assert visitor.faults == []


def test_the_frames_download_as_a_capture_that_tshark_reads(scada: Installation, visitor: Visitor, tmp_path: Path) -> None:
    page = links(visitor, "bg")
    choose(page, "b")
    page.wait_for_function("() => document.querySelectorAll('[data-log] li[data-n]').length > 5")
    with page.expect_download() as waiting:
        page.click("[data-log-capture]")
    path = tmp_path / "frames.pcap"
    waiting.value.save_as(path)
    fields = ["-T", "fields", "-e", "mbtcp.unit_id", "-e", "modbus.func_code"]
    done = subprocess.run(["tshark", "-r", str(path), *fields], capture_output=True, text=True, check=True, timeout=60)
    assert re.search(r"^\d+\t3$", done.stdout, flags=re.M), done.stdout[:300]


def test_the_frames_download_as_text_a_line_each(scada: Installation, visitor: Visitor) -> None:
    page = links(visitor, "es")
    choose(page, "a")
    page.wait_for_function("() => document.querySelectorAll('[data-log] li[data-n]').length > 5")
    seen = page.locator("[data-log] li[data-n]").first.get_attribute("data-n")
    with page.expect_download() as waiting:
        page.click("[data-log-text]")
    lines = waiting.value.path().read_text().splitlines()
    assert 5 < len(lines) <= 500
    assert all(re.match(r"\d+\t\d{4}-\d\d-\d\dT[\d:.]+Z\t(sent|received)\t\d+\t68[0-9a-f]+\t[ISU] ", line) for line in lines)
    assert seen in {line.split("\t")[0] for line in lines}


def test_paused_frames_stand_still(scada: Installation, visitor: Visitor) -> None:
    page = links(visitor, "bg")
    choose(page, "b")
    page.wait_for_function("() => document.querySelectorAll('[data-log] li[data-n]').length > 5")
    page.click("[data-log-pause]")
    first = page.locator("[data-log] li[data-n]").first.get_attribute("data-n")
    place = page.locator("[data-log-text]").get_attribute("href").replace("frames.txt", "frames")  # type: ignore[union-attr]
    page.wait_for_function(HAS_NEWER, arg=[place, first], polling=500)
    assert page.locator("[data-log] li[data-n]").first.get_attribute("data-n") == first


def test_the_months_quality_is_one_click_away(scada: Installation, visitor: Visitor) -> None:
    page = links(visitor, "es")
    page.click("text=Quality of service")
    page.wait_for_selector("h1:has-text('Quality of service, Granollers')")
    rows = page.locator("table.linklist tbody tr").count()
    with page.expect_download() as waiting:
        page.click("text=Export CSV")
    sheet = list(csv.DictReader(io.StringIO(waiting.value.path().read_text())))
    assert len(sheet) == rows == len(scada.api.get("pilots/es/links/quality")["results"])
    assert all(row["availability_target_percent"] and row["round_trip_p95_target_s"] for row in sheet)
    page.fill("[name=month]", "2025-01")
    page.click("button:has-text('Show')")
    page.wait_for_selector("text=Nothing was measured in this month.")
    assert visitor.faults == []


def test_a_fault_of_the_training_page_is_seen_on_the_links_page_and_ends(scada: Installation, visitor: Visitor) -> None:
    page = visitor.go("/training/?at=de-gw01")
    page.check("[name=kind][value=refuse]")
    page.locator("[data-deed]:enabled").click()
    page.wait_for_selector("[data-fault]:has-text('de-gw01')")
    watched = visitor.go("/pilots/de/links/")
    watched.wait_for_selector("[data-letter].down", timeout=90_000)
    assert "de-GW01" in watched.locator("[data-trouble]").inner_text()
    page = visitor.go("/training/?at=de-gw01")
    page.locator("[data-fault] button").first.click()
    page.wait_for_function("() => !document.querySelector('[data-fault]')")
    watched = visitor.go("/pilots/de/links/")
    watched.wait_for_function("() => document.querySelectorAll('[data-letter].down').length === 0")
    assert visitor.faults == []


def test_every_kind_of_fault_is_offered_and_a_medium_acts_until_it_is_switched_off(scada: Installation, visitor: Visitor) -> None:
    page = visitor.go("/training/?at=bg-rtu03")
    kinds = {each.get_attribute("value") for each in page.locator("[name=kind]").all()}
    assert kinds >= FAULTS
    row = page.locator("[data-connection=bg-rtu03]")
    for pressed in ("true", "false"):
        row.locator(".medium button").click()
        page.wait_for_selector(f"[data-connection=bg-rtu03] .medium button[aria-pressed={pressed}]")
    page.goto(f"{scada.url}/training/?at=es-rtu01")
    assert "clock_skew" in {each.get_attribute("value") for each in page.locator("[name=kind]").all()}
    assert visitor.faults == []
