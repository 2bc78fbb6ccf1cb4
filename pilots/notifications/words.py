"""A message in words: which alarms, since when on whose clock, and the link to each. [operation]"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from pilots.domain.alarm import Priority
from pilots.models import Alarm, NotificationContact, NotificationRule


@dataclass(frozen=True, slots=True)
class Message:
    """What a mail says and a webhook gets."""

    subject: str
    body: str
    content: dict[str, Any]


def message_of(
    rule: NotificationRule, contact: NotificationContact, alarms: Sequence[Alarm], *, left_out: int, is_test: bool
) -> Message:
    """The alarms, most urgent first, in the contact's language."""
    with translation.override(contact.language):
        zone = ZoneInfo(rule.zone)
        lines = [_line(alarm, zone) for alarm in alarms]
        if is_test:
            lines = [_("This is a test of the rule %(rule)s: no alarm is behind it.") % {"rule": rule.name}]
        if left_out:
            lines.append(ngettext("And %(n)d more.", "And %(n)d more.", left_out) % {"n": left_out})
        lines.append(_("All alarms: %(link)s") % {"link": _link("alarms/")})
        lines.append(_("Told by the rule %(rule)s of %(where)s.") % {"rule": rule.name, "where": settings.INSTALLATION})
        content = {"rule": rule.name, "installation": settings.INSTALLATION, "test": is_test, "left_out": left_out}
        return Message(
            _subject(alarms, left_out, is_test), "\n\n".join(lines) + "\n", content | {"alarms": [_form(a) for a in alarms]}
        )


def _subject(alarms: Sequence[Alarm], left_out: int, is_test: bool) -> str:
    if is_test:
        return _("[test] INVADE SCADA: notifications work")
    first = alarms[0]
    said = f"[{_priority(first)}] {first.pilot.name}: {_named(first)} {_(first.what)}"
    others = len(alarms) + left_out - 1
    return said if not others else said + " " + ngettext("and %(n)d more", "and %(n)d more", others) % {"n": others}


def _line(alarm: Alarm, zone: ZoneInfo) -> str:
    state = _("returned to normal, not acknowledged") if alarm.returned_at is not None else _("not acknowledged")
    head = f"{_priority(alarm).upper()}  {alarm.pilot.name}  {_named(alarm)}  {_(alarm.what)}"
    since = _("Since %(time)s, %(state)s.") % {"time": _time(alarm.raised_at, zone), "state": state}
    todo = [_("To do: %(steps)s") % {"steps": _(alarm.rule.todo)}] if alarm.rule is not None and alarm.rule.todo else []
    return "\n".join([head, since, *([alarm.detail] if alarm.detail else []), *todo, _link(f"alarms/{alarm.pk}/")])


def _form(alarm: Alarm) -> dict[str, Any]:
    return {
        "id": str(alarm.pk),
        "pilot": alarm.pilot.code,
        "subject": alarm.subject,
        "kind": alarm.kind,
        "priority": Priority(alarm.priority).name.lower(),
        "what": alarm.what,
        "state": alarm.state,
        "value": alarm.value,
        "limit": alarm.limit,
        "unit": alarm.unit,
        "raised_at": alarm.raised_at.isoformat(),
        "link": _link(f"alarms/{alarm.pk}/"),
    }


def _named(alarm: Alarm) -> str:
    return alarm.subject or alarm.pilot.code


def _priority(alarm: Alarm) -> str:
    names = {1: _("critical"), 2: _("high"), 3: _("medium"), 4: _("low")}
    return names[alarm.priority]


def _time(moment: datetime, zone: ZoneInfo) -> str:
    """Never a bare clock: its zone stands beside it."""
    local = moment.astimezone(zone)
    return f"{local:%Y-%m-%d %H:%M:%S} {local.tzname()} ({zone.key})"


def _link(path: str) -> str:
    return f"{settings.PUBLIC_URL.rstrip('/')}/{path}"
