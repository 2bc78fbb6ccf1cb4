"""The controlled station that others' control centres read: a c104 server with our points. [zone: operation]

IEC 60870-5-104, controlled station. c104 keeps one type per object address, so an interrogation is answered with the same
type as spontaneous reports use, and it packs neighbouring addresses into a sequence (SQ = 1), which IEC 60870-5-101, 7.3.1
allows to types without a time tag only: time-tagged objects must not be neighbours. Its callbacks run in its own threads,
need exact annotations (hence no postponed ones here) and are dropped for good when they raise. The process must run with
TZ=UTC: c104 writes naive local times.
"""

import datetime
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import c104

from pilots.domain.errors import CatalogueError, LinkDown
from pilots.domain.measurement import Measurement
from pilots.domain.quality import Flag, Source, Validity

log = logging.getLogger(__name__)

MONITOR = {
    1: c104.Type.M_SP_NA_1, 3: c104.Type.M_DP_NA_1, 13: c104.Type.M_ME_NC_1, 15: c104.Type.M_IT_NA_1,
    30: c104.Type.M_SP_TB_1, 31: c104.Type.M_DP_TB_1, 36: c104.Type.M_ME_TF_1, 37: c104.Type.M_IT_TB_1,
}  # fmt: skip
CONTROL = {45: c104.Type.C_SC_NA_1, 46: c104.Type.C_DC_NA_1, 50: c104.Type.C_SE_NC_1}
TIME_TAGGED = (30, 31, 36, 37)
OBJECT_TYPES = sorted({**MONITOR, **CONTROL})
#: A binary counter reading has 31 bits and rolls over (IEC 60870-5-101, 7.2.6.9).
COUNTER_RANGE = 2**31
OBJECTS_PER_ASDU = 15
SELECT_TIMEOUT_MS = 30_000
_DOUBLES = (c104.Double.INTERMEDIATE, c104.Double.OFF, c104.Double.ON, c104.Double.INDETERMINATE)

