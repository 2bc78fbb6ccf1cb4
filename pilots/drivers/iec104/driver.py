"""The IEC 60870-5-104 driver: a controlling station that listens, interrogates and commands. [zone: field]

Answers D7.1 3.1.2 a (RTU to SCADA) and 2.2.1.1 (time synchronisation, interrogation). docs/protocols/iec104.md has the options.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, ClassVar, TypeVar

from pilots.domain.errors import AnswerTimeout, CatalogueError, DeviceRefused, FieldError, LinkDown
from pilots.domain.measurement import RawReading
from pilots.domain.point import PointSpec
from pilots.domain.quality import Flag, Validity, from_qds
from pilots.drivers.base import Driver, Sink, Target, WriteResult
from pilots.drivers.iec104 import asdu
from pilots.drivers.iec104.apci import Link, LinkParameters
from pilots.drivers.iec104.asdu import Asdu, InformationObject
from pilots.drivers.iec104.exchanges import Exchange, Exchanges, positive
from pilots.drivers.iec104.routes import Route, RouteTable
from pilots.drivers.traffic import Traffic

logger = logging.getLogger(__name__)
_Options = TypeVar("_Options", LinkParameters, "Iec104Options")

_QUALITIES = tuple(from_qds(octet) for octet in range(256))
#: The same values whose time tag the device calls invalid: the value is as good as before, its time is not known.
_UNTIMED_QUALITIES = tuple(quality.worse(Validity.GOOD, Flag.CLOCK_UNSYNCED) for quality in _QUALITIES)
_COUNTER_QUALITY = 0x80  # of a counter's sequence octet only IV speaks of quality


@dataclass(frozen=True, kw_only=True, slots=True)
class Iec104Options:
    """What Target.options may say beside the link parameters; seconds. 0 for `gi_interval_s`: only at the start."""

    ca: int = 1
    originator: int = 0
    gi_interval_s: float = 900.0
    gi_timeout_s: float = 60.0  # until ACT_TERM
    command_timeout_s: float = 10.0  # until ACT_CON
    clock_sync: bool = True
    timed_commands: bool = False

    def __post_init__(self) -> None:
        if not (0 < self.ca < 0xFFFF and 0 <= self.originator <= 0xFF):
            raise ValueError("ca is 1..65534 and originator 0..255")
        if min(self.gi_interval_s, self.gi_timeout_s - 0.001, self.command_timeout_s - 0.001) < 0:
            raise ValueError("intervals and timeouts are positive")


class Iec104Driver(Driver):
    """One connection to a controlled station. `failure` says why the last connection ended; `counts` what was odd."""

    listening: ClassVar[bool] = True

    def __init__(self, target: Target, sink: Sink, traffic: Traffic | None = None) -> None:
        """Raises CatalogueError when addresses or options are wrong."""
        super().__init__(target, sink, traffic)
        self.parameters = _from_options(LinkParameters, target.options)
        self.options = _from_options(Iec104Options, target.options)
        self.counts: Counter[str] = Counter()
        self._routes = RouteTable(target.devices, self.options.ca)
        self._exchanges = Exchanges()
        self._locks: dict[tuple[int, int], asyncio.Lock] = {}
        self._restarted = asyncio.Event()
        self._link: Link[Asdu] | None = None
        self._interrogator: asyncio.Task[None] | None = None

    @property
    def failure(self) -> FieldError | None:
        return self._link.failure if self._link is not None else None

    # ---------------------------------------------------------------- life

    async def open(self) -> None:
        await self._connect()
        await self._start()
        self._interrogator = asyncio.create_task(self._interrogate_forever(), name=f"iec104 interrogations {self.target.name}")

    async def close(self) -> None:
        task, self._interrogator = self._interrogator, None
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))
        if self._link is not None:
            await self._link.close()
        self.closed.set()

    async def probe(self) -> list[str]:
        steps = []
        try:
            await self._connect()
            steps.append(f"TCP {self.target.port} opens")
            await self._start()
            steps.append("STARTDT confirmed")
            objects = 0
            for common_address in self._routes.common_addresses:
                objects += await self._probe_interrogation(common_address)
            steps.append(f"interrogation answered with {objects} objects")
        finally:
            await self.close()
        return steps

    async def _probe_interrogation(self, common_address: int) -> int:
        what = f"STARTDT is confirmed, the interrogation of common address {common_address}"
        try:
            return await self._interrogate(common_address)
        except AnswerTimeout as error:
            raise AnswerTimeout(f"{what} is not answered. Check the common address.") from error
        except DeviceRefused as error:
            raise DeviceRefused(f"{what} is refused. Check the common address.", device_code=error.device_code) from error

    async def _connect(self) -> None:
        host, port = self.target.host, self.target.port
        await self.close()  # a driver may be opened again
        self._exchanges = Exchanges()
        self.closed.clear()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.parameters.t0):
                _, self._link = await loop.create_connection(self._new_link, host, port)
        except TimeoutError as error:
            self.traffic.timeouts += 1
            self._lost()
            raise LinkDown(f"Port {port} of {host} does not open within {self.parameters.t0:g} s.") from error
        except OSError as error:
            self._lost()
            raise LinkDown(f"Port {port} of {host} does not open ({error.strerror or error}). Check host and port.") from error

    def _new_link(self) -> Link[Asdu]:
        return Link(self.parameters, self._receive, self._commit, self._lost, self.traffic)

    async def _start(self) -> None:
        port, link = self.target.port, self._up()
        try:
            await link.start()
        except BaseException as error:
            await self.close()
            if isinstance(error, AnswerTimeout):
                sentence = f"Port {port} opens, STARTDT is not answered. Check the originator address."
                raise AnswerTimeout(sentence) from error
            if isinstance(error, LinkDown):
                sentence = f"Port {port} opens, but the peer hangs up at STARTDT. Check that it expects this master."
                raise LinkDown(sentence) from error
            raise

    def _lost(self) -> None:
        self._exchanges.abandon()
        if self._interrogator is not None:
            self._interrogator.cancel()
        self.closed.set()

    def _up(self) -> Link[Asdu]:
        if self._link is None or self._link.ended:
            raise LinkDown(f"{self.target.name} is not connected")
        return self._link

    # ---------------------------------------------------------------- monitor direction

    def _receive(self, octets: bytes) -> Asdu:
        """Takes an ASDU as it arrives: answers go to those who wait, values wait for the commit."""
        unit = asdu.decode(octets)
        if unit.type_id in asdu.MONITOR_BASE:
            if asdu.INTERROGATED <= unit.cause <= asdu.INTERROGATED + 16:
                self._exchanges.count_interrogated(unit.common_address, len(unit.objects))
        elif unit.type_id == asdu.M_EI:
            self._restarted.set()
        elif not asdu.is_known(unit.type_id) and unit.cause not in asdu.REFUSING_CAUSES:
            self.counts["unknown_types"] += 1
        else:
            self._take_answer(unit)
        return unit

    def _take_answer(self, unit: Asdu) -> None:
        self.counts["act_term"] += unit.cause == asdu.ACTIVATION_TERM
        taken = self._exchanges.take(unit)
        if unit.type_id == asdu.C_CS:
            self.counts["clock_sync_refused"] += unit.negative or unit.cause in asdu.REFUSING_CAUSES
        elif not taken and unit.cause != asdu.ACTIVATION_TERM:
            self.counts["unexpected_answers"] += 1

    async def _commit(self, units: list[Asdu]) -> None:
        """Every value of the ASDUs is stored: one sink call a device, all under way together, order kept inside each."""
        readings: dict[str, list[RawReading]] = {}
        for unit in units:
            base = asdu.MONITOR_BASE.get(unit.type_id)
            if base is None:
                continue
            if unit.test:
                self.counts["test_asdus"] += 1  # a test says nothing about the process
                continue
            self._sort(unit, base, readings)
        if len(readings) == 1:
            await self.sink(*readings.popitem())
        elif readings:
            async with asyncio.TaskGroup() as group:
                for device_id, of_device in readings.items():
                    group.create_task(_stored(self.sink, device_id, of_device))

    def _sort(self, unit: Asdu, base: int, readings: dict[str, list[RawReading]]) -> None:
        takers = self._routes.takers(unit.common_address, base)
        timed = unit.type_id in asdu.TIMED_MONITOR
        mask = _COUNTER_QUALITY if unit.type_id in asdu.COUNTER_TYPES else 0xFF
        for address, value, qualifier, time in unit.objects:
            known = takers.get(address)
            if known is None:
                self.counts["unknown_objects"] += 1
                continue
            quality = (_UNTIMED_QUALITIES if timed and time is None else _QUALITIES)[qualifier & mask]
            for device_id, point in known:
                readings.setdefault(device_id, []).append(RawReading(point, value, quality, time))

    # ---------------------------------------------------------------- station commands

    async def _interrogate_forever(self) -> None:
        """Clock and values of every common address, at the start, at each interval and after a restart of the station."""
        while True:
            self._restarted.clear()
            for ask in (self._interrogate_station, self._interrogate_counters):  # no silent counters before all values
                for common_address in self._routes.common_addresses:
                    try:
                        await ask(common_address)
                    except (AnswerTimeout, DeviceRefused) as error:
                        self.counts["interrogations_failed"] += 1
                        logger.warning("interrogation of %s, common address %s: %s", self.target.name, common_address, error)
                    except LinkDown:
                        return
            try:
                async with asyncio.timeout(self.options.gi_interval_s or None):
                    await self._restarted.wait()
            except TimeoutError:
                continue

    async def _interrogate_station(self, common_address: int) -> None:
        await self._sync_clock(common_address)
        await self._interrogate(common_address)

    async def _sync_clock(self, common_address: int) -> None:
        """Sent and not waited for: a station that ignores it still has values to tell."""
        if self.options.clock_sync:
            await self._send(asdu.C_CS, common_address, InformationObject(0, time=datetime.now(UTC)))

    async def _interrogate(self, common_address: int) -> int:
        """The number of objects a general interrogation brought. Raises AnswerTimeout, DeviceRefused, LinkDown."""
        request = self._request(asdu.C_IC, common_address, InformationObject(0, asdu.STATION_INTERROGATION))
        with self._exchanges.opened(request) as exchange:
            await self._activate(exchange)
            try:
                async with asyncio.timeout(self.options.gi_timeout_s):
                    await exchange.terminated.wait()
            except TimeoutError:
                self.counts["interrogations_unterminated"] += 1
            return exchange.objects

    async def _interrogate_counters(self, common_address: int) -> None:
        if self._routes.wants_counters:
            request = self._request(asdu.C_CI, common_address, InformationObject(0, asdu.GENERAL_COUNTERS))
            with self._exchanges.opened(request) as exchange:
                await self._activate(exchange)

    def _request(self, type_id: int, common_address: int, item: InformationObject) -> Asdu:
        return Asdu(type_id, asdu.ACTIVATION, common_address, (item,), originator=self.options.originator)

    async def _send(self, type_id: int, common_address: int, item: InformationObject) -> None:
        await self._up().send(asdu.encode(self._request(type_id, common_address, item)))

    # ---------------------------------------------------------------- commands

    async def write_spec(self, device_id: str, spec: PointSpec, value: float, *, valid_for_s: float | None = None) -> WriteResult:
        """ACT_CON came, positive; ACT_TERM is only counted, set-points need none. IEC 104 has no `valid_for_s` of its own."""
        route = self._routes.command(device_id, spec.name)
        if route is None:
            raise DeviceRefused(f"{device_id}/{spec.name} takes no command", device_code="not sent: no command type")
        lock = self._locks.setdefault((route.common_address, route.object_address), asyncio.Lock())
        async with lock:  # one outstanding command an address, else an answer could be taken for another's
            try:
                return await self._command(route, value)
            except ValueError as error:
                raise DeviceRefused(f"{value} does not fit the command: {error}", device_code="not sent: range") from error

    async def _command(self, route: Route, value: float) -> WriteResult:
        self._up()
        wire = route.spec.to_wire(value)
        if not math.isfinite(wire):
            raise ValueError("not a finite number")
        if not route.select:
            return WriteResult(await self._one_command(route, wire, 0))
        selected = await self._one_command(route, wire, asdu.SELECT)
        return WriteResult(f"select {selected}; execute {await self._one_command(route, wire, 0)}")

    async def _one_command(self, route: Route, wire: float, qualifier: int) -> str:
        if route.command_type is None:
            raise DeviceRefused(f"{route.spec.name} has no command type in its profile", device_code="no command type")
        type_id, time = route.command_type, None
        if self.options.timed_commands and type_id in asdu.COMMANDS:
            type_id += asdu.TIMED_COMMAND_OFFSET
        if type_id in asdu.TIMED_COMMANDS:
            time = datetime.now(UTC)
        item = InformationObject(route.object_address, wire, qualifier, time)
        with self._exchanges.opened(self._request(type_id, route.common_address, item)) as exchange:
            return await self._activate(exchange)

    async def _activate(self, exchange: Exchange) -> str:
        """The raw words of the positive confirmation. Raises LinkDown, AnswerTimeout, DeviceRefused."""
        loop, timeout = asyncio.get_running_loop(), self.options.command_timeout_s
        await self._up().send(asdu.encode(exchange.request))
        left = loop.time()
        try:
            async with asyncio.timeout(timeout):
                answer = await exchange.answer
        except TimeoutError as error:
            self.traffic.timeouts += 1
            name = asdu.type_name(exchange.request.type_id)
            raise AnswerTimeout(f"{name} left, no answer came within {timeout:g} s") from error
        self.traffic.note_round_trip(loop.time() - left)
        try:
            return positive(answer)
        except DeviceRefused:
            self.traffic.refused += 1
            raise


async def _stored(sink: Sink, device_id: str, readings: list[RawReading]) -> None:
    await sink(device_id, readings)


def _from_options(kind: type[_Options], options: Mapping[str, Any]) -> _Options:
    """`kind` filled with those options that are its own. Raises CatalogueError naming the wrong one."""
    values: dict[str, Any] = {}
    for option in fields(kind):
        if option.name in options:
            default: Any = option.default
            try:
                values[option.name] = type(default)(options[option.name])
            except (TypeError, ValueError):
                raise CatalogueError(f"{options[option.name]!r} is no number", field=f"options.{option.name}") from None
    try:
        return kind(**values)
    except ValueError as error:
        raise CatalogueError(str(error), field="options") from error
