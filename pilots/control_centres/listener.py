"""One control centre's listener: the points chosen for it, kept up to date; its set-points handed to `control`. [operation]

Values come from the live channel as pages get them, at most a window before they are stored (docs/decisions/0009); a gap there
means that everything is read anew. A command is confirmed positively when the set-point was validated, negatively when it was
rejected; whether the device obeyed, the measurement shows.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import orjson
from django.conf import settings
from django.db import connections

from pilots.audit.services import record_event
from pilots.control.services import request_setpoint
from pilots.domain.errors import AuditUnavailable, CatalogueError, PilotsError
from pilots.domain.measurement import Measurement
from pilots.domain.point import PointKind
from pilots.domain.quality import Quality
from pilots.domain.setpoint import Issuer, SetpointState
from pilots.drivers.iec104.server import OBJECT_TYPES, ControlledStation, ServedObject, ServerOptions
from pilots.live.hub import hub
from pilots.models import ControlCentre, ControlCentrePoint, LatestValue, Point

log = logging.getLogger(__name__)

#: IEC 104 set-points carry no end: ours holds this long unless the centre's options say otherwise.
VALIDITY_S = 900.0
#: Frames that may wait; more means that everything is read anew instead.
MOST_FRAMES = 1000
DEFAULT_TYPES = {
    PointKind.MEASUREMENT: 13,
    PointKind.NAMEPLATE: 13,
    PointKind.COUNTER: 15,
    PointKind.SETPOINT: 50,
    PointKind.COMMAND: 45,
}


@dataclass(frozen=True, slots=True)
class CentrePlan:
    """A centre as it is configured now; compared to notice changes."""

    name: str
    host: str
    port: int
    common_address: int
    may_control: bool
    options: ServerOptions
    validity_s: float
    objects: tuple[ServedObject, ...]
    references: Mapping[str, int]  # device/point -> object address
    commands: Mapping[int, int]  # object address -> point key
    pilots: tuple[str, ...]


def plan_of(centre: ControlCentre) -> CentrePlan:
    """What a listener needs to know. Raises CatalogueError naming the option or point that is wrong."""
    rows = list(ControlCentrePoint.objects.filter(centre=centre).select_related("point__device__pilot"))
    objects = tuple(_object(row) for row in rows)
    watched = [row for row, each in zip(rows, objects, strict=True) if not each.is_command]
    options = dict(centre.options)
    return CentrePlan(
        name=centre.name,
        host=centre.host,
        port=centre.port,
        common_address=centre.common_address,
        may_control=centre.may_control,
        options=_server_options(centre, options),
        validity_s=_number(options.pop("validity_s", VALIDITY_S), "validity_s"),
        objects=objects,
        references={f"{row.point.device.code}/{row.point.name}": row.object_address for row in watched},
        commands={row.object_address: row.point_id for row, each in zip(rows, objects, strict=True) if each.is_command},
        pilots=tuple(sorted({row.point.device.pilot.code for row in rows})),
    )


def check_centre(centre: ControlCentre) -> None:
    """Its addresses and options can be used. Raises CatalogueError naming the field."""
    if not isinstance(centre.allowed_addresses, list):
        raise CatalogueError("a list of IP addresses", field="allowed_addresses")
    for address in centre.allowed_addresses:
        try:
            ip_address(address)
        except ValueError as error:
            raise CatalogueError(f"{address!r} is no IP address", field="allowed_addresses") from error
    if not isinstance(centre.options, dict):
        raise CatalogueError("a mapping", field="options")
    try:
        _number(centre.options.get("validity_s", VALIDITY_S), "validity_s")
        _server_options(centre, dict(centre.options))
    except CatalogueError as error:
        raise CatalogueError(str(error), field="options") from error


def check_centre_point(row: ControlCentrePoint) -> None:
    """The point can be carried under its type. Raises CatalogueError naming the field."""
    try:
        each = _object(row)
    except CatalogueError as error:
        raise CatalogueError(str(error), field="type_id" if row.type_id else "point") from error
    if each.type_id not in OBJECT_TYPES:
        raise CatalogueError(f"type {each.type_id} is none of {', '.join(map(str, OBJECT_TYPES))}", field="type_id")


def _object(row: ControlCentrePoint) -> ServedObject:
    type_id = row.type_id or default_type(row.point)
    each = ServedObject(address=row.object_address, type_id=type_id, select=row.point.kind == PointKind.COMMAND)
    if each.is_command != PointKind(row.point.kind).writable:
        raise CatalogueError(f"type {type_id} does not fit {row.point}, a {row.point.kind}", field=f"points.{row.object_address}")
    return each


def default_type(point: Point) -> int:
    """The type identification of a point's kind; switch positions are double points, other states floats of their code."""
    if point.kind == PointKind.STATUS:
        codes = {int(code) for code in point.labels}
        return 3 if codes >= {1, 2} and codes <= {0, 1, 2, 3} else 1 if codes <= {0, 1} else 13
    if point.kind == PointKind.COMMAND and {int(code) for code in point.labels} >= {1, 2}:
        return 46
    found = DEFAULT_TYPES.get(PointKind(point.kind))
    if found is None:
        raise CatalogueError(f"{point} is text, which IEC 104 does not carry", field="point")
    return found


