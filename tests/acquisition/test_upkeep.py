"""What the station keeps true by itself: old data, link states, plans."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from pilots.acquisition.ingest import Ingest
from pilots.acquisition.old_data import mark_devices_old, mark_old_data
from pilots.acquisition.targets import PlanBook, resolve_endpoint
from pilots.catalogue.services import note_change
from pilots.domain.errors import LinkDown
from pilots.domain.quality import Flag
from pilots.models import Device, LatestValue, Point
from tests.builders import make_connection, make_device, make_latest, make_point
from tests.conftest import Battery
from tests.waiting import until

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def flags(point: Point) -> Flag:
    return LatestValue.objects.get(point=point).unpacked_quality.flags


@pytest.mark.django_db(transaction=True)
def test_values_past_three_intervals_are_marked_and_others_are_not(battery: Battery, door: Ingest) -> None:
    fresh = make_point(battery.device, "soc", max_interval_s=10)
    event = make_point(battery.device, "alarm")
    make_latest(battery.power, 4500.0, at=NOW - timedelta(seconds=31))
    make_latest(fresh, 50.0, at=NOW - timedelta(seconds=29))
    make_latest(event, 0.0, at=NOW - timedelta(days=9))
    note_change(battery.pilot)
    door.directory.refresh(force=True)
    assert mark_old_data(door, NOW) == 1
    until(lambda: Flag.OLD in flags(battery.power))
    assert (flags(fresh), flags(event)) == (Flag.NONE, Flag.NONE)
    assert mark_old_data(door, NOW) == 0


@pytest.mark.django_db(transaction=True)
def test_a_device_that_hung_up_takes_all_its_values_with_it(battery: Battery, door: Ingest) -> None:
    make_latest(battery.power, 4500.0, at=NOW)
    note_change(battery.pilot)
    door.directory.refresh(force=True)
    assert mark_devices_old(door, ["es-STO01"]) == 1
    until(lambda: Flag.OLD in flags(battery.power))


@pytest.mark.django_db
def test_plans_are_built_anew_only_when_the_configuration_changed(battery: Battery) -> None:
    book = PlanBook()
    first = book.read()
    with CaptureQueriesContext(connection) as queries:
        assert book.read() is first
    assert len(queries) == 3
    make_point(battery.device, "soc", max_interval_s=10)
    note_change(battery.pilot)
    (plan,) = book.read()
    assert "soc" in plan.target.devices[0].points
    assert plan.fingerprint != first[0].fingerprint
    Device.objects.update(key_sha256="0" * 64)
    assert book.read()[0].fingerprint != plan.fingerprint


@pytest.mark.django_db
def test_pushing_and_disabled_connections_have_no_plan(battery: Battery) -> None:
    make_connection(battery.pilot)
    make_connection(battery.pilot, "es-rtu02", protocol="iec104", enabled=False)
    assert [plan.resource for plan in PlanBook().read()] == ["connection:es-rtu01"]


@pytest.mark.django_db
def test_charge_points_of_all_connections_share_one_listener(battery: Battery) -> None:
    for name in ("es-ocpp", "nl-ocpp"):
        line = make_connection(battery.pilot, name, protocol="ocpp16")
        make_device(battery.pilot, f"{name}-1", kind="charge_point", connection=line)
    plans = {plan.resource: plan for plan in PlanBook().read()}
    assert set(plans["listener:ocpp16:"].connections) == {"es-ocpp", "nl-ocpp"}
    assert len(plans["listener:ocpp16:"].target.devices) == 2


@pytest.mark.django_db
def test_a_simulator_that_has_not_started_is_a_link_that_is_down(battery: Battery) -> None:
    (plan,) = PlanBook().read()
    with pytest.raises(LinkDown, match="es-rtu01"):
        resolve_endpoint(plan)
