"""Leases: one owner at a time, whatever the clocks say."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connections

from pilots.models import Lease
from pilots.models.leases import MARGIN_S, HeldLease, give_up_lease, take_lease

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def take(owner: str, seconds: float = 0.0, ttl_s: float = 12.0) -> HeldLease | None:
    return take_lease("connection:es-rtu01", owner, ttl_s=ttl_s, now=NOW + timedelta(seconds=seconds))


def test_a_free_resource_is_taken() -> None:
    held = take("a")
    assert held is not None
    assert (held.epoch, held.usable) == (1, True)


def test_another_owner_waits_until_it_has_run_out() -> None:
    take("a")
    assert take("b", 11.9) is None
    held = take("b", 12)
    assert held is not None
    assert held.epoch == 2


def test_renewing_keeps_the_epoch() -> None:
    take("a")
    renewed = take("a", 5)
    assert renewed is not None
    assert renewed.epoch == 1
    assert take("b", 16) is None


def test_an_owner_who_comes_back_too_late_has_a_new_epoch() -> None:
    take("a")
    again = take("a", 60)
    assert again is not None
    assert again.epoch == 2


def test_what_was_given_up_is_free_at_once() -> None:
    held = take("a")
    assert held is not None
    give_up_lease(held, now=NOW + timedelta(seconds=1))
    assert take("b", 1) is not None


def test_an_old_holder_cannot_give_up_what_is_not_its_own_any_more() -> None:
    old = take("a")
    take("b", 12)
    assert old is not None
    give_up_lease(old, now=NOW + timedelta(seconds=13))
    assert take("c", 14) is None


def test_a_holder_stops_before_the_row_says_so() -> None:
    held = take("a", ttl_s=MARGIN_S)
    assert held is not None
    assert not held.usable


def test_a_wall_clock_that_jumps_back_does_not_lengthen_a_lease() -> None:
    before = time.monotonic()
    held = take("a", -3600)
    assert held is not None
    assert before + 12 <= held.ends_monotonic <= time.monotonic() + 12


@pytest.mark.django_db(transaction=True)
def test_of_ten_workers_that_come_together_one_gets_it() -> None:
    won: list[HeldLease | None] = []

    def come(owner: str) -> None:
        won.append(take(owner))
        connections.close_all()

    threads = [threading.Thread(target=come, args=(f"worker-{number}",)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([held for held in won if held is not None]) == 1
    assert Lease.objects.count() == 1