def _server_options(centre: ControlCentre, options: dict[str, Any]) -> ServerOptions:
    known = {"t1", "t2", "t3", "k", "w", "connections"}
    unknown = sorted(set(options) - known - {"tls", "validity_s"})
    if unknown:
        raise CatalogueError(f"options knows {', '.join(sorted(known))}, tls and validity_s", field=f"options.{unknown[0]}")
    numbers = {name: int(_number(options[name], name)) for name in known & options.keys()}
    tls = options.get("tls")
    if tls is not None and not isinstance(tls, dict):
        raise CatalogueError("tls is a mapping of ca, certificate and key", field="options.tls")
    return ServerOptions(allowed=frozenset(map(str, centre.allowed_addresses)), tls=tls, **numbers)


def _number(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise CatalogueError(f"{value!r} is no number above 0", field=f"options.{name}")
    return float(value)


class CentreListener:
    """A running listener; `start` and `stop` from one thread, values and commands from others."""

    def __init__(self, plan: CentrePlan) -> None:
        """Raises CatalogueError when c104 cannot serve the plan."""
        self.plan = plan
        self.station = ControlledStation(plan.host, plan.port, plan.common_address, plan.objects, plan.options, self.take)
        # Frames wait here: the hub hands them over under its lock, where nothing may wait for a socket.
        self._frames: deque[str] = deque()
        self._news = threading.Event()
        self._missed = self._stopping = False
        self._reporter = threading.Thread(target=self._report_for_ever, name=f"control centre {plan.name}", daemon=True)

    def start(self) -> None:
        """Everything known is shown, the port is open, changes follow. Raises LinkDown."""
        for pilot in self.plan.pilots:
            hub(settings.REDIS_URL).subscribe(pilot, self._take_frame)
        self._show_all(report=False)
        self.station.start()
        self._reporter.start()

    def stop(self) -> None:
        """The port is closed."""
        for pilot in self.plan.pilots:
            hub(settings.REDIS_URL).unsubscribe(pilot, self._take_frame)
        self._stopping = True
        self._news.set()
        if self._reporter.is_alive():
            self._reporter.join(2.0)
        self.station.stop()

    def _take_frame(self, _number: int, text: str, gap: bool) -> None:
        if gap or len(self._frames) >= MOST_FRAMES:
            self._missed = True
        else:
            self._frames.append(text)
        self._news.set()

    def _report_for_ever(self) -> None:
        while not self._stopping:
            self._news.wait()
            self._news.clear()
            try:
                self._report_news()
            except Exception:  # the outermost loop of this centre's values
                log.exception("control centre %s", self.plan.name)
                self._missed = True
        connections.close_all()

    def _report_news(self) -> None:
        if self._missed:
            self._missed = False
            self._frames.clear()
            self._show_all()
        while self._frames:
            self.station.update(list(self._of_frame(orjson.loads(self._frames.popleft())["points"])))

    def _show_all(self, *, report: bool = True) -> None:
        """The objects show the process image as it stands in the database; what has no value yet is invalid."""
        codes = {reference.partition("/")[0] for reference in self.plan.references}
        now = datetime.now(UTC)
        values = {address: Measurement(None, Quality(), now, now) for address in self.plan.references.values()}
        for row in LatestValue.objects.filter(point__device__code__in=codes).select_related("point__device"):
            address = self.plan.references.get(f"{row.point.device.code}/{row.point.name}")
            if address is not None:
                values[address] = Measurement(row.value, row.unpacked_quality, row.source_time, row.received_time)
        self.station.update(list(values.items()), report=report)

    def _of_frame(self, rows: Iterable[list[Any]]) -> Iterator[tuple[int, Measurement]]:
        for reference, value, packed, source_ms, received_ms, *_text in rows:
            address = self.plan.references.get(reference)
            if address is not None:
                source, received = (datetime.fromtimestamp(ms / 1000, UTC) for ms in (source_ms, received_ms))
                yield address, Measurement(value, Quality.unpack(packed), source, received)

    # Set-points

    def take(self, address: int, value: float) -> bool:
        """Whether the set-point was validated; refused ones are in the audit trail with their reason."""
        now, actor = datetime.now(UTC), f"control centre {self.plan.name}"
        point = Point.objects.select_related("device__pilot", "device__connection").get(pk=self.plan.commands[address])
        try:
            if not self.plan.may_control:
                raise CatalogueError("this control centre may only read", field="may_control")
            setpoint = request_setpoint(
                point=point,
                value=value,
                unit=point.unit,
                issuer=Issuer.CONTROL_CENTRE,
                requested_by=actor,
                valid_until=now + timedelta(seconds=self.plan.validity_s),
                now=now,
                reason=f"IEC 104, object address {address}",
            )
        except PilotsError as error:
            self._refuse(point, value, str(error), now, actor)
            return False
        finally:
            connections.close_all()  # c104's threads come and go
        return setpoint.state != SetpointState.REJECTED

    def _refuse(self, point: Point, value: float, reason: str, now: datetime, actor: str) -> None:
        log.warning("%s: %s = %g refused: %s", actor, point, value, reason)
        pilot, form = point.device.pilot.code, {"value": value}
        try:
            record_event(
                at=now, actor=actor, action="refuse set-point", pilot=pilot, subject=str(point), reason=reason, details=form
            )
        except AuditUnavailable as error:  # the refusal stands, and the log has it
            log.error("%s", error)
