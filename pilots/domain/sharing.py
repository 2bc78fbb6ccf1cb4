"""How one target is shared among several devices: in proportion to what each can do at this moment. [operation]

Pure, and the only place where shares are made. Active power in W, load convention: P > 0 is consumption, P < 0 generation. A
ceiling is shared like a target: its sum is what all may take together.

The rule: everybody gets the same part of its room, which is what lies between 0 and its limit of the moment on the target's
side. Nobody gets a share of the other sign, nobody one outside its limits; who may not go below some value gets at least that.
Shares are rounded towards 0 to whole steps of their devices; what is lost by that goes, a step each, to those that lost most
(then by name), and what is still left to whom it fits. So the sum never exceeds the target, and lacks less of it than the next
step of any member that has room. Devices behind one connection of limited capacity are first narrowed together, each by the
same part, to what it leaves them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from pilots.domain.errors import SetpointRejected
from pilots.domain.guards import ConnectionPoint
from pilots.domain.setpoint import RejectCode, SetpointState

#: More devices than this at once are asked for by somebody who has proved who they are.
UNPROVED_MEMBERS = 50
LEAST_MEMBERS, MOST_MEMBERS = 2, 100
#: One device after the other: no step of all in the same moment, and time to abort.
STAGGER_S = 0.2
_EXACT = 1e-6


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """What a device can do now. `low` and `high`: least and most that its checks let pass; `own`: what it does, None unknown.

    It goes in whole multiples of `step`, and to `ends` though they may be none (`guards`).
    """

    name: str
    low: float
    high: float
    step: float = 0.0
    ends: tuple[float, float] = (-math.inf, math.inf)
    own: float | None = None
    behind: tuple[ConnectionPoint, ...] = ()


@dataclass(frozen=True, slots=True)
class _Room:
    """A member seen from the target's side: from `low` to `high`, both at least 0 and values that it takes."""

    name: str
    low: float
    high: float
    step: float

    def below(self, value: float) -> float:
        """The greatest value that it takes, at most `value`."""
        if self.step <= 0 or value >= self.high:
            return min(value, self.high)
        return max(_steps_below(value, self.step), self.low)

    def above(self, value: float) -> float:
        """The next value that it takes; the same where there is none or no step."""
        return value if self.step <= 0 else min(_steps_below(value, self.step) + self.step, self.high)


def share(target: float, members: Sequence[Member]) -> dict[str, float]:
    """What each gets, by name. Raises SetpointRejected with the figure that they can do where the target is beyond it.

    >>> share(-9_000, [Member(name="a", low=-10_000, high=10_000, step=100), Member(name="b", low=-5_000, high=0, step=100)])
    {'a': -6000.0, 'b': -3000.0}
    """
    sign = -1.0 if target < 0 else 1.0
    rooms = _rooms(target, members)
    _check_reach(abs(target), rooms, sign)
    values = _rounded(abs(target), rooms, _wanted(abs(target), rooms))
    return {room.name: sign * value if value else 0.0 for room, value in zip(rooms, values, strict=True)}


def reach(target: float, members: Sequence[Member]) -> tuple[float, float]:
    """Least and most in magnitude, W, that they can do together on the target's side."""
    rooms = _rooms(target, members)
    return math.fsum(room.low for room in rooms), math.fsum(room.high for room in rooms)


def has_room(target: float, member: Member) -> bool:
    """Whether it can take a share of this target: something on its side, or 0 where that is the target."""
    (room,) = _rooms(target, [member])
    return room.low <= room.high and (room.high > 0 or target == 0)


def overloaded(shares: Mapping[str, float], members: Iterable[Member]) -> str:
    """The sentence of a connection that these shares together would take beyond its capacity; empty where there is none."""
    for place, behind in _places(members).items():
        change = math.fsum(shares[member.name] - (member.own or 0.0) for member in behind if member.name in shares)
        expected, most = place.measured_w + change, max(place.capacity_w, abs(place.measured_w))
        if abs(expected) > most + _EXACT:
            return f"{place.name} would carry {expected:g} W, its connection takes {place.capacity_w:g} W."
    return ""


class GroupState(StrEnum):
    """Where a group stands, told from its members: it has no state of its own but that it was aborted."""

    UNDER_WAY = "under_way"  # some are not executed yet
    IN_FORCE = "in_force"  # every share holds its device
    PARTLY = "partly_in_force"  # some do, others do not or no longer
    ABORTED = "aborted"
    ENDED = "ended"  # nothing is on its way or in force


