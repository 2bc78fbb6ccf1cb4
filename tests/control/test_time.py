"""S5 and S22: nothing is executed after its time, whatever the clocks and the processes do meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pilots.control import age, dispatch, expiry
from pilots.control.statements import due_for
from pilots.domain.setpoint import Issuer, SetpointState
from pilots.models import Setpoint
from pilots.models.leases import HeldLease
from tests.conftest import Battery
from tests.control.conftest import NOW, after
from tests.control.test_life import claimed, executed, measure, state

pytestmark = pytest.mark.django_db
Wish = Callable[..., Setpoint]
S = SetpointState


class Uptime:
    """The clock since boot, as a test sets it."""

    def __init__(self) -> None:
        self.now_s, self.boot = 1000.0, "this run of this machine"


@pytest.fixture
def uptime(monkeypatch: pytest.MonkeyPatch) -> Uptime:
    clock = Uptime()
    monkeypatch.setattr(age, "since_boot_s", lambda: clock.now_s)
    monkeypatch.setattr(age, "boot", lambda: clock.boot)
    return clock


def test_s5_a_wall_clock_set_back_makes_nothing_valid_again(wish: Wish, lease: HeldLease, uptime: Uptime) -> None:
    setpoint = wish()
    uptime.now_s += 301
    earlier = after(-3600)
    assert not dispatch.claim_setpoint(setpoint, lease, now=after(1))
    expiry.expire_setpoints(now=earlier)
    assert state(setpoint) == S.EXPIRED
    assert setpoint.claimed_at is None


def test_s5_a_wall_clock_set_forward_ends_it_early(wish: Wish, lease: HeldLease, uptime: Uptime) -> None:
    setpoint = wish()
    uptime.now_s += 1
    assert not dispatch.claim_setpoint(setpoint, lease, now=after(3600))
    expiry.expire_setpoints(now=after(3600))
    assert state(setpoint) == S.EXPIRED


def test_s5_a_set_point_in_force_ends_though_the_wall_clock_was_set_back(
    wish: Wish, lease: HeldLease, battery: Battery, uptime: Uptime
) -> None:
    setpoint = executed(wish, lease, battery)
    uptime.now_s += 300
    expiry.expire_setpoints(now=after(-3600))
    setpoint.refresh_from_db()
    assert setpoint.released_at == after(-3600)
    assert Setpoint.objects.get(issuer=Issuer.FALLBACK).value == 0.0


def test_s5_after_a_restart_of_the_machine_the_wall_clock_decides(wish: Wish, lease: HeldLease, uptime: Uptime) -> None:
    setpoint = wish()
    uptime.boot, uptime.now_s = "the next run", 5.0
    assert age.left_s(setpoint, after(100)) == 200.0
    assert dispatch.claim_setpoint(setpoint, lease, now=after(299))


def test_s5_the_earlier_of_both_clocks_counts(wish: Wish, uptime: Uptime) -> None:
    setpoint = wish()
    uptime.now_s += 100
    assert age.left_s(setpoint, after(10)) == 200.0
    assert age.left_s(setpoint, after(250)) == 50.0


def test_s5_nothing_is_claimed_at_or_after_its_end(wish: Wish, lease: HeldLease, uptime: Uptime) -> None:
    setpoint = wish()
    assert not dispatch.claim_setpoint(setpoint, lease, now=after(300))
    uptime.now_s += 300
    assert not dispatch.claim_setpoint(setpoint, lease, now=NOW)
    assert state(setpoint) == S.VALIDATED


def test_s22_what_expired_while_nothing_ran_is_expired_and_never_due(wish: Wish, lease: HeldLease, battery: Battery) -> None:
    setpoint = wish()
    assert not dispatch.claim_setpoint(setpoint, lease, now=after(4000))
    expiry.expire_setpoints(now=after(4000))
    assert state(setpoint) == S.EXPIRED
    assert due_for([battery.connection.pk], after(4000)) == []


def test_s22_what_was_sent_before_the_restart_is_unknown_and_not_sent_again(
    wish: Wish, lease: HeldLease, battery: Battery
) -> None:
    setpoint = claimed(wish, lease)
    dispatch.recover_claims([battery.connection.pk], actor="gateway-2", now=after(20))
    assert state(setpoint) == S.UNKNOWN
    assert due_for([battery.connection.pk], after(21)) == []
    assert not dispatch.claim_setpoint(setpoint, lease, now=after(21))


def test_s22_what_ended_while_nothing_ran_is_given_back_once_and_says_how_late(
    wish: Wish, lease: HeldLease, battery: Battery
) -> None:
    setpoint = executed(wish, lease, battery)
    expiry.expire_setpoints(now=after(900))
    expiry.expire_setpoints(now=after(901))
    setpoint.refresh_from_db()
    assert "600 s late" in setpoint.release_reason
    assert Setpoint.objects.filter(issuer=Issuer.FALLBACK).count() == 1


def test_s17_an_unknown_outcome_is_read_and_never_sent_again(wish: Wish, lease: HeldLease, battery: Battery) -> None:
    shown, absent = claimed(wish, lease), None
    dispatch.note_unknown(shown, reason="no answer", actor="gateway-1", now=after(1))
    assert not dispatch.claim_setpoint(shown, lease, now=after(2))
    measure(battery, -20_000.0, after(3))
    assert state(shown) == S.EXECUTED
    absent = wish(-5000.0, now=after(10))
    assert dispatch.claim_setpoint(absent, lease, now=after(11))
    dispatch.note_unknown(absent, reason="no answer", actor="gateway-1", now=after(12))
    measure(battery, -20_000.0, after(40))
    expiry.expire_setpoints(now=after(43))
    assert state(absent) == S.FAILED
