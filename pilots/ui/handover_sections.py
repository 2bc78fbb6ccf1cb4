"""The facts of a shift as titled tables in words: the page and the PDF show the same ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from pilots.domain.alarm import AlarmState, Priority
from pilots.domain.setpoint import SetpointState
from pilots.models import Pilot, Setpoint, ShiftNote, ShiftSignature, Side
from pilots.shift.selectors import Facts, Some
from pilots.ui.alarm_rows import PRIORITY_WORDS, STATE_WORDS, hidden_words, subject_words
from pilots.ui.quantities import point_name, shown_number
from pilots.ui.setpoint_story import issuer_name, value_words
from pilots.ui.time_zones import zone_now
from pilots.ui.words import setpoint_state_words

_BAD = (SetpointState.REJECTED, SetpointState.EXPIRED, SetpointState.FAILED, SetpointState.UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A table with what it says when it is empty; `more` names what it left out and `href` where that stands."""

    title: str
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    empty: str = ""
    more: str = ""
    href: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One pilot's part of the report; its times are of the pilot's zone."""

    pilot: Pilot
    zone: str
    zone_words: str
    figures: list[tuple[str, str]]
    sections: list[Section]
    notes: list[ShiftNote]
    signatures: dict[str, ShiftSignature | None]
    may_write: bool = False
    next_side: str = ""


def block_of(facts: Facts, *, may_write: bool) -> Block:
    """The pilot's tables, what stands before what happened."""
    with timezone.override(ZoneInfo(facts.pilot.time_zone)):
        signed = {side.value: None for side in Side} | {each.side: each for each in facts.signatures}
        return Block(
            pilot=facts.pilot,
            zone=facts.pilot.time_zone,
            zone_words=zone_now(ZoneInfo(facts.pilot.time_zone), facts.at),
            figures=_figures(facts),
            sections=[*_alarm_sections(facts), *_control_sections(facts), *_link_sections(facts)],
            notes=facts.notes,
            signatures=signed,
            may_write=may_write,
            next_side=next((side for side, signature in signed.items() if signature is None), ""),
        )


def when(moment: datetime) -> str:
    """Date and wall clock of the block's zone."""
    return timezone.localtime(moment).strftime("%Y-%m-%d %H:%M")


def _figures(facts: Facts) -> list[tuple[str, str]]:
    events = facts.alarm_events
    return [
        (_("alarms standing"), str(facts.standing.all)),
        (_("raised"), str(events.get("raised", 0))),
        (_("returned"), str(events.get("returned", 0))),
        (_("acknowledged"), str(events.get("acknowledged", 0))),
        (_("set-points and commands given"), str(facts.setpoints.all)),
        (_("of them refused or failed"), str(sum(facts.setpoint_counts.get(state, 0) for state in _BAD))),
        (_("in force"), str(facts.in_force.all)),
        (_("links lost"), str(sum(times for _link, times, _at in facts.link_losses))),
    ]


def _alarm_sections(facts: Facts) -> list[Section]:
    name = facts.pilot.name
    standing = [
        [
            when(each.at),
            _priority(each.priority),
            _subject(each.subject, name),
            _(each.what),
            str(STATE_WORDS[AlarmState(each.state)]),
        ]
        for each in facts.standing.rows
    ]
    often = [[str(times), _subject(subject, name), _(what)] for subject, what, times in facts.most_often]
    hidden = [
        [
            _priority(rule.priority),
            _subject(rule.subject, name),
            _(rule.what),
            hidden_words(rule),
            rule.hidden_by,
            rule.hidden_reason,
        ]
        for rule in facts.hidden
    ]
    hiding = [[when(row.at), row.subject, row.action, row.actor, row.reason] for row in facts.hiding.rows]
    url = f"{reverse('alarms')}?pilot={facts.pilot.code}"
    what, who = [_("Device"), _("Alarm")], [_("Who"), _("Reason")]
    return [
        _section(
            _("Alarms standing"), [_("Changed"), _("Priority"), *what, _("State")], standing, _("None."), facts.standing, url
        ),
        Section(title=_("Most frequent alarms"), columns=[_("Times"), *what], rows=often, empty=_("No alarm was raised.")),
        Section(
            title=_("Shelved, suppressed, out of service"),
            columns=[_("Priority"), *what, _("State"), *who],
            rows=hidden,
            empty=_("None."),
        ),
        _section(
            _("Silenced in this shift"),
            [_("Time"), _("Device"), _("Deed"), *who],
            hiding,
            _("Nothing was silenced."),
            facts.hiding,
        ),
    ]


