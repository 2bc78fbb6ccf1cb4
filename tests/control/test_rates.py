"""How often a source may ask (S4): one bucket for all processes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections

from pilots.control.rates import take_token
from pilots.domain.errors import SetpointRejected
from pilots.domain.setpoint import Issuer
from pilots.models import Setpoint, SourceRate
from tests.conftest import Battery
from tests.control.conftest import NOW, after


@pytest.fixture(autouse=True)
def _two_a_second(settings: Any) -> None:
    settings.SETPOINT_RATE, settings.SETPOINT_BURST = 2, 4


def taken(seconds: float, issuer: Issuer = Issuer.OPERATOR, source: str = "ana") -> bool:
    try:
        take_token(issuer, source, after(seconds))
    except SetpointRejected as refusal:
        return refusal.code != "rate_limited"
    return True


@pytest.mark.django_db
def test_s4_a_burst_passes_and_then_the_rate() -> None:
    assert [taken(0) for _ in range(6)] == [True] * 4 + [False] * 2
    assert [taken(seconds) for seconds in (0.4, 0.5, 0.6, 1.0)] == [False, True, False, True]
    assert [taken(3600) for _ in range(5)] == [True] * 4 + [False]


@pytest.mark.django_db
def test_s4_each_source_has_its_own_bucket_and_what_we_send_ourselves_none() -> None:
    assert [taken(0) for _ in range(5)][-1] is False
    assert taken(0, source="olaf") and taken(0, Issuer.PLATFORM)
    assert all(taken(0, issuer) for issuer in (Issuer.FALLBACK, Issuer.SCHEDULE) for _ in range(9))


@pytest.mark.django_db
def test_s4_the_refusal_says_how_long_to_wait(battery: Battery, wish: Callable[..., Setpoint]) -> None:
    for _ in range(4):
        wish()
    with pytest.raises(SetpointRejected) as refusal:
        wish()
    assert refusal.value.wait_s == pytest.approx(0.5)
    assert refusal.value.reason == "ana asks too often: 4 set-points at once and 2 a second are taken. Wait 0.5 s."
    assert Setpoint.objects.count() == 4


@pytest.mark.django_db
def test_s4_a_clock_that_was_set_back_locks_nobody_out() -> None:
    assert taken(3600) and taken(0)
    assert SourceRate.objects.get().full_at == NOW.timestamp() + 0.5


@pytest.mark.django_db(transaction=True)
def test_s4_many_at_once_take_from_one_bucket() -> None:
    """Threads with connections of their own stand for web workers: the bucket is the row."""
    passed: list[bool] = []

    def ask() -> None:
        passed.append(taken(0))
        connections.close_all()

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(passed) == [False] * 8 + [True] * 4
