"""Activations that wait for their confirmation: commands, interrogations. [zone: field]

Source: IEC 60870-5-101:2003, 7.2.3 (causes 6, 7, 10, 44-47; P/N bit): a confirmation mirrors the activation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from pilots.domain.errors import AnswerTimeout, DeviceRefused
from pilots.drivers.iec104 import asdu
from pilots.drivers.iec104.asdu import Asdu

Key = tuple[int, int, int]


class Exchange:
    """One activation and what came back; `objects` counts what an interrogation brought."""

    def __init__(self, request: Asdu) -> None:
        self.request = asdu.decode(asdu.encode(request))  # as it comes back: floats rounded to 32 bit
        self.answer: asyncio.Future[Asdu] = asyncio.get_running_loop().create_future()
        self.terminated = asyncio.Event()
        self.objects = 0

    def mirrors(self, answer: Asdu) -> bool:
        """Whether `answer` is about this very activation and not a late word about an earlier one at the address."""
        if answer.cause in asdu.REFUSING_CAUSES or not answer.objects:
            return True
        ours, theirs = self.request.objects[0], answer.objects[0]
        return ours.value == theirs.value and (ours.qualifier ^ theirs.qualifier) & asdu.SELECT == 0


class Exchanges:
    """The open activations of a connection, one for each (type, common address, object address)."""

    def __init__(self) -> None:
        self._open: dict[Key, Exchange] = {}

    @contextmanager
    def opened(self, request: Asdu) -> Iterator[Exchange]:
        """An exchange that takes answers while the context lasts. Raises ValueError when the request cannot be encoded."""
        exchange, key = Exchange(request), _key(request)
        self._open[key] = exchange
        try:
            yield exchange
        finally:
            if self._open.get(key) is exchange:
                del self._open[key]
            if exchange.answer.done() and not exchange.answer.cancelled():
                exchange.answer.exception()  # nobody may be left to fetch it: that is no leak

    def take(self, answer: Asdu) -> bool:
        """Hands an answer to the activation it belongs to; False when nobody asked."""
        exchange = self._open.get(_key(answer))
        if exchange is None:
            return False
        if answer.cause == asdu.ACTIVATION_TERM:
            exchange.terminated.set()
            return True
        is_answer = answer.cause == asdu.ACTIVATION_CON or answer.cause in asdu.REFUSING_CAUSES
        if not is_answer or exchange.answer.done() or not exchange.mirrors(answer):
            return False
        exchange.answer.set_result(answer)
        return True

    def count_interrogated(self, common_address: int, objects: int) -> None:
        exchange = self._open.get((asdu.C_IC, common_address, 0))
        if exchange is not None:
            exchange.objects += objects

    def abandon(self) -> None:
        """The connection is gone: what left may have been obeyed, so each outcome is unknown."""
        for exchange in self._open.values():
            exchange.terminated.set()
            if not exchange.answer.done():
                exchange.answer.set_exception(AnswerTimeout("the connection was lost before the answer came"))


def _key(unit: Asdu) -> Key:
    return unit.type_id, unit.common_address, unit.objects[0].address if unit.objects else 0


def positive(answer: Asdu) -> str:
    """The confirmation in raw words, "ACT_CON COT 7 P/N 0". Raises DeviceRefused when it is negative or a cause 44-47."""
    name = asdu.type_name(answer.type_id)
    if answer.cause in asdu.REFUSING_CAUSES:
        reason = asdu.REFUSING_CAUSES[answer.cause]
        code = f"COT {answer.cause} {reason}"
        raise DeviceRefused(f"{name} was refused: {reason}", device_code=code)
    if answer.negative:
        raise DeviceRefused(f"{name} was not confirmed", device_code=f"ACT_CON COT {answer.cause} P/N 1")
    return f"ACT_CON COT {answer.cause} P/N 0"
