"""The life of a set-point after its validation (domain of docs/api.md, set-points)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from pilots.control import dispatch, expiry, releases
from pilots.control.feedback import check_feedback, feedback_point, pending_points
from pilots.domain.errors import SetpointRejected
from pilots.domain.measurement import Measurement
from pilots.domain.quality import GOOD, Quality, Validity
from pilots.domain.setpoint import Issuer, SetpointState
from pilots.models import AuditEvent, Connection, LatestValue, Setpoint
from pilots.models.leases import HeldLease
from tests.builders import make_latest
from tests.conftest import Battery
from tests.control.conftest import NOW, after, narrowed

pytestmark = pytest.mark.django_db
Wish = Callable[..., Setpoint]
S = SetpointState
ACTOR = "gateway-1"


def claimed(wish: Wish, lease: HeldLease, value: float = -20_000.0, *, now: datetime = NOW) -> Setpoint:
    setpoint = wish(value, now=now)
    assert dispatch.claim_setpoint(setpoint, lease, now=now)
    return setpoint


def dispatched(wish: Wish, lease: HeldLease, value: float = -20_000.0, *, now: datetime = NOW) -> Setpoint:
    setpoint = claimed(wish, lease, value, now=now)
    dispatch.note_dispatched(setpoint, raw="written", actor=ACTOR, now=now + timedelta(seconds=1))
    return setpoint


def executed(wish: Wish, lease: HeldLease, battery: Battery, value: float = -20_000.0) -> Setpoint:
    setpoint = dispatched(wish, lease, value)
    measure(battery, value, after(2))
    return setpoint


def measure(battery: Battery, value: float | None, moment: datetime, quality: Quality = GOOD) -> None:
    """The feedback shows this value, as ingest stores it."""
    form = {"value": value, "quality": quality.pack(), "source_time": moment, "received_time": moment}
    LatestValue.objects.update_or_create(point=battery.power, defaults=form)
    check_feedback({battery.power.pk: Measurement(value, quality, moment, moment)}, now=moment)


def state(setpoint: Setpoint) -> str:
    setpoint.refresh_from_db()
    return setpoint.state


@pytest.mark.parametrize("declared", ["", "no_such_point"])
def test_a_point_without_a_feedback_of_its_own_is_proved_by_itself(
    wish: Wish, lease: HeldLease, battery: Battery, declared: str
) -> None:
    battery.p_set.feedback = declared
    battery.p_set.save()
    setpoint = dispatched(wish, lease)
    assert pending_points() == {battery.p_set.pk} == {feedback_point(battery.p_set).pk}
    check_feedback({battery.p_set.pk: Measurement(-20_000.0, GOOD, after(3), after(3))}, now=after(3))
    assert state(setpoint) == S.EXECUTED


def test_a_proof_is_awaited_from_the_claim_on(wish: Wish, lease: HeldLease, battery: Battery) -> None:
    setpoint = wish()
    assert pending_points() == set()
    assert dispatch.claim_setpoint(setpoint, lease, now=after(1))
    assert pending_points() == {battery.power.pk}
    measure(battery, -20_000.0, after(2))
    assert state(setpoint) == S.VALIDATED
    dispatch.note_dispatched(setpoint, raw="", actor="gateway-1", now=after(3))
    assert (state(setpoint), pending_points()) == (S.EXECUTED, set())


def test_a_confirmed_write_awaits_its_feedback(wish: Wish, lease: HeldLease, battery: Battery) -> None:
    setpoint = dispatched(wish, lease)
    assert state(setpoint) == S.DISPATCHED
    assert pending_points() == {battery.power.pk}


def test_the_measurement_makes_it_executed(wish: Wish, lease: HeldLease, battery: Battery) -> None:
    setpoint = dispatched(wish, lease)
    measure(battery, -19_500.0, after(2))
    assert state(setpoint) == S.EXECUTED
    assert pending_points() == set()


@pytest.mark.parametrize(("value", "quality"), [(0.0, GOOD), (None, GOOD), (-20_000.0, Quality(Validity.QUESTIONABLE))])
def test_a_measurement_that_shows_something_else_proves_nothing(
    wish: Wish, lease: HeldLease, battery: Battery, value: float | None, quality: Quality
) -> None:
    setpoint = dispatched(wish, lease)
    measure(battery, value, after(2), quality)
    assert state(setpoint) == S.DISPATCHED


def test_a_measurement_from_before_the_claim_proves_nothing(wish: Wish, lease: HeldLease, battery: Battery) -> None:
    setpoint = dispatched(wish, lease)
    measure(battery, -20_000.0, NOW)
    assert state(setpoint) == S.DISPATCHED


def test_a_measurement_that_overtook_the_confirmation_counts(wish: Wish, lease: HeldLease, battery: Battery) -> None:
    setpoint = claimed(wish, lease)
    measure(battery, -20_000.0, after(0.5))
    dispatch.note_dispatched(setpoint, raw="written", actor=ACTOR, now=after(1))
    assert state(setpoint) == S.EXECUTED


def test_a_device_that_does_not_follow_makes_it_failed(wish: Wish, lease: HeldLease, battery: Battery) -> None:
    setpoint = dispatched(wish, lease)
    measure(battery, 0.0, after(2))
    expiry.expire_setpoints(now=after(15))
    assert state(setpoint) == S.DISPATCHED
    expiry.expire_setpoints(now=after(16))
    assert state(setpoint) == S.FAILED


def test_a_device_that_reports_changes_only_and_stands_right_already_is_executed(
    wish: Wish, lease: HeldLease, battery: Battery
) -> None:
    measure(battery, -20_000.0, after(-1))
    setpoint = dispatched(wish, lease)
    expiry.expire_setpoints(now=after(16))
    assert state(setpoint) == S.EXECUTED


def test_a_limit_is_kept_by_everything_below_it(wish: Wish, lease: HeldLease, battery: Battery) -> None:
    battery.p_set.capability = {"minimum": 0, "maximum": 11_000, "response_time_s": 5, "modes": ["limit"]}
    battery.p_set.save()
    setpoint = wish(6000.0, mode="limit")
    assert dispatch.claim_setpoint(setpoint, lease, now=NOW)
    dispatch.note_dispatched(setpoint, raw="Accepted", actor=ACTOR, now=after(1))
    measure(battery, 6500.0, after(2))
    assert state(setpoint) == S.DISPATCHED
    measure(battery, 3700.0, after(3))
    assert state(setpoint) == S.EXECUTED


def test_the_devices_no_is_a_rejection(wish: Wish, lease: HeldLease) -> None:
    setpoint = claimed(wish, lease)
    dispatch.note_refused(setpoint, reason="busy", raw="6", actor=ACTOR, now=after(1))
    assert (state(setpoint), setpoint.code) == (S.REJECTED, "device_rejected")


def test_what_could_not_leave_has_failed(wish: Wish, lease: HeldLease) -> None:
    setpoint = claimed(wish, lease)
    dispatch.note_not_sent(setpoint, reason="no connection", actor=ACTOR, now=after(1))
    assert (state(setpoint), setpoint.code) == (S.FAILED, "link_down")


def test_a_finished_set_point_never_changes(wish: Wish, lease: HeldLease, battery: Battery) -> None:
    setpoint = executed(wish, lease, battery)
    dispatch.note_refused(setpoint, reason="late", raw="", actor=ACTOR, now=after(3))
    dispatch.note_unknown(setpoint, reason="late", actor=ACTOR, now=after(3))
    dispatch.note_expired(setpoint, actor=ACTOR, now=after(3))
    assert state(setpoint) == S.EXECUTED


def test_claims_of_a_gateway_that_died_are_unknown(wish: Wish, lease: HeldLease, battery: Battery) -> None:
    setpoint = claimed(wish, lease)
    assert dispatch.recover_claims([battery.connection.pk], actor="gateway-2", now=after(20)) == 1
    assert state(setpoint) == S.UNKNOWN


def test_a_claim_that_nobody_recovers_is_unknown_after_a_minute(wish: Wish, lease: HeldLease) -> None:
    setpoint = claimed(wish, lease)
    expiry.expire_setpoints(now=after(59))
    assert state(setpoint) == S.VALIDATED
    expiry.expire_setpoints(now=after(60))
    assert state(setpoint) == S.UNKNOWN


def test_an_unknown_outcome_is_executed_when_the_device_shows_it(wish: Wish, lease: HeldLease, battery: Battery) -> None:
    setpoint = claimed(wish, lease)
    dispatch.note_unknown(setpoint, reason="no answer", actor=ACTOR, now=after(1))
    measure(battery, -20_000.0, after(5))
    assert state(setpoint) == S.EXECUTED


def test_an_unknown_outcome_has_failed_when_the_device_shows_another_value(
    wish: Wish, lease: HeldLease, battery: Battery
) -> None:
    setpoint = claimed(wish, lease)
    dispatch.note_unknown(setpoint, reason="no answer", actor=ACTOR, now=after(1))
    measure(battery, 0.0, after(30))
    expiry.expire_setpoints(now=after(31))
    assert state(setpoint) == S.FAILED


def test_an_unknown_outcome_stays_unknown_while_the_device_cannot_be_read(wish: Wish, lease: HeldLease, battery: Battery) -> None:
    make_latest(battery.power, 0.0, at=NOW - timedelta(seconds=1))
    setpoint = claimed(wish, lease)
    dispatch.note_unknown(setpoint, reason="no answer", actor=ACTOR, now=after(1))
    for seconds in (31, 600, 3600):
        expiry.expire_setpoints(now=after(seconds))
    assert state(setpoint) == S.UNKNOWN


def test_an_unclaimed_set_point_expires(wish: Wish) -> None:
    setpoint = wish()
    assert expiry.expire_setpoints(now=after(299)) == 0
    assert expiry.expire_setpoints(now=after(300)) == 1
    assert state(setpoint) == S.EXPIRED
    assert Setpoint.objects.count() == 1


def test_an_expired_target_gives_the_device_back_with_zero(wish: Wish, lease: HeldLease, battery: Battery) -> None:
    setpoint = executed(wish, lease, battery)
    expiry.expire_setpoints(now=after(300))
    release = Setpoint.objects.get(issuer=Issuer.FALLBACK)
    assert (release.value, release.state) == (0.0, S.VALIDATED)
    setpoint.refresh_from_db()
    assert (setpoint.state, setpoint.released_at) == (S.EXECUTED, after(300))


def test_a_release_waits_for_a_broken_link(wish: Wish, lease: HeldLease, battery: Battery) -> None:
    executed(wish, lease, battery)
    Connection.objects.update(state="down")
    expiry.expire_setpoints(now=after(300))
    release = Setpoint.objects.get(issuer=Issuer.FALLBACK)
    expiry.expire_setpoints(now=after(4000))
    assert state(release) == S.VALIDATED


def test_a_release_yields_to_every_newer_wish(wish: Wish, lease: HeldLease, battery: Battery) -> None:
    executed(wish, lease, battery)
    expiry.expire_setpoints(now=after(300))
    measure(battery, -20_000.0, after(301))
    wish(-5000.0, now=after(301))
    assert state(Setpoint.objects.get(issuer=Issuer.FALLBACK)) == S.CANCELLED


def test_hold_on_expiry_leaves_the_device_as_it_is(wish: Wish, lease: HeldLease, battery: Battery) -> None:
    narrowed(battery.p_set, watchdog_s=60)
    setpoint = wish(on_expiry="hold")
    assert dispatch.claim_setpoint(setpoint, lease, now=NOW)
    dispatch.note_dispatched(setpoint, raw="", actor=ACTOR, now=after(1))
    measure(battery, -20_000.0, after(2))
    expiry.expire_setpoints(now=after(300))
    assert not Setpoint.objects.filter(issuer=Issuer.FALLBACK).exists()


def test_a_dispatched_set_point_whose_time_is_over_expires_and_is_released(wish: Wish, lease: HeldLease) -> None:
    setpoint = wish(valid_until=after(10))
    dispatch.claim_setpoint(setpoint, lease, now=NOW)
    dispatch.note_dispatched(setpoint, raw="", actor=ACTOR, now=after(1))
    expiry.expire_setpoints(now=after(10))
    assert state(setpoint) == S.EXPIRED
    assert Setpoint.objects.get(issuer=Issuer.FALLBACK).value == 0.0


def test_a_waiting_set_point_is_cancelled_without_a_trace_at_the_device(wish: Wish) -> None:
    setpoint = wish()
    releases.cancel_setpoint(setpoint, actor="ana", reason="mistake", now=after(1))
    assert setpoint.state == S.CANCELLED
    assert Setpoint.objects.count() == 1
    assert AuditEvent.objects.filter(action="cancel set-point").count() == 1


def test_cancelling_what_was_claimed_meanwhile_gives_the_device_back(wish: Wish, lease: HeldLease) -> None:
    setpoint = wish()
    dispatch.claim_setpoint(Setpoint.objects.get(pk=setpoint.pk), lease, now=NOW)
    releases.cancel_setpoint(setpoint, actor="ana", reason="mistake", now=after(1))
    assert Setpoint.objects.get(issuer=Issuer.FALLBACK).value == 0.0


def test_cancelling_an_executed_set_point_releases_it(wish: Wish, lease: HeldLease, battery: Battery) -> None:
    setpoint = executed(wish, lease, battery)
    releases.cancel_setpoint(setpoint, actor="ana", reason="enough", now=after(3))
    assert (setpoint.state, setpoint.released_at) == (S.EXECUTED, after(3))
    with pytest.raises(SetpointRejected) as refusal:
        releases.cancel_setpoint(setpoint, actor="ana", reason="enough", now=after(4))
    assert refusal.value.code == "already_finished"


def test_a_set_point_for_later_ends_the_one_in_force_when_its_time_comes(wish: Wish, lease: HeldLease, battery: Battery) -> None:
    today = executed(wish, lease, battery)
    later = wish(-5000.0, valid_from=after(100), valid_until=after(600), now=after(3))
    measure(battery, -20_000.0, after(95))
    assert dispatch.claim_setpoint(later, lease, now=after(100))
    today.refresh_from_db()
    assert (today.released_at, today.superseded_by_id) == (after(100), later.pk)
    expiry.expire_setpoints(now=after(300))
    assert not Setpoint.objects.filter(issuer=Issuer.FALLBACK).exists()


def test_a_set_point_for_later_yields_to_a_stronger_holder_when_its_time_comes(wish: Wish, lease: HeldLease) -> None:
    later = wish(issuer=Issuer.PLATFORM, valid_from=after(100), valid_until=after(600))
    wish(now=after(3))
    assert not dispatch.claim_setpoint(later, lease, now=after(100))
    assert (state(later), later.code) == (S.REJECTED, "conflict_priority")
