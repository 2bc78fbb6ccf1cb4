"""An alarm in words for people: what it watches, since when, how it stands, what may be done about it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from pilots.domain.alarm import AlarmKind, AlarmState, Hidden, Priority
from pilots.models import Alarm, AlarmRule
from pilots.ui.quantities import shown_number

STATE_WORDS = {
    AlarmState.UNACKNOWLEDGED: gettext_lazy("new"),
    AlarmState.ACKNOWLEDGED: pgettext_lazy("state of an alarm", "seen"),
    AlarmState.RETURNED: gettext_lazy("returned, new"),
    AlarmState.LATCHED: gettext_lazy("returned, waits for reset"),
    AlarmState.NORMAL: gettext_lazy("ended"),
}
HIDDEN_WORDS = {
    Hidden.SHELVED: gettext_lazy("shelved"),
    Hidden.SUPPRESSED: gettext_lazy("suppressed"),
    Hidden.OUT_OF_SERVICE: gettext_lazy("out of service"),
    Hidden.MEMBER: gettext_lazy("follows its cause"),
}
PRIORITY_WORDS = {
    Priority.CRITICAL: gettext_lazy("critical"),
    Priority.HIGH: gettext_lazy("high"),
    Priority.MEDIUM: pgettext_lazy("priority of an alarm", "medium"),
    Priority.LOW: gettext_lazy("low"),
}
#: What an age is told in, by its length in s; static/js/alarm_strip.js goes on by the same.
AGES = {86400: gettext_lazy("%s d"), 3600: gettext_lazy("%s h"), 60: gettext_lazy("%s min"), 1: gettext_lazy("%s s")}
FACES = {AlarmState.UNACKNOWLEDGED: "unack", AlarmState.ACKNOWLEDGED: "active", AlarmState.RETURNED: "returned"}
HIDDEN_FACES = {
    Hidden.SHELVED: "shelved",
    Hidden.SUPPRESSED: "suppressed",
    Hidden.MEMBER: "suppressed",
    Hidden.OUT_OF_SERVICE: "out",
}
_LOWER = (AlarmKind.LOW, AlarmKind.LOW_LOW)


def alarm_row(alarm: Alarm, now: datetime, *, may_answer: bool, may_return: bool) -> dict[str, Any]:
    """What the list, the strip and the faceplate show of an alarm."""
    state = AlarmState(alarm.state)
    return {
        "alarm": alarm,
        "glyph": glyph(alarm.priority, face(alarm), state_words(alarm)),
        "state": state_words(alarm),
        "age": age_words(now - alarm.raised_at),
        "age_s": max(0, int((now - alarm.raised_at).total_seconds())),
        "subject": subject_words(alarm.subject, alarm.pilot.name),
        "what": _(alarm.what),
        "value": "" if alarm.value is None else shown_number(alarm.value, alarm.unit),
        "limit": _limit(alarm),
        "may_acknowledge": may_answer and state.wants_acknowledgement and alarm.hidden != Hidden.MEMBER,
        "may_reset": may_answer and state is AlarmState.LATCHED,
        "may_return": may_return and alarm.hidden not in ("", Hidden.MEMBER),
        "is_quiet": bool(alarm.hidden),
        "members": [],
        "more": 0,
    }


def rule_row(rule: AlarmRule, now: datetime, *, may_return: bool) -> dict[str, Any]:
    """A rule that is silent and has nothing to tell just now."""
    return {
        "rule": rule,
        "glyph": glyph(rule.priority, HIDDEN_FACES[Hidden(rule.hidden)], hidden_words(rule)),
        "state": hidden_words(rule),
        "since": rule.hidden_at,
        "age": "" if rule.hidden_at is None else age_words(now - rule.hidden_at),
        "subject": subject_words(rule.subject, rule.pilot.name),
        "what": _(rule.what),
        "reason": _("%(who)s: %(why)s") % {"who": rule.hidden_by, "why": rule.hidden_reason},
        "may_return": may_return,
    }


def glyph(priority: int, its_face: str, words: str) -> dict[str, Any]:
    """For templates/pilots/alarm_glyph.html: shape, figure and ring, with the sentence for those who hear it."""
    said = {"priority": PRIORITY_WORDS[Priority(priority)], "state": words}
    return {"priority": priority, "face": its_face, "label": _("priority %(priority)s, %(state)s") % said}


def face(alarm: Alarm) -> str:
    """The look of design: filled with a ring while new, hollow once returned, dashed while hidden."""
    if alarm.hidden:
        return HIDDEN_FACES[Hidden(alarm.hidden)]
    return FACES.get(AlarmState(alarm.state), "active" if alarm.closed_at is None else "returned")


def state_words(alarm: Alarm) -> str:
    if alarm.hidden and alarm.closed_at is None:
        if alarm.rule is not None and alarm.rule.hidden:
            return hidden_words(alarm.rule)
        return str(HIDDEN_WORDS[Hidden(alarm.hidden)])
    return str(STATE_WORDS[AlarmState(alarm.state)])


def hidden_words(rule: AlarmRule) -> str:
    """ "shelved to 14:30", in the reader's clock."""
    words = str(HIDDEN_WORDS[Hidden(rule.hidden)])
    if rule.hidden_until is None:
        return words
    until = timezone.localtime(rule.hidden_until).strftime("%H:%M")
    return _("%(state)s to %(time)s") % {"state": words, "time": until}


