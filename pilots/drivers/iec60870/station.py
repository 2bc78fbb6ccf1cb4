"""A controlling station of IEC 60870-5-101 or -104: listens, interrogates, commands; its link is the subclass's. [zone: field]

Answers D7.1 3.1.2 a (RTU to SCADA) and 2.2.1.1 (time synchronisation, interrogation). docs/protocols/iec104.md has the options.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import ClassVar

from pilots.domain.errors import AnswerTimeout, CatalogueError, DeviceRefused, FieldError, LinkDown
from pilots.domain.measurement import RawReading
from pilots.domain.point import PointSpec
from pilots.drivers.base import Driver, Examined, Sink, Target, WriteResult
from pilots.drivers.iec60870 import asdu
from pilots.drivers.iec60870.activations import Activations
from pilots.drivers.iec60870.asdu import IEC104_SIZES, Asdu, InformationObject, Sizes
from pilots.drivers.iec60870.commands import Commands
from pilots.drivers.iec60870.elements import KINDS, MONITOR_BASE
from pilots.drivers.iec60870.examining import Examining
from pilots.drivers.iec60870.interrogations import Interrogations
from pilots.drivers.iec60870.link import AsduLink
from pilots.drivers.iec60870.monitoring import Monitoring, Received, common_address_of
from pilots.drivers.iec60870.options import StationOptions, from_options
from pilots.drivers.iec60870.routes import Route, RouteTable
from pilots.drivers.iec60870.times import SHORT
from pilots.drivers.traffic import Traffic

#: What has a value to tell: periodic to requested, return information, and every interrogation.
_VALUE_CAUSES = frozenset({1, 2, 3, 5, 11, 12, *range(20, 42)})


class ControllingStation(Driver):
    """One connection to controlled stations. `failure` says why the last connection ended; `counts` what was odd.

    A subclass opens its link (`_open_link`, made with `_receive`, `_commit`, `_lost` and `traffic`), sets `sizes` where
    they differ from those of 104, and words what `probe` says (`_opened_words`, `_started_words`, `_start_failure`).
    """

    listening: ClassVar[bool] = True
    #: False: the stations of a line are interrogated side by side, so that a slow one keeps nobody waiting.
    one_interrogation_at_a_time: ClassVar[bool] = True
    #: The type of the test command; 101 has C_TS_NA_1.
    test_type: ClassVar[int] = asdu.C_TS_TA

    def __init__(self, target: Target, sink: Sink, traffic: Traffic | None = None, *, sizes: Sizes = IEC104_SIZES) -> None:
        """Raises CatalogueError when addresses or options are wrong."""
        super().__init__(target, sink, traffic)
        self.sizes = sizes
        self.options = from_options(StationOptions, target.options)
        self.counts: Counter[str] = Counter()
        self._routes = RouteTable(target.devices, self.options.ca, sizes)
        self._monitoring = Monitoring(self._routes, sizes, self.counts)
        self._link: AsduLink | None = None
        self._make_ready()

    def _make_ready(self) -> None:
        """Nothing of an earlier connection is left."""
        options = self.options
        self._activations = Activations(
            self._up,
            self.sizes,
            originator=options.originator,
            timeout_s=options.command_timeout_s,
            traffic=self.traffic,
        )
        self._interrogations = Interrogations(
            self._activations,
            options,
            self.counts,
            name=self.target.name,
            wants_counters=self._routes.wants_counters,
            sync_clock=self._sync_clock,
            one_at_a_time=self.one_interrogation_at_a_time,
            test_type=self.test_type,
        )
        self._commands = Commands(self._activations, options)
        self._examining = Examining(self._activations, self._interrogations, options)

    @property
    def failure(self) -> FieldError | None:
        return self._link.failure if self._link is not None else None

    # ---------------------------------------------------------------- the link

    @abstractmethod
    async def _open_link(self) -> AsduLink:
        """The far end is reached, data transfer not yet started. Raises LinkDown in words."""

    @abstractmethod
    def _opened_words(self) -> str:
        """The probe's step that `_open_link` succeeded in."""

    @abstractmethod
    def _started_words(self) -> str:
        """The probe's step that `link.start` succeeded in."""

    def _start_failure(self, error: FieldError) -> FieldError:
        """What to say of a link that opened and did not start."""
        return error

    # ---------------------------------------------------------------- life

    async def open(self) -> None:
        await self._connect()
        await self._start()
        self._interrogations.start(self._routes.common_addresses)

    async def close(self) -> None:
        self._interrogations.cancel()
        await self._interrogations.stopped()
        if self._link is not None:
            await self._link.close()
        self.closed.set()

    async def probe(self) -> list[str]:
        steps = []
        try:
            await self._connect()
            steps.append(self._opened_words())
            await self._start()
            steps.append(self._started_words())
            objects = 0
            for common_address in self._routes.common_addresses:
                objects += await self._probe_interrogation(common_address)
            steps.append(f"interrogation answered with {objects} objects")
        finally:
            await self.close()
        return steps

    async def _probe_interrogation(self, common_address: int) -> int:
        what = f"{self._started_words()}, but the interrogation of common address {common_address}"
        try:
            return await self._interrogations.interrogate(common_address)
        except AnswerTimeout as error:
            raise AnswerTimeout(f"{what} is not answered. Check the common address.") from error
        except DeviceRefused as error:
            raise DeviceRefused(f"{what} is refused. Check the common address.", device_code=error.device_code) from error

    async def _connect(self) -> None:
        await self.close()  # a driver may be opened again
        self._make_ready()
        self.closed.clear()
        try:
            self._link = await self._open_link()
        except BaseException:
            self._lost()
            raise

    async def _start(self) -> None:
        link = self._up()
        try:
            await link.start()
        except FieldError as error:
            await self.close()
            raise self._start_failure(error) from error
        except BaseException:
            await self.close()
            raise

    def _lost(self) -> None:
        self._activations.abandon()
        self._interrogations.cancel()
        self.closed.set()

    def _up(self) -> AsduLink:
        if self._link is None or self._link.ended:
            raise LinkDown(f"{self.target.name} is not connected")
        return self._link

    # ---------------------------------------------------------------- monitor direction

    def _receive(self, octets: bytes) -> Received | None:
        """Takes an ASDU as it arrives: answers go to those who wait, values wait for the commit. Raises ProtocolViolation."""
        if len(octets) >= self.sizes.head and octets[0] in MONITOR_BASE:
            return self._take_values(octets)
        unit = asdu.decode(octets, self.sizes)
        if unit.type_id == asdu.M_EI:
            self._note_restart(unit.common_address)
        elif unit.type_id in KINDS or unit.cause in asdu.REFUSING_CAUSES:
            self._take_answer(unit)
        else:
            self.counts["unknown_types"] += 1
        return None

    def _take_values(self, octets: bytes) -> Received | None:
        """Runs for every frame of a flood: the octets are decoded once, at the commit."""
        asdu.check_length(octets, self.sizes)
        cause = octets[2]
        if cause & asdu.TEST:
            self.counts["test_asdus"] += 1  # a test says nothing about the process
            return None
        if cause not in _VALUE_CAUSES:  # nor with its P/N bit
            self.counts["odd_causes"] += 1
            return None
        tag = KINDS[octets[0]].tag
        received = Received(octets, datetime.now(UTC) if tag == SHORT else None)
        if cause >= asdu.INTERROGATED:
            asked = asdu.C_IC if cause < asdu.COUNTERS_INTERROGATED else asdu.C_CI
            made = self._activations.count_interrogated(asked, common_address_of(octets, self.sizes), octets[1] & 0x7F)
            if not tag:
                received = Received(octets, made)
        if self._examining.waits:
            self._examining.see(asdu.decode(octets, self.sizes, received.at))
        return received

    def _take_answer(self, unit: Asdu) -> None:
        self.counts["act_term"] += unit.cause == asdu.ACTIVATION_TERM
        taken = self._activations.take(unit)
        if unit.type_id == asdu.C_CS:
            self.counts["clock_sync_refused"] += unit.negative or unit.cause in asdu.REFUSING_CAUSES
        elif not taken and unit.cause != asdu.ACTIVATION_TERM:
            self.counts["unexpected_answers"] += 1

    async def _commit(self, received: list[Received | None]) -> None:
        """Every value of the ASDUs is stored: one sink call a device, all under way together, order kept inside each."""
        readings = self._monitoring.sort(item for item in received if item is not None)
        if len(readings) == 1:
            await self.sink(*readings.popitem())
        elif readings:
            async with asyncio.TaskGroup() as group:
                for device_id, of_device in readings.items():
                    group.create_task(_stored(self.sink, device_id, of_device))

    def _note_restart(self, common_address: int) -> None:
        """The station has started anew, or is back: it gets clock and interrogations at once."""
        self._interrogations.restart(common_address)

    async def _sync_clock(self, common_address: int) -> None:
        """Sent and not waited for: a station that ignores it still has values to tell."""
        item = InformationObject(0, time=datetime.now(UTC))
        await self._activations.tell(self._activations.request(asdu.C_CS, common_address, item))

    # ---------------------------------------------------------------- control direction

    async def write_spec(self, device_id: str, spec: PointSpec, value: float, *, valid_for_s: float | None = None) -> WriteResult:
        """ACT_CON came, positive, and with `executed_on: act_term` ACT_TERM too.

        `valid_for_s` is how long the command may wait for its turn here; a time-tagged one tells the station when it was made.
        """
        return await self._commands.write(self._place(device_id, spec), value, valid_for_s=valid_for_s)

    async def examine(self, device_id: str, spec: PointSpec) -> Examined:
        return await self._examining.examine(self._place(device_id, spec))

    def _place(self, device_id: str, spec: PointSpec) -> Route:
        try:
            return self._routes.route(device_id, spec)
        except CatalogueError as error:
            raise DeviceRefused(str(error), device_code="not sent: address") from error


async def _stored(sink: Sink, device_id: str, readings: Sequence[RawReading]) -> None:
    await sink(device_id, readings)
