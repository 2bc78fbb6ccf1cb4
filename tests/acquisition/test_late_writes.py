"""S5: whatever happens between the claim and the write, nothing is written after its time; the device's own count says so."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pilots.acquisition import orders
from pilots.acquisition.ingest import Ingest
from pilots.control import dispatch, expiry
from pilots.control.services import request_setpoint
from pilots.domain.measurement import RawReading
from pilots.domain.setpoint import Issuer, SetpointState
from pilots.models import Pilot, Point, Setpoint
from tests.acquisition.conftest import Start
from tests.acquisition.field import Field, arrived
from tests.waiting import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.wire]

VALID_S, ASLEEP_S = 2, 3


def ask() -> Setpoint:
    now = datetime.now(UTC)
    point = Point.objects.get(device__code="bg-STO01", name="p_set")
    ends = now + timedelta(seconds=VALID_S)
    return request_setpoint(
        point=point, value=-20_000.0, unit="W", issuer=Issuer.OPERATOR, requested_by="ana", valid_until=ends, now=now
    )


def once_claimed(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], None]) -> None:
    claim = dispatch.claim_setpoint

    def then(*arguments: Any, **words: Any) -> bool:
        claimed = claim(*arguments, **words)
        if claimed:
            happens()
        return claimed

    monkeypatch.setattr(dispatch, "claim_setpoint", then)


def stopped() -> None:
    """This whole process is stopped, and goes on when the time of the set-point is over."""
    with subprocess.Popen(["/bin/sh", "-c", f"sleep {ASLEEP_S}; kill -CONT {os.getpid()}"]):
        os.kill(os.getpid(), signal.SIGSTOP)


def test_s5_a_field_worker_stopped_between_claim_and_write(
    start: Start, pilot: Pilot, field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    start()
    until(arrived)
    once_claimed(monkeypatch, stopped)
    assert ends_expired(ask())
    assert field.writes == []


def test_the_proof_is_awaited_before_the_write_is_noted(
    start: Start, pilot: Pilot, field: Field, door: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device may show the new value sooner than we have written down that it was told."""
    start()
    until(arrived)
    shows = Point.objects.get(device__code="bg-STO01", name="p_set").feedback
    note, awaited = dispatch.note_dispatched, []

    def noted(*arguments: Any, **words: Any) -> None:
        awaited.append(door.awaited.are_in(door.directory, "bg-STO01", [RawReading(shows, 0.0)]))
        note(*arguments, **words)

    monkeypatch.setattr(dispatch, "note_dispatched", noted)
    ask()
    until(lambda: awaited)
    assert awaited == [True]


def test_s5_the_wall_clock_is_set_back_between_claim_and_write(
    start: Start, pilot: Pilot, field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an hour, and an hour has passed: only the clock since boot knows."""
    start()
    until(arrived)
    since_boot_s = orders.since_boot_s
    once_claimed(monkeypatch, lambda: monkeypatch.setattr(orders, "since_boot_s", lambda: since_boot_s() + 3600.0))
    assert ends_expired(ask())
    assert field.writes == []


def test_s5_the_wall_clock_is_set_forward_between_claim_and_write(
    start: Start, pilot: Pilot, field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ahead(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + timedelta(hours=1)

    start()
    until(arrived)
    once_claimed(monkeypatch, lambda: monkeypatch.setattr(orders, "datetime", Ahead))
    assert ends_expired(ask())
    assert field.writes == []


def test_s22_a_new_gateway_writes_nothing_whose_time_is_over(start: Start, pilot: Pilot, field: Field) -> None:
    setpoint = ask()
    until(lambda: datetime.now(UTC) > setpoint.valid_until)
    start()
    until(arrived)
    expiry.expire_setpoints(now=datetime.now(UTC))
    assert ends_expired(setpoint)
    assert field.writes == []


def ends_expired(setpoint: Setpoint) -> bool:
    def ended() -> bool:
        setpoint.refresh_from_db()
        return SetpointState(setpoint.state).terminal

    until(ended)
    return setpoint.state == SetpointState.EXPIRED
