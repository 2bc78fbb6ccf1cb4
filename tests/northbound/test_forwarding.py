"""The outbox towards the platform: in order, at least once, never stuck."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pilots.models import OutboxMessage, OutboxState, Pilot
from pilots.models.leases import take_lease
from pilots.northbound import exchanges
from pilots.northbound.services import forward_outbox
from tests.builders import make_pilot, queue_messages
from tests.northbound.conftest import Scripted

pytestmark = pytest.mark.django_db
NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def pilot(db: None) -> Pilot:
    return make_pilot()


def queue(pilot: Pilot, *values: float) -> None:
    """One message each."""
    queue_messages(pilot, *values, now=NOW)


def forward(later_s: float = 0.0, owner: str = "forwarder-1") -> int:
    return forward_outbox(owner=owner, now=datetime.now(UTC) + timedelta(seconds=later_s))


def sequences(platform: Scripted) -> list[int]:
    return [message["sequence"] for message in platform.taken]


def test_messages_arrive_in_order_and_leave_the_outbox(platform: Scripted, pilot: Pilot) -> None:
    queue(pilot, 1.0, 2.0, 3.0)
    assert forward() == 3
    assert sequences(platform) == [1, 2, 3]
    assert platform.taken[0]["values"][0]["value"] == 1.0
    assert not OutboxMessage.objects.exists()
    assert OutboxState.objects.get().accepted_sequence == 3


def test_nothing_waits_nothing_is_sent(platform: Scripted, pilot: Pilot) -> None:
    assert forward() == 0
    assert platform.asked == []


@pytest.mark.parametrize("status", [503, 500, 429, 408, 401, 404, 302])
def test_a_failure_that_may_pass_keeps_everything_for_later(platform: Scripted, pilot: Pilot, status: int) -> None:
    queue(pilot, 1.0, 2.0)
    platform.answer = lambda message: status
    assert forward() == 0
    assert OutboxMessage.objects.count() == 2
    state = OutboxState.objects.get()
    assert (state.attempts, str(status) in state.last_error) == (1, True)
    platform.answer = lambda message: 200
    assert forward() == 0  # its pause is not over
    assert forward(later_s=120) == 2
    assert sequences(platform) == [1, 2]
    assert OutboxState.objects.get().last_error == ""


def test_what_the_exchange_says_of_the_link_is_counted(platform: Scripted, pilot: Pilot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchanges, "_figures", {})
    queue(pilot, 1.0, 2.0)
    platform.answer = lambda message: 503
    forward()
    platform.answer = lambda message: 200
    forward(later_s=120)
    seen = OutboxState.objects.get().statistics
    counted = {name: seen[name] for name in ("sent", "received", "timeouts", "retries", "refused")}
    assert counted == {"sent": 3, "received": 2, "timeouts": 1, "retries": 1, "refused": 0}
    assert seen["sent_bytes"] == sum(len(body) for _, body in platform.asked)
    assert 0 < seen["p50_ms"] <= seen["p95_ms"]
    assert seen["loss"] == pytest.approx(1 / 3, abs=1e-3)


def test_every_try_has_the_same_key_and_the_same_body(platform: Scripted, pilot: Pilot) -> None:
    queue(pilot, 1.0)
    platform.answer = lambda message: 503
    forward()
    platform.answer = lambda message: 200
    forward(later_s=120)
    first, second = platform.asked
    assert first == second
    assert first[0].endswith(":es:1:1")


def test_a_message_the_platform_refuses_is_set_aside_and_the_rest_goes_on(platform: Scripted, pilot: Pilot) -> None:
    queue(pilot, 1.0, 2.0, 3.0)
    platform.answer = lambda message: 400 if message["sequence"] == 1 else 200
    forward()
    assert sequences(platform) == [2, 3]
    (refused,) = OutboxMessage.objects.all()
    assert (refused.sequence, refused.refused_at is not None, "400" in refused.refusal) == (1, True, True)
    forward()
    assert len(platform.asked) == 3


def test_what_was_taken_before_a_failure_is_not_sent_again(platform: Scripted, pilot: Pilot) -> None:
    queue(pilot, 1.0, 2.0, 3.0)
    platform.answer = lambda message: 200 if message["sequence"] < 2 else 503
    forward()
    platform.answer = lambda message: 200
    forward(later_s=120)
    assert sequences(platform) == [1, 2, 3]


def test_a_platform_that_is_not_there_costs_nothing_but_time(platform: Scripted, pilot: Pilot, settings: Any) -> None:
    queue(pilot, *map(float, range(120)))
    settings.PLATFORM_URL = "http://127.0.0.1:9"
    assert forward() == 0
    assert OutboxMessage.objects.count() == 120
    settings.PLATFORM_URL = platform.url
    assert forward(later_s=120) == 120
    assert sequences(platform) == list(range(1, 121))


def test_two_forwarders_never_send_for_one_pilot(platform: Scripted, pilot: Pilot) -> None:
    queue(pilot, 1.0)
    assert take_lease("outbox", "forwarder-2", ttl_s=30, now=datetime.now(UTC)) is not None
    assert forward() == 0
    assert forward(later_s=31) == 1


def test_one_pilots_trouble_does_not_hold_up_another(platform: Scripted, pilot: Pilot) -> None:
    other = make_pilot("nl", name="Arnhem")
    queue(pilot, 1.0)
    queue(other, 2.0)
    platform.answer = lambda message: 503 if message["pilot"] == "es" else 200
    forward()
    assert [message["pilot"] for message in platform.taken] == ["nl"]


def test_without_a_platform_everything_waits(pilot: Pilot, settings: Any) -> None:
    settings.PLATFORM_URL = ""
    queue(pilot, 1.0)
    assert forward() == 0
    assert OutboxMessage.objects.count() == 1
