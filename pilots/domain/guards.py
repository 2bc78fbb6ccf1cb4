"""What a set-point must pass, when it is accepted and again right before it is written. [operation]

Pure: the wish, the point as declared, the circumstances and the clock are arguments. This is no protection system: trip
functions stay in the device. What gives a point back (`Wish.gives_back`) is spared the checks that would keep a device on
an old value; a blocking tag holds it too, but it waits for the tag instead of being refused (`control.guards`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from pilots.domain.errors import SetpointRejected
from pilots.domain.interlock import InterlockError, Reading, holds, shown
from pilots.domain.point import Capability, PointKind, PointSpec
from pilots.domain.ramp import step_s
from pilots.domain.setpoint import RejectCode

MAX_CLOCK_SKEW = timedelta(seconds=60)
#: A set-point for later may wait for its link to come back.
LINK_DOWN_GRACE = timedelta(minutes=15)
MAX_VALIDITY = timedelta(hours=24)
#: With the validity it bounds how long a recorded request could be of use: no longer than its key is remembered.
MAX_LEAD = timedelta(hours=24)


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What somebody asks for. `value` in `unit`; both times aware UTC; `gives_back`: it only releases the point.

    `ramp`: unit a second in which the value is to be reached, None for at once. `sequence` numbers the wishes of a source.
    """

    value: float
    unit: str
    mode: str
    priority: int
    valid_from: datetime
    valid_until: datetime
    issued_at: datetime | None
    gives_back: bool = False
    ramp: float | None = None
    sequence: int | None = None
    on_expiry: str = "release"
    fallback_value: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionPoint:
    """A connection of limited capacity between the device and the grid, and what it carries now."""

    name: str
    capacity_w: float
    measured_w: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Circumstances:
    """What is so when a wish is checked. `link_up` None: not known yet.

    `tag` and `commands_off` are the sentences of what forbids commands, empty where nothing does. `readings` are the
    points that limits and interlock refer to, as they write them; `connections` only those measured well.
    """

    link_up: bool | None
    control_mode_local: bool
    holder_priority: int | None  # of who holds this point, None when nobody does
    holder: str = ""
    tag: str = ""
    commands_off: str = ""
    readings: Mapping[str, Reading] = field(default_factory=dict)
    connections: tuple[ConnectionPoint, ...] = ()
    writes_last_hour: int = 0
    last_sequence: int | None = None  # of what was accepted from the same source for this point
    before: float | None = None  # what its feedback shows, or the point itself, however good that is


def check_setpoint(wish: Wish, point: PointSpec, now: datetime, around: Circumstances) -> None:
    """The wish may be sent to the device. Raises SetpointRejected with the first reason that forbids it."""
    for check in _checks(wish, point, _capability_for(wish, point), now, around):
        check()


def refusals(wish: Wish, point: PointSpec, now: datetime, around: Circumstances) -> list[SetpointRejected]:
    """Every reason that forbids it now, the first of each kind; empty when it may be sent."""
    found = []
    try:
        checks = list(_checks(wish, point, _capability_for(wish, point), now, around))
    except SetpointRejected as error:
        return [error]
    for check in checks:
        try:
            check()
        except SetpointRejected as error:
            found.append(error)
    return found


def _checks(
    wish: Wish, point: PointSpec, capability: Capability, now: datetime, around: Circumstances
) -> Iterator[Callable[[], None]]:
    yield partial(_check_sequence, wish, around)
    if not wish.gives_back:
        yield partial(_check_blocks, around)
    yield partial(_check_range, wish, point, capability, around)
    yield partial(_check_times, wish, now)
    yield partial(_check_ending, wish, point, capability)
    yield partial(_check_reach, wish, now, around)
    if not wish.gives_back:
        yield partial(_check_soc, wish, capability, around)
        yield partial(_check_connections, wish, point, around)
        yield partial(_check_ramp, wish, point, around)
        yield partial(_check_wear, capability, around)
        yield partial(_check_interlock, capability, around)


def range_of(point: PointSpec) -> tuple[float, float]:
    """Least and most that the point takes from anybody: the capability, narrowed by an engineer's limits.

    >>> from pilots.domain.point import PointKind
    >>> able = Capability(minimum=-100, maximum=100)
    >>> range_of(PointSpec(name="p_set", kind=PointKind.SETPOINT, capability=able, operating_maximum=60))
    (-100, 60)
    """
    if point.capability is None:
        raise ValueError(f"{point.name} has no capability")
    low, high = point.capability.minimum, point.capability.maximum
    lowest, highest = point.operating_minimum, point.operating_maximum
    return low if lowest is None else max(low, lowest), high if highest is None else min(high, highest)


