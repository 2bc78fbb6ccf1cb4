"""An alarm is told to a webhook while the beat runs; the shift is handed over with it, by note, signature and PDF."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.journeys.browser import Visitor
from tests.journeys.installation import Installation
from tests.journeys.peers import ForeignMeter
from tests.journeys.test_pages_alarms import HIGH_V, show, voltage
from tests.notifications.peers import Receiver, receiver
from tests.waiting import until

__all__ = ["voltage"]
pytestmark = [pytest.mark.browser, pytest.mark.parametrize("scada", ["embedded"], indirect=True, scope="session")]
RULE = """
from datetime import UTC, datetime
from pilots.models import NotificationContact, NotificationRule, Pilot
since = datetime(2000, 1, 1, tzinfo=UTC)
rule = NotificationRule.objects.create(name="journey", pilot=Pilot.objects.get(code="xx"), priority=4, since=since)
NotificationContact.objects.create(rule=rule, way="webhook", address="{url}")
print("rule", rule.pk)
"""


def told(far_end: Receiver) -> list[dict[str, Any]]:
    """Every alarm of the meter's voltage that the webhook was told."""
    bodies = [json.loads(body) for _path, _headers, body in list(far_end.calls)]
    return [alarm for body in bodies for alarm in body["alarms"] if alarm["subject"] == "xx-PM01/voltage"]


def test_an_alarm_is_told_outside_and_handed_over(scada: Installation, visitor: Visitor, voltage: ForeignMeter) -> None:
    with receiver() as far_end:
        url = f"http://127.0.0.1:{far_end.port}/hook"
        said = scada.manage("shell", "-c", RULE.format(url=url)).stdout
        number = next(line.split()[1] for line in said.splitlines() if line.startswith("rule"))
        page = visitor.go(f"/admin/pilots/notificationrule/{number}/change/")
        page.click("text=Send a test to every contact")
        page.locator(".messagelist :text('The webhook answered 200.')").wait_for()
        assert any(json.loads(body)["test"] for _path, _headers, body in far_end.calls)  # a real alarm may come before it
        show(voltage, HIGH_V)
        assert until(lambda: told(far_end), within_s=60)[0]["link"].startswith("http://")
        scada.manage("shell", "-c", f"from pilots.models import NotificationRule as N; N.objects.filter(pk={number}).delete()")
        assert len(told(far_end)) == len({alarm["id"] for alarm in told(far_end)})

    page = visitor.go("/handover/?pilot=xx")
    page.locator("#xx td:has-text('far too high')").first.wait_for()
    page.fill("#xx textarea", "Voltage at PM01: electrician called.")
    page.click("#xx button:has-text('Write note')")
    page.locator("#xx .notes .text:has-text('electrician called')").wait_for()
    page.click("#xx button:has-text('I hand this shift over')")
    page.locator("#xx button:has-text('I take this shift over')").wait_for()
    with page.expect_download() as download:
        page.click("a:has-text('PDF')")
    assert download.value.path().read_bytes().startswith(b"%PDF-")
    assert visitor.faults == []
