"""An entry of the journal in words for people, with its ways to the diagram and the trend of that moment."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from pilots.domain.alarm import AlarmState, Priority
from pilots.domain.journal import JournalKind, device_and_point
from pilots.domain.moments import moment_of
from pilots.journal.selectors import Entry
from pilots.live.frames import milliseconds
from pilots.models import Pilot, Point
from pilots.northbound.messages import rfc3339
from pilots.ui.alarm_rows import PRIORITY_WORDS, glyph, subject_words
from pilots.ui.quantities import shown_number

K = JournalKind
KIND_WORDS = {
    K.ALARM: gettext_lazy("Alarm"),
    K.LINK: gettext_lazy("Link"),
    K.DEVICE: gettext_lazy("Device"),
    K.SETPOINT: gettext_lazy("Set-point"),
    K.COMMAND: gettext_lazy("Command"),
    K.SCHEDULE: gettext_lazy("Schedule"),
    K.FALLBACK: gettext_lazy("Fallback plan"),
    K.GUARD: gettext_lazy("Tag or hold"),
    K.COMMISSIONING: gettext_lazy("Commissioning"),
    K.ADMINISTRATION: gettext_lazy("Administration"),
}
_ALARM_EVENTS = {
    "raised": gettext_lazy("%s: came"),
    "returned": gettext_lazy("%s: returned to normal"),
    "acknowledged": gettext_lazy("%s: acknowledged"),
    "again": gettext_lazy("%s: asks again"),
    "reset": gettext_lazy("%s: reset"),
    "ended": gettext_lazy("%s: ended"),
}
_LINK_EVENTS = {
    "up": gettext_lazy("Is up"),
    "degraded": gettext_lazy("Is weak"),
    "down": gettext_lazy("Is down"),
    "unknown": gettext_lazy("State unknown"),
}
#: Deeds that stand in the journal most often; others are told by the audit trail's own words.
_DEEDS: dict[str, str | Promise] = {
    "request set-point": gettext_lazy("Asked for"),
    "refuse set-point": gettext_lazy("Refused"),
    "cancel set-point": gettext_lazy("Cancelled by a person"),
    "end set-point": gettext_lazy("Its time is over"),
    "set-point validated": gettext_lazy("Checked, waits to be sent"),
    "set-point dispatched": gettext_lazy("Dispatched, not proved yet"),
    "set-point executed": gettext_lazy("Executed"),
    "set-point rejected": gettext_lazy("Refused"),
    "set-point expired": gettext_lazy("Expired"),
    "set-point failed": gettext_lazy("Failed"),
    "set-point cancelled": gettext_lazy("Cancelled"),
    "set-point unknown": gettext_lazy("Outcome unknown"),
    "select": gettext_lazy("Selected"),
    "operate": gettext_lazy("Operated"),
    "cancel selection": gettext_lazy("Selection cancelled"),
    "ask for approval": gettext_lazy("Approval asked for"),
    "approve": gettext_lazy("Approved"),
    "disapprove": gettext_lazy("Not approved"),
    "begin fallback": gettext_lazy("Fallback plan began"),
    "end fallback": gettext_lazy("Fallback plan ended"),
    "take over from fallback": gettext_lazy("Taken over from its fallback plan"),
    "platform lost": gettext_lazy("INVADE platform not heard any more"),
    "platform back": gettext_lazy("INVADE platform heard again"),
    "set blocking tag": gettext_lazy("Tagged: do not operate"),
    "remove blocking tag": gettext_lazy("Tag taken away"),
    "switch commands off": gettext_lazy("Commands switched off"),
    "switch commands on": gettext_lazy("Commands switched on"),
    "hold point": gettext_lazy("Held by hand"),
    "hand back point": gettext_lazy("Handed back"),
    "draft schedule": gettext_lazy("Drafted"),
    "create schedule": gettext_lazy("Created"),
    "accept schedule": gettext_lazy("Accepted"),
    "revise schedule": gettext_lazy("Revised"),
    "cancel schedule": gettext_lazy("Cancelled by a person"),
    "schedule running": gettext_lazy("Began"),
    "schedule completed": gettext_lazy("Completed"),
    "schedule failed": gettext_lazy("Failed"),
    "clock_skew": gettext_lazy("Its clock is wrong"),
    "clock_right": gettext_lazy("Its clock is right again"),
    "counter_reset": gettext_lazy("Its counter was set back"),
    "way_switched": gettext_lazy("Goes another way"),
}
_FACES = {AlarmState.UNACKNOWLEDGED: "unack", AlarmState.ACKNOWLEDGED: "active", AlarmState.RETURNED: "returned"}
#: So much of a trend on either side of the moment.
AROUND = timedelta(minutes=15)


def rows_of(found: Iterable[Entry], pilots: Iterable[Pilot]) -> list[dict[str, Any]]:
    """What the page shows of these entries; `pilots` are those that may be seen."""
    entries, by_code = list(found), {pilot.code: pilot for pilot in pilots}
    labels = _labels(entries)
    return [_row(entry, by_code.get(entry.pilot), labels) for entry in entries]


def _row(entry: Entry, pilot: Pilot | None, labels: dict[str, dict[str, str]]) -> dict[str, Any]:
    device, point = device_and_point(entry.subject)
    if device in ("", entry.pilot):
        device = point = ""
    return {
        "entry": entry,
        "pilot": pilot,
        "kind": KIND_WORDS[entry.kind],
        "glyph": alarm_glyph(entry.priority, entry.state, entry.hidden) if entry.priority else None,
        "subject": subject_words(entry.subject, pilot.name if pilot is not None else ""),
        "what": what_words(entry),
        "quantity": _quantity(entry, labels),
        "at_ms": milliseconds_after(entry),
        "replay": "" if pilot is None else replay_url(pilot, entry, device),
        "trend": "" if pilot is None or not point else _trend_url(pilot, entry, f"{device}/{point}"),
    }


def what_words(entry: Entry) -> str:
    """What happened, in the reader's language where it is one of the usual things."""
    if entry.kind is K.ALARM and entry.what:
        return str(_ALARM_EVENTS[entry.event]) % _(entry.what)
    if entry.kind is K.LINK and entry.event in _LINK_EVENTS:
        return str(_LINK_EVENTS[entry.event])
    return str(_DEEDS.get(entry.event, entry.event.replace("_", " ").capitalize()))


