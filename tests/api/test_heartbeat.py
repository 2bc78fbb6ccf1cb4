"""What counts as the platform's sign of life: any authenticated call of a client that may control."""

from __future__ import annotations

import pytest

from pilots.control.heartbeat import NOTES
from pilots.models import PlatformWatch
from tests.api.conftest import Api, Plant, api


@pytest.fixture(autouse=True)
def _watched(plant: Plant) -> None:
    for pilot in (plant.es, plant.nl):
        pilot.heartbeat_s = 60
        pilot.save()


def heard() -> set[tuple[str, str]]:
    return {(watch.pilot.code, watch.heard_from) for watch in PlatformWatch.objects.select_related("pilot")}


def test_any_call_of_who_may_control_is_heard_at_its_pilots(plant: Plant) -> None:
    assert api("control", name="platform").get("/clock").status_code == 200
    assert heard() == {("es", "platform"), ("nl", "platform")}


def test_a_narrow_token_is_heard_where_it_reaches(plant: Plant) -> None:
    api("control", name="dutch", pilots=[plant.nl]).get("/clock")
    assert heard() == {("nl", "dutch")}
    api("control", name="battery", devices=[plant.battery]).get("/clock")
    assert heard() == {("nl", "dutch"), ("es", "battery")}


def test_readers_pushers_and_strangers_are_no_platform(plant: Plant) -> None:
    for client in (api("read"), api("ingest"), Api("wrong"), Api()):
        client.get("/clock")
    assert heard() == set()


def test_a_pilot_without_a_heartbeat_is_not_watched(plant: Plant) -> None:
    plant.nl.heartbeat_s = None
    plant.nl.save()
    api("control", name="platform").get("/clock")
    assert heard() == {("es", "platform")}


def test_a_caller_is_noted_once_a_second(plant: Plant) -> None:
    platform = api("control", name="platform")
    platform.get("/clock")
    first = PlatformWatch.objects.get(pilot=plant.es).heard_at
    platform.get("/clock")
    assert PlatformWatch.objects.get(pilot=plant.es).heard_at == first
    NOTES.forget()
    platform.get("/clock")
    assert PlatformWatch.objects.get(pilot=plant.es).heard_at > first