def _control_sections(facts: Facts) -> list[Section]:
    given = [_setpoint_row(each) for each in facts.setpoints.rows]
    force = [
        [
            _point(each),
            value_words(each.point, each.value, each.unit),
            when(each.valid_until),
            issuer_name(each.issuer),
            each.requested_by,
        ]
        for each in facts.in_force.rows
    ]
    guards = [*_guard_rows(facts)]
    url = f"{reverse('setpoints')}?pilot={facts.pilot.code}"
    ends = [_("Received"), _("Point"), _("Value"), _("Who"), _("State"), _("End")]
    held = [_("Point"), _("Value"), _("Until"), _("Issuer"), _("Who")]
    return [
        _section(_("Set-points in force"), held, force, _("None: everything is released."), facts.in_force, url),
        Section(
            title=_("Holds, tags, commands off, fallback plans, values by hand"),
            columns=[_("What"), _("At"), _("Since"), _("Until"), _("Who"), _("Reason")],
            rows=guards,
            empty=_("None."),
        ),
        _section(_("Set-points and commands given"), ends, given, _("None were given."), facts.setpoints, url),
    ]


def _setpoint_row(each: Setpoint) -> list[str]:
    who = f"{each.requested_by} ({issuer_name(each.issuer)})"
    value, state = value_words(each.point, each.value, each.unit), str(setpoint_state_words()[each.state])
    return [when(each.received_at), _point(each), value, who, state, _end(each)]


def _end(each: Setpoint) -> str:
    if each.released_at is not None:
        return f"{when(each.released_at)} {each.release_reason}".strip()
    if each.state == "executed":
        return _("until %(time)s") % {"time": when(each.valid_until)}
    return each.explanation or each.code


def _guard_rows(facts: Facts) -> Iterable[list[str]]:
    for switch in facts.off:
        where = facts.pilot.name if switch.pilot_id else _("every pilot")
        yield [_("Commands off"), where, when(switch.set_at), "", switch.owner, switch.reason]
    for tag in facts.tags:
        yield [_("Do not operate"), tag.device.code, when(tag.set_at), "", tag.owner, tag.reason]
    for hold in facts.holds:
        at = f"{hold.point.device.code} {point_name(hold.point.name)}"
        yield [_("Hold"), at, when(hold.set_at), when(hold.until), hold.owner, hold.reason]
    for run in facts.fallbacks:
        at = f"{run.point.device.code} {point_name(run.point.name)} {shown_number(run.value, run.point.unit)}"
        yield [_("Fallback plan"), at, when(run.set_at), "", run.owner, run.reason]
    for each in facts.substitutions:
        value = value_words(each.point, each.value, each.point.unit)
        at = f"{each.point.device.code} {point_name(each.point.name)} {value}"
        yield [_("Value by hand"), at, when(each.set_at), when(each.until), each.owner, each.reason]


def _link_sections(facts: Facts) -> list[Section]:
    name, words = facts.pilot.name, {"down": _("down"), "degraded": _("weak")}
    down = [[_subject(subject, name), words[state], when(since)] for subject, state, since in facts.links_not_up]
    lost = [[_subject(subject, name), str(times), when(last)] for subject, times, last in facts.link_losses]
    return [
        Section(title=_("Links not up"), columns=[_("Link"), _("State"), _("Since")], rows=down, empty=_("All links are up.")),
        Section(title=_("Links lost in this shift"), columns=[_("Link"), _("Times"), _("Last")], rows=lost, empty=_("None.")),
    ]


def _section(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], empty: str, some: Some[Any], href: str = ""
) -> Section:
    more = ""
    if some.left_out:
        more = ngettext("%(n)d more is not shown.", "%(n)d more are not shown.", some.left_out) % {"n": some.left_out}
    return Section(title=title, columns=columns, rows=rows, empty=empty, more=more, href=href)


def _priority(priority: int | None) -> str:
    return "" if priority is None else str(PRIORITY_WORDS[Priority(priority)])


def _subject(subject: str, pilot: str) -> str:
    words = subject_words(subject, pilot)
    return f"{words['name']} {words['more']}".strip()


def _point(setpoint: Setpoint) -> str:
    return f"{setpoint.point.device.code} {point_name(setpoint.point.name)}"
