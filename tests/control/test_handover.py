"""Back to automatic: what operators hold is given up together, told before, and nothing else is touched."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from pilots.audit.services import record_events
from pilots.control.dispatch import claim_setpoint, note_dispatched
from pilots.control.feedback import settle
from pilots.control.guards import hold_point, holds_at
from pilots.control.handover import NothingHeld, back_to_automatic, handovers
from pilots.domain.errors import AuditUnavailable
from pilots.domain.setpoint import Issuer
from pilots.models import AuditEvent, OperatorHold, Setpoint
from pilots.models.leases import HeldLease
from tests.builders import make_latest
from tests.conftest import Battery
from tests.control.conftest import NOW, after

Wish = Callable[..., Setpoint]


def hold(battery: Battery) -> OperatorHold:
    return hold_point(battery.p_set, owner="ana", reason="test run", until=NOW + timedelta(hours=1), now=NOW)


@pytest.fixture
def executed(battery: Battery, wish: Wish, lease: HeldLease) -> Setpoint:
    """An operator's −20 kW that the measurement shows."""
    setpoint = wish()
    assert claim_setpoint(setpoint, lease, now=after(1))
    note_dispatched(setpoint, raw="", actor="gateway-1", now=after(1))
    make_latest(battery.power, -20_000.0, at=after(2))
    assert settle(setpoint, now=after(2))
    return setpoint


def test_a_hold_and_a_set_point_in_force_are_given_up_and_the_device_is_given_back(battery: Battery, executed: Setpoint) -> None:
    hold(battery)
    told = handovers([battery.p_set], after(3))
    assert [(each.written, len(each.holds), len(each.setpoints)) for each in told] == [(0.0, 1, 1)]
    back_to_automatic(battery.p_set, actor="ana", reason="", now=after(3))
    executed.refresh_from_db()
    assert (executed.released_at, holds_at(after(3)).exists()) == (after(3), False)
    back = Setpoint.objects.get(issuer=Issuer.FALLBACK)
    assert (back.value, back.state, back.requested_by) == (0.0, "validated", "ana")
    assert handovers([battery.p_set], after(3)) == []


def test_what_never_went_out_is_cancelled_and_nothing_is_written(battery: Battery, wish: Wish) -> None:
    waiting = wish()
    assert [each.written for each in handovers([battery.p_set], after(1))] == [None]
    back_to_automatic(battery.p_set, actor="bob", reason="by phone", now=after(1))
    waiting.refresh_from_db()
    assert (waiting.state, waiting.explanation) == ("cancelled", "Back to automatic. by phone")
    assert not Setpoint.objects.filter(issuer=Issuer.FALLBACK).exists()


def test_what_others_hold_is_not_touched(battery: Battery, wish: Wish) -> None:
    platform = wish(issuer=Issuer.PLATFORM, requested_by="invade")
    assert handovers([battery.p_set], after(1)) == []
    with pytest.raises(NothingHeld):
        back_to_automatic(battery.p_set, actor="ana", reason="", now=after(1))
    platform.refresh_from_db()
    assert platform.state == "validated"


def test_what_comes_next_is_told(battery: Battery, wish: Wish) -> None:
    hold(battery)
    later = wish(5_000.0, issuer=Issuer.FALLBACK, valid_from=after(600), valid_until=after(1200))
    (told,) = handovers([battery.p_set], after(1))
    assert (told.following, told.written) == (later, None)


def test_each_deed_is_in_the_audit_trail_with_who(battery: Battery, executed: Setpoint) -> None:
    hold(battery)
    back_to_automatic(battery.p_set, actor="ana", reason="", now=after(3))
    rows = AuditEvent.objects.filter(actor="ana", reason="Back to automatic.").values_list("action", flat=True)
    assert sorted(rows) == ["cancel set-point", "hand back point"]


def test_without_an_audit_row_all_of_it_stays(battery: Battery, executed: Setpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    hold(battery)

    def silent(forms: list[dict[str, Any]]) -> None:
        if any(form["action"] == "cancel set-point" for form in forms):
            raise AuditUnavailable
        record_events(forms)

    monkeypatch.setattr("pilots.control.transitions.record_events", silent)
    with pytest.raises(AuditUnavailable):
        back_to_automatic(battery.p_set, actor="ana", reason="", now=after(3))
    executed.refresh_from_db()
    assert (executed.released_at, holds_at(after(3)).count()) == (None, 1)
