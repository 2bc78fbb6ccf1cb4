"""The IEC 60870-5-101 driver: the controlling station on a serial line, or on TCP that carries one. [zone: field]

Answers D7.1 2.2.1 (IEC 60870-5-101) and 3.1.2 a (backup way over GSM/GPRS). docs/protocols/iec101.md has the options.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import ClassVar

from pilots.domain.errors import AnswerTimeout, FieldError, ProtocolViolation
from pilots.drivers.base import Sink, Target
from pilots.drivers.iec101 import ft12, words
from pilots.drivers.iec101.balanced import BalancedLink
from pilots.drivers.iec101.carrier import open_carrier
from pilots.drivers.iec101.ft12 import Frame
from pilots.drivers.iec101.link import Ft12Link
from pilots.drivers.iec101.options import BALANCED, UNBALANCED, LineOptions, timing
from pilots.drivers.iec101.places import Places
from pilots.drivers.iec101.secondary import Resume
from pilots.drivers.iec101.unbalanced import UnbalancedLink
from pilots.drivers.iec60870 import asdu
from pilots.drivers.iec60870.asdu import InformationObject
from pilots.drivers.iec60870.monitoring import Received
from pilots.drivers.iec60870.options import from_options
from pilots.drivers.iec60870.station import ControllingStation
from pilots.drivers.traffic import Traffic

Link = Ft12Link[Received | None]

BROADCAST_PAUSE_S = 1.0
#: How to go on with the stations of a connection (its name and place) that was lost in this process, so that they send
#: again what we had not stored. A supervisor makes a new driver for each connection, so the driver cannot keep it.
_REMEMBERED: dict[tuple[str, str], dict[int, Resume]] = {}


class Iec101Driver(ControllingStation):
    """One line to one or more controlled stations; each device's station is up or down by itself."""

    dissector: ClassVar[str] = "iec60870_101"
    one_interrogation_at_a_time: ClassVar[bool] = False
    test_type: ClassVar[int] = asdu.C_TS_NA

    def __init__(self, target: Target, sink: Sink, traffic: Traffic | None = None) -> None:
        """Raises CatalogueError when addresses or options are wrong."""
        self.line_options = from_options(LineOptions, target.options)
        super().__init__(target, sink, traffic, sizes=self.line_options.sizes)
        self._places = Places(target, self.line_options, self.options.ca)
        self._key = (target.name, target.place)
        self._ft12: Link | None = None
        self._clock_told = -BROADCAST_PAUSE_S

    @classmethod
    def describe(cls, frame: bytes) -> str:
        return words.describe(frame)

    def device_up(self, device_id: str) -> bool | None:
        """Whether the device's station answers on the link layer; None while the line itself is down, or balanced."""
        link = self._ft12
        if not isinstance(link, UnbalancedLink) or link.ended:
            return None
        return link.stations[self._places.link_of[device_id]].up

    async def close(self) -> None:
        await super().close()
        if isinstance(self._ft12, UnbalancedLink):
            _REMEMBERED[self._key] = self._ft12.remembered()

    # ---------------------------------------------------------------- the link

    async def _open_link(self) -> Link:
        link = self._ft12 = self._new_link()  # at once: what it remembers must outlive a carrier that does not open
        try:
            link.attach(await open_carrier(self.target, self.line_options, link.line.on_octets, link.on_lost))
        except BaseException:
            await link.close()
            raise
        self._clock_told = -BROADCAST_PAUSE_S
        return link

    def _new_link(self) -> Link:
        times = timing(self.line_options, serial=bool(self.target.serial_line))
        if self.line_options.balanced:
            return BalancedLink(
                options=self.line_options,
                timing=times,
                address=next(iter(self._places.stations)),
                receive=self._receive,
                commit=self._commit,
                on_closed=self._lost,
                on_restart=self._note_restarts,
                traffic=self.traffic,
            )
        return UnbalancedLink(
            options=self.line_options,
            timing=times,
            stations=self._places.stations,
            resume=_REMEMBERED.pop(self._key, {}),
            receive=self._receive,
            commit=self._commit,
            on_closed=self._lost,
            on_restart=self._note_restart,
            traffic=self.traffic,
        )

    def _note_restarts(self) -> None:
        for common_addresses in self._places.stations.values():
            for common_address in common_addresses:
                self._note_restart(common_address)

    def _receive(self, octets: bytes) -> Received | None:
        try:
            return super()._receive(octets)
        except ProtocolViolation as violation:
            raise ProtocolViolation(f"{violation}: {octets.hex(' ')}. Check {self._sizes_declared()}.") from violation

    async def _sync_clock(self, common_address: int) -> None:
        """With `broadcast_clock` one frame for the whole line, however many stations want it just now."""
        link = self._ft12
        if not (self.line_options.broadcast_clock and isinstance(link, UnbalancedLink)):
            await super()._sync_clock(common_address)
            return
        now = asyncio.get_running_loop().time()
        if now >= self._clock_told + BROADCAST_PAUSE_S:
            self._clock_told = now
            item = InformationObject(0, time=datetime.now(UTC))
            link.broadcast(asdu.encode(self._activations.request(asdu.C_CS, self.sizes.broadcast, item), self.sizes))

    # ---------------------------------------------------------------- words

    def _opened_words(self) -> str:
        return f"{self.target.place} opens"

    def _started_words(self) -> str:
        link = self._ft12
        if not isinstance(link, UnbalancedLink):
            return "the link is reset"
        up = sum(1 for station in link.stations.values() if station.up)
        return f"{up} of {len(link.stations)} stations on the line answer"

    async def _probe_interrogation(self, common_address: int) -> int:
        try:
            return await super()._probe_interrogation(common_address)
        except AnswerTimeout as error:
            if isinstance(self.failure, ProtocolViolation):
                raise self.failure from error
            raise AnswerTimeout(f"{error} If that is right, the sizes are not: {self._sizes_declared()}.") from error

    def _sizes_declared(self) -> str:
        sizes = self.sizes
        declared = f"cause_size {sizes.cause}, common_address_size {sizes.common_address}"
        return f"{declared}, object_address_size {sizes.object_address}"

    def _start_failure(self, error: FieldError) -> FieldError:
        """Silence says little by itself: what was heard instead says more."""
        link, options = self._ft12, self.line_options
        if not isinstance(error, AnswerTimeout) or link is None:
            return error
        if link.line.heard:
            other = UNBALANCED if options.balanced else BALANCED
            return ProtocolViolation(f"{error}, though frames come. Check the link address, and whether the line is {other}.")
        if link.line.noise:
            noise = bytes(link.line.noise)
            return ProtocolViolation(f"{error}, but {len(noise)} octets came that are no frame. {_hint(noise, options)}")
        form = f"{options.mode}, {options.baudrate} baud, parity {options.parity}, link_address_size {options.link_address_size}"
        return AnswerTimeout(f"{self.target.place} opens, but {error}. Check the link address and the line: {form}.")


def _hint(noise: bytes, options: LineOptions) -> str:
    for size in (1, 2, 0):
        items = ft12.Parser(size).feed(noise) if size != options.link_address_size else []
        if any(isinstance(item, Frame) and not item.single for item in items):
            return f"With link_address_size {size} they would be frames."
    return "Check baudrate and parity."
