"""The claim: once, by the holder of the lease, in time, free of guards; and who is told of what it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from django.conf import settings
from django.db import connections

from pilots.control import dispatch
from pilots.control.guards import set_tag, switch_commands_off
from pilots.control.statements import due_for
from pilots.domain.setpoint import SetpointState
from pilots.live.hub import hub
from pilots.models import Setpoint
from pilots.models.leases import HeldLease, give_up_lease, take_lease
from tests.builders import make_point
from tests.conftest import Battery
from tests.control.conftest import NOW, after
from tests.control.test_life import executed, state

pytestmark = pytest.mark.django_db
Wish = Callable[..., Setpoint]
S = SetpointState


def test_a_claim_needs_the_lease(wish: Wish, lease: HeldLease) -> None:
    setpoint = wish()
    stranger = HeldLease(lease.resource, "gateway-2", lease.epoch, lease.ends_monotonic)
    assert not dispatch.claim_setpoint(setpoint, stranger, now=NOW)
    give_up_lease(lease, now=NOW)
    assert not dispatch.claim_setpoint(setpoint, lease, now=after(1))


def test_a_claim_under_an_older_epoch_is_refused(wish: Wish, lease: HeldLease) -> None:
    give_up_lease(lease, now=NOW)
    newer = take_lease(lease.resource, lease.owner, ttl_s=3600, now=after(1))
    assert newer is not None
    setpoint = wish()
    assert not dispatch.claim_setpoint(setpoint, lease, now=after(1))
    assert dispatch.claim_setpoint(setpoint, newer, now=after(1))


def test_nothing_is_claimed_before_or_after_its_time(wish: Wish, lease: HeldLease) -> None:
    setpoint = wish(valid_from=after(60), valid_until=after(120))
    assert not dispatch.claim_setpoint(setpoint, lease, now=after(59))
    assert not dispatch.claim_setpoint(setpoint, lease, now=after(120))
    assert dispatch.claim_setpoint(setpoint, lease, now=after(60))


@pytest.mark.parametrize("moment", ["lock_point", "is_claimable", "circumstances"])
def test_what_ends_while_it_is_claimed_is_not_sent(
    moment: str, wish: Wish, lease: HeldLease, monkeypatch: pytest.MonkeyPatch
) -> None:
    setpoint, step = wish(), getattr(dispatch, moment)

    def ends_behind(*given: Any, **named: Any) -> Any:
        answer = step(*given, **named)
        dispatch.note_expired(Setpoint.objects.get(pk=setpoint.pk), actor="clock", now=after(1))
        return answer

    monkeypatch.setattr(dispatch, moment, ends_behind)
    assert dispatch.claim_setpoint(setpoint, lease, now=after(1)) is False
    assert (state(setpoint), setpoint.claimed_at) == (S.EXPIRED, None)


@pytest.mark.parametrize("guard", ["tag", "off"])
def test_what_is_blocked_while_it_is_checked_is_not_sent(
    guard: str, battery: Battery, wish: Wish, lease: HeldLease, monkeypatch: pytest.MonkeyPatch
) -> None:
    setpoint, step = wish(), dispatch.circumstances

    def blocked_behind(*given: Any, **named: Any) -> Any:
        around = step(*given, **named)
        if guard == "tag":
            set_tag(battery.device, owner="ana", reason="people inside", now=after(1))
        else:
            switch_commands_off(battery.device.pilot, by="ana", reason="storm", now=after(1))
        return around

    monkeypatch.setattr(dispatch, "circumstances", blocked_behind)
    assert dispatch.claim_setpoint(setpoint, lease, now=after(1)) is False
    assert state(setpoint) == S.VALIDATED


@pytest.mark.parametrize("later", [False, True], ids=["at once", "when its time comes"])
def test_pages_are_told_of_what_a_newer_one_supersedes(
    later: bool, wish: Wish, lease: HeldLease, battery: Battery, django_capture_on_commit_callbacks: Any
) -> None:
    older, frames = executed(wish, lease, battery), list[dict[str, Any]]()

    def take(n: int, text: str, gap: bool) -> None:
        frames.extend(orjson.loads(text).get("setpoints", []))

    hub(settings.REDIS_URL).subscribe("es", take)
    with django_capture_on_commit_callbacks(execute=True):
        newer = wish(-10_000.0, now=after(10), **({"valid_from": after(20)} if later else {}))
    if later:
        assert [told["id"] for told in frames] == [str(newer.pk)]
        frames.clear()
        with django_capture_on_commit_callbacks(execute=True):
            assert dispatch.claim_setpoint(newer, lease, now=after(20))
    told = {each["id"]: each for each in frames}[str(older.pk)]
    assert (told["active"], told["superseded_by"]) == (False, str(newer.pk))
    assert [event["state"] for event in told["events"]] == ["received", "validated", "dispatched", "executed"]


def test_what_is_due_comes_oldest_first(battery: Battery, wish: Wish) -> None:
    other = make_point(battery.device, "p_set_2", kind="setpoint", capability=battery.p_set.capability)
    first, second = wish(point=other), wish(now=after(1))
    wish(point=make_point(battery.device, "p_set_3", kind="setpoint", capability=battery.p_set.capability), valid_from=after(90))
    assert [due.pk for due in due_for([battery.connection.pk], after(2))] == [first.pk, second.pk]


@pytest.mark.django_db(transaction=True)
def test_ten_claimers_get_it_once(battery: Battery, wish: Wish, lease: HeldLease) -> None:
    setpoint = wish()
    won: list[bool] = []

    def claim() -> None:
        won.append(dispatch.claim_setpoint(Setpoint.objects.get(pk=setpoint.pk), lease, now=NOW))
        connections.close_all()

    threads = [threading.Thread(target=claim) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False] * 9 + [True]
