"""What a telecontrol station of IEC 60870-5 holds and answers, whatever link carries it. [zone: station, simulated]

Source: IEC 60870-5-101:2003, 7.4; IEC 60870-5-5:1995, 6. Messages are hat-drivers'. Groups: the objects of the first device
are group 1, those of the second group 2 and so on, after 16 from 1 again; counters have groups 1-4 in the same way.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hat.drivers import iec101, iec104
from hat.drivers.iec101.encoder import get_msg_asdu_type as type_of_101
from hat.drivers.iec104.encoder import get_msg_asdu_type as type_of_104

from pilots.catalogue.points import resolve_points
from pilots.domain.errors import CatalogueError
from pilots.domain.point import PointKind, PointSpec
from pilots.domain.profile import Profile
from pilots.domain.topology import ConnectionSpec, PilotSpec
from pilots.simulators.iec60870_objects import (
    MONITOR,
    TAGGED,
    Monitored,
    commanded,
    data_message,
    declared_type,
    moment_of,
)
from pilots.simulators.ledger import Ledger
from pilots.simulators.plant import Plant, Refused

log = logging.getLogger(__name__)

SELECTED_S = 30.0
#: A command whose time tag is older than this is refused.
COMMAND_DELAY_S = 10.0
STATION_INTERROGATION, GENERAL_COUNTERS = 20, 5
GROUPS, COUNTER_GROUPS = 16, 4
_TIMED = 13  # between a command's type and that of its sister with a time tag
_DEFAULT_COMMAND = {PointKind.SETPOINT: 50, PointKind.COMMAND: 45}
_TO_ALL = (iec101.InterrogationMsg, iec101.CounterInterrogationMsg, iec101.ClockSyncMsg)
_CAUSE, _DATA = iec101.CommandResCause, iec101.DataResCause


@dataclass(frozen=True, slots=True)
class Placed:
    """A point with the place of its object; `group` is its device's turn at the unit."""

    device: str
    link: int
    common: int
    address: int
    group: int
    spec: PointSpec


def placed_points(connection: ConnectionSpec, pilot: PilotSpec, profiles: Mapping[str, Profile]) -> Iterator[Placed]:
    """All points behind the connection that have an object address."""
    default = int(connection.options.get("ca", 1))
    devices = (device for device in pilot.devices if device.connection == connection.name and device.profile in profiles)
    for turn, device in enumerate(devices):
        common, base = int(device.address.get("ca", default)), int(device.address.get("ioa", 0))
        link = int(device.address.get("link", common))
        for spec in resolve_points(device, profiles[device.profile], connection).values():
            if "ioa" in spec.address:
                own = int(spec.address.get("ca", common))
                yield Placed(device.id, link, own, base + int(spec.address["ioa"]), turn, spec)


