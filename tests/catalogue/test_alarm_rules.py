"""The alarm rules that equipment has from its commissioning on."""

from __future__ import annotations

from typing import Any

import pytest

from pilots.catalogue.alarm_rules import check_rule, put_default_rules
from pilots.catalogue.loader import load_pilots, load_profiles
from pilots.catalogue.services import commission_pilot
from pilots.domain.errors import CatalogueError
from pilots.models import AlarmRule, Device, Pilot
from tests.builders import make_device, make_pilot, make_point

pytestmark = pytest.mark.django_db


def commissioned(code: str) -> Pilot:
    commission_pilot(load_pilots()[code], load_profiles())
    return Pilot.objects.get(code=code)


def rule(subject: str, kind: str) -> AlarmRule:
    return AlarmRule.objects.get(subject=subject, kind=kind)


def test_a_commissioned_pilot_has_the_defaults_of_its_equipment() -> None:
    commissioned("es")
    trip, loading = rule("es-STO01/temperature", "high_high"), rule("es-TR01/loading", "high_high")
    assert (trip.priority, trip.limit, bool(trip.why), bool(trip.todo)) == (1, 55.0, True, True)
    assert (loading.priority, loading.limit, loading.on_delay_s) == (2, 100.0, 900.0)
    assert str(rule("es-STO01/soc", "high").limit_point) == "es-STO01/soc_max_set_feedback"
    assert rule("es-EVSE01/connector_state", "state").codes == [8]
    assert rule("es-STO01/p_set", "setpoint_failed").priority == 3
    assert rule("", "pilot_lost").priority == 2
    lost = AlarmRule.objects.filter(kind="device_lost").values_list("device__code", flat=True)
    assert {"es-STO01", "es-EVSE01"} <= set(lost)


def test_commissioning_again_changes_nothing_and_leaves_what_an_engineer_changed() -> None:
    pilot = commissioned("es")
    assert put_default_rules(pilot) == 0
    AlarmRule.objects.filter(subject="es-STO01/temperature", kind="high").update(limit=40, own=True)
    AlarmRule.objects.filter(subject="es-TR01/loading", kind="high").update(limit=40)
    commissioned("es")
    assert rule("es-STO01/temperature", "high").limit == 40
    assert rule("es-TR01/loading", "high").limit == 80


def test_rules_go_with_their_equipment() -> None:
    pilot = commissioned("es")
    Device.objects.filter(code="es-PV10").delete()
    put_default_rules(pilot)
    assert not AlarmRule.objects.filter(subject__startswith="es-PV10").exists()


def test_every_kind_of_priority_is_rare_where_it_is_urgent() -> None:
    commissioned("es")
    critical, all_of_them = AlarmRule.objects.filter(priority=1).count(), AlarmRule.objects.count()
    assert critical / all_of_them < 0.05


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"kind": "high", "limit": None}, "limit"),
        ({"kind": "high", "limit": float("inf")}, "limit"),
        ({"kind": "state", "codes": []}, "codes"),
        ({"kind": "state", "codes": ["fault"]}, "codes"),
        ({"kind": "state", "codes": "1"}, "codes"),
        ({"kind": "device_lost"}, "point"),
        ({"kind": "high", "limit": 1.0, "point": None}, "point"),
    ],
)
def test_a_rule_that_cannot_be_judged_is_refused_by_its_field(fields: dict[str, Any], field: str) -> None:
    point = make_point(make_device(make_pilot()))
    row = AlarmRule(**({"point": point, "priority": 3, "what": "x"} | fields))
    with pytest.raises(CatalogueError) as refusal:
        check_rule(row)
    assert refusal.value.field == field


def test_a_new_rule_has_its_names_from_its_point_and_is_the_only_one_of_its_kind() -> None:
    point = make_point(make_device(make_pilot()))
    first = AlarmRule(point=point, kind="high", limit=5.0, priority=3, what="x")
    check_rule(first)
    first.save()
    assert (first.subject, first.pilot.code) == ("es-STO01/active_power", "es")
    with pytest.raises(CatalogueError, match="change that one"):
        check_rule(AlarmRule(point=point, kind="high", limit=6.0, priority=3, what="x"))
