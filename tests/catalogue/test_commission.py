"""A declared pilot becomes rows: all or nothing, and twice is once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pilots.catalogue.loader import load_pilots, load_profiles
from pilots.catalogue.services import commission_pilot
from pilots.control.services import request_setpoint
from pilots.domain.errors import CatalogueError
from pilots.domain.profile import Profile
from pilots.domain.setpoint import Issuer
from pilots.domain.topology import PilotSpec
from pilots.models import Connection, Device, Link, Pilot, Point
from tests.builders import make_latest

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def spain() -> PilotSpec:
    return load_pilots()["es"]


def commission(spec: PilotSpec) -> bool:
    return commission_pilot(spec, load_profiles()).any


def without(spec: PilotSpec, device: str) -> PilotSpec:
    links = tuple(link for link in spec.links if device not in link.ends)
    return replace(spec, devices=tuple(d for d in spec.devices if d.id != device), links=links)


def test_every_declared_thing_has_its_row(spain: PilotSpec) -> None:
    assert commission(spain)
    assert Device.objects.count() == len(spain.devices)
    assert Connection.objects.count() == len(spain.connections)
    assert Link.objects.count() == len(spain.links)
    battery = Device.objects.get(code="es-STO01")
    assert battery.parent is not None
    assert battery.parent.code == "es-PE01"
    assert Point.objects.get(device=battery, name="p_set").spec.capability is not None


def test_the_same_file_twice_changes_nothing(spain: PilotSpec) -> None:
    commission(spain)
    before = Pilot.objects.get().revision
    assert not commission(spain)
    assert Pilot.objects.get().revision == before


def test_a_change_is_noticed_by_its_revision(spain: PilotSpec) -> None:
    commission(spain)
    before = Pilot.objects.get().revision
    assert commission(replace(spain, summary="another ring"))
    assert (Pilot.objects.get().revision, Pilot.objects.get().summary) == (before + 1, "another ring")


def test_what_a_file_no_longer_names_is_removed_and_the_rest_keeps_its_values(spain: PilotSpec) -> None:
    commission(spain)
    kept = make_latest(Point.objects.get(device__code="es-STO01", name="active_power"), 4500.0)
    commission(without(spain, "es-PV10"))
    assert not Device.objects.filter(code="es-PV10").exists()
    kept.refresh_from_db()
    assert kept.value == 4500.0


def test_a_device_whose_set_points_are_kept_is_not_removed(spain: PilotSpec) -> None:
    commission(spain)
    now = datetime.now(UTC)
    request_setpoint(
        point=Point.objects.get(device__code="es-EVSE01", name__startswith="p_"),
        value=0.0,
        unit="W",
        mode="limit",
        issuer=Issuer.OPERATOR,
        requested_by="ana",
        valid_until=now + timedelta(minutes=5),
        now=now,
    )
    before = Device.objects.count()
    with pytest.raises(CatalogueError, match="set-points are kept"):
        commission(without(spain, "es-EVSE01"))
    assert Device.objects.count() == before


def with_rules(**rules: Any) -> dict[str, Profile]:
    """The profiles, the battery's p_set with these rules too."""
    profiles = load_profiles()
    profile = profiles["iec104-storage"]
    spec = profile.points["p_set"]
    assert spec.capability is not None
    point = replace(spec, capability=replace(spec.capability, **rules))
    return profiles | {"iec104-storage": replace(profile, points={**profile.points, "p_set": point})}


def test_what_a_profile_rules_is_in_the_row_and_comes_back(spain: PilotSpec) -> None:
    rules = {"interlock": "es-SW01/position = 'closed'", "interlock_words": "Closed", "soc": "soc", "soc_max": 90.0}
    commission_pilot(spain, with_rules(**rules))
    point = Point.objects.get(device__code="es-STO01", name="p_set")
    capability = point.spec.capability
    assert capability is not None
    assert {name: getattr(capability, name) for name in rules} == rules
    assert "max_per_hour" not in point.capability
    assert not commission_pilot(spain, with_rules(**rules)).any


def test_an_interlock_that_needs_what_the_pilot_has_not_is_refused_and_nothing_is_changed(spain: PilotSpec) -> None:
    with pytest.raises(CatalogueError, match="es-STO01/p_set: the interlock needs de-SW01/position"):
        commission_pilot(spain, with_rules(interlock="de-SW01/position = 2"))
    assert not Pilot.objects.exists()


def test_an_engineers_limits_outlast_a_new_commissioning(spain: PilotSpec) -> None:
    commission(spain)
    Point.objects.filter(device__code="es-STO01", name="p_set").update(operating_maximum=40_000)
    commission(replace(spain, summary="another ring"))
    assert Point.objects.get(device__code="es-STO01", name="p_set").operating_maximum == 40_000


def test_a_device_of_another_pilot_is_not_taken_over(spain: PilotSpec) -> None:
    commission(spain)
    with pytest.raises(CatalogueError):
        commission(replace(spain, code="nl"))
    assert not Pilot.objects.filter(code="nl").exists()


def test_a_fallback_is_declared_by_the_file_or_by_an_administrator(spain: PilotSpec) -> None:
    def battery(**plan: object) -> PilotSpec:
        return replace(spain, devices=tuple(replace(d, fallback=plan) if d.id == "es-STO01" else d for d in spain.devices))

    commission(battery(value=-5_000, link_lost="default"))
    assert Device.objects.get(code="es-STO01").fallback == {"value": -5_000, "link_lost": "default"}
    assert Pilot.objects.get().heartbeat_s == 900
    Device.objects.filter(code="es-STO01").update(fallback={"value": 0})
    assert not commission(replace(spain, heartbeat_s=None))
    assert Device.objects.get(code="es-STO01").fallback == {"value": 0}
    with pytest.raises(CatalogueError, match="fallback: es-STO01: 900000 W is outside -100000 to 100000 W of p_set"):
        commission(battery(value=900_000))