def group_state(members: Sequence[tuple[SetpointState, bool]], *, aborted: bool) -> GroupState:
    """`members`: state, and whether it holds its point, of each set-point.

    >>> group_state([(SetpointState.EXECUTED, True), (SetpointState.FAILED, False)], aborted=False).value
    'partly_in_force'
    """
    if aborted:
        return GroupState.ABORTED
    if any(not state.terminal for state, _ in members):
        return GroupState.UNDER_WAY
    holding = sum(active for _, active in members)
    return GroupState.ENDED if not holding else GroupState.IN_FORCE if holding == len(members) else GroupState.PARTLY


def _rooms(target: float, members: Sequence[Member]) -> list[_Room]:
    turned = [_turned(member, target) for member in members]
    for place, behind in _places(turned).items():
        turned = _narrowed(turned, {member.name for member in behind}, place)
    return [_room(member if target else replace(member, high=min(member.high, 0.0))) for member in turned]


def _turned(member: Member, target: float) -> Member:
    """The member with its signs so that the target's side is the positive one."""
    if target >= 0:
        return member
    behind = tuple(replace(place, measured_w=-place.measured_w) for place in member.behind)
    own = None if member.own is None else -member.own
    ends = (-member.ends[1], -member.ends[0])
    return replace(member, low=-member.high, high=-member.low, own=own, ends=ends, behind=behind)


def _room(member: Member) -> _Room:
    low, high = max(member.low, 0.0), member.high
    if member.step > 0:
        # An end is taken as it is, else only whole steps inside the limits.
        high = high if high in member.ends else _steps_below(high, member.step)
        low = low if low in member.ends else -_steps_below(-low, member.step)
    return _Room(member.name, abs(low), high, member.step)


def _narrowed(members: Sequence[Member], names: set[str], place: ConnectionPoint) -> list[Member]:
    behind = [member for member in members if member.name in names]
    free = max(place.capacity_w, abs(place.measured_w)) - place.measured_w + math.fsum(member.own or 0.0 for member in behind)
    wanted = math.fsum(max(member.high, 0.0) for member in behind)
    if wanted <= free:
        return list(members)
    part = max(free, 0.0) / wanted
    return [
        replace(member, high=member.high * part) if member.name in names and member.high > 0 else member for member in members
    ]


def _places(members: Iterable[Member]) -> dict[ConnectionPoint, list[Member]]:
    """Each connection with those behind it. What does not tell its own power says nothing of what it would change there."""
    found: dict[str, tuple[ConnectionPoint, list[Member]]] = {}
    for member in members:
        for place in member.behind if member.own is not None else ():
            found.setdefault(place.name, (place, []))[1].append(member)
    return dict(found[name] for name in sorted(found))


def _check_reach(wanted: float, rooms: Sequence[_Room], sign: float) -> None:
    least, most = math.fsum(room.low for room in rooms), math.fsum(room.high for room in rooms)
    empty = next((room.name for room in rooms if room.low > room.high), None)
    if empty is not None:
        raise SetpointRejected(RejectCode.OUT_OF_RANGE, f"{empty} can take no share of it now.", field="target")
    if wanted > most + _EXACT:
        sentence = f"All that can take part can do {sign * most:g} W together now, not {sign * wanted:g} W."
        raise SetpointRejected(RejectCode.OUT_OF_RANGE, sentence, field="target")
    if wanted < least - _EXACT:
        sentence = f"All that can take part cannot go below {sign * least:g} W together now: {sign * wanted:g} W is less."
        raise SetpointRejected(RejectCode.OUT_OF_RANGE, sentence, field="target")


def _wanted(wanted: float, rooms: Sequence[_Room]) -> list[float]:
    """The same part of everybody's room, but at least its lowest value, in sum the target."""
    held: set[str] = set()
    while True:
        rest = wanted - math.fsum(room.low for room in rooms if room.name in held)
        free = math.fsum(room.high for room in rooms if room.name not in held)
        part = min(max(rest / free, 0.0), 1.0) if free > 0 else 0.0
        more = {room.name for room in rooms if room.name not in held and part * room.high < room.low}
        if not more:
            return [room.low if room.name in held else part * room.high for room in rooms]
        held |= more


def _rounded(wanted: float, rooms: Sequence[_Room], values: Sequence[float]) -> list[float]:
    """Whole steps: down first, then up again by what that has lost."""
    taken = [room.below(value) for room, value in zip(rooms, values, strict=True)]
    order = sorted(range(len(rooms)), key=lambda n: (taken[n] - values[n], rooms[n].name))
    for number in order:
        step = rooms[number].above(taken[number])
        if step - taken[number] <= wanted - math.fsum(taken) + _EXACT:
            taken[number] = step
    for number in order:
        left = wanted - math.fsum(taken)
        if left > _EXACT:
            taken[number] = max(taken[number], rooms[number].below(taken[number] + left))
    return taken


def _steps_below(value: float, step: float) -> float:
    """The greatest multiple of the step at most `value`; what is one but for the last digits of a float counts as it."""
    return min(math.floor(value / step + 1e-9) * step, value)
