"""Commands and set-points: the four control models, and why a device refused, in words. [zone: field]

IEC 61850-7-2, clause 20 (control), IEC 61850-8-1, clause 20 (Oper, SBO, SBOw, Cancel, LastApplError, CommandTermination).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum

from pilots.domain.errors import AnswerTimeout, DeviceRefused, FieldError, LinkDown
from pilots.drivers.iec61850.acsi import Server
from pilots.drivers.iec61850.data import Bits, Kind, Type, UtcTime, Value
from pilots.drivers.iec61850.mms import Name, Report
from pilots.drivers.iec61850.names import Place
from pilots.drivers.iec61850.values import Told, wire_of

log = logging.getLogger(__name__)


class ControlModel(IntEnum):
    """ctlModel (IEC 61850-7-3, 6.6.3)."""

    STATUS_ONLY = 0
    DIRECT_NORMAL = 1
    SBO_NORMAL = 2
    DIRECT_ENHANCED = 3
    SBO_ENHANCED = 4

    @property
    def word(self) -> str:
        return self.name.lower().replace("_", "-")


#: AddCause (IEC 61850-7-2, table 84 of edition 2), by number.
ADD_CAUSES = (
    "unknown", "not-supported", "blocked-by-switching-hierarchy", "select-failed", "invalid-position", "position-reached",
    "parameter-change-in-execution", "step-limit", "blocked-by-mode", "blocked-by-process", "blocked-by-interlocking",
    "blocked-by-synchrocheck", "command-already-in-execution", "blocked-by-health", "1-of-n-control", "abortion-by-cancel",
    "time-limit-over", "abortion-by-trip", "object-not-selected", "object-already-selected", "no-access-authority",
    "ended-with-overshoot", "abortion-due-to-deviation", "abortion-by-communication-loss", "abortion-by-command", "none",
    "inconsistent-parameters", "locked-by-other-client",
)  # fmt: skip
#: Category of who asks (IEC 61850-7-3, 6.8), by number.
ORIGINATORS = (
    "not-supported", "bay-control", "station-control", "remote-control", "automatic-bay", "automatic-station",
    "automatic-remote", "maintenance", "process",
)  # fmt: skip
_OPEN, _CLOSED = 1, 2  # of a double command, docs/points.md
_SERVICE_WORDS = {"SBOw": "the selection", "Oper": "the command", "Cancel": "the cancellation"}


def add_cause_words(code: int) -> str:
    """An AddCause as the standard spells it, its number beside.

    >>> add_cause_words(10), add_cause_words(99)
    ('blocked-by-interlocking (AddCause 10)', 'AddCause 99')
    """
    return f"{ADD_CAUSES[code]} (AddCause {code})" if 0 <= code < len(ADD_CAUSES) else f"AddCause {code}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlOptions:
    """Who we say we are, which checks the device shall make, and how long an enhanced control may take."""

    originator: str = "INVADE"
    originator_category: str = "remote-control"
    interlock_check: bool = True
    synchro_check: bool = True
    command_timeout_s: float = 30.0

    def __post_init__(self) -> None:
        if self.originator_category not in ORIGINATORS:
            raise ValueError(f"originator_category is one of {', '.join(ORIGINATORS)}")
        if self.command_timeout_s <= 0 or len(self.originator.encode()) > 64:
            raise ValueError("command_timeout_s is above 0 and originator at most 64 octets")


class Controls:
    """The controls of one association: one sequence at a time for each object."""

    def __init__(self, server: Server, options: ControlOptions) -> None:
        self._server, self._options = server, options
        self._locks: dict[Name, asyncio.Lock] = {}
        self._running: dict[Name, _Sequence] = {}
        self._numbers: dict[Name, int] = {}

    def take(self, report: Report) -> bool:
        """Whether the report was about a control: LastApplError, or a CommandTermination."""
        taken = False
        for name, value in zip(report.names, report.values, strict=False):  # the error stands before what it ends
            if name.item == "LastApplError":
                self._note_error(value)
                taken = True
            elif "$CO$" in name.item:
                self._note_termination(name, value)
                taken = True
        return taken

    def _note_error(self, value: Told) -> None:
        """A LastApplError (CntrlObj, Error, Origin, ctlNum, AddCause) is kept for the sequence it belongs to."""
        if not isinstance(value, tuple) or len(value) != 5 or not isinstance(value[4], int):
            return
        for name, sequence in self._running.items():
            if (str(value[0]) + "$").startswith(f"{name}$") and value[3] == sequence.number:
                sequence.add_cause = value[4]

    def _note_termination(self, name: Name, value: Told) -> None:
        """The Oper that is reported has ended, well unless an error came with it. An earlier one of another number is late."""
        sequence = self._running.get(Name(name.domain, name.item.removesuffix("$Oper")))
        if sequence is not None and sequence.is_oper(value) and not sequence.terminated.done():
            sequence.terminated.set_result(sequence.add_cause is None)

    def link_lost(self, reason: FieldError | None) -> None:
        """Nobody waits for a termination that cannot come."""
        for sequence in self._running.values():
            if not sequence.terminated.done():
                words = f"the connection was lost before the control had ended: {reason or 'closed'}"
                sequence.terminated.set_exception(AnswerTimeout(words))
                sequence.terminated.exception()  # looked at: a sequence that is not there yet must not be called forgotten

    async def operate(self, place: Place, wire: float) -> str:
        """The device has taken the command; of an enhanced model, has carried it out. The steps in words.

        Raises LinkDown, DeviceRefused (with AddCause where told), AnswerTimeout: it may have been carried out.
        """
        if not math.isfinite(wire):
            raise DeviceRefused(f"{wire} is no finite number", device_code="not sent: range")
        name = place.data_object
        async with self._locks.setdefault(name, asyncio.Lock()):
            with before_it_left():
                model, kind = await self._model(name), await self._server.type_of(name)
                sequence = self._sequence(name, kind, await self._control_value(name, kind, wire))
            self._running[name] = sequence
            try:
                return f"{model.word}: " + ", ".join([step async for step in self._steps(sequence, model)])
            finally:
                del self._running[name]
                if not sequence.terminated.done():
                    sequence.terminated.cancel()

    async def model(self, place: Place) -> ControlModel:
        """How the device wants this object to be controlled. Raises DeviceRefused when not at all."""
        return await self._model(place.data_object)

    async def _model(self, name: Name) -> ControlModel:
        told = await self._server.read_one(_beside(name, "CF", "ctlModel"))
        if not isinstance(told, int) or not 0 < told <= ControlModel.SBO_ENHANCED:
            raise DeviceRefused(f"{name} takes no command: its ctlModel is {told!r}", device_code="status-only")
        return ControlModel(told)

    def _sequence(self, name: Name, kind: Type, value: Value) -> _Sequence:
        number = self._numbers[name] = (self._numbers.get(name, 0) + 1) % 256
        category = ORIGINATORS.index(self._options.originator_category)
        checks = [bit for bit, on in enumerate((self._options.synchro_check, self._options.interlock_check)) if on]
        parts: dict[str, Value] = {
            "ctlVal": value,
            "operTm": UtcTime(datetime.fromtimestamp(0, UTC)),
            "origin": (category, self._options.originator.encode()),
            "ctlNum": number,
            "T": UtcTime(datetime.now(UTC)),
            "Test": False,
            "Check": Bits.of(2, *checks),
        }
        terminated: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        return _Sequence(name, kind, parts, number, terminated)

    # ---------------------------------------------------------------- steps

    async def _steps(self, sequence: _Sequence, model: ControlModel) -> AsyncIterator[str]:
        if model in (ControlModel.SBO_NORMAL, ControlModel.SBO_ENHANCED):
            await self._select(sequence, with_value=model is ControlModel.SBO_ENHANCED)
            yield "selected"
        await self._send(sequence, "Oper")
        yield "operate accepted"
        if model in (ControlModel.DIRECT_ENHANCED, ControlModel.SBO_ENHANCED):
            await self._await_termination(sequence)
            yield "terminated positively"

    async def _select(self, sequence: _Sequence, *, with_value: bool) -> None:
        try:
            if with_value:
                await self._send(sequence, "SBOw")
            else:
                await self._select_by_read(sequence)
        except (AnswerTimeout, asyncio.CancelledError):
            # Perhaps it is selected now: nobody else could command it until its own time-out.
            with contextlib.suppress(FieldError, ValueError):
                await asyncio.shield(self._send(sequence, "Cancel"))
            raise

    async def _select_by_read(self, sequence: _Sequence) -> None:
        selected = await self._server.read_one(Name(sequence.name.domain, f"{sequence.name.item}$SBO"))
        if not selected:
            raise sequence.refused("the selection", DeviceRefused("", device_code="select-failed"))

    async def _send(self, sequence: _Sequence, service: str) -> None:
        kind = sequence.kind.parts.get(service)
        if kind is None:
            raise DeviceRefused(f"{sequence.name} has no {service}", device_code=f"not sent: no {service}")
        try:
            await self._server.write(Name(sequence.name.domain, f"{sequence.name.item}${service}"), kind, sequence.order(kind))
        except ValueError as error:
            raise DeviceRefused(f"the command does not fit the device: {error}", device_code="not sent: range") from error
        except DeviceRefused as refused:
            raise sequence.refused(_SERVICE_WORDS[service], refused) from refused

    async def _await_termination(self, sequence: _Sequence) -> None:
        try:
            async with asyncio.timeout(self._options.command_timeout_s):
                positive = await asyncio.shield(sequence.terminated)
        except TimeoutError as error:
            words = f"no CommandTermination came within {self._options.command_timeout_s:g} s"
            raise AnswerTimeout(words) from error
        if not positive:
            raise sequence.refused(
                "the command while carrying it out", DeviceRefused("", device_code="CommandTermination negative")
            )

    async def _control_value(self, name: Name, kind: Type, wire: float) -> Value:
        """ctlVal as its type wants it. A double point is told false to open (1) and true to close (2)."""
        operate = kind.parts.get("Oper")
        control = operate.parts.get("ctlVal") if operate is not None else None
        if control is None:
            raise DeviceRefused(f"{name} has no Oper.ctlVal", device_code="not sent: no Oper")
        if control.kind is Kind.BOOLEAN and await self._is_double(name):
            if wire not in (_OPEN, _CLOSED):
                raise DeviceRefused(f"{wire:g} is neither 1 (open) nor 2 (closed)", device_code="not sent: range")
            return wire == _CLOSED
        if control.kind is Kind.BOOLEAN and wire not in (0, 1):
            raise DeviceRefused(f"{wire:g} is neither 0 nor 1", device_code="not sent: range")
        if control.kind is Kind.STRUCTURE:
            return tuple(wire if part.kind is Kind.FLOAT else round(wire) for part in control.parts.values())
        return wire if control.kind is Kind.FLOAT else round(wire)

    async def _is_double(self, name: Name) -> bool:
        try:
            status = await self._server.type_of(_beside(name, "ST", "stVal"))
        except DeviceRefused:
            return False
        return status.kind is Kind.BIT_STRING and status.size == 2


@dataclass(slots=True)
class _Sequence:
    """One command under way: what it says, and what the device has said of it beside its answers."""

    name: Name
    kind: Type
    parts: dict[str, Value]
    number: int
    terminated: asyncio.Future[bool]
    add_cause: int | None = None

    def order(self, kind: Type) -> Value:
        """Oper, SBOw or Cancel, whose parts differ by device and edition. Raises ValueError for a part nobody knows."""
        missing = [part for part in kind.parts if part not in self.parts]
        if missing:
            raise ValueError(f"its structure has {missing[0]}")
        return tuple(self.parts[part] for part in kind.parts)

    def is_oper(self, value: Told) -> bool:
        """Whether a reported Oper is this sequence's: it carries our number."""
        parts = list(self.kind.parts["Oper"].parts) if "Oper" in self.kind.parts else []
        at = parts.index("ctlNum") if "ctlNum" in parts else len(parts)
        return isinstance(value, tuple) and at < len(value) and value[at] == self.number

    def refused(self, what: str, answer: DeviceRefused) -> DeviceRefused:
        """The refusal with the device's reason in words: its AddCause, else its answer."""
        code = answer.device_code if self.add_cause is None else add_cause_words(self.add_cause)
        return DeviceRefused(f"the device refuses {what}: {code}", device_code=code)


