"""Whatever the database's owner does to the trail is found, and the row is named (S24): 100 of 100 of each kind."""

from __future__ import annotations

import json
import logging
import random
import re
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from pilots import tasks
from pilots.audit.selectors import head, in_order, last_verification
from pilots.audit.verification import Anchor, append_anchor, examine, read_anchors, verify_trail
from pilots.domain.chain import digest, link
from pilots.models import AuditEvent
from tests.audit.conftest import NOW
from tests.tampering import unprotected

pytestmark = pytest.mark.django_db
ROWS, TIMES = 40, 100
Write = Callable[[int], None]
Tamper = Callable[[random.Random], list[int]]  # returns the rows that the verdict must name
CHANGES: list[dict[str, Any]] = [
    {"actor": "nobody"},
    {"action": "nothing"},
    {"pilot": "nl"},
    {"subject": "es-STO99"},
    {"reason": ""},
    {"at": NOW - timedelta(days=1)},
    {"details": {"value": -1}},
    {"details": {}},
    {"hash": "0" * 64},
]
rows = AuditEvent.objects


def edit(chance: random.Random) -> list[int]:
    number = chance.randint(1, ROWS)
    rows.filter(number=number).update(**chance.choice(CHANGES))
    return [number]


def delete(chance: random.Random) -> list[int]:
    number = chance.randint(1, ROWS)
    rows.filter(number=number).delete()
    return [number]


def truncate(chance: random.Random) -> list[int]:
    number = chance.randint(1, ROWS)
    rows.filter(number__gte=number).delete()
    return [number, ROWS]


def reorder(chance: random.Random) -> list[int]:
    """Two rows change places with their hashes, or their contents change places beneath them."""
    one, other = sorted(chance.sample(range(1, ROWS + 1), 2))
    if chance.random() < 0.5:
        for old, new in ((one, 0), (other, one), (0, other)):
            rows.filter(number=old).update(number=new)
        return [one, other]
    first, second = rows.get(number=one), rows.get(number=other)
    for target, source in ((one, second), (other, first)):
        content = {name: getattr(source, name) for name in ("at", "actor", "action", "pilot", "subject", "reason", "details")}
        rows.filter(number=target).update(**content)
    return [one, other]


def close_the_gap(chance: random.Random) -> list[int]:
    """A row is removed and the later ones move up."""
    number = chance.randint(1, ROWS)
    rows.filter(number=number).delete()
    for later in range(number + 1, ROWS + 1):
        rows.filter(number=later).update(number=F("number") - 1)
    return [number]


def forge(chance: random.Random) -> list[int]:
    """A row is changed and every later hash is written anew: only the anchor tells."""
    number = chance.randint(1, ROWS)
    rows.filter(number=number).update(reason="forged")
    before = rows.get(number=number - 1).hash if number > 1 else "0" * 64
    for event in in_order(rows.all(), after=number - 1):
        before = link(before, event.number or 0, digest(vars(event)))
        rows.filter(number=event.number).update(hash=before)
    return [ROWS]


def slip_in(chance: random.Random) -> list[int]:
    rows.create(at=NOW, actor="nobody", action="slip in", hash="0" * 64, number=chance.choice([None, ROWS + 1]))
    return []


def names(fault: str, numbers: list[int]) -> bool:
    """Whether the words begin with the first of these rows and tell the others."""
    first, others = numbers[:1], numbers[1:]
    begins = all(re.match(rf"Rows? {number}\b", fault) for number in first)
    return begins and all(re.search(rf"\b(row|to) {number}\b", fault, re.IGNORECASE) for number in others)


@pytest.mark.parametrize(
    "tamper", [edit, delete, truncate, reorder, close_the_gap, forge, slip_in], ids=lambda each: each.__name__
)
def test_every_tampering_is_found_and_named(write: Write, tamper: Tamper) -> None:
    write(ROWS)
    anchors = [Anchor(NOW, *head())]
    found = 0
    with unprotected():
        for seed in range(TIMES):
            with transaction.atomic():
                named = tamper(random.Random(seed))
                fault = examine(anchors, now=NOW).fault
                assert fault and names(fault, named), (seed, named, fault)
                found += 1
                transaction.set_rollback(True)
    assert found == TIMES
    assert examine(anchors, now=NOW).fault == ""


def told(write: Write, tamper: Callable[[], object]) -> str:
    write(5)
    anchors = [Anchor(NOW, *head())]
    with unprotected():
        tamper()
    return examine(anchors, now=NOW).fault