def range_now(point: PointSpec, around: Circumstances) -> tuple[float, float]:
    """Least and most that a target may be at this moment: `range_of`, narrowed by all that is known of the device and above it.

    The least may lie above the most: then nothing is taken.
    """
    low, high = range_of(point)
    capability, own = point.capability, _usable(point.feedback, around)
    if capability is None:
        return low, high
    ends = [(low, high), *_offered(capability, around)]
    empty, full = _soc_ends(capability, around)
    ends.append((0.0 if empty else -math.inf, 0.0 if full else math.inf))
    if own is not None and point.unit == "W" and "absolute" in capability.modes:
        for place in around.connections:
            rest, most = own - place.measured_w, max(place.capacity_w, abs(place.measured_w))
            ends.append((rest - most, rest + most))
    return max(end[0] for end in ends), min(end[1] for end in ends)


def endings_offered(capability: Capability) -> list[str]:
    """The words of `on_expiry` that a set-point of this capability may say.

    >>> endings_offered(Capability(minimum=-5, maximum=5)), endings_offered(Capability(minimum=5, maximum=9, watchdog_s=60))
    (['release', 'fallback'], ['hold', 'fallback'])
    """
    known = capability.default is not None or any(capability.rest(mode) is not None for mode in capability.modes)
    return [*(["release"] if known else []), *(["hold"] if capability.lets_go else []), "fallback"]


def referred(capability: Capability) -> set[str]:
    """Names of the points that its limits refer to, the interlock's apart.

    >>> sorted(referred(Capability(minimum=0, maximum=1, maximum_from="-p_max", soc="soc", soc_min=10, soc_max="soc_max_set")))
    ['p_max', 'soc', 'soc_max_set']
    """
    names = {capability.minimum_from.removeprefix("-"), capability.maximum_from.removeprefix("-"), capability.soc}
    names |= {edge for edge in (capability.soc_min, capability.soc_max) if isinstance(edge, str)}
    return names - {""}


def _capability_for(wish: Wish, point: PointSpec) -> Capability:
    capability = point.capability
    if capability is None or not point.kind.writable:
        raise SetpointRejected(RejectCode.NOT_CAPABLE, f"{point.name} takes no set-points.", field="point")
    if wish.unit != point.unit:
        known = point.unit or "no unit"
        raise SetpointRejected(RejectCode.WRONG_UNIT, f"{point.name} is in {known}, not {wish.unit}.", field="unit")
    if isinstance(wish.value, bool) or not isinstance(wish.value, int | float) or not math.isfinite(wish.value):
        raise SetpointRejected(RejectCode.OUT_OF_RANGE, "The value is not a finite number.", field="value")
    if wish.mode not in capability.modes:
        offered = " or ".join(capability.modes)
        raise SetpointRejected(RejectCode.NOT_CAPABLE, f"{point.name} takes {offered}, not {wish.mode}.", field="mode")
    return capability


def _check_blocks(around: Circumstances) -> None:
    if around.tag:
        raise SetpointRejected(RejectCode.TAGGED, around.tag)
    if around.commands_off:
        raise SetpointRejected(RejectCode.COMMANDS_OFF, around.commands_off)


def _check_range(wish: Wish, point: PointSpec, capability: Capability, around: Circumstances) -> None:
    for low, high, why in _bounds(wish, point, capability, around):
        if not low <= wish.value <= high:
            sentence = f"{wish.value:g} {point.unit} is outside {low:g} to {high:g} {point.unit}{why}."
            raise SetpointRejected(RejectCode.OUT_OF_RANGE, sentence, field="value")
    _check_step(wish.value, point, capability, "value")


def _check_step(value: float, point: PointSpec, capability: Capability, field: str) -> None:
    # The ends may be no whole steps: a share of rated power seldom is.
    if capability.step <= 0 or value in (capability.minimum, capability.maximum):
        return
    steps = value / capability.step
    if abs(steps - round(steps)) > 1e-6:
        below, above = math.floor(steps) * capability.step, math.ceil(steps) * capability.step
        sentence = f"{point.name} goes in steps of {capability.step:g} {point.unit}: take {below:g} or {above:g}."
        raise SetpointRejected(RejectCode.OUT_OF_RANGE, sentence, field=field)


def _bounds(wish: Wish, point: PointSpec, capability: Capability, around: Circumstances) -> Iterator[tuple[float, float, str]]:
    yield capability.minimum, capability.maximum, ""
    if wish.gives_back:
        return
    yield *range_of(point), ", the limits set for operation"
    words = " and ".join(name for name in (capability.minimum_from, capability.maximum_from) if name)
    for low, high in _offered(capability, around):
        yield max(low, capability.minimum), min(high, capability.maximum), f", all that {words} allows now"


