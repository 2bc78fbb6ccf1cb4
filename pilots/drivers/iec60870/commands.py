"""Commands and set-points: direct, or select before operate, with what follows when the execute cannot. [zone: field]

Source: IEC 60870-5-101:2003, 7.2.6.15-.17, .26, .39 (qualifiers), IEC 60870-5-5:1995, 6.8 (command transmission). One command
at a time is under way for an address, else an answer could be taken for another's.
"""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime
from weakref import WeakValueDictionary

from pilots.domain.errors import AnswerTimeout, DeviceRefused, FieldError
from pilots.drivers.base import WriteResult
from pilots.drivers.iec60870 import asdu
from pilots.drivers.iec60870.activations import Activation, Activations, positive
from pilots.drivers.iec60870.asdu import Asdu, InformationObject
from pilots.drivers.iec60870.elements import COMMANDS, TIMED_COMMAND_OFFSET, TIMED_COMMANDS
from pilots.drivers.iec60870.options import StationOptions
from pilots.drivers.iec60870.routes import Route

DESELECT_PATIENCE_S = 2.0  # a cancelled write may not hang on it


class Commands:
    """What a connection's devices are told to do."""

    def __init__(self, activations: Activations, options: StationOptions) -> None:
        self._activations, self._options = activations, options
        self._locks: WeakValueDictionary[tuple[int, int], asyncio.Lock] = WeakValueDictionary()

    async def write(self, route: Route, value: float, *, valid_for_s: float | None) -> WriteResult:
        """The station confirmed it (and, with `executed_on: act_term`, told its end). `value` in unit and sign of the point.

        Raises LinkDown, NotSent, DeviceRefused: it was not obeyed; AnswerTimeout: unknown.
        """
        if route.command_type is None:
            raise DeviceRefused(f"{route.spec.name} takes no command", device_code="not sent: no command type")
        loop = asyncio.get_running_loop()
        before = None if valid_for_s is None else loop.time() + valid_for_s
        lock = self._locks.setdefault((route.common_address, route.object_address), asyncio.Lock())
        async with lock:
            try:
                return WriteResult(await self._written(route, _wire(route, value), before))
            except ValueError as error:
                raise DeviceRefused(f"{value} does not fit the command: {error}", device_code="not sent: range") from error

    async def _written(self, route: Route, wire: float, before: float | None) -> str:
        if not route.select:
            return await self._execute(route, wire, before)
        selected = await self._select(route, wire, before)
        return f"select {selected}; execute {await self._execute_selected(route, wire, before)}"

    async def _select(self, route: Route, wire: float, before: float | None) -> str:
        request = self._request(route, wire, asdu.SELECT)
        try:
            with self._activations.opened(request) as activation:
                return await self._confirmed_or_deselected(route, activation, before)
        except AnswerTimeout as error:  # nothing can have been executed: that is a refusal, no unknown outcome
            raise DeviceRefused(f"the select was not answered: {error}", device_code="not executed: no answer") from error

    async def _confirmed_or_deselected(self, route: Route, activation: Activation, before: float | None) -> str:
        try:
            return await self._activations.confirmed(activation, before=before)
        except (AnswerTimeout, asyncio.CancelledError):
            if activation.left:
                await self._deselect(activation.request)
            raise

    async def _execute_selected(self, route: Route, wire: float, before: float | None) -> str:
        """As `_execute`; when it did not leave, the station has heard that the selection is over."""
        request = self._request(route, wire, 0)
        with self._activations.opened(request) as activation:
            try:
                return await self._executed(activation, before)
            except BaseException:
                if not activation.left:
                    await self._deselect(self._request(route, wire, asdu.SELECT))
                raise

    async def _execute(self, route: Route, wire: float, before: float | None) -> str:
        with self._activations.opened(self._request(route, wire, 0)) as activation:
            return await self._executed(activation, before)

    async def _executed(self, activation: Activation, before: float | None) -> str:
        words = await self._activations.confirmed(activation, before=before)
        if self._options.executed_on == "act_con":
            return words
        timeout_s = self._options.execution_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                return f"{words}; {positive(await activation.ended)}"
        except TimeoutError as error:
            raise AnswerTimeout(f"it was confirmed, but its end was not told within {timeout_s:g} s") from error

    async def _deselect(self, selected: Asdu) -> None:
        """The station was told to forget the selection; whatever becomes of that, the selection ends by itself in time."""
        request = selected._replace(cause=asdu.DEACTIVATION)
        try:
            async with asyncio.timeout(DESELECT_PATIENCE_S):
                with self._activations.opened(request) as activation:
                    await self._activations.confirmed(activation)
        except (FieldError, TimeoutError):
            return

    def _request(self, route: Route, wire: float, select: int) -> Asdu:
        assert route.command_type is not None  # noqa: S101  `write` has looked
        type_id = route.command_type
        if self._options.command_time and type_id in COMMANDS:
            type_id += TIMED_COMMAND_OFFSET
        time = datetime.now(UTC) if type_id in TIMED_COMMANDS else None
        item = InformationObject(route.object_address, wire, route.qualifier | select, time)
        return self._activations.request(type_id, route.common_address, item)


def _wire(route: Route, value: float) -> float:
    """Raises ValueError for what is no number."""
    wire = route.spec.to_wire(value)
    if not math.isfinite(wire):
        raise ValueError("not a finite number")
    return wire
