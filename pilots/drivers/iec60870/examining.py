"""Asking a station for one object, configured or not: the read command, or a general interrogation instead. [zone: field]

Source: IEC 60870-5-101:2003, 7.4.9 (C_RD_NA_1, cause 5). Many stations refuse it: then a general interrogation answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pilots.domain.errors import DeviceRefused, FieldError
from pilots.drivers.base import Examined
from pilots.drivers.iec60870 import asdu
from pilots.drivers.iec60870.activations import Activations, positive
from pilots.drivers.iec60870.asdu import Asdu, InformationObject
from pilots.drivers.iec60870.elements import COUNTERS, MONITOR_BASE
from pilots.drivers.iec60870.interrogations import Interrogations
from pilots.drivers.iec60870.monitoring import reading_of
from pilots.drivers.iec60870.options import StationOptions
from pilots.drivers.iec60870.routes import Route
from pilots.drivers.iec60870.words import head_words, object_words

Seen = tuple[Asdu, InformationObject]
_NO_SUCH_PLACE = (46, 47)


class Examining:
    """Who waits for which object; while nobody does, it costs nothing."""

    def __init__(self, activations: Activations, interrogations: Interrogations, options: StationOptions) -> None:
        self._activations, self._interrogations, self._options = activations, interrogations, options
        self._watches: list[tuple[Route, asyncio.Future[Seen]]] = []

    @property
    def waits(self) -> bool:
        return bool(self._watches)

    def see(self, unit: Asdu) -> None:
        """An ASDU with values came while somebody waits. An event is no answer: it may be an old one from a station's buffer."""
        if unit.cause == asdu.SPONTANEOUS:
            return
        for route, seen in self._watches:
            if unit.common_address != route.common_address or seen.done():
                continue
            if route.bases and MONITOR_BASE[unit.type_id] not in route.bases:
                continue
            for item in unit.objects:
                if item.address == route.object_address:
                    seen.set_result((unit, item))
                    break

    async def examine(self, route: Route) -> Examined:
        """What stands at the route's address now. Raises LinkDown, AnswerTimeout, DeviceRefused."""
        with self._watched(route) as seen:
            if not await self._read(route, seen):
                await self._interrogate(route, seen)
            unit, item = seen.result()
        raw = f"{head_words(unit)}: {object_words(unit.type_id, item)}"
        return Examined(reading_of(route.spec.name, unit.type_id, item, route.bit), raw)

    @contextmanager
    def _watched(self, route: Route) -> Iterator[asyncio.Future[Seen]]:
        watch = (route, asyncio.get_running_loop().create_future())
        self._watches.append(watch)
        try:
            yield watch[1]
        finally:
            self._watches.remove(watch)

    async def _read(self, route: Route, seen: asyncio.Future[Seen]) -> bool:
        """Whether the read command brought it. Raises DeviceRefused when there is no such station or object."""
        item = InformationObject(route.object_address)
        request = self._activations.request(asdu.C_RD, route.common_address, item, asdu.REQUEST)
        with self._activations.opened(request) as activation:
            await self._activations.tell(request)
            await asyncio.wait(
                (seen, activation.answer), timeout=self._options.command_timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
            if activation.answer.done() and not seen.done():
                answer = activation.answer.result()
                if answer.cause in _NO_SUCH_PLACE:
                    positive(answer)
            return seen.done()

    async def _interrogate(self, route: Route, seen: asyncio.Future[Seen]) -> None:
        """It came in answer to an interrogation. Raises DeviceRefused when those brought everything else."""
        asks = [self._interrogations.interrogate] if route.bases != {COUNTERS} else []
        asks += [self._interrogations.count] if not route.bases or COUNTERS in route.bases else []
        for ask in asks:
            asking = asyncio.ensure_future(ask(route.common_address))
            try:
                await asyncio.wait((seen, asking), return_when=asyncio.FIRST_COMPLETED)
                if seen.done():
                    return
                asking.result()
            finally:
                asking.cancel()
                with suppress(asyncio.CancelledError, FieldError):
                    await asking
        where = f"CA {route.common_address}, IOA {route.object_address}"
        raise DeviceRefused(f"the station tells nothing of {where}", device_code="not reported")
