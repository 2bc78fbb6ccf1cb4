"""Random walks through the life of a set-point: whatever happens in whatever order, the rules hold."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilots.control import dispatch, expiry, releases
from pilots.control.feedback import check_feedback
from pilots.control.selectors import in_force, is_in_force
from pilots.domain.errors import SetpointRejected
from pilots.domain.measurement import Measurement
from pilots.domain.quality import GOOD
from pilots.domain.setpoint import Issuer, SetpointState, may_become
from pilots.models import LatestValue, Setpoint
from pilots.models.leases import HeldLease
from tests.conftest import Battery
from tests.control.conftest import NOW

Steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["ask", "claim", "dispatch", "refuse", "not_sent", "unknown", "right", "wrong", "cancel", "expire", "recover"]
        ),
        st.integers(0, 120),
    ),
    max_size=18,
)


@pytest.mark.django_db
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None, max_examples=40)
@given(steps=Steps)
def test_only_documented_transitions_ever_happen(
    battery: Battery, wish: Callable[..., Setpoint], lease: HeldLease, steps: list[tuple[str, int]]
) -> None:
    Setpoint.objects.all().update(superseded_by=None)
    Setpoint.objects.all().delete()
    LatestValue.objects.all().delete()
    now = NOW
    for step, seconds in [("ask", 0), *steps]:
        now += timedelta(seconds=seconds)
        _do(step, battery, wish, lease, now)
        _check()


def _do(step: str, battery: Battery, wish: Callable[..., Setpoint], lease: HeldLease, now: datetime) -> None:
    newest = Setpoint.objects.order_by("-received_at").first()
    if step == "ask" or newest is None:
        wish(-20_000.0, now=now)
    elif step == "claim":
        dispatch.claim_setpoint(newest, lease, now=now)
    elif step == "cancel":
        _cancel(newest, now)
    elif step == "expire":
        expiry.expire_setpoints(now=now)
    elif step == "recover":
        dispatch.recover_claims([battery.connection.pk], actor="gateway-2", now=now)
    elif step in ("right", "wrong"):
        _measure(battery, -20_000.0 if step == "right" else 0.0, now)
    else:
        _note(step, newest, now)


def _note(step: str, setpoint: Setpoint, now: datetime) -> None:
    if setpoint.claimed_at is None:
        return  # nobody writes what nobody has claimed
    if step == "dispatch":
        dispatch.note_dispatched(setpoint, raw="ok", actor="gateway-1", now=now)
    elif step == "refuse":
        dispatch.note_refused(setpoint, reason="no", raw="2", actor="gateway-1", now=now)
    elif step == "not_sent":
        dispatch.note_not_sent(setpoint, reason="gone", actor="gateway-1", now=now)
    else:
        dispatch.note_unknown(setpoint, reason="silence", actor="gateway-1", now=now)


def _cancel(setpoint: Setpoint, now: datetime) -> None:
    with suppress(SetpointRejected):
        releases.cancel_setpoint(setpoint, actor="ana", reason="", now=now)


def _measure(battery: Battery, value: float, now: datetime) -> None:
    form = {"value": value, "quality": 0, "source_time": now, "received_time": now}
    LatestValue.objects.update_or_create(point=battery.power, defaults=form)
    check_feedback({battery.power.pk: Measurement(value, GOOD, now, now)}, now=now)


def _check() -> None:
    for setpoint in Setpoint.objects.prefetch_related("events"):
        story = [SetpointState(event.state) for event in setpoint.events.all()]
        assert story[0] is SetpointState.RECEIVED
        assert story[-1] == setpoint.state
        assert all(may_become(old, new) for old, new in pairwise(story)), story
        assert (setpoint.finished_at is not None) == SetpointState(setpoint.state).terminal
        if SetpointState.DISPATCHED in story or SetpointState.EXECUTED in story:
            assert setpoint.claimed_at is not None
    for moment in Setpoint.objects.values_list("valid_until", flat=True):
        for at in (moment, moment - timedelta(seconds=1)):
            read = {each.pk for each in Setpoint.objects.all() if is_in_force(each, at)}
            assert read == set(Setpoint.objects.filter(in_force(at)).values_list("pk", flat=True))
    holding = Setpoint.objects.filter(state=SetpointState.EXECUTED, released_at=None).exclude(issuer=Issuer.FALLBACK)
    assert holding.count() <= 1
