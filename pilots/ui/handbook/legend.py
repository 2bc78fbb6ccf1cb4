"""The legend: drawn by the functions, templates and classes that draw the pages, so that it shows what they show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from pilots.domain.alarm import AlarmState, Hidden, Priority
from pilots.domain.setpoint import SetpointState
from pilots.domain.topology import DeviceKind
from pilots.models import Role, User
from pilots.ui.alarm_rows import FACES, HIDDEN_FACES, HIDDEN_WORDS, PRIORITY_WORDS, STATE_WORDS, glyph
from pilots.ui.handbook.glossary import alarm_meanings, role_words, setpoint_meanings, words
from pilots.ui.setpoint_story import ORDER, STOPPED, dots_of
from pilots.ui.single_line import FLOW, chip, guard_marks, tag
from pilots.ui.single_line_symbols import BREAKER, SWITCH, SYMBOLS
from pilots.ui.words import KIND_NAMES, link_state_words, setpoint_state_words

#: Where a set-point that stopped had come to, for its picture.
_REACHED = {SetpointState.REJECTED: 0, SetpointState.EXPIRED: 1, SetpointState.CANCELLED: 1, SetpointState.FAILED: 2}


@dataclass(frozen=True, slots=True)
class Row:
    """What is seen, its name, what it means, and what is said of the reader."""

    picture: str
    name: str
    meaning: str = ""
    note: str = ""


def values(_reader: User) -> list[Row]:
    return [
        Row(_value(), _("good")),
        Row(
            _value("is-old"),
            _("old"),
            _("not renewed in three periods, or its connection is lost: the last known value, with its age"),
        ),
        Row(_value(mark="?"), _("questionable"), _("for another reason: out of range, blocked, or its clock is in doubt")),
        Row(_value("is-invalid", "!"), _("invalid"), _("do not use it")),
        Row(_value("never", number="–"), _("missing"), _("never received, or not available; never zero")),
        Row(_value("part"), _("a sum"), _("with parts missing: how many stands beside it")),
        Row(_value(mark="S"), _("substituted"), _("given by hand: who, why and until when stand on the faceplate")),
        Row(_value(mark="E"), _("estimated")),
        Row(
            _value(mark="F"),
            _("forecast"),
            _("what is expected, not measured: the next value, and when and by whom it was issued"),
        ),
    ]


def lines(_reader: User) -> list[Row]:
    supply = [
        Row(_stroke("con"), _("energised"), _("a good reading proves it")),
        Row(_stroke("con dead"), _("no supply"), _("a switch towards the grid is open, or a voltage shows nothing")),
        Row(_stroke("con unknown"), _("unknown"), _("no good reading proves either")),
        Row(_stroke("wire"), _("a link"), _("no conductor; its letter says its state")),
        Row(
            _drawing(FLOW), _("direction of power"), _("away from the grid or towards it; the word beside the value says it too")
        ),
    ]
    return [*supply, *_switches(), *_links(), *_guards()]


def _switches() -> list[Row]:
    meanings = {
        "closed": (_("closed"), ""),
        "open": (_("open"), ""),
        "between": (_("in between"), _("on its way, or stuck there")),
        "bad": (_("bad position"), _("its contacts contradict one another")),
        "unknown": (_("position unknown"), _("never received")),
    }
    return [Row(_switch(SWITCH, state), name, meaning) for state, (name, meaning) in meanings.items()]


def _links() -> list[Row]:
    meanings = {
        "up": "",
        "degraded": _("some points of the far device have grown old"),
        "down": _("nothing comes through"),
        "unknown": _("nothing has been received yet"),
    }
    names = link_state_words()
    return [
        Row(_drawing(chip("a", (), 0, 0, state=state)), _("link %(state)s") % {"state": names[state]}, meaning)
        for state, meaning in meanings.items()
    ]


def _guards() -> list[Row]:
    return [
        Row(_drawing(tag("g", guard_marks(0), class_="tagged")), _("do not operate"), _("tagged: nobody commands it")),
        Row(
            _drawing(tag("g", guard_marks(0), class_="held")),
            _("held"),
            _("a point of it is held: M by hand, I by INVADE, S by a schedule, C by a control centre"),
        ),
    ]


def symbols(_reader: User) -> list[Row]:
    kinds = [kind for kind in DeviceKind if kind is not DeviceKind.SWITCH]
    rows = [Row(_drawing(tag("g", SYMBOLS[kind], class_="sym")), str(KIND_NAMES[kind])) for kind in kinds]
    return [Row(_switch(SWITCH, "closed"), _("Switch")), Row(_switch(BREAKER, "closed"), _("Circuit breaker")), *rows]


def alarm_marks(_reader: User) -> list[Row]:
    priorities = [
        Row(_glyph(each, "active"), str(PRIORITY_WORDS[each]), _("priority %(n)s") % {"n": each.value}) for each in Priority
    ]
    states = [_alarm_state(state, meaning) for state, meaning in alarm_meanings().items()]
    return [*priorities, *states]


def _alarm_state(state: AlarmState | Hidden, meaning: str) -> Row:
    if isinstance(state, Hidden):
        return Row(_glyph(Priority.HIGH, HIDDEN_FACES[state]), str(HIDDEN_WORDS[state]), meaning)
    return Row(_glyph(Priority.HIGH, FACES.get(state, "active")), str(STATE_WORDS[state]), meaning)


def setpoint_states(_reader: User) -> list[Row]:
    names, meanings = setpoint_state_words() | {SetpointState.UNKNOWN: _("unknown")}, setpoint_meanings()
    return [Row(_dots(state), names[state].split(",")[0], meanings[state]) for state in SetpointState]


def roles(reader: User) -> list[Row]:
    own = set(reader.grants.values_list("role", flat=True))
    yours = [role in own or reader.is_superuser for role in Role]
    meanings = role_words()
    return [Row("", str(role.label), meanings[role], _("yours") if mine else "") for role, mine in zip(Role, yours, strict=True)]


def glossary(_reader: User) -> list[Row]:
    return [Row("", name, meaning) for name, meaning in sorted(words())]


FIGURES: dict[str, Callable[[User], list[Row]]] = {
    "values": values,
    "lines": lines,
    "symbols": symbols,
    "alarm_marks": alarm_marks,
    "setpoint_states": setpoint_states,
    "roles": roles,
    "words": glossary,
}


def _value(state: str = "", mark: str = "", number: str = "20.0") -> SafeString:
    shape = '<span class="v {}"><span class="n">{}</span><span class="u">kW</span><span class="mark">{}</span></span>'
    return format_html(shape, state, number, mark)


def _drawing(inner: str) -> SafeString:
    """Forty by forty, as the diagram draws it."""
    whole = tag("svg", inner, class_="diagram", viewBox="-22 -22 44 44", width=44, height=44, aria_hidden="true")
    return mark_safe(whole)  # noqa: S308  drawn by our own constants


def _stroke(kind: str) -> SafeString:
    return _drawing(tag("path", class_=kind, d="M-20 0H20"))


def _switch(picture: str, state: str) -> SafeString:
    return _drawing(tag("g", tag("g", picture, class_="sym"), class_=f"switch {state}"))


def _glyph(priority: Priority, face: str) -> SafeString:
    drawn = glyph(priority.value, face, "") | {"label": ""}
    return render_to_string("pilots/alarm_glyph.html", {"glyph": drawn})


def _dots(state: SetpointState) -> SafeString:
    stopped = state in STOPPED
    reached = ORDER.index(state) if state in ORDER else _REACHED.get(state, ORDER.index(SetpointState.DISPATCHED))
    return render_to_string("pilots/steps.html", {"dots": dots_of(reached, stopped=stopped)})
