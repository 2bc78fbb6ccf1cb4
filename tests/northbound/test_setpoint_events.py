"""What becomes of the platform's set-points is told to it: every transition, in order, at least once."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import transaction

from pilots.control import dispatch
from pilots.control.services import request_setpoint
from pilots.domain.setpoint import Issuer
from pilots.models import OutboxState, Point, Setpoint, SetpointEvent
from pilots.northbound.services import forward_outbox
from pilots.simulators.platform import Platform
from tests.builders import make_connection, make_device, make_pilot, make_point, queue_messages
from tests.northbound.conftest import Scripted
from tests.northbound.test_forwarding import forward

pytestmark = pytest.mark.django_db


@pytest.fixture
def p_set(db: None) -> Point:
    pilot = make_pilot()
    return make_point(make_device(pilot, connection=make_connection(pilot)), "p_set")


def ask(point: Point, issuer: Issuer = Issuer.PLATFORM, value: float = -20_000.0, **fields: Any) -> Setpoint:
    now = datetime.now(UTC)
    form: dict[str, Any] = {"unit": "W", "issuer": issuer, "requested_by": "invade", "valid_until": now + timedelta(minutes=5)}
    return request_setpoint(point=point, value=value, now=now, **(form | fields))


def told(platform: Scripted) -> list[str]:
    return [message["state"] for message in platform.taken if "state" in message]


def test_every_transition_is_told_in_order_with_what_it_belongs_to(platform: Scripted, p_set: Point) -> None:
    setpoint = ask(p_set, correlation_id="c-1", sequence=7)
    dispatch.note_refused(setpoint, reason="busy", raw="6", actor="gateway-1", now=datetime.now(UTC))
    assert forward() == 3
    assert told(platform) == ["received", "validated", "rejected"]
    last = platform.taken[-1]
    assert {name: last[name] for name in ("setpoint", "pilot", "device", "point", "value", "correlation_id", "sequence")} == {
        "setpoint": str(setpoint.pk), "pilot": "es", "device": "es-STO01", "point": "p_set", "value": -20_000.0,
        "correlation_id": "c-1", "sequence": 7,
    }  # fmt: skip
    assert (last["code"], last["reason"], last["raw"], last["actor"]) == ("device_rejected", "busy", "6", "gateway-1")
    assert forward() == 0


def test_s23_what_a_device_or_a_person_says_at_length_is_cut(platform: Scripted, p_set: Point) -> None:
    setpoint = ask(p_set)
    dispatch.note_refused(setpoint, reason="r" * 999, raw="f" * 9999, actor="a" * 999, now=datetime.now(UTC))
    forward()
    assert [len(platform.taken[-1][name]) for name in ("actor", "reason", "raw")] == [120, 300, 500]


def test_other_peoples_set_points_are_nothing_of_the_platforms(platform: Scripted, p_set: Point) -> None:
    ask(p_set, Issuer.OPERATOR)
    assert forward() == 0 and platform.asked == []


def test_a_transition_that_is_rolled_back_is_not_told(platform: Scripted, p_set: Point) -> None:
    with transaction.atomic():
        ask(p_set)
        transaction.set_rollback(True)
    assert forward() == 0


def test_what_the_platform_did_not_take_is_told_again_under_the_same_key(platform: Scripted, p_set: Point) -> None:
    ask(p_set)
    platform.answer = lambda message: 503 if message["state"] == "validated" else 200
    assert forward() == 1
    assert OutboxState.objects.get().attempts == 1
    platform.answer = lambda message: 200
    assert forward() == 0  # its pause is not over
    assert forward(later_s=120) == 1
    assert told(platform) == ["received", "validated"]
    assert platform.asked[1] == platform.asked[2]


def test_an_event_the_platform_refuses_does_not_stop_the_others(
    platform: Scripted, p_set: Point, caplog: pytest.LogCaptureFixture
) -> None:
    ask(p_set)
    platform.answer = lambda message: 422 if message["state"] == "received" else 200
    assert forward() == 2
    assert list(SetpointEvent.objects.values_list("state", "forwarding")) == [("received", "refused"), ("validated", "told")]
    assert "is refused: The platform answered 422" in caplog.text


def test_events_do_not_wait_behind_measurements_and_take_no_number(platform: Scripted, p_set: Point) -> None:
    queue_messages(p_set.device.pilot, 1.0, 2.0, now=datetime.now(UTC))
    ask(p_set)
    assert forward() == 4
    kinds = ["event" if "event" in json.loads(body) else json.loads(body)["sequence"] for _, body in platform.asked]
    assert kinds == ["event", "event", 1, 2]


def _ask_and_forward() -> tuple[int, int]:
    pilot = make_pilot()
    ask(make_point(make_device(pilot, connection=make_connection(pilot)), "p_set"))
    first = forward_outbox(owner="forwarder", now=datetime.now(UTC))
    SetpointEvent.objects.update(forwarding="waiting")  # as after a crash before it was noted
    return first, forward_outbox(owner="forwarder", now=datetime.now(UTC))


@pytest.mark.django_db(transaction=True)
async def test_the_simulated_platform_learns_of_them_once_and_remembers(tmp_path: Path, settings: Any) -> None:
    platform = Platform(tmp_path, token=lambda: "secret")
    port = await platform.start("127.0.0.1", 0)
    settings.PLATFORM_URL, settings.PLATFORM_TOKEN = f"http://127.0.0.1:{port}/", "secret"
    try:
        assert await asyncio.wait_for(sync_to_async(_ask_and_forward)(), 20) == (2, 2)
    finally:
        await platform.stop()
    counts = platform.state()["counts"]
    assert (counts["setpoint_events"], counts["repeated"], counts["setpoint_validated"]) == (2, 2, 1)
    assert Platform(tmp_path, token=lambda: "secret").state()["counts"]["setpoint_events"] == 2