@contextlib.contextmanager
def before_it_left() -> Iterator[None]:
    """A device that is silent while we only ask about the object has been told nothing: that is LinkDown, not unknown."""
    try:
        yield
    except AnswerTimeout as error:
        raise LinkDown(f"the command was not sent: {error}") from error


async def write_setting(server: Server, place: Place, wire: float) -> str:
    """A setting was written and reads as written. Raises DeviceRefused also when the device kept another value."""
    with before_it_left():
        kind = await server.type_of(place.name)
    try:
        await server.write(place.name, kind, wire)
    except ValueError as error:
        raise DeviceRefused(f"{wire:g} does not fit the device: {error}", device_code="not sent: range") from error
    kept = wire_of(await server.read_one(place.name))
    written = wire if kind.kind is Kind.FLOAT else round(wire)
    if not isinstance(kept, float) or not math.isclose(kept, written, rel_tol=1e-6, abs_tol=1e-9):
        raise DeviceRefused(f"the device confirmed the write and kept {kept}", device_code=f"kept {kept}")
    return f"written and read back as {kept:g}"


def _beside(name: Name, constraint: str, part: str) -> Name:
    """An attribute of the same data object: `CSWI1$CO$Pos` -> `CSWI1$CF$Pos$ctlModel`."""
    node, _, rest = name.item.split("$", 2)
    return Name(name.domain, f"{node}${constraint}${rest}${part}")