def _offered(capability: Capability, around: Circumstances) -> Iterator[tuple[float, float]]:
    """What the device offers at this moment, open where it says nothing good."""
    least, most = (_turned(name, around) for name in (capability.minimum_from, capability.maximum_from))
    yield -math.inf if least is None else least, math.inf if most is None else most


def _turned(name: str, around: Circumstances) -> float | None:
    value = _usable(name.removeprefix("-"), around)
    return -value if value is not None and name.startswith("-") else value


def _usable(name: str, around: Circumstances) -> float | None:
    """The value of a point that may be relied on; None where it is old, not good or absent."""
    reading = around.readings.get(name)
    return None if reading is None or reading.fault else reading.value


def _check_times(wish: Wish, now: datetime) -> None:
    if wish.issued_at is not None and abs(wish.issued_at - now) > MAX_CLOCK_SKEW:
        raise SetpointRejected(RejectCode.CLOCK_SKEW, "issued_at is more than 60 s off our clock.", field="issued_at")
    if wish.valid_until <= now:
        raise SetpointRejected(RejectCode.STALE_REQUEST, "valid_until has passed.", field="valid_until")
    if wish.valid_until <= wish.valid_from:
        raise SetpointRejected(RejectCode.STALE_REQUEST, "valid_until is not after valid_from.", field="valid_until")
    if wish.valid_from - now > MAX_LEAD:
        raise SetpointRejected(RejectCode.OUT_OF_RANGE, "A set-point begins within 24 h.", field="valid_from")
    if wish.valid_until - max(wish.valid_from, now) > MAX_VALIDITY:
        raise SetpointRejected(RejectCode.OUT_OF_RANGE, "A set-point is valid for 24 h at most.", field="valid_until")


def _check_ending(wish: Wish, point: PointSpec, capability: Capability) -> None:
    """No value holds for ever: at its end something is known to take it away."""
    if wish.gives_back or point.kind is PointKind.COMMAND:
        return
    if wish.on_expiry == "hold" and not capability.lets_go:
        sentence = f"Nothing would ever end a hold: the device has no watchdog for {point.name}. Take release or fallback."
        raise SetpointRejected(RejectCode.NOT_CAPABLE, sentence, field="on_expiry")
    if wish.on_expiry == "release" and capability.rest(wish.mode) is None:
        sentence = f"{point.name} has no default to be released to. Take fallback and give a fallback_value."
        raise SetpointRejected(RejectCode.NOT_CAPABLE, sentence, field="on_expiry")
    if wish.on_expiry == "fallback":
        _check_fallback(wish.fallback_value, point, capability)


def _check_fallback(value: float | None, point: PointSpec, capability: Capability) -> None:
    low, high = range_of(point)
    if value is None or isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise SetpointRejected(RejectCode.OUT_OF_RANGE, "The fallback value is not a finite number.", field="fallback_value")
    if not low <= value <= high:
        sentence = f"A fallback of {value:g} {point.unit} is outside {low:g} to {high:g} {point.unit}."
        raise SetpointRejected(RejectCode.OUT_OF_RANGE, sentence, field="fallback_value")
    _check_step(value, point, capability, "fallback_value")


def _check_reach(wish: Wish, now: datetime, around: Circumstances) -> None:
    if around.link_up is False and wish.valid_from - now <= LINK_DOWN_GRACE:
        raise SetpointRejected(RejectCode.LINK_DOWN, "The link to the device is down: a set-point sent now would not arrive.")
    if around.control_mode_local:
        raise SetpointRejected(RejectCode.LOCAL_MODE, "The device is in local mode and takes no set-points from here.")
    if around.holder_priority is not None and around.holder_priority < wish.priority:
        raise SetpointRejected(
            RejectCode.CONFLICT_PRIORITY, f"{around.holder} holds this point with priority {around.holder_priority}."
        )


def _check_soc(wish: Wish, capability: Capability, around: Circumstances) -> None:
    if wish.mode != "absolute":
        return
    empty, full = _soc_ends(capability, around)
    soc = _usable(capability.soc, around)
    if wish.value > 0 and full is not None:
        sentence = f"Nothing more is charged: {capability.soc} is {soc:g} %, its upper limit {full:g} %."
        raise SetpointRejected(RejectCode.OUT_OF_RANGE, sentence, field="value")
    if wish.value < 0 and empty is not None:
        sentence = f"Nothing more is discharged: {capability.soc} is {soc:g} %, its lower limit {empty:g} %."
        raise SetpointRejected(RejectCode.OUT_OF_RANGE, sentence, field="value")


def _soc_ends(capability: Capability, around: Circumstances) -> tuple[float | None, float | None]:
    """The lower and the upper limit of charge, each only where it is reached."""
    soc = _usable(capability.soc, around)
    if soc is None:
        return None, None
    lower, upper = (_usable(edge, around) if isinstance(edge, str) else edge for edge in (capability.soc_min, capability.soc_max))
    return lower if lower is not None and soc <= lower else None, upper if upper is not None and soc >= upper else None


