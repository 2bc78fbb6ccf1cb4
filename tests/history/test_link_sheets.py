"""The quality-of-service sheet: a month of a pilot's own clock, targets by medium, misses named."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pilots.history.link_sheets import SHEET_HEADER, SheetRow, month_of, month_sheet
from pilots.models import Link, LinkHour
from tests.builders import make_device
from tests.conftest import Battery

NOW = datetime(2026, 11, 10, 12, 0, tzinfo=UTC)
START = datetime(2026, 10, 31, 23, 0, tzinfo=UTC)  # 1 November in Madrid


@pytest.fixture
def link(battery: Battery) -> Link:
    battery.pilot.time_zone = "Europe/Madrid"
    battery.pilot.save()
    rtu = make_device(battery.pilot, "es-RTU01", kind="rtu")
    return Link.objects.create(
        pilot=battery.pilot, letter="a", end_a=rtu, end_b=battery.device, protocol="Modbus RTU", medium="RS-485", role="ours"
    )


def add(link: Link, hour: datetime, **columns: Any) -> None:
    LinkHour.objects.create(link=link, hour=hour, **columns)


def sheet(battery: Battery) -> SheetRow:
    (row,) = month_sheet(battery.pilot, 2026, 11, now=NOW)
    return row


@pytest.mark.django_db
def test_a_month_is_the_pilots_own(battery: Battery, link: Link) -> None:
    assert month_of(battery.pilot, 2026, 11) == (START, datetime(2026, 11, 30, 23, 0, tzinfo=UTC))
    assert month_of(battery.pilot, 2026, 12)[1] == datetime(2026, 12, 31, 23, 0, tzinfo=UTC)
    add(link, START - timedelta(hours=1), down_s=3600)
    add(link, START, up_s=3600)
    assert sheet(battery).availability == 100.0


@pytest.mark.django_db
def test_availability_counts_degraded_as_up_and_what_nobody_saw_not_at_all(battery: Battery, link: Link) -> None:
    add(link, START, up_s=1800, degraded_s=900, down_s=900)
    row = sheet(battery)
    assert row.availability == 75.0
    assert row.observed == pytest.approx(100 * 3600 / (NOW - START).total_seconds())
    assert row.misses == ["availability"]


@pytest.mark.django_db
def test_round_trips_weigh_by_their_requests_and_hours_without_any_count_for_nothing(battery: Battery, link: Link) -> None:
    add(link, START, requests=300, round_trip_p50_s=0.1, round_trip_p95_s=1.0)
    add(link, START + timedelta(hours=1), requests=100, round_trip_p50_s=0.5, round_trip_p95_s=2.0)
    add(link, START + timedelta(hours=2), requests=9000)
    row = sheet(battery)
    assert (row.round_trip_p50_s, row.round_trip_p95_s) == (pytest.approx(0.2), pytest.approx(1.25))
    assert "round_trip" in row.misses


@pytest.mark.django_db
def test_a_link_may_have_targets_of_its_own(battery: Battery, link: Link) -> None:
    Link.objects.update(target_availability=70.0, target_round_trip_s=3.0)
    add(link, START, up_s=2700, down_s=900, requests=1000, lost=1, round_trip_p50_s=0.1, round_trip_p95_s=1.0)
    row = sheet(battery)
    assert (row.availability_target, row.round_trip_target_s, row.loss) == (70.0, 3.0, pytest.approx(0.1))
    assert row.misses == ["loss"]


@pytest.mark.django_db
def test_a_month_without_hours_has_dashes_and_a_wire_that_carries_no_frames_no_row(battery: Battery, link: Link) -> None:
    wire = {"end_a": battery.device, "end_b": link.end_a, "medium": "DC wiring", "role": "observed"}
    Link.objects.create(pilot=battery.pilot, letter="d", **wire)
    row = sheet(battery)
    assert (row.availability, row.loss, row.round_trip_p95_s, row.misses) == (None, None, None, [])
    assert len(row.cells) == len(SHEET_HEADER) and row.cells[7] == ""