def alarm_glyph(priority: int, state: str, hidden: str) -> dict[str, Any]:
    """For templates/pilots/alarm_glyph.html; the row's words say the rest."""
    face = "suppressed" if hidden else _FACES.get(AlarmState(state), "returned")
    return glyph(priority, face, "") | {"label": str(PRIORITY_WORDS[Priority(priority)])}


def replay_url(pilot: Pilot, entry: Entry, device: str = "") -> str:
    """The diagram as it was right after the entry."""
    at = moment_of(1000 * milliseconds_after(entry)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return f"{reverse('replay')}?{urlencode({'pilot': pilot.code, 'at': at} | ({'device': device} if device else {}))}"


def milliseconds_after(entry: Entry) -> int:
    """The first whole millisecond at which the entry has happened."""
    return milliseconds(entry.at) + 1


def _trend_url(pilot: Pilot, entry: Entry, reference: str) -> str:
    start, end = (rfc3339(entry.at + shift) for shift in (-AROUND, AROUND))
    return f"{reverse('trends', args=[pilot.code])}?{urlencode({'points': reference, 'from': start, 'to': end})}"


def _quantity(entry: Entry, labels: dict[str, dict[str, str]]) -> str:
    if entry.value is None:
        return ""
    device, point = device_and_point(entry.subject)
    own = labels.get(f"{device}/{point}", {})
    label = own.get(str(int(entry.value))) if entry.value.is_integer() else None
    if label is not None:
        return label
    told = shown_number(entry.value, entry.unit)
    if entry.limit is None:
        return told
    return _("%(value)s, limit %(limit)s") % {"value": told, "limit": shown_number(entry.limit, entry.unit)}


def _labels(found: Iterable[Entry]) -> dict[str, dict[str, str]]:
    """Of the points whose values are codes: a switch is told open or closed, not 1 or 2."""
    named = {device_and_point(entry.subject) for entry in found if entry.kind in (K.COMMAND, K.SETPOINT, K.ALARM)}
    if not named:
        return {}
    rows = Point.objects.filter(device__code__in={device for device, _point in named}).exclude(labels={})
    return {f"{device}/{name}": labels for device, name, labels in rows.values_list("device__code", "name", "labels")}
