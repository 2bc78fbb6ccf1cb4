"""No audit, no command (S25), and every transition stands in the trail (S24)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from pilots.audit.selectors import in_order
from pilots.audit.services import take_in_spool
from pilots.audit.verification import examine
from pilots.control import dispatch, expiry, releases
from pilots.control.feedback import check_feedback
from pilots.domain.errors import AuditUnavailable, SetpointRejected
from pilots.domain.measurement import Measurement
from pilots.domain.quality import GOOD
from pilots.domain.setpoint import Issuer, RejectCode, SetpointState
from pilots.models import AuditEvent, Setpoint, SetpointEvent
from pilots.models.leases import HeldLease
from tests.builders import make_point
from tests.conftest import Battery
from tests.control.conftest import NOW, after
from tests.tampering import trail_out_of_order

pytestmark = pytest.mark.django_db
Wish = Callable[..., Setpoint]
S = SetpointState


def measure(battery: Battery, value: float, seconds: float) -> None:
    check_feedback({battery.power.pk: Measurement(value, GOOD, after(seconds), after(seconds))}, now=after(seconds))


def trail() -> list[AuditEvent]:
    connection.check_constraints()  # links the rows as the commit will
    return list(in_order(AuditEvent.objects.all()))


def test_s24_the_whole_life_of_a_setpoint_stands_in_the_trail(wish: Wish, lease: HeldLease, battery: Battery) -> None:
    setpoint = wish(reason="peak shaving")
    assert dispatch.claim_setpoint(setpoint, lease, now=after(1))
    dispatch.note_dispatched(setpoint, raw="written 0xB1E0", actor="gateway-1", now=after(2))
    measure(battery, -20_000.0, 3)
    told = [(event.action, event.actor, event.at) for event in trail()]
    assert told == [
        ("request set-point", "ana", NOW),
        ("set-point validated", "checks", NOW),
        ("claim set-point", "gateway-1", after(1)),
        ("set-point dispatched", "gateway-1", after(2)),
        ("set-point executed", "feedback", after(3)),
    ]
    assert {(event.pilot, event.subject, event.details["id"]) for event in trail()} == {
        ("es", "es-STO01/p_set", str(setpoint.pk))
    }
    assert trail()[0].details["limits"] == [-100_000, 100_000] and trail()[0].reason == "peak shaving"
    assert trail()[3].details["raw"] == "written 0xB1E0"
    assert examine([], now=NOW).fault == ""


def test_a_refusal_stands_in_the_trail_with_its_code_and_reason(wish: Wish) -> None:
    wish(500_000.0)
    refused = trail()[-1]
    assert (refused.action, refused.details["code"]) == ("set-point rejected", "out_of_range")
    assert refused.reason.startswith("500000 W is outside")


def test_s24_every_transition_has_its_row(wish: Wish, lease: HeldLease, battery: Battery) -> None:
    first, second = wish(), wish(-30_000.0, now=after(1))
    releases.cancel_setpoint(second, actor="ana", reason="enough", now=after(2))
    wish(10_000.0, now=after(3))
    expiry.expire_setpoints(now=after(9999))
    moved = [event for event in trail() if event.action.startswith("set-point ")]
    assert len(moved) == SetpointEvent.objects.exclude(state=S.RECEIVED).count() == 6
    assert [event.details["id"] for event in moved if event.action == "set-point cancelled"] == [str(first.pk), str(second.pk)]


def test_s25_a_wish_that_cannot_be_audited_is_refused_and_not_stored(wish: Wish) -> None:
    with trail_out_of_order(), pytest.raises(SetpointRejected) as refused:
        wish()
    assert refused.value.code == RejectCode.AUDIT_UNAVAILABLE
    assert refused.value.reason == "The audit trail cannot be written, so nothing was done. Tell the administrator."
    assert not Setpoint.objects.exists() and not SetpointEvent.objects.exists()


def test_s25_a_cancelling_that_cannot_be_audited_does_not_happen(wish: Wish) -> None:
    setpoint = wish()
    with trail_out_of_order(), pytest.raises(SetpointRejected) as refused:
        releases.cancel_setpoint(setpoint, actor="ana", reason="", now=after(1))
    setpoint.refresh_from_db()
    assert (refused.value.code, setpoint.state) == (RejectCode.AUDIT_UNAVAILABLE, S.VALIDATED)


def test_s25_without_the_trail_nothing_is_claimed_and_so_nothing_is_sent(
    wish: Wish, lease: HeldLease, caplog: pytest.LogCaptureFixture
) -> None:
    setpoint = wish()
    with trail_out_of_order():
        assert not dispatch.claim_setpoint(setpoint, lease, now=after(1))
    row = Setpoint.objects.get()
    assert (row.state, row.claimed_at, setpoint.claimed_at) == (S.VALIDATED, None, None)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert dispatch.claim_setpoint(setpoint, lease, now=after(2))


def test_a_measurement_is_kept_where_its_proof_cannot_be_audited(wish: Wish, lease: HeldLease, battery: Battery) -> None:
    setpoint = wish()
    dispatch.claim_setpoint(setpoint, lease, now=NOW)
    dispatch.note_dispatched(setpoint, raw="", actor="gateway-1", now=after(1))
    with trail_out_of_order():
        measure(battery, -20_000.0, 2)
    setpoint.refresh_from_db()
    assert setpoint.state == S.DISPATCHED
    measure(battery, -20_000.0, 3)
    setpoint.refresh_from_db()
    assert setpoint.state == S.EXECUTED


def test_a_transition_that_cannot_be_audited_leaves_the_setpoint_as_it_was(wish: Wish) -> None:
    setpoint = wish()
    with trail_out_of_order(), pytest.raises(AuditUnavailable):
        dispatch.note_expired(setpoint, actor="clock", now=after(1))
    assert (setpoint.state, Setpoint.objects.get().state) == (S.VALIDATED, S.VALIDATED)


# S25's exception: what gives a device back


@pytest.fixture
def spooling(tmp_path: Path, settings: Any) -> None:
    settings.DATA_DIR = tmp_path


def executed(wish: Wish, lease: HeldLease, battery: Battery) -> Setpoint:
    setpoint = wish()
    assert dispatch.claim_setpoint(setpoint, lease, now=after(1))
    dispatch.note_dispatched(setpoint, raw="", actor="gateway-1", now=after(2))
    measure(battery, -20_000.0, 3)
    return setpoint


def test_s25_without_the_trail_a_device_is_still_given_back(
    wish: Wish, lease: HeldLease, battery: Battery, spooling: None
) -> None:
    """As when the disk of the audit table is full (F13): no command is taken, but nobody stays on a value that ran out."""
    held = executed(wish, lease, battery)
    with trail_out_of_order():
        expiry.expire_setpoints(now=after(300))
        release = Setpoint.objects.get(issuer=Issuer.FALLBACK)
        assert dispatch.claim_setpoint(release, lease, now=after(301))
        dispatch.note_dispatched(release, raw="written 0", actor="gateway-1", now=after(302))
        measure(battery, 0.0, 303)
        with pytest.raises(SetpointRejected):
            wish(now=after(304))
    held.refresh_from_db()
    release.refresh_from_db()
    assert (held.released_at, release.state) == (after(300), S.EXECUTED)
    before = len(trail())
    expiry.expire_setpoints(now=after(305))
    taken = trail()[before:]
    assert [event.action for event in taken] == [
        "end set-point", "request set-point", "set-point validated",
        "claim set-point", "set-point dispatched", "set-point executed",
    ]  # fmt: skip
    assert [event.at for event in taken] == [after(300), after(300), after(300), after(301), after(302), after(303)]
    assert examine([], now=NOW).fault == ""


def test_s25_a_dispatched_one_that_runs_out_is_given_back_too(
    wish: Wish, lease: HeldLease, battery: Battery, spooling: None
) -> None:
    setpoint = wish()
    assert dispatch.claim_setpoint(setpoint, lease, now=after(1))
    dispatch.note_dispatched(setpoint, raw="", actor="gateway-1", now=after(2))
    with trail_out_of_order():
        assert expiry.expire_setpoints(now=after(300)) == 1
    assert Setpoint.objects.get(issuer=Issuer.FALLBACK).state == S.VALIDATED
    assert take_in_spool() == 3


def test_s25_one_that_cannot_be_audited_does_not_keep_the_others_on_their_value(
    wish: Wish, lease: HeldLease, battery: Battery, spooling: None, caplog: pytest.LogCaptureFixture
) -> None:
    held = executed(wish, lease, battery)
    other = make_point(battery.device, "p_set_2", kind="setpoint", capability=battery.p_set.capability)
    lost = wish(point=other, valid_until=after(3600))
    Setpoint.objects.filter(pk=lost.pk).update(claimed_at=after(1))
    with trail_out_of_order():
        expiry.expire_setpoints(now=after(300))
    held.refresh_from_db()
    lost.refresh_from_db()
    assert (held.released_at, lost.state) == (after(300), S.VALIDATED)
    assert f"set-point {lost.pk} stays validated" in caplog.text
