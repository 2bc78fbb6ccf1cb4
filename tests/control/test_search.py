"""Set-points found by filters and paged by key."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from pilots.control.search import ACTIVE, Wanted, in_order, key_of, page_of, search, seen_at
from pilots.models import Setpoint
from tests.builders import make_pilot, make_point
from tests.conftest import Battery
from tests.control.conftest import NOW, after

ALL = Setpoint.objects.all()


def kept(battery: Battery, value: float = 1000.0, **fields: Any) -> Setpoint:
    """A row as it is long after, without its story."""
    form: dict[str, Any] = {"point": battery.p_set, "unit": "W", "state": "executed", "issuer": "operator", "priority": 3}
    form |= {"requested_by": "ana", "received_at": NOW, "valid_from": NOW, "valid_until": after(300), "released_at": after(300)}
    return Setpoint.objects.create(value=value, **(form | fields))


def values(**wanted: Any) -> list[float]:
    return [setpoint.value for setpoint in search(ALL, Wanted(**wanted))]


@pytest.fixture
def several(battery: Battery) -> None:
    limit = make_point(battery.device, "p_limit", kind="setpoint", unit="W")
    kept(battery, 1, received_at=after(1), reason="peak at noon")
    kept(battery, 2, received_at=after(2), state="failed", released_at=None, requested_by="bob")
    kept(battery, 3, received_at=after(3), issuer="platform", requested_by="invade", released_at=None)
    kept(battery, 4, received_at=after(4), point=limit, state="validated", released_at=None)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, [4, 3, 2, 1]),
        ({"active": True}, [4, 3]),
        ({"state": "failed"}, [2]),
        ({"issuer": "platform"}, [3]),
        ({"who": "BO"}, [2]),
        ({"point": "p_limit"}, [4]),
        ({"device": "sto01", "pilot": "es"}, [4, 3, 2, 1]),
        ({"pilot": "nl"}, []),
        ({"text": "noon"}, [1]),
        ({"text": "%"}, []),
        ({"start": after(2), "end": after(4)}, [3, 2]),
    ],
)
def test_each_filter_finds_its_own(several: None, wanted: dict[str, Any], found: list[float]) -> None:
    assert values(**wanted) == found


def test_who_sees_some_pilots_sees_theirs_and_who_sees_all_asks_for_none(several: None, battery: Battery) -> None:
    assert seen_at([battery.pilot]).count() == 4
    assert "EXISTS" not in str(seen_at([battery.pilot]).query)
    other = make_pilot("nl")
    assert [seen_at(pilots).count() for pilots in ([battery.pilot], [other], [], [battery.pilot, other])] == [4, 0, 0, 4]


def test_pages_by_key_give_every_row_once_also_those_of_one_moment(battery: Battery) -> None:
    wanted = {kept(battery, received_at=after(n // 4)).pk for n in range(10)}
    rows, found, last = search(ALL, Wanted()), [], None
    while page := page_of(rows, last, 3):
        found += [setpoint.pk for setpoint in page]
        last = key_of(page[-1])
    assert (len(found), set(found)) == (10, wanted)


def test_all_in_order_goes_beyond_a_page_and_never_repeats(battery: Battery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pilots.control.search._PAGE", 2)
    for n in range(5):
        kept(battery, n, received_at=after(n))
    assert [setpoint.value for setpoint in in_order(search(ALL, Wanted()))] == [4, 3, 2, 1, 0]


def test_a_page_costs_the_same_queries_however_many_rows(
    battery: Battery, wish: Callable[..., Setpoint], django_assert_num_queries: Callable[[int], Any]
) -> None:
    for n in range(6):
        wish(1000.0 * n, now=after(n))
    with django_assert_num_queries(2):
        assert len(page_of(search(ALL, Wanted()), None, 50)) == 6


def plan(rows: Any) -> str:
    """How the database would find them, small tables or large: PostgreSQL reads a small one whole unless told not to."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_sort = off")
    return str(rows.explain())


def test_the_newest_page_and_a_later_one_are_read_from_the_index(battery: Battery) -> None:
    first = kept(battery)
    rows = search(ALL, Wanted(start=NOW - timedelta(days=1)))
    assert "setpoint_by_time" in plan(rows[:51])
    assert "setpoint_by_time" in plan(rows.filter(received_at__lte=first.received_at)[:51])


def test_active_ones_are_found_by_an_index(battery: Battery) -> None:
    kept(battery, released_at=None)
    found = plan(Setpoint.objects.filter(ACTIVE).order_by())
    assert "setpoint_open" in found or "pilots_setpoint_state" in found
