"""Leases: one owner at a time, whatever the clocks say."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connections

from pilots.models import Lease
from pilots.models.leases import (
    MARGIN_S,
    HeldLease,
    give_up_lease,
    give_up_leases,
    live_resources,
    renew_leases,
    take_lease,
    take_leases,
)

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


def take_all(owner: str, names: str, seconds: float = 0.0) -> dict[str, int]:
    held = take_leases(names.split(), owner, ttl_s=12.0, now=NOW + timedelta(seconds=seconds))
    return {lease.resource: lease.epoch for lease in held}


def test_many_are_taken_at_once_where_one_alone_could_be() -> None:
    assert take_all("a", "x y") == {"x": 1, "y": 1}
    assert take_all("b", "x y z", 5) == {"z": 1}
    assert take_all("a", "x", 5) == {"x": 1}
    assert take_all("b", "x y z", 12) == {"y": 2, "z": 1}
    assert take_all("b", "x y z", 17) == {"x": 2, "y": 2, "z": 1}


def test_what_was_given_up_together_is_free_at_once() -> None:
    held = take_leases(["x", "y"], "a", ttl_s=12.0, now=NOW)
    give_up_leases(held[:1], now=NOW + timedelta(seconds=1))
    assert take_all("b", "x y", 1) == {held[0].resource: 2}


def test_one_that_ran_out_and_that_nobody_took_is_renewed() -> None:
    held = take_leases(["x", "y"], "a", ttl_s=12.0, now=NOW)
    take_all("b", "y", 20)
    kept = renew_leases(held, ttl_s=12.0, now=NOW + timedelta(seconds=30))
    assert [(lease.resource, lease.epoch) for lease in kept] == [("x", 1)]
    assert live_resources(["x", "y"], now=NOW + timedelta(seconds=31)) == {"x": "a", "y": "b"}


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


@pytest.mark.django_db(transaction=True)
def test_of_workers_that_want_everything_each_resource_gets_one() -> None:
    names = [f"connection:{number}" for number in range(50)]
    won: list[HeldLease] = []

    def come(owner: str) -> None:
        for _ in range(3):
            won.extend(take_leases(names, owner, ttl_s=12.0, now=NOW))
        connections.close_all()

    threads = [threading.Thread(target=come, args=(f"worker-{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    owners = {lease.resource: {other.owner for other in won if other.resource == lease.resource} for lease in won}
    assert sorted(owners) == sorted(names)
    assert all(len(found) == 1 for found in owners.values())