#: `take(object_address, value)` answers whether the set-point was taken; called in a thread of c104's.
Taker = Callable[[int, float], bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class ServedObject:
    """One object: its address, its type identification, and for commands whether they are selected first."""

    address: int
    type_id: int
    select: bool = False

    @property
    def is_command(self) -> bool:
        return self.type_id in CONTROL


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerOptions:
    """Who may connect and how; timers in seconds (IEC 60870-5-104, 9.6). `tls` as for drivers, with our own certificate."""

    allowed: frozenset[str]
    t1: int = 15
    t2: int = 10
    t3: int = 20
    k: int = 12
    w: int = 8
    tls: dict[str, str] | None = None
    connections: int = 4


class ControlledStation:
    """One listener; thread-safe. `start` listens, `update` reports, `stop` hangs up."""

    def __init__(
        self, host: str, port: int, common_address: int, objects: Sequence[ServedObject], options: ServerOptions, take: Taker
    ) -> None:
        """Raises CatalogueError when two objects want one address or a type is none of `OBJECT_TYPES`."""
        self.place = f"{host}:{port}"
        self.refused_peers = 0
        self._options, self._take = options, take
        self._lock = threading.Lock()
        self._server = c104.Server(
            ip=host,
            port=port,
            tick_rate_ms=100,
            select_timeout_ms=SELECT_TIMEOUT_MS,
            max_connections=options.connections,
            transport_security=_security(options.tls),
        )
        self._set_parameters()
        self._server.on_connect(callable=self._on_connect)
        self._server.on_clock_sync(callable=self._on_clock_sync)
        station = self._server.add_station(common_address=common_address)
        if station is None:
            raise CatalogueError(f"common address {common_address} is impossible", field="common_address")
        self._check_neighbours(objects)
        self._types = {each.address: each.type_id for each in objects if not each.is_command}
        self._points = {each.address: self._add(station, each) for each in objects}

    def start(self) -> None:
        """The port is open. Raises LinkDown when it is not ours to open."""
        try:
            self._server.start()
        except RuntimeError as error:
            raise LinkDown(f"{self.place} cannot be opened: {error}") from error
        if not self._server.is_running:
            raise LinkDown(f"{self.place} cannot be opened")

    def stop(self) -> None:
        """Nobody is connected and nothing listens."""
        self._server.stop()

    @property
    def connected(self) -> int:
        """How many control centres are connected and have started the data transfer."""
        return int(self._server.active_connection_count)

    def update(self, values: Sequence[tuple[int, Measurement]], *, report: bool = True) -> None:
        """These objects show these measurements; `report` also tells who is connected, spontaneously."""
        with self._lock:
            grouped: dict[int, list[c104.Point]] = {}
            for address, measurement in values:
                type_id = self._types.get(address)
                if type_id is not None:
                    self._points[address].info = information(type_id, measurement)
                    grouped.setdefault(type_id, []).append(self._points[address])
            if report:
                for points in grouped.values():
                    self._report(points)

    def _report(self, points: list[c104.Point]) -> None:
        for start in range(0, len(points), OBJECTS_PER_ASDU):
            batch = c104.Batch(cause=c104.Cot.SPONTANEOUS, points=points[start : start + OBJECTS_PER_ASDU])
            self._server.transmit_batch(batch)  # False only means that nobody listens just now

    def _add(self, station: c104.Station, each: ServedObject) -> c104.Point:
        kind = MONITOR.get(each.type_id) or CONTROL.get(each.type_id)
        if kind is None:
            raise CatalogueError(f"type {each.type_id} is none of {OBJECT_TYPES}", field="type_id")
        if each.is_command:
            mode = c104.CommandMode.SELECT_AND_EXECUTE if each.select else c104.CommandMode.DIRECT
            point = station.add_point(io_address=each.address, type=kind, command_mode=mode)
        else:
            point = station.add_point(io_address=each.address, type=kind)
        if point is None:
            raise CatalogueError(f"object address {each.address} is taken twice", field="object_address")
        if each.is_command:
            point.on_receive(callable=self._on_command)
        return point

    @staticmethod
    def _check_neighbours(objects: Sequence[ServedObject]) -> None:
        tagged = {(each.type_id, each.address) for each in objects if each.type_id in TIME_TAGGED}
        for type_id, address in sorted(tagged):
            if (type_id, address + 1) in tagged:
                words = f"time-tagged objects need a free address between them: {address} and {address + 1} are neighbours"
                raise CatalogueError(words, field="object_address")

    def _set_parameters(self) -> None:
        parameters = self._server.protocol_parameters
        parameters.message_timeout = self._options.t1
        parameters.confirm_interval = self._options.t2
        parameters.keep_alive_interval = self._options.t3
        parameters.send_window_size = self._options.k
        parameters.receive_window_size = self._options.w

    # Callbacks, in c104's threads

    def _on_connect(self, server: c104.Server, ip: str) -> bool:
        if ip in self._options.allowed:
            return True
        self.refused_peers += 1
        log.warning("%s: %s is not allowed to connect", self.place, ip)
        return False

    def _on_clock_sync(self, server: c104.Server, ip: str, date_time: datetime.datetime) -> c104.ResponseState:
        # Our clock is the machine's; a control centre does not set it.
        return c104.ResponseState.FAILURE

    def _on_command(
        self, point: c104.Point, previous_info: c104.Information, message: c104.IncomingMessage
    ) -> c104.ResponseState:
        try:
            if message.is_select_command:
                return c104.ResponseState.SUCCESS
            taken = self._take(point.io_address, number(point.value))
        except Exception:
            log.exception("%s: command to %s failed", self.place, point.io_address)
            taken = False
        return c104.ResponseState.SUCCESS if taken else c104.ResponseState.FAILURE


def information(type_id: int, measurement: Measurement) -> c104.Information:
    """The object's information; a missing value goes out as invalid, never as a number that looks good."""
    missing = measurement.value is None
    quality = quality_of(measurement)
    value = 0.0 if measurement.value is None else measurement.value
    stamp = measurement.source_time.astimezone(datetime.UTC).replace(tzinfo=None) if type_id >= 30 else None
    if type_id in (1, 30):
        return c104.SingleInfo(on=bool(value), quality=quality, recorded_at=stamp)
    if type_id in (3, 31):
        return c104.DoubleInfo(state=_DOUBLES[int(value) & 3], quality=quality, recorded_at=stamp)
    if type_id in (15, 37):
        bad = missing or measurement.quality.validity is Validity.INVALID
        state = c104.BinaryCounterQuality.Invalid if bad else c104.BinaryCounterQuality()
        count = int(value) % COUNTER_RANGE
        return c104.BinaryCounterInfo(counter=count, sequence=c104.UInt5(0), quality=state, recorded_at=stamp)
    return c104.ShortInfo(actual=value, quality=quality, recorded_at=stamp)


def quality_of(measurement: Measurement) -> c104.Quality:
    """The quality descriptor QDS (IEC 60870-5-101, 7.2.6.3). What is questionable for any reason is not topical."""
    quality = measurement.quality
    descriptor: Any = c104.Quality()
    if measurement.value is None or quality.validity is Validity.INVALID:
        descriptor |= c104.Quality.Invalid
    if quality.validity is Validity.QUESTIONABLE or Flag.OLD in quality.flags:
        descriptor |= c104.Quality.NonTopical
    if quality.source is Source.SUBSTITUTED:
        descriptor |= c104.Quality.Substituted
    if Flag.BLOCKED in quality.flags:
        descriptor |= c104.Quality.Blocked
    if Flag.OVERFLOW in quality.flags:
        descriptor |= c104.Quality.Overflow
    combined: c104.Quality = descriptor
    return combined


def number(value: object) -> float:
    """A command's value; double commands: 1 open (OFF), 2 closed (ON)."""
    if isinstance(value, c104.Double):
        return float(_DOUBLES.index(value))
    return float(value)  # type: ignore[arg-type]


def _security(tls: dict[str, str] | None) -> c104.TransportSecurity | None:
    """Mutual TLS 1.2 or newer (IEC 62351-3). Raises CatalogueError naming the file that is wrong."""
    if tls is None:
        return None
    security = c104.TransportSecurity(validate=True, only_known=False)
    try:
        security.set_certificate(cert=tls["certificate"], key=tls["key"])
        security.set_ca_certificate(cert=tls["ca"])
    except KeyError as error:
        raise CatalogueError("tls needs ca, certificate and key", field=f"options.tls.{error.args[0]}") from error
    except (ValueError, RuntimeError) as error:
        raise CatalogueError(f"a certificate or key cannot be used: {error}", field="options.tls") from error
    security.set_version(min=c104.TlsVersion.TLS_1_2, max=c104.TlsVersion.TLS_1_3)
    return security
