"""What a turn and a proof ask of the database: a few statements by hand; what they leave out comes when it is asked for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from pilots.alarms.occurrences import Coming, Going, turn
from pilots.control import dispatch
from pilots.control.feedback import check_feedback
from pilots.control.statements import points_by_key
from pilots.domain.measurement import Measurement
from pilots.domain.quality import GOOD
from pilots.domain.setpoint import SetpointState
from pilots.models import Alarm, Device, Setpoint
from pilots.models.alarms import locked_rules
from pilots.models.leases import HeldLease
from tests.alarms.builders import make_pilot_rule, make_rule
from tests.conftest import Battery
from tests.control.conftest import NOW, after, lease, wish

__all__ = ["lease", "wish"]

pytestmark = pytest.mark.django_db


def asked(queries: CaptureQueriesContext) -> list[str]:
    """Without what only opens and closes transactions."""
    return [each["sql"] for each in queries.captured_queries if "SAVEPOINT" not in each["sql"]]


def test_an_alarm_that_comes_or_goes_is_a_handful_of_statements(battery: Battery) -> None:
    rule = make_rule(battery.power, limit=5_000.0)
    with CaptureQueriesContext(connection) as queries:
        turn([Coming(rule.pk, NOW, 6_000.0, 5_000.0)], [], now=NOW)
    assert len(asked(queries)) <= 5
    with CaptureQueriesContext(connection) as queries:
        turn([], [Going(rule.pk, after(1))], now=after(1))
    assert len(asked(queries)) <= 4
    assert Alarm.objects.get().returned_at == after(1)


def test_locked_rules_have_their_pilot_and_point_at_hand_and_the_rest_when_asked(battery: Battery) -> None:
    of_point, of_pilot = make_rule(battery.power, codes=[2, 3]), make_pilot_rule(battery.pilot)
    with transaction.atomic(), CaptureQueriesContext(connection) as queries:
        rules = locked_rules([of_pilot.pk, None, of_point.pk])
        point = rules[of_point.pk].point
        assert point is not None
        assert (rules[of_point.pk].pilot.code, point.unit, rules[of_point.pk].codes) == ("es", "W", [2, 3])
        assert rules[of_pilot.pk].pilot.code == "es" and rules[of_pilot.pk].point is None
    assert len(asked(queries)) == 1
    assert rules[of_pilot.pk].pilot.time_zone == battery.pilot.time_zone
    assert point.name == "active_power"
    with transaction.atomic():
        assert locked_rules([None]) == {}


def test_a_proof_is_a_handful_of_statements(wish: Callable[..., Setpoint], lease: HeldLease, battery: Battery) -> None:
    setpoint = wish()
    assert dispatch.claim_setpoint(setpoint, lease, now=after(1))
    dispatch.note_dispatched(setpoint, raw="", actor="gateway-1", now=after(2))
    with CaptureQueriesContext(connection) as queries:
        (change,) = check_feedback({battery.power.pk: Measurement(-20_000.0, GOOD, after(3), after(3))}, now=after(3))
    # SQLite links the audit row at once, which is one more.
    assert len(asked(queries)) <= (8 if connection.vendor == "postgresql" else 9)
    assert change.pilot == "es" and change.setpoints[0]["device"] == "es-STO01"
    setpoint.refresh_from_db()
    assert setpoint.state == SetpointState.EXECUTED


def test_points_read_by_hand_are_those_of_the_table(battery: Battery) -> None:
    (point,) = points_by_key([battery.power.pk]).values()
    with CaptureQueriesContext(connection) as queries:
        assert (point.device.code, point.device.pilot.code, point.spec) == ("es-STO01", "es", battery.power.spec)
    assert not queries.captured_queries
    assert point.device.kind == Device.objects.get(code="es-STO01").kind
