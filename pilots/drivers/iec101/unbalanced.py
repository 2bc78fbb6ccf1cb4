"""The primary station of an unbalanced line: polls its secondary stations one after the other. [zone: field]

Source: IEC 60870-5-101:2003, 6.2.1 and IEC 60870-5-2:1992, 5 and 6. The FCB changes only after the answer's data are
committed, so a station keeps in its own buffer whatever we have not stored. User data go first, then class 1 data of
stations that show ACD, then class 2 by period; among equals whoever was served longest ago.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial

from pilots.domain.errors import AnswerTimeout, DeviceRefused, FieldError, LinkDown
from pilots.drivers.iec101 import ft12
from pilots.drivers.iec101.ft12 import Frame
from pilots.drivers.iec101.link import CONFIRMS, REFUSALS, STATUS_ANSWERS, Ft12Link, Item, accepted
from pilots.drivers.iec101.options import LineOptions, Timing
from pilots.drivers.iec101.outgoing import Outgoing, Queue
from pilots.drivers.iec101.secondary import Resume, Secondary
from pilots.drivers.traffic import Traffic

logger = logging.getLogger(__name__)

_POLL_ANSWERS = REFUSALS | {ft12.DATA, ft12.NO_DATA}


class UnbalancedLink(Ft12Link[Item]):
    """An AsduLink to several stations; `stations` names the common addresses behind each link address.

    `on_restart(common address)` tells that a station answers again after it did not.
    """

    def __init__(
        self,
        *,
        options: LineOptions,
        timing: Timing,
        stations: Mapping[int, Sequence[int]],
        resume: Mapping[int, Resume],
        receive: Callable[[bytes], Item],
        commit: Callable[[list[Item]], Awaitable[None]],
        on_closed: Callable[[], None],
        on_restart: Callable[[int], None],
        traffic: Traffic,
    ) -> None:
        super().__init__(options=options, timing=timing, receive=receive, commit=commit, on_closed=on_closed, traffic=traffic)
        self._on_restart = on_restart
        self.stations = {address: Secondary(address, cas, options) for address, cas in stations.items()}
        for address, station in self.stations.items():
            station.resume = resume.get(address)
        self._owners = {ca: station for station in self.stations.values() for ca in station.common_addresses}
        self._broadcasts: deque[bytes] = deque(maxlen=8)

    async def start(self) -> None:
        """At least one station answers; the others are tried again and again. Raises AnswerTimeout, LinkDown."""
        for _ in range(1 + self.options.retries):
            for station in self.stations.values():
                if not station.up:
                    await self._revive(station)
            if any(station.up for station in self.stations.values()):
                self._begin()
                return
        raise AnswerTimeout("no station on the line answers")

    def remembered(self) -> dict[int, Resume]:
        """How to go on with the stations that can be gone on with; call it after `close`."""
        found = {address: station.remembered() for address, station in self.stations.items()}
        return {address: resume for address, resume in found.items() if resume is not None}

    def _queues(self) -> Iterable[Queue]:
        return [station.outgoing for station in self.stations.values()]

    # ---------------------------------------------------------------- sending

    async def send(self, asdu: bytes, *, before: float | None = None) -> None:
        """The station's link layer has it. Raises NotSent, LinkDown: it did not leave; AnswerTimeout, DeviceRefused."""
        station = self._owner(asdu)
        if self.ended:
            raise LinkDown("the connection is down")
        if not station.up:
            raise LinkDown(f"station {station.address} on the line does not answer")
        await station.outgoing.pass_on(asdu, before, self._wake.set)

    def broadcast(self, asdu: bytes) -> None:
        """It leaves once for all stations, and none of them confirms it (IEC 60870-5-101, 6.2.1: SEND/NO REPLY)."""
        self._broadcasts.append(asdu)
        self._wake.set()

    def _owner(self, asdu: bytes) -> Secondary:
        sizes = self.options.sizes
        common_address = int.from_bytes(asdu[2 + sizes.cause : 2 + sizes.cause + sizes.common_address], "little")
        try:
            return self._owners[common_address]
        except KeyError:
            words = f"no station on the line has common address {common_address}"
            raise DeviceRefused(words, device_code="not sent: common address") from None

    # ---------------------------------------------------------------- polling

    async def _work(self) -> None:
        """One exchange after the other."""
        while not self.ended:
            self._wake.clear()
            if self._broadcasts:
                await self._send_broadcast(self._broadcasts.popleft())
                continue
            now = self._loop.time()
            station = self._most_urgent(now)
            if station is None:
                await self._pause()
                continue
            station.served = now
            await self._serve(station)

    def _most_urgent(self, now: float) -> Secondary | None:
        best: tuple[int, float] | None = None
        chosen = None
        for station in self.stations.values():
            urgency = station.urgency(now)
            if urgency is not None and (best is None or (urgency, station.served) < best):
                best, chosen = (urgency, station.served), station
        return chosen

    async def _pause(self) -> None:
        """Until the next poll is due or something wakes us: an idle line costs nothing."""
        due = [station.due for station in self.stations.values() if not station.committing]
        try:
            async with asyncio.timeout_at(min(due, default=None)):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _serve(self, station: Secondary) -> None:
        if not station.up:
            await self._revive(station)
        elif station.outgoing and not station.busy:
            await self._send(station, station.outgoing.take())
        else:
            await self._poll(station, ft12.REQUEST_CLASS_1 if station.access_demand else ft12.REQUEST_CLASS_2)

    async def _revive(self, station: Secondary) -> None:
        """One try: the station goes on where it was, or its link layer is reset, or it is dead for a longer pause."""
        again = station.up is False
        if not await self._answers(station):
            station.missed(self._loop.time(), noisy=self.line.noisy)
        elif again and self._running is not None:
            logger.info("station %d on the line answers again", station.address)
            for common_address in station.common_addresses:
                self._on_restart(common_address)

    async def _answers(self, station: Secondary) -> bool:
        """Whether it answers a request that counts: only then it is alive, and its data flow."""
        if station.resume is not None and await self._go_on(station, station.resume, retries=0):
            return True
        if not await self._is_there(station):
            return False
        if station.resume is not None and await self._go_on(station, station.resume, retries=1):
            return True
        station.resume = None  # it has forgotten what was under way
        return await self._is_reset(station) and await self._go_on(station, Resume(ft12.REQUEST_CLASS_2, True), retries=1)

    async def _go_on(self, station: Secondary, resume: Resume, *, retries: int) -> bool:
        """Whether it answers the request that was under way when the line was lost: then nothing in between is lost."""
        station.poll, station.fcb = resume
        request = self._frame(station, resume.function, counted=True)
        answer = await self.line.ask(request, partial(_misfit, station.address, _POLL_ANSWERS), retries=retries)
        if answer is None or (not answer.single and answer.function in REFUSALS):
            return False
        station.started(self._loop.time())
        self._take_poll_answer(station, resume.function, answer)
        return True

    async def _is_there(self, station: Secondary) -> bool:
        status = partial(_misfit, station.address, STATUS_ANSWERS, single=False)
        request = self._frame(station, ft12.REQUEST_STATUS)
        return await self.line.ask(request, status, retries=0, outlast=False) is not None

    async def _is_reset(self, station: Secondary) -> bool:
        request = self._frame(station, ft12.RESET_LINK)
        answer = await self.line.ask(request, partial(_misfit, station.address, CONFIRMS), retries=1)
        return answer is not None and accepted(answer)

    async def _poll(self, station: Secondary, function: int) -> None:
        station.poll = function
        request = self._frame(station, function, counted=True)
        answer = await self.line.ask(request, partial(_misfit, station.address, _POLL_ANSWERS))
        if answer is None:
            self._lose(station)
        elif answer.function == ft12.NOT_FUNCTIONING and not answer.single:
            station.missed(self._loop.time())  # its link layer started anew: it wants a reset
        else:
            self._take_poll_answer(station, function, answer)

    def _take_poll_answer(self, station: Secondary, function: int, answer: Frame) -> None:
        station.heard(answer)
        told = not answer.single and answer.function == ft12.DATA and bool(answer.data)
        if function == ft12.REQUEST_CLASS_2:
            again = told or (station.busy and bool(station.outgoing))
            station.due = self._loop.time() + (self.options.poll_busy_s if again else self.options.poll_class2_s)
        elif not told:
            station.access_demand = False  # whatever its ACD says: asked at once it would say so for ever
        station.committing = told and self._deliver(answer.data, partial(self._committed, station))
        if not station.committing:
            station.done()

    def _committed(self, station: Secondary) -> None:
        station.done()
        self._wake.set()

    async def _send(self, station: Secondary, item: Outgoing) -> None:
        station.poll = None
        request = self._frame(station, ft12.SEND_CONFIRM, counted=True, data=item.asdu)
        try:
            answer = await self.line.ask(request, partial(_misfit, station.address, CONFIRMS))
        except (FieldError, asyncio.CancelledError):
            item.fail(AnswerTimeout(f"the line was closed: whether station {station.address} took the data is unknown"))
            raise
        if answer is None:
            item.fail(AnswerTimeout(f"the data left, station {station.address} did not confirm them"))
            self._lose(station)
            return
        station.done()
        station.heard(answer)
        station.due = self._loop.time()  # an answer to what it was told may wait
        if not self._settle(item, answer):
            station.busy = True  # until it says otherwise, or the data have waited too long
            station.due += self.options.poll_busy_s
            station.outgoing.put_back(item)

    def _lose(self, station: Secondary) -> None:
        """The station is dead for a while. Raises AnswerTimeout when it was the last one alive."""
        station.missed(self._loop.time(), noisy=self.line.noisy)
        station.outgoing.fail(LinkDown(f"station {station.address} on the line does not answer"))
        logger.warning("station %d on the line does not answer any more", station.address)
        if not any(other.up for other in self.stations.values()):
            raise AnswerTimeout(f"station {station.address} does not answer, and no other on the line does")

    # ---------------------------------------------------------------- frames

    def _frame(self, station: Secondary, function: int, *, counted: bool = False, data: bytes = b"") -> bytes:
        control = ft12.PRM | function | (ft12.FCV if counted else 0) | (ft12.FCB if counted and station.fcb else 0)
        return ft12.encode(control, station.address, self.options.link_address_size, data)

    async def _send_broadcast(self, asdu: bytes) -> None:
        everyone = (1 << 8 * self.options.link_address_size) - 1
        frame = ft12.encode(ft12.PRM | ft12.SEND_NO_REPLY, everyone, self.options.link_address_size, asdu)
        await self.line.send_unanswered(frame)

    def _on_request(self, frame: Frame) -> None:
        """On an unbalanced line only we may ask."""
        self.traffic.note_violation("another primary")


def _misfit(address: int, functions: frozenset[int], frame: Frame, *, single: bool = True) -> str:
    """Why the frame is no answer to a request to `address` that wants one of `functions`; "" when it is."""
    if frame.single:
        return "" if single else "single character"
    if frame.address != address:
        return "wrong link address"
    return "" if frame.function in functions else "wrong function"
