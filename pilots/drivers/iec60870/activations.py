"""Requests that wait for their answer: commands, interrogations, tests. [zone: field]

Source: IEC 60870-5-101:2003, 7.2.3 (causes 6-10, 44-47; P/N bit): a confirmation mirrors the activation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from pilots.domain.errors import AnswerTimeout, DeviceRefused
from pilots.drivers.iec60870 import asdu
from pilots.drivers.iec60870.asdu import Asdu, InformationObject, Sizes
from pilots.drivers.iec60870.elements import type_name
from pilots.drivers.iec60870.link import AsduLink
from pilots.drivers.traffic import Traffic

Key = tuple[int, int, int]
_TOLD = frozenset({asdu.ACTIVATION_CON, asdu.DEACTIVATION_CON, *asdu.REFUSING_CAUSES})
_CONFIRMS = {asdu.ACTIVATION: asdu.ACTIVATION_CON, asdu.DEACTIVATION: asdu.DEACTIVATION_CON}


class Activation:
    """One request and what came back; `objects` counts what an interrogation brought, `left` says that it went out."""

    def __init__(self, request: Asdu, sizes: Sizes) -> None:
        self.octets = asdu.encode(request, sizes)
        self.request = asdu.decode(self.octets, sizes)  # as it comes back: floats rounded to 32 bit
        loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[Asdu] = loop.create_future()
        self.ended: asyncio.Future[Asdu] = loop.create_future()  # by ACT_TERM
        made = datetime.now(UTC)
        self.made = made.replace(microsecond=made.microsecond // 1000 * 1000)  # as exact as the time tags it is compared with
        self.objects = 0
        self.heard = 0.0  # of it, on the loop's clock
        self.left = False

    def give_up(self, why: str) -> None:
        """Nobody waits for it any longer; what left may have been obeyed."""
        for future in (self.answer, self.ended):
            if not future.done():
                future.set_exception(AnswerTimeout(why))

    def mirrors(self, answer: Asdu) -> bool:
        """Whether `answer` is about this very request and not a late word about an earlier one at the address."""
        if answer.originator not in (0, self.request.originator):
            return False  # another controlling station's
        if answer.cause in asdu.REFUSING_CAUSES or not answer.objects:
            return True
        ours, theirs = self.request.objects[0], answer.objects[0]
        return ours.value == theirs.value and (ours.qualifier ^ theirs.qualifier) & asdu.SELECT == 0


class Activations:
    """The open requests of a connection, one for each (type, common address, object address)."""

    def __init__(
        self, link: Callable[[], AsduLink], sizes: Sizes, *, originator: int, timeout_s: float, traffic: Traffic
    ) -> None:
        """`link()` answers the link that is up or raises LinkDown."""
        self._link, self._sizes, self._traffic = link, sizes, traffic
        self._originator, self._timeout_s = originator, timeout_s
        self._open: dict[Key, Activation] = {}

    def request(self, type_id: int, common_address: int, item: InformationObject, cause: int = asdu.ACTIVATION) -> Asdu:
        return Asdu(type_id, cause, common_address, (item,), originator=self._originator)

    async def tell(self, request: Asdu) -> None:
        """It left; nobody waits for an answer. Raises LinkDown."""
        await self._link().send(asdu.encode(request, self._sizes))

    @contextmanager
    def opened(self, request: Asdu) -> Iterator[Activation]:
        """A request that takes answers while the context lasts. Raises ValueError when it cannot be encoded."""
        activation, key = Activation(request, self._sizes), _key(request)
        self._open[key] = activation
        try:
            yield activation
        finally:
            if self._open.get(key) is activation:
                del self._open[key]
            for future in (activation.answer, activation.ended):
                if future.done() and not future.cancelled():
                    future.exception()  # nobody may be left to fetch it: that is no leak

    async def confirmed(self, activation: Activation, *, before: float | None = None) -> str:
        """The raw words of the positive confirmation. Raises LinkDown, NotSent, AnswerTimeout, DeviceRefused."""
        loop = asyncio.get_running_loop()
        await self._link().send(activation.octets, before=before)
        activation.left, left = True, loop.time()
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await activation.answer
        except TimeoutError as error:
            self._traffic.timeouts += 1
            name = type_name(activation.request.type_id)
            raise AnswerTimeout(f"{name} left, no answer came within {self._timeout_s:g} s") from error
        self._traffic.note_round_trip(loop.time() - left)
        try:
            return positive(answer)
        except DeviceRefused:
            self._traffic.refused += 1
            raise

    def take(self, answer: Asdu) -> bool:
        """Hands an answer to the request it belongs to; False when nobody asked."""
        activation = self._open.get(_key(answer))
        if activation is None:
            return False
        future = activation.ended if answer.cause == asdu.ACTIVATION_TERM else activation.answer
        is_answer = answer.cause == asdu.ACTIVATION_TERM or answer.cause in _TOLD
        if not is_answer or future.done() or not activation.mirrors(answer):
            return False
        if answer.cause in _CONFIRMS.values() and answer.cause != _CONFIRMS.get(activation.request.cause):
            return False
        future.set_result(answer)
        return True

    def count_interrogated(self, type_id: int, common_address: int, objects: int) -> datetime | None:
        """Objects came in answer to an interrogation of that type; when that was asked, None where nobody did."""
        activation = self._open.get((type_id, common_address, 0))
        if activation is None:
            return None
        activation.objects += objects
        activation.heard = asyncio.get_running_loop().time()
        return activation.made

    def abandon(self) -> None:
        """The connection is gone: what left may have been obeyed, so each outcome is unknown."""
        for activation in self._open.values():
            activation.give_up("the connection was lost before the answer came")

    def abandon_interrogations(self, common_address: int) -> None:
        """The station has forgotten them."""
        for (type_id, of, _), activation in self._open.items():
            if of == common_address and type_id in (asdu.C_IC, asdu.C_CI):
                activation.give_up("the station started anew before the answer came")


def _key(unit: Asdu) -> Key:
    return unit.type_id, unit.common_address, unit.objects[0].address if unit.objects else 0


def positive(answer: Asdu) -> str:
    """The answer in raw words, "ACT_CON COT 7 P/N 0". Raises DeviceRefused when it is negative or a cause 44-47."""
    name = type_name(answer.type_id)
    if answer.cause in asdu.REFUSING_CAUSES:
        reason = asdu.REFUSING_CAUSES[answer.cause]
        raise DeviceRefused(f"{name} was refused: {reason}", device_code=f"COT {answer.cause} {reason}")
    word = {asdu.ACTIVATION_TERM: "ACT_TERM", asdu.DEACTIVATION_CON: "DEACT_CON"}.get(answer.cause, "ACT_CON")
    if answer.negative:
        verb = "did not come to its end" if word == "ACT_TERM" else "was not confirmed"
        raise DeviceRefused(f"{name} {verb}", device_code=f"{word} COT {answer.cause} P/N 1")
    return f"{word} COT {answer.cause} P/N 0"