def _check_connections(wish: Wish, point: PointSpec, around: Circumstances) -> None:
    """A target may not take a connection point beyond its capacity; what brings it back towards it may go."""
    own = _usable(point.feedback, around)
    if own is None or point.unit != "W" or wish.mode != "absolute":
        return
    for connection in around.connections:
        expected = connection.measured_w + wish.value - own
        if abs(expected) > max(connection.capacity_w, abs(connection.measured_w)):
            sentence = f"{connection.name} would carry {expected:g} W, its connection takes {connection.capacity_w:g} W."
            raise SetpointRejected(RejectCode.OUT_OF_RANGE, sentence, field="value")


def _check_sequence(wish: Wish, around: Circumstances) -> None:
    if wish.sequence is None or around.last_sequence is None or wish.sequence > around.last_sequence:
        return
    sentence = f"Sequence {wish.sequence} is not newer than {around.last_sequence}, the last taken from this source here."
    raise SetpointRejected(RejectCode.SUPERSEDED, sentence, field="sequence")


def _check_ramp(wish: Wish, point: PointSpec, around: Circumstances) -> None:
    """A target reaches its value no faster than the plant bears: in one small step, by the device's own ramp, or by ours."""
    limit, capability = point.ramp, point.capability
    if wish.ramp is not None:
        _check_wished_ramp(wish, point, limit)
    if capability is None or wish.mode != "absolute" or (wish.ramp is None and (limit is None or capability.ramp_by == "device")):
        return
    reading = around.readings.get(point.feedback)
    if reading is None or reading.fault or reading.value is None:
        why = "was never received" if reading is None or reading.value is None else reading.fault
        sentence = f"A ramp begins where {point.feedback or 'the feedback'} is, and that {why}."
        raise SetpointRejected(RejectCode.OUT_OF_RANGE, sentence, field="value")
    if wish.ramp is not None:
        _check_ramp_ends(abs(wish.value - reading.value) / wish.ramp, wish)
        return
    step = (limit or 0.0) * step_s(capability)
    if abs(wish.value - reading.value) > step:
        sentence = (
            f"From {reading.value:g} to {wish.value:g} {point.unit} is a step of more than {step:g} {point.unit}: "
            f"send a ramp of at most {limit:g} {point.unit}/s."
        )
        raise SetpointRejected(RejectCode.OUT_OF_RANGE, sentence, field="value")


def _check_ramp_ends(lasts_s: float, wish: Wish) -> None:
    valid_s = (wish.valid_until - wish.valid_from).total_seconds()
    if lasts_s >= valid_s:
        sentence = f"The ramp would last {lasts_s:.0f} s, longer than the set-point is valid ({valid_s:.0f} s)."
        raise SetpointRejected(RejectCode.OUT_OF_RANGE, sentence, field="ramp")


def _check_wished_ramp(wish: Wish, point: PointSpec, limit: float | None) -> None:
    ramp = wish.ramp
    if point.kind is not PointKind.SETPOINT or wish.mode != "absolute":
        raise SetpointRejected(RejectCode.NOT_CAPABLE, "Only a target has a ramp, no ceiling and no command.", field="ramp")
    if isinstance(ramp, bool) or not isinstance(ramp, int | float) or not math.isfinite(ramp) or ramp <= 0:
        raise SetpointRejected(RejectCode.OUT_OF_RANGE, "The ramp is not a number above 0.", field="ramp")
    if limit is not None and ramp > limit:
        sentence = f"{ramp:g} {point.unit}/s is more than the {limit:g} {point.unit}/s that {point.name} may change by."
        raise SetpointRejected(RejectCode.OUT_OF_RANGE, sentence, field="ramp")


def _check_wear(capability: Capability, around: Circumstances) -> None:
    if 0 < capability.max_per_hour <= around.writes_last_hour:
        sentence = f"It was operated {around.writes_last_hour} times within the hour; {capability.max_per_hour:g} are allowed."
        raise SetpointRejected(RejectCode.RATE_LIMITED, sentence)


def _check_interlock(capability: Capability, around: Circumstances) -> None:
    if not capability.interlock:
        return
    name = capability.interlock_words.rstrip(".") or "Interlock"
    try:
        if holds(capability.interlock, around.readings):
            return
        why = f"{capability.interlock} does not hold, {shown(capability.interlock, around.readings)}"
    except InterlockError as error:
        why = f"{capability.interlock} cannot be told, {error}"
    raise SetpointRejected(RejectCode.INTERLOCK, f"{name}: {why}.")
