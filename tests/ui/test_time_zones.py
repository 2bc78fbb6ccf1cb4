"""Whose clock a page speaks: each person's choice, the zone that every page with a time names, and what a form means by it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.http import QueryDict
from django.test import Client
from django.urls import URLPattern, reverse
from django.utils import timezone, translation

from pilots.alarms.occurrences import Coming, turn
from pilots.catalogue.point_tests import start_list
from pilots.models import Alarm, AuditEvent, Clock, Dashboard, ExportJob, Kiosk, Role, Schedule, Setpoint, SetpointGroup, User
from pilots.ui.charts import figure
from pilots.ui.filters import BadFilter, in_page_zone, window
from pilots.ui.time_zones import BadClock, moment_of_wall, zone_label, zone_of
from pilots.ui.trend_axis import TrendAxis
from pilots.ui.urls import pilot_patterns, urlpatterns
from tests.alarms.builders import make_rule
from tests.builders import make_latest, make_token, make_user
from tests.ui.conftest import Plant, client_of

NOW = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
MADRID, KOLKATA, UNIVERSAL = ZoneInfo("Europe/Madrid"), ZoneInfo("Asia/Kolkata"), ZoneInfo("UTC")
#: Pages under another address than a pilot's that are of one pilot; a dashboard's hour is one of its point's pilot.
OF_ONE = {"setpoint", "setpoint_group", "replay", "dashboard"}
#: Documents with zones of their own, which they name: each pilot's part of a handover and its shift, an export's window.
OF_ITS_OWN = {"handover": {"Madrid", "Kolkata"}, "exports": {"Madrid", "UTC"}}
#: What of a page's tags its scripts fill with times or draw over time.
FILLED = re.compile(r"datetime-local|data-mini|data-chart|data-log|data-replay|data-faceplates")


@pytest.fixture
def rich(plant: Plant) -> dict[str, dict[str, Any]]:
    """Something with a time on every page; what the addresses of single things name."""
    by = User.objects.create(username="maker")
    rule = make_rule(plant.power, limit=80_000.0, what="Battery temperature: trip limit", priority=1)
    turn([Coming(rule.pk, NOW, 91_500.0, 80_000.0)], [], now=NOW)
    wish = {"unit": "W", "issuer": "operator", "requested_by": "olaf", "received_at": NOW, "priority": 5}
    later = NOW + timedelta(hours=1)
    setpoint = Setpoint.objects.create(
        point=plant.p_set, value=5000.0, state="executed", valid_from=NOW, valid_until=later, **wish
    )
    group = SetpointGroup.objects.create(pilot=plant.pilot, point="p_set", target=1.0, valid_until=later, **wish)
    curve = {"start": NOW, "resolution_s": 900, "values": [1.0], "end": later, "state": "running", "issued_at": NOW}
    schedule = Schedule.objects.create(point=plant.p_set, **curve, **wish)
    asked = {"points": ["es-STO01/active_power"], "start": NOW, "end": later, "zone": "Europe/Madrid", "requested_at": NOW}
    ExportJob.objects.create(pilot=plant.pilot, resolution="raw", format="csv_long", requested_by="maker", **asked)
    account = User.objects.create(username="kiosk", is_kiosk=True)
    Kiosk.objects.create(name="Wall", user=account, made_by=by, sha256="0" * 64, created_at=NOW, ends_at=later)
    tested = start_list(plant.pilot, "maker", NOW)
    tiles = [{"point": "es-STO01/active_power", "kind": "trend"}]
    board = Dashboard.objects.create(owner=by, name="Room", shared=True, tiles=tiles, changed_at=NOW)
    return {
        "setpoint": {"setpoint_id": setpoint.pk},
        "setpoint_group": {"group_id": group.pk},
        "schedule": {"schedule_id": schedule.pk},
        "alarm": {"alarm_id": Alarm.objects.get().pk},
        "point_test": {"number": tested.pk},
        "dashboard": {"number": board.pk},
    }


def pages(client: Client, ids: dict[str, dict[str, Any]]) -> Iterator[tuple[str, bool, str]]:
    """Every whole page that can be asked for: its route, whether it is of one pilot, what stands in it."""
    for patterns, fixed in ((urlpatterns, {}), (pilot_patterns, {"code": "es"})):
        for pattern in patterns:
            given = ids.get(getattr(pattern, "name", None) or "", {})
            if not isinstance(pattern, URLPattern) or set(pattern.pattern.regex.groupindex) - set(given):
                continue
            answer = client.get(reverse(str(pattern.name), kwargs=fixed | given) if pattern.name else "/favicon.ico")
            if answer.status_code == 200 and answer["Content-Type"].startswith("text/html"):
                found = re.search(r"<main.*</main>", answer.content.decode(), re.S)
                if found:
                    yield str(pattern.name), bool(fixed) or pattern.name in OF_ONE, found[0]


def text_of(main: str) -> str:
    return re.sub(r"<[^>]*>", " ", re.sub(r"<script.*?</script>|<template.*?</template>", "", main, flags=re.S))


def spoken(name: str, of_one: bool, clock: Clock) -> set[str]:
    """The zones that a page has to name, and no other."""
    page = {Clock.UTC: "UTC", Clock.OWN: "Kolkata", Clock.PILOT: "Madrid" if of_one else "Kolkata"}[clock]
    return OF_ITS_OWN.get(name, set()) | ({page} if name != "handover" else set())


@pytest.mark.parametrize("clock", [*Clock])
def test_every_page_with_a_time_names_the_zone_that_was_chosen(rich: dict[str, dict[str, Any]], clock: Clock) -> None:
    client = client_of(None, "eva", is_superuser=True, clock=clock, time_zone="Asia/Kolkata")
    zones, timed = {"Madrid": r"Madrid", "Kolkata": r"Kolkata, (now )?UTC\+5:30", "UTC": r"(?<!, )(?<!now )UTC(?![+−])"}, set()
    for name, of_one, main in pages(client, rich):
        text = text_of(main)
        if re.search(r"\b\d\d:\d\d\b", text) or FILLED.search(main):
            timed.add(name)
            named = {zone for zone, words in zones.items() if re.search(words, text)}
            assert named == spoken(name, of_one, clock), name
    several = {"setpoints", "alarms", "journal", "audit", "kiosks", "handover", "exports"}
    single = {"pilot", "trends", "links", "schedules", "schedule", "new_schedule", "point_tests", "point_test"}
    assert timed >= several | single | OF_ONE


def test_one_click_chooses_and_the_same_page_comes_again(plant: Plant, viewer: Client) -> None:
    address = "/pilots/es/trends/?points=es-STO01%2Factive_power&hours=8"
    page = viewer.get(address).content.decode()
    assert 'value="pilot" aria-pressed="true"' in page and "Pilot time · Madrid, UTC+" in page
    assert f'name="next" value="{address.replace("&", "&amp;")}"' in page
    audited = AuditEvent.objects.count()
    answer = viewer.post("/accounts/clock/", {"clock": "utc", "next": address})
    assert (answer.status_code, answer["Location"]) == (302, address)
    again = viewer.get(address)
    assert 'value="utc" aria-pressed="true"' in again.content.decode() and "Times of UTC" in again.content.decode()
    assert answer.cookies["clock"].value == "utc.UTC", "a page that is open elsewhere sees by it that it is of another clock"
    assert AuditEvent.objects.count() == audited, "a preference, no deed of an operator"


@pytest.mark.parametrize("elsewhere", ["https://example.org/", "//example.org/", ""])
def test_the_switch_leads_nowhere_else(plant: Plant, viewer: Client, elsewhere: str) -> None:
    assert viewer.post("/accounts/clock/", {"clock": "utc", "next": elsewhere})["Location"] == "/"
    assert viewer.post("/accounts/clock/", {"clock": "sundial"}).status_code == 404


def test_own_time_first_wants_a_zone(plant: Plant, viewer: Client) -> None:
    place = viewer.post("/accounts/clock/", {"clock": "own", "next": "/"})["Location"]
    assert "Own time needs a zone of your own" in viewer.get(place).content.decode()
    form = {"language": "en", "clock": "own", "time_zone": "", "theme": ""}
    assert list(viewer.post("/accounts/preferences/", form).context["form"].errors) == ["time_zone"]
    viewer.post("/accounts/preferences/", form | {"time_zone": "Asia/Kolkata"})
    assert "Own time · Kolkata, UTC+5:30" in viewer.get("/pilots/es/").content.decode()


def test_several_pilots_have_no_clock_in_common(plant: Plant) -> None:
    nobody, ana = make_user("ben"), make_user("ana", time_zone="Asia/Kolkata")
    assert [zone_of(user, pilot).key for user in (nobody, ana) for pilot in (plant.pilot, None)] == [
        *("Europe/Madrid", "UTC"),
        *("Europe/Madrid", "Asia/Kolkata"),
    ]
    overview = client_of(Role.VIEWER, "eva", time_zone="Asia/Kolkata").get("/").content.decode()
    assert "Several pilots, own time · Kolkata, UTC+5:30" in overview


def test_a_machine_has_no_clock(plant: Plant, client: Client) -> None:
    answer = client.get("/api/v1/pilots", headers={"Authorization": f"Bearer {make_token()}"})
    assert answer.status_code == 200 and "clock" not in answer.cookies


# What a form means


def test_a_form_means_the_clock_it_was_filled_by(plant: Plant) -> None:
    """The page speaks another one by now: the same moments stand in the fields, in their new words."""
    query = QueryDict("from=2026-06-01T12:00&to=2026-06-01T14:00&zone=Asia/Kolkata&text=x")
    start = datetime(2026, 6, 1, 6, 30, tzinfo=UTC)
    with timezone.override(MADRID):
        assert window(query) == (start, start + timedelta(hours=2))
        form = in_page_zone(query)
        assert form.dict() == {"from": "2026-06-01T08:30", "to": "2026-06-01T10:30", "zone": "Europe/Madrid", "text": "x"}
        assert window(form) == window(query)
        assert window(QueryDict("from=2026-06-01T08:30"))[0] == start, "without a zone: the page's"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("from=2026-03-29T02:30", "There is no 2026-03-29 02:30 in Madrid: clocks are put forward, it is 03:30 then."),
        ("from=2026-03-29T02:30&zone=Mars/Olympus", "Mars/Olympus is no time zone."),
        ("from=yesterday", "Give times as date and time."),
    ],
)
def test_what_no_clock_shows_is_said(query: str, words: str) -> None:
    with translation.override("en"), timezone.override(MADRID), pytest.raises(BadFilter, match=re.escape(words)):
        window(QueryDict(query))


def test_an_hour_that_comes_twice_means_the_first_and_one_that_is_skipped_nothing() -> None:
    assert moment_of_wall("2026-10-25T02:30", MADRID) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert moment_of_wall("2026-10-25T02:30+01:00", MADRID) == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    with pytest.raises(BadClock):
        moment_of_wall("2026-03-29T02:30", MADRID)
    assert moment_of_wall("2026-03-29T02:30", UNIVERSAL) == datetime(2026, 3, 29, 2, 30, tzinfo=UTC), "UTC skips none"


def form(**fields: str) -> dict[str, str]:
    return {"point": "es-STO01/p_set", "resolution": "PT15M", "values": "1", "start": "2100-06-01T12:00"} | fields


def test_a_schedule_begins_by_the_clock_of_its_label(plant: Plant) -> None:
    olaf = client_of(Role.OPERATOR, "olaf", clock=Clock.UTC)
    page = olaf.get("/pilots/es/schedules/new/").content.decode()
    assert "Start, time of UTC" in page and 'name="zone" value="UTC"' in page
    answer = olaf.post("/pilots/es/schedules/create", form(zone="UTC"))
    assert Schedule.objects.get().start == datetime(2100, 6, 1, 12, tzinfo=UTC)
    assert "2100-06-01 12:00 – 2100-06-01 12:15" in olaf.get(answer["Location"]).content.decode()
    # Filled by the pilot's clock before UTC was chosen in another window: it still means that one, and says so.
    refused = olaf.post("/pilots/es/schedules/create", form(zone="Europe/Madrid", values="x")).content.decode()
    assert "Start, time of Madrid, now UTC+" in refused and 'name="zone" value="Europe/Madrid"' in refused
    olaf.post("/pilots/es/schedules/create", form(zone="Europe/Madrid"))
    assert Schedule.objects.order_by("start").first().start == datetime(2100, 6, 1, 10, tzinfo=UTC)  # type: ignore[union-attr]


def test_a_schedule_cannot_begin_in_an_hour_that_is_skipped(operator: Client) -> None:
    answer = operator.post("/pilots/es/schedules/create", form(start="2099-03-29T02:30"))
    assert answer.status_code == 422
    assert "There is no 2099-03-29 02:30 in Madrid: clocks are put forward, it is 03:30 then." in answer.content.decode()
    assert operator.post("/pilots/es/schedules/create", form(start="2099-03-29T02:30", zone="UTC")).status_code == 302


def test_trends_keep_what_an_address_means(plant: Plant) -> None:
    """A link of old, without a zone, is of the pilot's clock whoever opens it; a form says by which clock it was filled."""
    vera = client_of(Role.VIEWER, "vera", clock=Clock.UTC)
    wall = {"points": "es-STO01/active_power", "from": "2026-06-01T12:00", "to": "2026-06-01T13:00"}
    noon = datetime(2026, 6, 1, 12, tzinfo=UTC).timestamp() * 1000
    bodies = [vera.get("/pilots/es/trends/data", wall | more).json() for more in ({}, {"zone": "UTC"})]
    assert [body["from"] - noon for body in bodies] == [-7_200_000, 0]
    assert [body["layout"]["xaxis"]["title"]["text"] for body in bodies] == ["UTC", "UTC"]
    skipped = vera.get("/pilots/es/trends/data", wall | {"from": "2026-03-29T02:30"})
    assert (skipped.status_code, skipped.json()["field"]) == (400, "from")
    assert "There is no 2026-03-29 02:30 in Madrid" in skipped.json()["reason"]


# Axes


def test_a_figure_over_a_change_of_clocks_runs_on_and_names_both_offsets(plant: Plant) -> None:
    start = datetime(2026, 10, 24, 23, 0, tzinfo=UTC)
    make_latest(plant.p_set, 1.0, at=start)
    axis = TrendAxis(MADRID, start, start + timedelta(hours=4))
    layout = figure([plant.p_set], axis)["layout"]
    assert layout["xaxis"]["title"]["text"] == "Madrid, UTC+2 → UTC+1"
    at = [axis.position(start + timedelta(minutes=30 * n)) for n in range(8)]
    assert at == sorted(set(at)), "a wall clock that is set back does not turn the curve back"
    assert layout["hovermode"] == "closest", "Plotly's words for a position would be an hour off"
    assert axis.words(start + timedelta(hours=3)) == "03:00:00.000 UTC+1"
    assert zone_label(UNIVERSAL, start) == "UTC"
