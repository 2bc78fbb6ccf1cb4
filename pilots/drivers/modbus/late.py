"""Questions of ours that a serial line's units have not answered, and may answer yet. [zone: field]

RTU answers carry no number. Two things keep a late one from being taken for the answer to a later question: its unit is left
alone for as long as one may take, and is then first asked something whose answer has another length. Units answer in the
order they were asked, so once that answer is there, no older one can come.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from pilots.drivers.modbus.frames import READ_FUNCTIONS, REFUSED, Request, read_request

#: No unit answers after this.
FORGET_S = 60.0
TABLES = {function: table for table, function in READ_FUNCTIONS.items()}


@dataclass(frozen=True, slots=True)
class _Old:
    """A question without answer: since when, and until when its unit is left alone."""

    request: Request
    since: float
    until: float


class Unanswered:
    """The old questions by unit, oldest first; moments are seconds of one clock."""

    def __init__(self) -> None:
        self._old: dict[int, list[_Old]] = {}

    def note(self, request: Request, now: float, until: float) -> None:
        """Its time is up: its unit is left alone until `until`."""
        kept = [old for old in self._old.get(request.unit, ()) if now - old.since < FORGET_S]
        self._old[request.unit] = [*kept, _Old(request, now, until)]

    def clear(self, unit: int) -> None:
        """The unit has answered what it was asked now, so nothing older can come."""
        self._old.pop(unit, None)

    def wait_s(self, unit: int, now: float) -> float:
        """For how long the unit is left alone yet."""
        old = self._old.get(unit)
        return old[-1].until - now if old else 0.0

    @property
    def until(self) -> float:
        """The moment after which nothing more can come; 0 when nothing is owed."""
        return max((old[-1].until for old in self._old.values() if old), default=0.0)

    def hear(self, unit: int, pdu: bytes) -> bool:
        """Whether this answers an old question; that one and those before it are done."""
        old = self._old.get(unit, [])
        for at, each in enumerate(old):
            if pdu[:1] == bytes((each.request.function | REFUSED,)) or each.request.fault(unit, pdu) == "":
                self._old[unit] = old[at + 1 :]
                return True
        return False

    def telling(self, request: Request) -> Request | None:
        """What to ask first, because an old answer would look like the one to `request`; None when none would."""
        table = TABLES.get(request.function)
        lengths = {
            old.request.answer_length for old in self._old.get(request.unit, ()) if old.request.function == request.function
        }
        if table is None or request.answer_length not in lengths:
            return None
        _, start, _ = struct.unpack(">BHH", request.pdu)
        step = 8 if table in ("coil", "discrete") else 1
        for count in range(1, 125 * step, step):
            asked = min(start, 0x10000 - count)
            candidate = read_request(request.unit, table, asked, count)
            if candidate.answer_length not in lengths:
                return candidate
        return None
