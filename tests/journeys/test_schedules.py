"""A schedule from the API to the device, the platform falling silent over it, its plan, and the return without a bump."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from tests.journeys.api import Json, stamp
from tests.journeys.browser import Visitor
from tests.journeys.installation import Installation
from tests.journeys.test_setpoints import writes

pytestmark = pytest.mark.parametrize("scada", ["embedded"], indirect=True, scope="session")
WANTED, PLAN, HEARTBEAT_S = -8_000.0, 3_000.0, 30

#: Only one token is the platform of this pilot meanwhile, and the battery's plan is not what everybody's default is.
ALONE = f"""
from pilots.models import Device, Pilot, PlatformWatch, ServiceToken
others = Pilot.objects.exclude(code="de")
for token in ServiceToken.objects.filter(revoked_at=None, all_pilots=True):
    if "control" in token.scopes:
        token.pilots.set(others)
        ServiceToken.objects.filter(pk=token.pk).update(all_pilots=False)
Device.objects.filter(code="de-STO90").update(fallback={{"value": {PLAN}}})
Pilot.objects.filter(code="de").update(heartbeat_s={HEARTBEAT_S})
PlatformWatch.objects.filter(pilot__code="de").delete()
"""
AGAIN = """
from pilots.models import Device, Pilot, ServiceToken
for token in ServiceToken.objects.filter(revoked_at=None):
    if "control" in token.scopes and token.pilots.count() == Pilot.objects.count() - 1:
        token.pilots.clear()
        ServiceToken.objects.filter(pk=token.pk).update(all_pilots=True)
Device.objects.filter(code="de-STO90").update(fallback={})
Pilot.objects.filter(code="de").update(heartbeat_s=900)
"""


@pytest.fixture
def platform(scada: Installation) -> Iterator[str]:
    """The token of the only one whose calls are this pilot's heartbeat."""
    token = scada.token("platform-of-the-journey", "control,read", "--pilot", "de", "--replace")
    scada.manage("shell", "-c", ALONE)
    yield token
    scada.manage("shell", "-c", AGAIN)


@pytest.fixture
def reader(scada: Installation) -> str:
    """A token that sees and is no heartbeat."""
    return scada.token(f"reader-{uuid4().hex[:6]}", "read")


def posted(scada: Installation, token: str) -> str:
    """The id of a schedule in steps of a minute from the running one on."""
    start = datetime.now(UTC).replace(second=0, microsecond=0)
    body = {"device": "de-STO90", "point": "p_set", "unit": "W", "start": stamp(start), "resolution": "PT1M"}
    body |= {"values": [WANTED] * 30, "reason": "journey"}
    answer = scada.api.send("POST", "schedules", json=body, headers={"Idempotency-Key": str(uuid4())}, token=token)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def record(scada: Installation, schedule: str, token: str) -> Json:
    form: Json = scada.api.send("GET", f"schedules/{schedule}", token=token).json()
    return form


def fallback(scada: Installation, since: str, token: str) -> Json | None:
    """The plan's set-point, once it is executed."""
    rows = scada.api.send("GET", "setpoints", params={"device": "de-STO90"}, token=token).json()["results"]
    wanted = ("fallback", "executed", PLAN)
    found = [row for row in rows if (row["issuer"], row["state"], row["value"]) == wanted and row["received_at"] > since]
    return found[0] if found else None


def power(scada: Installation, token: str) -> float:
    answer = scada.api.send("GET", "measurements/latest", params={"point": "de/de-STO90/active_power"}, token=token)
    return float(answer.json()["results"][0]["value"])


def in_force(scada: Installation, schedule: str, token: str) -> bool:
    return any(step["active"] for step in record(scada, schedule, token)["steps"])


def test_a_schedule_is_carried_out_falls_back_in_silence_and_returns_without_a_bump(
    scada: Installation, platform: str, reader: str
) -> None:
    before = len(writes(scada, "de-STO90", "p_set"))
    schedule = posted(scada, platform)
    scada.until(lambda: in_force(scada, schedule, platform), 60, "a step executed")
    assert record(scada, schedule, platform)["state"] == "running"

    # Silence: only the reader looks on.
    since = record(scada, schedule, reader)["received_at"]
    plan = scada.until(lambda: fallback(scada, since, reader), HEARTBEAT_S + 60, "the fallback plan executed")
    assert plan is not None
    assert plan["priority"] == 2

    scada.until(lambda: in_force(scada, schedule, platform), 60, "the schedule's value for now again")
    written = [entry["value"] for entry in writes(scada, "de-STO90", "p_set", before)]
    # From the wanted value to the plan's and back: nothing else was ever written.
    changes = [value for number, value in enumerate(written) if number == 0 or value != written[number - 1]]
    assert changes == [pytest.approx(value) for value in (WANTED, PLAN, WANTED)]

    answer = scada.api.send("POST", f"schedules/{schedule}/cancel", json={"reason": "the journey is over"}, token=platform)
    assert answer.status_code == 200, answer.text
    scada.until(lambda: abs(power(scada, reader)) < 1000, 60, "de-STO90 at rest")


def test_the_simulated_platforms_schedule_is_in_force_and_stands_on_the_page(scada: Installation, visitor: Visitor) -> None:
    def running() -> list[Json]:
        rows: list[Json] = scada.api.get("schedules", device="nl-EVSE42", state="running")["results"]
        return [row for row in rows if row["request_reason"] == "day ahead"]

    (schedule,) = scada.until(running, 90, "the platform's schedule running")
    scada.until(lambda: in_force(scada, schedule["id"], scada.api.token), 60, "its step executed")
    assert [entry["id"] for entry in scada.ledger("platform_schedules") if entry["status"] == 201] == [schedule["id"]]
    page = visitor.go("/pilots/nl/schedules/")
    page.locator("tr", has_text="nl-EVSE42").locator("a").first.click()
    page.locator("header.planhead", has_text="day ahead").wait_for()
    page.locator("body", has_text="executed, in force").wait_for()
    assert visitor.faults == []
