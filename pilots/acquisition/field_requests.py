"""Questions of people to the gateway that holds a connection: rows, claimed and answered like set-points. [station]

For the commissioning page and the frame log. A write here is for addresses that are no points yet: what is configured as a
set-point or command is refused, because nothing passes by the one door of `pilots.control`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection as database
from django.db import transaction
from django.db.models import Exists

from pilots.acquisition.address_checks import occupied_by
from pilots.acquisition.targets import read_plan
from pilots.audit.services import record_event
from pilots.control.guards import block_words, unguarded
from pilots.domain.errors import CatalogueError
from pilots.domain.point import PointKind, PointSpec
from pilots.domain.topology import Protocol
from pilots.live.hub import hub
from pilots.models import Connection, Device, FieldRequest, Lease, RequestKind
from pilots.models.leases import HeldLease

KEPT = timedelta(hours=1)
#: What is said of a question whose gateway ended before it noted the outcome.
LOST = "unknown: the gateway stopped between question and answer"
_ANY_WAITS = "SELECT 1 FROM pilots_fieldrequest WHERE claimed_at IS NULL AND answered_at IS NULL LIMIT 1"
_ABOUT_AN_ADDRESS = (RequestKind.READ, RequestKind.WRITE)


def ask(
    *,
    connection: Connection,
    kind: str,
    question: dict[str, Any],
    asked_by: str,
    now: datetime,
    patience_s: float,
    device: Device | None = None,
) -> FieldRequest:
    """The question stands in the table and its gateway has been told; after `patience_s` it is not carried out any more.

    `question` is `{address, kind, unit, scale, offset, sign, type}` for READ, the same with `value` (in the point's unit
    and sign) for WRITE, `{after}` for FRAMES. Whether the person may ask is the caller's to check (WRITE: engineer).
    Raises CatalogueError whose field is the part of the question that is wrong; `address` where a set-point must be used.
    """
    kind = RequestKind(kind)
    if connection.protocol == Protocol.PUSH:
        raise CatalogueError("these devices push to us: they cannot be asked", field="connection")
    if kind in _ABOUT_AN_ADDRESS:
        if device is None or device.connection_id != connection.pk:
            raise CatalogueError(f"name a device of connection {connection.name}", field="device")
        spec = spec_of(kind, question)
        if kind == RequestKind.WRITE:
            _value(question)
            check_free(connection, device, spec)
            if blocked := block_words(device):
                raise CatalogueError(blocked, field="device")
    with transaction.atomic():
        request = FieldRequest.objects.create(
            connection=connection,
            device=device,
            kind=kind,
            question=question,
            asked_by=asked_by,
            asked_at=now,
            expires_at=now + timedelta(seconds=patience_s),
        )
        if kind == RequestKind.WRITE:
            _note_audit(request, asked_by, "write address", now, question)
        transaction.on_commit(lambda: hub(settings.REDIS_URL).wake(connection.name))
    return request


def answer_of(key: UUID) -> FieldRequest:
    """The request as it stands now: `answer` or `error` once it is `answered_at`. Raises FieldRequest.DoesNotExist."""
    return FieldRequest.objects.get(pk=key)


def spec_of(kind: str, question: Mapping[str, Any]) -> PointSpec:
    """The point that the question describes. Raises CatalogueError with the field."""
    address = question.get("address")
    if not isinstance(address, Mapping) or not address:
        raise CatalogueError("give the address as the protocol has it", field="address")
    if question.get("type") and "type" not in address:
        address = {**address, "type": question["type"]}
    default = PointKind.SETPOINT if kind == RequestKind.WRITE else PointKind.MEASUREMENT
    try:
        point_kind = PointKind(question.get("kind") or default)
    except ValueError as error:
        raise CatalogueError(f"one of {', '.join(PointKind)}", field="kind") from error
    if kind == RequestKind.WRITE and not point_kind.writable:
        raise CatalogueError("only a setpoint or a command is written", field="kind")
    scale, offset, sign = (_number(question, name, default) for name, default in (("scale", 1.0), ("offset", 0.0), ("sign", 1.0)))
    if scale == 0:
        raise CatalogueError("a scale of 0 loses the value", field="scale")
    if sign not in (1, -1):
        raise CatalogueError("1 or -1", field="sign")
    name, unit = str(question.get("name") or "asked"), str(question.get("unit") or "")
    return PointSpec(name=name, kind=point_kind, unit=unit, address=address, scale=scale, offset=offset, sign=int(sign))


def check_free(connection: Connection, device: Device, spec: PointSpec) -> None:
    """No configured set-point or command stands at this address. Raises CatalogueError, field `address`."""
    asked = next(target for target in read_plan(connection).target.devices if target.id == device.code)
    for other in _same_equipment(connection):
        plan = read_plan(other)
        point = occupied_by(plan.protocol, plan.target.devices, asked, spec)
        if point:
            raise CatalogueError(f"this is {point}: use a set-point, nothing passes by its checks", field="address")


def waiting_requests(now: datetime) -> set[int]:
    """Keys of the connections that somebody waits for."""
    waiting = FieldRequest.objects.filter(claimed_at=None, answered_at=None, expires_at__gt=now)
    return set(waiting.values_list("connection", flat=True).distinct())


def requests_for(connections: Iterable[int], now: datetime) -> list[FieldRequest]:
    """What waits for these connections, oldest first."""
    with database.cursor() as cursor:
        cursor.execute(_ANY_WAITS)
        if cursor.fetchone() is None:  # nearly always, and asked with every set-point
            return []
    waiting = FieldRequest.objects.filter(connection__in=list(connections), claimed_at=None, answered_at=None, expires_at__gt=now)
    return list(waiting.select_related("connection__pilot", "device").order_by("asked_at"))


def claim(request: FieldRequest, lease: HeldLease, *, now: datetime) -> bool:
    """True exactly once, for the worker that holds the connection's lease, before the question has expired.

    A write to a device that was tagged meanwhile, or while commands are off, is answered with that and not claimed.
    """
    ours = Lease.objects.filter(resource=lease.resource, owner=lease.owner, epoch=lease.epoch, until__gt=now)
    waiting = FieldRequest.objects.filter(Exists(ours), pk=request.pk, claimed_at=None, answered_at=None, expires_at__gt=now)
    if request.kind != RequestKind.WRITE or request.device is None:
        return bool(waiting.update(claimed_at=now))
    if waiting.filter(unguarded(request.device)).update(claimed_at=now):
        return True
    blocked = block_words(request.device)
    if blocked and waiting.exists():
        note_answer(request, None, blocked, actor=lease.owner, now=now)
    return False


def note_answer(request: FieldRequest, answer: Any, error: str, *, actor: str, now: datetime) -> None:
    """The outcome stands in the row, that of a write in the audit trail too."""
    with transaction.atomic():
        FieldRequest.objects.filter(pk=request.pk).update(answered_at=now, answer=answer, error=error[:300])
        if request.kind == RequestKind.WRITE:
            _note_audit(request, actor, "write address outcome", now, {"error": error} if error else {"answer": answer})


def recover(connections: Iterable[int], *, now: datetime) -> int:
    """Questions that an earlier gateway claimed and did not answer are told as unknown. Returns how many."""
    lost = FieldRequest.objects.filter(connection__in=list(connections), claimed_at__isnull=False, answered_at=None)
    return lost.update(answered_at=now, error=LOST)


def forget_old_requests(now: datetime) -> int:
    """Rows of the last hour are left. Returns how many went."""
    return FieldRequest.objects.filter(asked_at__lt=now - KEPT).delete()[0]


def _number(question: Mapping[str, Any], name: str, default: float) -> float:
    value = question.get(name)
    if value is None or value == "":
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise CatalogueError("a number is wanted", field=name)
    return float(value)


def _value(question: Mapping[str, Any]) -> float:
    if question.get("value") in (None, ""):
        raise CatalogueError("a value is wanted", field="value")
    return _number(question, "value", 0.0)


def _same_equipment(connection: Connection) -> list[Connection]:
    """This connection and others to the same place: two ways to one register are one register."""
    if connection.serial_line:
        return list(Connection.objects.filter(serial_line=connection.serial_line))
    if connection.port is None:
        return [connection]
    return list(
        Connection.objects.filter(host=connection.host, port=connection.port, serial_line="").exclude(protocol=Protocol.PUSH)
    )


def _note_audit(request: FieldRequest, actor: str, action: str, now: datetime, details: Mapping[str, Any]) -> None:
    device = request.device
    record_event(
        at=now,
        actor=actor,
        action=action,
        pilot=request.connection.pilot.code,
        subject=device.code if device is not None else request.connection.name,
        details={"request": str(request.pk), **details},
    )