def subject_words(subject: str, pilot: str) -> dict[str, str]:
    """What stands in bold and what beside it: a device and its point, a link and its ends, a connection, the pilot."""
    if not subject:
        return {"name": pilot, "more": ""}
    if subject.startswith("link "):
        _word, letter, *ends = subject.split(" ")
        return {"name": _("link %(letter)s") % {"letter": letter}, "more": " – ".join(ends)}
    if subject.startswith("connection "):
        return {"name": subject.removeprefix("connection "), "more": ""}
    device, _slash, point = subject.partition("/")
    return {"name": device, "more": point}


def age_words(age: timedelta) -> str:
    """Short, as a table can hold it."""
    seconds = max(0, int(age.total_seconds()))
    size = next((size for size in AGES if seconds >= size), 1)
    return str(AGES[size]) % (seconds // size)


def timeline(alarm: Alarm) -> list[tuple[datetime, str, str]]:
    """What happened when, and by whom, oldest first."""
    told = [(alarm.raised_at, _("raised"), _first_words(alarm))]
    if alarm.acknowledged_at is not None:
        by = _("by %(who)s") % {"who": alarm.acknowledged_by}
        told.append((alarm.acknowledged_at, _("acknowledged"), f"{by}: {alarm.comment}" if alarm.comment else by))
    if alarm.returned_at is not None:
        told.append((alarm.returned_at, _("returned to normal"), ""))
    if alarm.closed_at is not None:
        told.append((alarm.closed_at, _("ended"), ""))
    return sorted(told, key=lambda each: each[0])


def _first_words(alarm: Alarm) -> str:
    """Whether it came first of its chain, or what did."""
    if alarm.led_by is not None:
        return _("after %(subject)s: %(what)s, %(seconds)s s before") % {
            "subject": alarm.led_by.subject,
            "what": _(alarm.led_by.what),
            "seconds": round((alarm.raised_at - alarm.led_by.raised_at).total_seconds()),
        }
    return _("first out") if alarm.first_out else ""


def steps(text: str) -> list[str]:
    """Sentences of what to do, one a line."""
    return [line.strip() for line in _(text).replace(". ", ".\n").splitlines() if line.strip()] if text else []


def with_members(rows: Iterable[dict[str, Any]], members: dict[Any, list[Alarm]], totals: dict[Any, int], now: datetime) -> None:
    """The rows of causes hold the first of their members and say how many more there are."""
    for row in rows:
        own = members.get(row["alarm"].pk, [])
        row["members"] = [alarm_row(each, now, may_answer=False, may_return=False) for each in own]
        row["all_members"] = totals.get(row["alarm"].pk, 0)
        row["more"] = row["all_members"] - len(own)


def _limit(alarm: Alarm) -> str:
    if alarm.limit is None:
        return ""
    return ("< " if alarm.kind in _LOWER else "> ") + shown_number(alarm.limit, alarm.unit)
