"""The only writer of journal entries: in the transaction of the thing they tell. [all zones]"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from pilots.domain.journal import JournalKind
from pilots.models import Alarm, JournalEntry, Link

AT_ONCE = 1000


def record(entries: Iterable[JournalEntry]) -> None:
    """The entries stand in the journal once the caller's transaction commits."""
    JournalEntry.objects.bulk_create(entries, batch_size=AT_ONCE)


def of_alarm(alarm: Alarm, event: str, *, pilot: str, at: datetime, actor: str = "", detail: str = "") -> JournalEntry:
    """What the alarm has come to by `event`: raised, returned, acknowledged, again, reset, ended."""
    return JournalEntry(
        at=at,
        pilot=pilot,
        kind=JournalKind.ALARM,
        event=event,
        subject=alarm.subject,
        actor=actor[:120],
        what=alarm.what,
        detail=(detail or (alarm.detail if event == "raised" else ""))[:300],
        value=alarm.value if event == "raised" else None,
        limit=alarm.limit,
        unit=alarm.unit,
        priority=alarm.priority,
        state=alarm.state,
        hidden=alarm.hidden,
        alarm=alarm.pk,
    )


def of_link(link: Link, *, pilot: str, at: datetime) -> JournalEntry:
    """The link's state from now on."""
    subject = link_subject(link)
    return JournalEntry(at=at, pilot=pilot, kind=JournalKind.LINK, event=link.state, subject=subject, state=link.state)


def link_subject(link: Link) -> str:
    """How alarms and the journal name a link: its letter and its ends."""
    return f"link {link.letter} {link.end_a.code} {link.end_b.code}"
