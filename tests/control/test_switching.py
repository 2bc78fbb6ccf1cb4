"""Select before operate and the two-person rule: who may take which step when, and that every refusal is kept (S10, S12)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import pytest

from pilots.control import guards, switching
from pilots.control.dispatch import claim_setpoint, note_dispatched
from pilots.control.expiry import expire_setpoints
from pilots.control.selections import obstacles, pending_approvals
from pilots.control.services import request_setpoint
from pilots.control.switching import Actor
from pilots.domain.errors import SetpointRejected
from pilots.domain.quality import GOOD, Quality, Validity
from pilots.domain.setpoint import Issuer
from pilots.domain.switching import FourEyes
from pilots.models import AuditEvent, LatestValue, Point, Selection, Setpoint
from pilots.models.leases import HeldLease
from tests.builders import make_latest, make_point
from tests.conftest import Battery
from tests.control.conftest import NOW, after

OPEN, CLOSED = 1.0, 2.0
LABELS = {"1": "open", "2": "closed"}
CAPABILITY = {"minimum": 1, "maximum": 2, "step": 1, "tolerance": 0, "response_time_s": 5}
ANA = Actor(name="ana", source="user:1", session="a" * 64, issuer=Issuer.OPERATOR, proved=True)
ANA_ELSEWHERE = replace(ANA, session="b" * 64)
BEN = Actor(name="ben", source="user:2", session="c" * 64, issuer=Issuer.OPERATOR, proved=True)


@pytest.fixture
def breaker(battery: Battery) -> Point:
    position = make_point(battery.device, "position", kind="status", unit="", labels={"0": "intermediate"} | LABELS)
    make_latest(position, CLOSED, at=NOW)
    form = {"kind": "command", "unit": "", "labels": LABELS, "feedback": "position", "capability": CAPABILITY}
    return make_point(battery.device, "position_cmd", **form)


@pytest.fixture
def selected(breaker: Point) -> Selection:
    return switching.select(breaker, OPEN, reason="work on line 2", actor=ANA, now=NOW)


@pytest.fixture
def watched(battery: Battery) -> None:
    """A second person is needed for critical commands."""
    battery.pilot.four_eyes = FourEyes.CRITICAL
    battery.pilot.save()


def refused(act: Callable[[], object], code: str) -> str:
    """The sentence of a refusal, which the audit trail has with its code."""
    before = AuditEvent.objects.count()
    with pytest.raises(SetpointRejected) as refusal:
        act()
    assert refusal.value.code == code
    newest = AuditEvent.objects.order_by("-pk")[0]
    assert AuditEvent.objects.count() == before + 1
    assert (newest.details["code"], newest.reason) == (code, refusal.value.reason)
    assert newest.action.startswith("refuse ")
    return refusal.value.reason


def nothing_was_commanded() -> bool:
    return not Setpoint.objects.exists()


def test_what_is_selected_is_operated_and_becomes_the_commands_record(selected: Selection, breaker: Point) -> None:
    assert (selected.before, selected.command_class, selected.until) == (CLOSED, "critical", after(30))
    setpoint = switching.operate(selected, OPEN, actor=ANA, now=after(29))
    assert (setpoint.state, setpoint.kind, setpoint.value, setpoint.reason) == ("validated", "command", OPEN, "work on line 2")
    assert (setpoint.requested_by, setpoint.valid_until) == ("ana", after(89))
    selected.refresh_from_db()
    assert (selected.outcome, selected.setpoint_id) == ("operated", setpoint.pk)
    actions = list(AuditEvent.objects.order_by("pk").values_list("action", flat=True))
    assert [actions[0], actions[-1]] == ["select", "operate"]


def test_s10_operate_without_a_selection_is_refused_whatever_the_door(breaker: Point) -> None:
    for issuer in (Issuer.OPERATOR, Issuer.PLATFORM, Issuer.SCHEDULE, Issuer.FALLBACK):
        with pytest.raises(SetpointRejected) as refusal:
            request_setpoint(point=breaker, value=OPEN, unit="", issuer=issuer, requested_by="x", valid_until=after(60), now=NOW)
        assert refusal.value.code == "not_selected"
    assert nothing_was_commanded()


@pytest.mark.parametrize("seconds", [30, 31, 3600, -1])
def test_s10_operate_after_thirty_seconds_or_by_a_clock_set_back_is_refused(selected: Selection, seconds: float) -> None:
    refused(lambda: switching.operate(selected, OPEN, actor=ANA, now=after(seconds)), "selection_over")
    assert nothing_was_commanded()


def test_s10_operate_with_another_value_is_refused(selected: Selection) -> None:
    said = refused(lambda: switching.operate(selected, CLOSED, actor=ANA, now=after(1)), "selection_differs")
    assert said == "open is selected, not closed: cancel and select anew."
    assert nothing_was_commanded()


@pytest.mark.parametrize("other", [BEN, ANA_ELSEWHERE, replace(BEN, session=ANA.session)], ids=["user", "session", "both"])
def test_s10_operate_and_cancel_by_another_user_or_session_are_refused(selected: Selection, other: Actor) -> None:
    refused(lambda: switching.operate(selected, OPEN, actor=other, now=after(1)), "other_session")
    refused(lambda: switching.cancel(selected, actor=other, now=after(1)), "other_session")
    assert nothing_was_commanded()
    assert switching.operate(selected, OPEN, actor=ANA, now=after(2)).state == "validated"


def test_s10_a_selection_is_operated_once(selected: Selection) -> None:
    again = Selection.objects.get(pk=selected.pk)
    switching.operate(selected, OPEN, actor=ANA, now=after(1))
    refused(lambda: switching.operate(selected, OPEN, actor=ANA, now=after(2)), "selection_over")
    # As one that was read before the other ended it: the UPDATE decides.
    refused(lambda: switching.operate(again, OPEN, actor=ANA, now=after(2)), "selection_over")
    assert Setpoint.objects.count() == 1


def test_s10_a_cancelled_selection_switches_nothing_and_frees_the_device(selected: Selection, breaker: Point) -> None:
    switching.cancel(selected, actor=ANA, now=after(1))
    refused(lambda: switching.operate(selected, OPEN, actor=ANA, now=after(2)), "selection_over")
    assert nothing_was_commanded()
    assert switching.select(breaker, OPEN, reason="mine now", actor=BEN, now=after(2)).owner == "ben"


def test_s10_one_selection_a_device_whatever_the_point(selected: Selection, breaker: Point) -> None:
    other = make_point(breaker.device, "reset_alarm", kind="command", unit="", labels={"1": "reset"}, capability=CAPABILITY)
    for point in (breaker, other):
        said = refused(lambda each=point: switching.select(each, 1.0, reason="x", actor=BEN, now=after(29)), "already_selected")  # type: ignore[misc]
        assert said == "ana has selected es-STO01 this moment."
    assert switching.select(other, 1.0, reason="x", actor=BEN, now=after(30)).owner == "ben"
    selected.refresh_from_db()
    assert selected.outcome == "expired"


def test_a_session_that_lost_its_page_selects_again(selected: Selection, breaker: Point) -> None:
    again = switching.select(breaker, CLOSED, reason="x", actor=ANA, now=after(5))
    refused(lambda: switching.operate(selected, OPEN, actor=ANA, now=after(6)), "selection_over")
    assert switching.operate(again, CLOSED, actor=ANA, now=after(6)).value == CLOSED


@pytest.mark.parametrize(
    ("value", "reason", "code"), [(3.0, "x", "out_of_range"), (1.5, "x", "out_of_range"), (OPEN, "  ", "reason_missing")]
)
def test_a_selection_needs_a_value_of_the_point_and_a_reason(breaker: Point, value: float, reason: str, code: str) -> None:
    refused(lambda: switching.select(breaker, value, reason=reason, actor=ANA, now=NOW), code)


def test_a_set_point_is_not_selected(battery: Battery) -> None:
    refused(lambda: switching.select(battery.p_set, 1.0, reason="x", actor=ANA, now=NOW), "not_capable")


def test_select_tells_everything_that_would_refuse_and_forgives_none_of_it(selected: Selection, breaker: Point) -> None:
    breaker.capability = CAPABILITY | {"interlock": "abs(active_power) < 100", "interlock_words": "No load"}
    breaker.save()
    selected.refresh_from_db()
    guards.set_tag(breaker.device, owner="ben", reason="crew", now=NOW)
    found = obstacles(selected, ANA.issuer, after(1))
    assert [each.code for each in found] == ["tagged", "interlock"]
    assert found[1].reason.startswith("No load: abs(active_power) < 100 cannot be told, active_power")
    setpoint = switching.operate(selected, OPEN, actor=ANA, now=after(1))
    assert (setpoint.state, setpoint.code) == ("rejected", "tagged")


def test_s11_a_critical_command_is_neither_selected_nor_operated_without_the_password_again(breaker: Point) -> None:
    unproved = replace(ANA, proved=False)
    refused(lambda: switching.select(breaker, OPEN, reason="x", actor=unproved, now=NOW), "step_up_required")
    selection = switching.select(breaker, OPEN, reason="x", actor=ANA, now=NOW)
    refused(lambda: switching.operate(selection, OPEN, actor=unproved, now=after(1)), "step_up_required")
    assert nothing_was_commanded()


def test_an_ordinary_command_needs_no_password(breaker: Point) -> None:
    breaker.capability = CAPABILITY | {"command_class": "ordinary"}
    breaker.save()
    unproved = replace(ANA, proved=False)
    selection = switching.select(breaker, OPEN, reason="x", actor=unproved, now=NOW)
    assert switching.operate(selection, OPEN, actor=unproved, now=after(1)).state == "validated"


def test_s12_with_the_rule_nothing_is_operated_before_a_second_person_has_agreed(watched: None, selected: Selection) -> None:
    refused(lambda: switching.operate(selected, OPEN, actor=ANA, now=after(1)), "approval_required")
    approval = switching.ask_for_approval(selected, actor=ANA, now=after(2))
    refused(lambda: switching.operate(selected, OPEN, actor=ANA, now=after(60)), "approval_required")
    switching.approve(approval, actor=BEN, reason="seen", now=after(240))
    selected.refresh_from_db()
    setpoint = switching.operate(selected, OPEN, actor=ANA, now=after(269))
    assert setpoint.state == "validated"
    operated = AuditEvent.objects.get(action="operate")
    assert (operated.actor, operated.details["approved_by"]) == ("ana", "ben")
    assert AuditEvent.objects.get(action="approve").actor == "ben"


@pytest.mark.parametrize("other", [ANA, ANA_ELSEWHERE, replace(BEN, session=ANA.session)], ids=["same", "own_other", "shared"])
def test_s12_self_approval_and_a_shared_session_are_refused(watched: None, selected: Selection, other: Actor) -> None:
    approval = switching.ask_for_approval(selected, actor=ANA, now=after(1))
    refused(lambda: switching.approve(approval, actor=other, reason="", now=after(2)), "self_approval")
    approval.refresh_from_db()
    assert approval.approved is None


def test_s12_an_approval_is_given_within_five_minutes_or_not_at_all(watched: None, selected: Selection) -> None:
    approval = switching.ask_for_approval(selected, actor=ANA, now=after(1))
    assert approval.until == after(301)
    refused(lambda: switching.approve(approval, actor=BEN, reason="", now=after(301)), "approval_over")
    assert nothing_was_commanded()


def test_s12_an_approval_opens_the_command_for_thirty_seconds(watched: None, selected: Selection) -> None:
    approval = switching.ask_for_approval(selected, actor=ANA, now=after(1))
    switching.approve(approval, actor=BEN, reason="", now=after(10))
    selected.refresh_from_db()
    refused(lambda: switching.operate(selected, OPEN, actor=ANA, now=after(40)), "selection_over")
    refused(lambda: switching.approve(approval, actor=BEN, reason="", now=after(41)), "approval_over")


def test_s12_a_refused_approval_ends_the_selection(watched: None, selected: Selection) -> None:
    approval = switching.ask_for_approval(selected, actor=ANA, now=after(1))
    switching.disapprove(approval, actor=BEN, reason="not now", now=after(5))
    selected.refresh_from_db()
    refused(lambda: switching.operate(selected, OPEN, actor=ANA, now=after(6)), "selection_over")
    assert selected.outcome == "refused"


def test_s12_an_approver_of_a_critical_command_proves_who_they_are(watched: None, selected: Selection) -> None:
    approval = switching.ask_for_approval(selected, actor=ANA, now=after(1))
    unproved = replace(BEN, proved=False)
    refused(lambda: switching.approve(approval, actor=unproved, reason="", now=after(2)), "step_up_required")


def test_without_the_rule_nobody_is_asked(selected: Selection) -> None:
    refused(lambda: switching.ask_for_approval(selected, actor=ANA, now=after(1)), "no_approval_needed")


@pytest.mark.parametrize(("moment", "waiting"), [(after(2), 1), (after(301), 0)])
def test_what_waits_for_a_second_person_is_listed_until_it_is_over(
    watched: None, selected: Selection, battery: Battery, moment: datetime, waiting: int
) -> None:
    switching.ask_for_approval(selected, actor=ANA, now=after(1))
    pilots = type(battery.pilot).objects.all()
    assert pending_approvals(pilots, moment).count() == waiting


def dispatched(selection: Selection, lease: HeldLease, value: float) -> Setpoint:
    setpoint = switching.operate(selection, value, actor=ANA, now=after(1))
    assert claim_setpoint(setpoint, lease, now=after(2))
    note_dispatched(setpoint, raw="ACT_CON", actor="gateway-1", now=after(3))
    return setpoint


@pytest.mark.parametrize(("quality", "state"), [(GOOD, "executed"), (Quality(Validity.QUESTIONABLE), "failed")])
def test_closing_what_is_closed_is_executed_while_its_position_is_known(
    breaker: Point, lease: HeldLease, quality: Quality, state: str
) -> None:
    selection = switching.select(breaker, CLOSED, reason="make sure", actor=ANA, now=NOW)
    setpoint = dispatched(selection, lease, CLOSED)
    assert setpoint.state == "dispatched"
    LatestValue.objects.update(quality=quality.pack())
    expire_setpoints(now=after(20))
    setpoint.refresh_from_db()
    assert setpoint.state == state


def test_a_breaker_that_acknowledges_and_stays_has_failed(selected: Selection, lease: HeldLease) -> None:
    setpoint = dispatched(selected, lease, OPEN)
    expire_setpoints(now=after(20))
    setpoint.refresh_from_db()
    assert (setpoint.state, setpoint.explanation) == ("failed", "The device has not followed: position shows 2 .")