class Station:
    """The objects of one or more common addresses: their image, what is due, and the answers to what is asked."""

    #: The common address that means all stations; 0xFF where it has one octet.
    everybody = 0xFFFF

    def __init__(self, plant: Plant, ledger: Ledger, name: str, clock: Callable[[], datetime] | None = None) -> None:
        self.plant, self.ledger, self.name = plant, ledger, name
        self.clock = clock or (lambda: datetime.now(UTC))
        self._monitored: dict[tuple[int, int], Monitored] = {}
        self._commands: dict[tuple[int, int], Placed] = {}
        self._selected: dict[tuple[Hashable, int, int], float] = {}

    def add(self, point: Placed) -> None:
        """Raises CatalogueError when the object address is taken or the type is not simulated."""
        place = (point.common, point.address)
        if place in self._monitored or place in self._commands:
            raise CatalogueError(f"{point.device} {point.spec.name}: object address {point.address} is taken")
        if _command_type(point.spec) is not None:
            self._commands[place] = point
        else:
            self._monitored[place] = _monitored(point)

    @property
    def common_addresses(self) -> set[int]:
        return {common for common, _ in (*self._monitored, *self._commands)}

    def due(self) -> list[tuple[Monitored, Any]]:
        """Objects that have something to report, with the report; noted as reported."""
        now, at, found = time.monotonic(), self.clock(), []
        for each in self._by_type():
            value = self._value(each)
            if each.is_due(value, now):
                each.note(value, now)
                own = self.plant.own_time(each.device, at)
                found.append((each, data_message(each, value, cause=_DATA.SPONTANEOUS, at=own)))
        return found

    def answers(self, message: Any, peer: Hashable = None) -> Iterator[Any]:
        """What is told to `peer`, who said that. To all stations (7.2.4): each answers in its own name."""
        if message.asdu_address == self.everybody and isinstance(message, _TO_ALL):
            for common in sorted(self.common_addresses):
                yield from self.answers(message._replace(asdu_address=common), peer)
        elif isinstance(message, iec101.CommandMsg | iec104.CommandMsg):
            yield from self._command(message, peer)
        elif isinstance(message, iec101.InterrogationMsg | iec101.CounterInterrogationMsg):
            yield from self._interrogation(message)
        elif isinstance(message, iec101.ClockSyncMsg):
            yield message._replace(cause=iec101.ClockSyncResCause.ACTIVATION_CONFIRMATION)
        elif isinstance(message, iec101.TestMsg | iec104.TestMsg):
            yield message._replace(cause=iec101.ActivationResCause.ACTIVATION_CONFIRMATION)
        elif isinstance(message, iec101.ReadMsg):
            each = self._monitored.get((message.asdu_address, message.io_address))
            if each is None:
                yield message._replace(cause=iec101.ReadResCause.UNKNOWN_IO_ADDRESS)
            else:
                yield data_message(each, self._value(each), cause=_DATA.REQUEST)

    def _by_type(self) -> list[Monitored]:
        """Objects of one type and common address stand together, so that few ASDUs carry them."""
        return sorted(self._monitored.values(), key=lambda each: (each.common, each.type_id, each.timed))

    def _value(self, each: Monitored) -> float | None:
        raw = self.plant.read(each.device, each.spec.name)
        return raw if isinstance(raw, float | int) else None

    # -- interrogations

    def _interrogation(self, message: Any) -> Iterator[Any]:
        if message.asdu_address not in self.common_addresses:
            yield message._replace(cause=_CAUSE.UNKNOWN_ASDU_ADDRESS, is_negative_confirm=True)
            return
        counters = isinstance(message, iec101.CounterInterrogationMsg)
        asked = _counter_group(message.request) if counters else _group(message.request)
        yield message._replace(cause=_CAUSE.ACTIVATION_CONFIRMATION, is_negative_confirm=asked is None)
        if asked is None:
            return
        if not counters or message.freeze == iec101.FreezeCode.READ:
            yield from self._image(message.asdu_address, *asked, counters=counters)
        yield message._replace(cause=_CAUSE.ACTIVATION_TERMINATION)

    def _image(self, common: int, group: int, cause: Any, *, counters: bool) -> Iterator[Any]:
        groups = COUNTER_GROUPS if counters else GROUPS
        for each in self._by_type():
            if each.common == common and each.is_counter is counters and group in (0, 1 + each.group % groups):
                yield data_message(each, self._value(each), cause=cause)

    # -- commands

    def _command(self, message: Any, peer: Hashable) -> Iterator[Any]:
        place = (message.asdu_address, message.io_address)
        known = self._commands.get(place)
        if known is None:
            yield message._replace(cause=_CAUSE.UNKNOWN_IO_ADDRESS, is_negative_confirm=True)
        elif _type_of(message) != _command_type(known.spec):
            yield message._replace(cause=_CAUSE.UNKNOWN_TYPE, is_negative_confirm=True)
        elif message.cause == iec101.CommandReqCause.DEACTIVATION:
            selected = self._selected.pop((peer, *place), None) is not None
            yield message._replace(cause=_CAUSE.DEACTIVATION_CONFIRMATION, is_negative_confirm=not selected)
        else:
            obeyed = self._obey(message, known, (peer, *place))
            yield message._replace(cause=_CAUSE.ACTIVATION_CONFIRMATION, is_negative_confirm=not obeyed)
            if obeyed and not getattr(message.command, "select", False):
                yield message._replace(cause=_CAUSE.ACTIVATION_TERMINATION)

    def _obey(self, message: Any, point: Placed, selection: tuple[Hashable, int, int]) -> bool:
        """Whether the select or the command was taken."""
        spec, now = point.spec, time.monotonic()
        value, able = spec.from_wire(commanded(message.command)), spec.capability
        if not math.isfinite(value) or (able is not None and not able.minimum <= value <= able.maximum):
            return False
        if self._is_too_old(getattr(message, "time", None)):
            return False
        if getattr(message.command, "select", False):
            self._selected[selection] = now + SELECTED_S
            return bool(spec.address.get("select"))
        if spec.address.get("select") and self._selected.pop(selection, 0.0) < now:
            return False
        try:
            self.plant.write(point.device, spec.name, value)
        except Refused as refusal:
            log.info("%s refused %s %s: %s", point.device, spec.name, value, refusal)
            return False
        self.ledger.write(device=point.device, point=spec.name, value=value, peer=self.name)
        return True

    def _is_too_old(self, tag: Any) -> bool:
        if tag is None:
            return False
        try:
            return bool(tag.invalid) or (self.clock() - moment_of(tag)).total_seconds() > COMMAND_DELAY_S
        except ValueError:
            return True


def _command_type(spec: PointSpec) -> int | None:
    declared = spec.address.get("command_type", _DEFAULT_COMMAND.get(spec.kind))
    return None if declared is None else int(declared)


def _type_of(message: Any) -> int:
    """Of a command, with or without a time tag."""
    timed = getattr(message, "time", None) is not None
    find = type_of_104 if isinstance(message, iec104.CommandMsg) else type_of_101
    return int(find(message).value) - (_TIMED if timed else 0)


def _monitored(point: Placed) -> Monitored:
    """Raises CatalogueError."""
    type_id = declared_type(point.spec)
    if type_id not in MONITOR:
        raise CatalogueError(f"{point.device} {point.spec.name}: type {type_id} is not simulated")
    return Monitored(
        device=point.device,
        spec=point.spec,
        common=point.common,
        address=point.address,
        type_id=TAGGED.get(type_id, type_id),
        timed=type_id in TAGGED,
        group=point.group,
    )


def _group(request: int) -> tuple[int, Any] | None:
    """The group (0: all) that a qualifier of interrogation asks for, and the cause of what it brings."""
    group = request - STATION_INTERROGATION
    return (group, _DATA(request)) if 0 <= group <= GROUPS else None


def _counter_group(request: int) -> tuple[int, Any] | None:
    if request == GENERAL_COUNTERS:
        return 0, _DATA.INTERROGATED_COUNTER
    return (request, _DATA(_DATA.INTERROGATED_COUNTER.value + request)) if 1 <= request <= COUNTER_GROUPS else None
