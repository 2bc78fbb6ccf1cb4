"""The one door for set-points: what is validated, what is refused and with which word."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import transaction

from pilots.control.selectors import holder, record
from pilots.domain.errors import SetpointRejected
from pilots.domain.quality import Flag, Quality, Validity
from pilots.domain.setpoint import Issuer, SetpointState
from pilots.models import AuditEvent, Connection, LatestValue, Setpoint
from tests.builders import make_latest, make_point
from tests.conftest import Battery
from tests.control.conftest import NOW, after

pytestmark = pytest.mark.django_db
Wish = Callable[..., Setpoint]
S = SetpointState


def test_a_good_wish_is_received_and_validated(wish: Wish) -> None:
    setpoint = wish()
    assert [event["state"] for event in record(setpoint)["events"]] == ["received", "validated"]
    assert (setpoint.state, setpoint.priority) == (S.VALIDATED, 3)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"unit": "kW"}, "wrong_unit"),
        ({"value": 100_001.0}, "out_of_range"),
        ({"mode": "limit"}, "not_capable"),
        ({"valid_until": NOW}, "stale_request"),
        ({"valid_until": after(100), "valid_from": after(200)}, "stale_request"),
        ({"valid_until": NOW + timedelta(hours=25)}, "out_of_range"),
        ({"issued_at": NOW - timedelta(seconds=61)}, "clock_skew"),
    ],
)
def test_a_wrong_wish_is_kept_as_rejected_with_its_word(wish: Wish, fields: dict[str, Any], code: str) -> None:
    setpoint = wish(**fields)
    assert (setpoint.state, setpoint.code) == (S.REJECTED, code)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True])
def test_what_is_no_finite_number_is_refused_and_not_stored(wish: Wish, value: float) -> None:
    with pytest.raises(SetpointRejected) as refusal:
        wish(value)
    assert refusal.value.code == "out_of_range"
    assert not Setpoint.objects.exists()


def test_a_measurement_takes_no_set_points(battery: Battery, wish: Wish) -> None:
    assert wish(point=battery.power).code == "not_capable"


def test_a_second_record_of_the_same_id_is_refused(wish: Wish) -> None:
    key = uuid4()
    wish(setpoint_id=key)
    with pytest.raises(SetpointRejected) as refusal:
        wish(setpoint_id=key)
    assert refusal.value.code == "duplicate_id"


def test_a_broken_link_refuses_what_is_for_now(battery: Battery, wish: Wish) -> None:
    Connection.objects.update(state="down")
    battery.connection.refresh_from_db()
    assert wish().code == "link_down"
    assert wish(valid_from=NOW + timedelta(minutes=14), valid_until=NOW + timedelta(minutes=30)).code == "link_down"


def test_a_broken_link_takes_what_is_for_more_than_a_quarter_of_an_hour_later(battery: Battery, wish: Wish) -> None:
    Connection.objects.update(state="down")
    battery.connection.refresh_from_db()
    later = wish(valid_from=NOW + timedelta(minutes=16), valid_until=NOW + timedelta(minutes=30))
    assert later.state == S.VALIDATED


def test_a_device_that_fell_silent_is_a_broken_link(battery: Battery, wish: Wish) -> None:
    make_latest(battery.power, at=NOW - timedelta(seconds=31))
    assert wish().code == "link_down"


def test_a_questionable_value_is_still_a_sign_of_life(battery: Battery, wish: Wish) -> None:
    make_latest(battery.power, at=NOW, quality=Quality(Validity.QUESTIONABLE, flags=Flag.OUT_OF_RANGE))
    assert wish().state == S.VALIDATED


def test_a_silent_polled_device_is_not_saved_by_its_slow_nameplate(battery: Battery, wish: Wish) -> None:
    battery.power.period_s, battery.power.max_interval_s = 1.0, None
    battery.power.save()
    make_latest(battery.power, at=NOW - timedelta(seconds=10))
    make_latest(make_point(battery.device, "rated_power", period_s=900), at=NOW - timedelta(seconds=10))
    assert wish().code == "link_down"


def test_s13_a_device_in_local_mode_refuses(battery: Battery, wish: Wish) -> None:
    mode = make_point(battery.device, "control_mode", kind="status", labels={"0": "remote", "1": "local"})
    make_latest(mode, 1.0, at=NOW)
    assert wish().code == "local_mode"
    LatestValue.objects.filter(point=mode).update(value=0)
    assert wish().state == S.VALIDATED


def test_an_unknown_mode_is_not_taken_for_local(battery: Battery, wish: Wish) -> None:
    mode = make_point(battery.device, "control_mode", kind="status", labels={"0": "local", "1": "remote"})
    make_latest(mode, None, at=NOW)
    assert wish().state == S.VALIDATED


def test_s13_a_stronger_holder_is_named_in_the_refusal(wish: Wish) -> None:
    wish(issuer=Issuer.OPERATOR, requested_by="ana")
    refused = wish(issuer=Issuer.PLATFORM, requested_by="invade", now=after(1))
    assert refused.code == "conflict_priority"
    assert "ana" in refused.explanation
    assert "priority 3" in refused.explanation


def test_a_wish_for_after_the_holders_time_is_no_conflict(wish: Wish) -> None:
    wish(valid_until=after(60))
    later = wish(issuer=Issuer.PLATFORM, valid_from=after(120), valid_until=after(300))
    assert later.state == S.VALIDATED


def test_the_newer_of_two_equal_wishes_supersedes_the_older(battery: Battery, wish: Wish) -> None:
    older = wish(-10_000.0)
    newer = wish(-20_000.0, now=after(1))
    older.refresh_from_db()
    assert (older.state, older.code, older.superseded_by_id) == (S.CANCELLED, "superseded", newer.pk)
    held = holder(battery.p_set, after(2))
    assert held is not None
    assert held.pk == newer.pk


def test_a_stronger_wish_supersedes_a_weaker_one(wish: Wish) -> None:
    weaker = wish(issuer=Issuer.PLATFORM)
    wish(issuer=Issuer.OPERATOR, now=after(1))
    weaker.refresh_from_db()
    assert weaker.state == S.CANCELLED


def test_every_wish_stands_in_the_audit_trail(wish: Wish) -> None:
    setpoint = wish(reason="peak shaving")
    event = AuditEvent.objects.get(action="request set-point")
    assert (event.actor, event.subject, event.reason) == ("ana", "es-STO01/p_set", "peak shaving")
    assert event.details["id"] == str(setpoint.pk)


def test_a_wish_without_its_audit_row_does_not_exist(wish: Wish) -> None:
    with transaction.atomic():
        wish()
        transaction.set_rollback(True)
    assert (Setpoint.objects.count(), AuditEvent.objects.count()) == (0, 0)


def test_the_value_before_is_remembered(battery: Battery, wish: Wish) -> None:
    make_latest(battery.power, 4200.0, at=NOW)
    assert wish().before == 4200.0