def test_the_words_say_what_happened(write: Write) -> None:
    words = told(write, lambda: rows.filter(number=2).update(actor="bob"))
    assert words.startswith("Row 2 (2026-11-24T08:00:01Z bob test es-STO01) is not what was written: it was changed")


def test_a_removed_row_is_called_missing(write: Write) -> None:
    assert told(write, lambda: rows.filter(number__in=(2, 3)).delete()).startswith("Rows 2 to 3 are missing: row 4 ")


def test_a_moved_row_is_told_with_its_place(write: Write) -> None:
    words = told(write, lambda: rows.filter(number=2).update(number=9))
    assert words.startswith("Row 2 was moved: what was written there stands at row 9 (")


def test_a_cut_tail_is_told_with_its_anchor(write: Write) -> None:
    words = told(write, lambda: rows.filter(number__gt=3).delete())
    assert words == "Rows 4 to 5 are missing at the end: row 5 was there at 2026-11-24 08:00 UTC, by its anchor."


def test_an_emptied_trail_is_told(write: Write) -> None:
    assert told(write, lambda: rows.all().delete()).startswith("Rows 1 to 5 are missing at the end")


def test_the_walk_holds_one_page_of_rows_however_long_the_trail(
    write: Write, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Callable[[int], CaptureQueriesContext]
) -> None:
    write(25)
    monkeypatch.setattr("pilots.audit.selectors._PAGE", 10)
    with django_assert_num_queries(5):  # the head, three pages, the rows without a number
        assert examine([], now=NOW).number == 25


# Anchors


def test_an_intact_head_is_anchored_once(write: Write, data_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "pilots.audit.verification")
    write(3)
    for _ in range(2):
        assert verify_trail(now=NOW).fault == ""
    assert read_anchors() == [Anchor(NOW, *head())]
    assert [record.message for record in caplog.records] == [f"audit trail intact up to row 3, hash {head()[1]}"]
    assert (data_dir / "audit-anchors.jsonl").stat().st_mode & 0o077 == 0


def test_a_broken_trail_is_kept_as_broken_and_not_anchored(write: Write, data_dir: Path) -> None:
    write(3)
    with unprotected():
        rows.filter(number=2).update(actor="bob")
    assert tasks.verify_audit.apply().get().startswith("Row 2 ")
    verdict = last_verification()
    assert verdict is not None and (verdict.number, verdict.fault[:5]) == (1, "Row 2")
    assert read_anchors() == []


def test_the_hourly_look_starts_at_the_anchor_and_the_daily_one_at_the_beginning(write: Write, data_dir: Path) -> None:
    write(3)
    verify_trail(now=NOW)
    with unprotected():
        rows.filter(number=2).update(actor="bob")
    write(2)
    assert verify_trail(now=NOW, full=False).number == 5
    assert verify_trail(now=NOW).fault.startswith("Row 2 ")


def test_an_anchor_whose_row_is_gone_starts_nothing(write: Write, data_dir: Path) -> None:
    write(3)
    verify_trail(now=NOW)
    with unprotected():
        rows.filter(number=3).delete()
    assert verify_trail(now=NOW, full=False).fault.startswith("Row 3 is missing at the end")


def test_a_torn_line_is_no_anchor(write: Write, data_dir: Path) -> None:
    append_anchor(Anchor(NOW, 1, "a" * 64))
    with (data_dir / "audit-anchors.jsonl").open("a") as file:
        file.write('{"at": "2026\n')
    append_anchor(Anchor(NOW, 2, "b" * 64))
    assert [anchor.number for anchor in read_anchors()] == [1, 2]


# The command


def test_the_command_says_that_all_is_well(write: Write, data_dir: Path) -> None:
    write(4)
    said = StringIO()
    call_command("verify_audit", stdout=said)
    assert said.getvalue() == f"The audit trail is intact: 4 rows, 1 anchors agree, head {head()[1]}\n"
    line = json.loads((data_dir / "audit-anchors.jsonl").read_text())
    assert (line["number"], line["hash"]) == head()


def test_the_command_fails_with_the_first_broken_row(write: Write, data_dir: Path) -> None:
    write(4)
    with unprotected():
        rows.filter(number=3).delete()
    with pytest.raises(CommandError, match=r"broken\. Row 3 is missing: row 4 "):
        call_command("verify_audit")
