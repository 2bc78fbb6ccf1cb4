"""Control objects of a simulated IED: the four models, selection, and refusals that say why. [zone: field, simulated]

IEC 61850-7-2, clause 20; mapping IEC 61850-8-1, clause 20. A double point is SBO with enhanced security, an analogue
set-point direct with enhanced, a step of more than two labels SBO with normal and any other command direct with normal
security: so all four models occur.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum
from typing import Any

from pilots.domain.point import PointKind, PointSpec
from pilots.simulators.iec61850 import binding, model
from pilots.simulators.iec61850.binding import Bound
from pilots.simulators.iec61850.library import mms
from pilots.simulators.iec61850.model import Branch, Leaf, Model
from pilots.simulators.plant import Plant, Refused

#: Seconds from an accepted Oper of an enhanced model to its CommandTermination: what a drive takes, shortened.
OPERATING_S = 0.05
#: Seconds a selection lasts.
SELECTED_S = 30.0
_OPEN, _CLOSED = 1, 2
_DENIED = mms.DataAccessError.OBJECT_ACCESS_DENIED
_ORIGIN = mms.StructureTypeDescription(
    [("orCat", mms.IntegerTypeDescription(8)), ("orIdent", mms.OctetStringTypeDescription(-64))]
)


class ControlModel(IntEnum):
    """ctlModel (IEC 61850-7-3, 6.6.3)."""

    DIRECT_NORMAL = 1
    SBO_NORMAL = 2
    DIRECT_ENHANCED = 3
    SBO_ENHANCED = 4


class AddCause(IntEnum):
    """Those a simulated device means by itself (IEC 61850-7-2, AddCause)."""

    BLOCKED_BY_SWITCHING_HIERARCHY = 2
    POSITION_REACHED = 5
    BLOCKED_BY_MODE = 8
    BLOCKED_BY_PROCESS = 9
    BLOCKED_BY_INTERLOCKING = 10
    COMMAND_ALREADY_IN_EXECUTION = 12
    OBJECT_NOT_SELECTED = 18
    INCONSISTENT_PARAMETERS = 26
    LOCKED_BY_OTHER_CLIENT = 27


class Stage(StrEnum):
    """Where a training fault makes an object refuse."""

    SELECT = "select"
    OPERATE = "operate"
    TERMINATION = "termination"


@dataclass(frozen=True, slots=True)
class Order:
    """What a client wrote to Oper, SBOw or Cancel."""

    data: Any
    value: float
    origin: Any
    number: int
    test: bool
    interlock_check: bool

    def is_same(self, other: Order | None) -> bool:
        """Whether it is the order that was selected: all but its time."""
        return other is not None and (self.value, self.origin, self.number) == (other.value, other.origin, other.number)


class ControlObject:
    """One controllable data object. `blocked` holds AddCauses to refuse with, by stage, until they are taken away."""

    def __init__(
        self, tree: Model, prefix: str, device_id: str, spec: PointSpec, plant: Plant, obeyed: Callable[[str, float], None]
    ) -> None:
        self.device_id, self.spec, self._plant, self._obeyed = device_id, spec, plant, obeyed
        self.domain, node, path = binding.split(prefix, spec)
        self.item = f"{node}$CO${path[0]}"
        self.double = binding.is_double(path[0])
        self.model = _model_of(spec, double=self.double)
        self.blocked: dict[Stage, int] = {}
        self.interlocked = False
        self.select_s = SELECTED_S
        self.status = self._bind_status(tree, prefix, f"{spec.address['ref'].partition('/')[0]}/{node}.{path[0]}")
        self._selected_by: Any = None
        self._selected_until = 0.0
        self._selected: Order | None = None
        self._running: asyncio.Task[None] | None = None
        self._build(tree, node, path[0])

    @property
    def is_sbo(self) -> bool:
        return self.model in (ControlModel.SBO_NORMAL, ControlModel.SBO_ENHANCED)

    @property
    def is_enhanced(self) -> bool:
        return self.model in (ControlModel.DIRECT_ENHANCED, ControlModel.SBO_ENHANCED)

    def forget(self, connection: Any) -> None:
        """The client is gone, and its selection with it."""
        if self._selected_by is connection:
            self._deselect()

    async def stop(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    # ---------------------------------------------------------------- what it looks like

    def _bind_status(self, tree: Model, prefix: str, reference: str) -> Bound | None:
        """The object's own status or measured value follows what the command did."""
        if self.spec.kind is PointKind.SETPOINT:
            shown = replace(
                self.spec, kind=PointKind.MEASUREMENT, address={"ref": f"{reference}.mxVal.f", "fc": "MX"}, deadband=0.0
            )
        else:
            name = self.spec.feedback if self.double and self.spec.feedback else self.spec.name
            address = {"ref": f"{reference}.stVal", "fc": "ST"}
            shown = replace(self.spec, name=name, kind=PointKind.STATUS, address=address)
        return binding.bind(tree, prefix, self.device_id, shown)

    def _build(self, tree: Model, node: str, data_object: str) -> None:
        configuration = tree.branch(self.domain, f"{node}$CF${data_object}")
        configuration.parts["ctlModel"] = model.integer(self.model)
        control = tree.branch(self.domain, self.item)
        if self.model is ControlModel.SBO_NORMAL:
            control.parts["SBO"] = Leaf(
                mms.VisibleStringTypeDescription(-129), mms.VisibleStringData(""), on_read=self._select_by_read
            )
        if self.model is ControlModel.SBO_ENHANCED:
            control.parts["SBOw"] = self._structure(self._select_with_value)
        if self.is_sbo:
            configuration.parts["sboTimeout"] = model.unsigned(round(1000 * self.select_s))
        control.parts["Oper"] = self._structure(self._operate)
        if self.is_sbo or self.is_enhanced:
            control.parts["Cancel"] = self._structure(self._cancel, checked=False)

    def _structure(self, on_write: model.WriteHook, *, checked: bool = True) -> Branch:
        origin = Branch({name: Leaf(kind, None) for name, kind in _ORIGIN.components})
        origin.parts["orCat"] = model.integer(0)
        origin.parts["orIdent"] = Leaf(mms.OctetStringTypeDescription(-64), mms.OctetStringData(b""))
        parts: dict[str, model.Node] = {
            "ctlVal": self._control_value(),
            "origin": origin,
            "ctlNum": model.unsigned(0, 8),
            "T": model.time_stamp(),
            "Test": model.boolean(),
        }
        if checked:
            parts["Check"] = Leaf(mms.BitStringTypeDescription(-2), mms.BitStringData([False, False]))
        return Branch(parts, on_write)

    def _control_value(self) -> model.Node:
        if self.spec.kind is PointKind.SETPOINT:
            return Branch({"f": Leaf(model.FLOAT32, mms.FloatingPointData(0.0))})
        return model.integer(0) if self.model is ControlModel.SBO_NORMAL else model.boolean()

    # ---------------------------------------------------------------- selecting

    def _select_by_read(self, connection: Any) -> Any:
        """SBO: the reference tells that it is selected, nothing that it is not."""
        if self._refusal(Stage.SELECT, connection, None) is not None:
            return mms.VisibleStringData("")
        self._select(connection, None)
        return mms.VisibleStringData(f"{self.domain}/{self.item}$SBO")

    async def _select_with_value(self, connection: Any, data: Any) -> Any:
        order = self._order(data)
        if order is None:
            return mms.DataAccessError.TYPE_INCONSISTENT
        cause = self._refusal(Stage.SELECT, connection, order)
        if cause is not None:
            return await self._refuse(connection, "SBOw", order, cause)
        self._select(connection, order)
        return None

    async def _cancel(self, connection: Any, data: Any) -> Any:
        order = self._order(data)
        if order is None:
            return mms.DataAccessError.TYPE_INCONSISTENT
        if self._holder() not in (None, connection):
            return await self._refuse(connection, "Cancel", order, AddCause.LOCKED_BY_OTHER_CLIENT)
        self._deselect()
        return None

    def _select(self, connection: Any, order: Order | None) -> None:
        self._selected_by, self._selected = connection, order
        self._selected_until = time.monotonic() + self.select_s

    def _deselect(self) -> None:
        self._selected_by = self._selected = None

    def _holder(self) -> Any:
        """The client that has it selected, until its time is over."""
        if self._selected_by is not None and time.monotonic() > self._selected_until:
            self._deselect()
        return self._selected_by

    # ---------------------------------------------------------------- operating

    async def _operate(self, connection: Any, data: Any) -> Any:
        order = self._order(data)
        if order is None:
            return mms.DataAccessError.TYPE_INCONSISTENT
        cause = self._refusal(Stage.OPERATE, connection, order)
        if cause is None and not self.is_enhanced:
            cause = self._execute(order)
        self._deselect()
        if cause is not None:
            return await self._refuse(connection, "Oper", order, cause)
        if self.is_enhanced:
            self._running = asyncio.create_task(self._terminate(connection, order))
        return None

    async def _terminate(self, connection: Any, order: Order) -> None:
        """The process has moved, or could not: the client that asked is told."""
        await asyncio.sleep(OPERATING_S)
        cause = self.blocked.get(Stage.TERMINATION)
        cause = self._execute(order) if cause is None else cause
        self._running = None
        names = [mms.DomainSpecificObjectName(self.domain, f"{self.item}$Oper")]
        values = [order.data]
        if cause is not None:
            names.insert(0, mms.VmdSpecificObjectName("LastApplError"))
            values.insert(0, self._last_error("Oper", order, cause))
        await _report(connection, names, values)

    def _execute(self, order: Order) -> int | None:
        """The plant has it; else the AddCause."""
        try:
            self._plant.write(self.device_id, self.spec.name, order.value)
        except Refused:
            return AddCause.BLOCKED_BY_PROCESS
        self._obeyed(self.spec.name, order.value)
        return None

    def _refusal(self, stage: Stage, connection: Any, order: Order | None) -> int | None:
        """The AddCause for which this order is refused now; the first reason counts."""
        if stage in self.blocked:
            return self.blocked[stage]
        if self._running is not None:
            return AddCause.COMMAND_ALREADY_IN_EXECUTION
        if self._plant.word(self.device_id, "control_mode") == "local":
            return AddCause.BLOCKED_BY_SWITCHING_HIERARCHY
        if self._holder() not in (None, connection):
            return AddCause.LOCKED_BY_OTHER_CLIENT
        if stage is Stage.OPERATE and self.is_sbo and self._holder() is None:
            return AddCause.OBJECT_NOT_SELECTED
        return None if order is None else self._refusal_of(order)

    def _refusal_of(self, order: Order) -> int | None:
        able = self.spec.capability
        if self._selected is not None and not order.is_same(self._selected):
            return AddCause.INCONSISTENT_PARAMETERS
        if order.test:
            return AddCause.BLOCKED_BY_MODE  # we are not under test
        if not math.isfinite(order.value) or (able is not None and not able.minimum <= order.value <= able.maximum):
            return AddCause.INCONSISTENT_PARAMETERS
        if self.interlocked and order.interlock_check:
            return AddCause.BLOCKED_BY_INTERLOCKING
        if self.double and self.status is not None and self._plant.read(self.device_id, self.status.spec.name) == order.value:
            return AddCause.POSITION_REACHED
        return None

    # ---------------------------------------------------------------- telling

    def _order(self, data: Any) -> Order | None:
        """The structure a client wrote; None when it is not one of ours."""
        parts = list(data.elements) if isinstance(data, mms.StructureData) else []
        if len(parts) not in (5, 6) or not isinstance(parts[1], mms.StructureData):
            return None
        value = self._engineering(parts[0])
        if value is None or not isinstance(parts[2], mms.UnsignedData):
            return None
        checks = list(parts[5].value) if len(parts) == 6 and isinstance(parts[5], mms.BitStringData) else []
        interlock = len(checks) > 1 and bool(checks[1])
        return Order(data, value, parts[1], parts[2].value, bool(parts[4].value), interlock)

    def _engineering(self, part: Any) -> float | None:
        if isinstance(part, mms.BooleanData):
            return float(_CLOSED if part.value else _OPEN) if self.double else float(part.value)
        if isinstance(part, mms.StructureData):
            part = next(iter(part.elements), None)
        known = isinstance(part, (mms.FloatingPointData, mms.IntegerData))
        return self.spec.from_wire(float(part.value)) if known else None

    async def _refuse(self, connection: Any, service: str, order: Order, cause: int) -> Any:
        """LastApplError goes out before the negative answer."""
        await _report(connection, [mms.VmdSpecificObjectName("LastApplError")], [self._last_error(service, order, cause)])
        return _DENIED

    def _last_error(self, service: str, order: Order, cause: int) -> Any:
        parts = [
            mms.VisibleStringData(f"{self.domain}/{self.item}${service}"),
            mms.IntegerData(1),
            order.origin,
            mms.UnsignedData(order.number),
            mms.IntegerData(int(cause)),
        ]
        return mms.StructureData(parts)


def _model_of(spec: PointSpec, *, double: bool) -> ControlModel:
    if spec.kind is PointKind.SETPOINT:
        return ControlModel.DIRECT_ENHANCED
    if double:
        return ControlModel.SBO_ENHANCED
    return ControlModel.SBO_NORMAL if len(spec.labels) > 2 else ControlModel.DIRECT_NORMAL


async def _report(connection: Any, names: list[Any], values: list[Any]) -> None:
    specification = [mms.NameVariableSpecification(name) for name in names]
    with contextlib.suppress(ConnectionError):  # a client that has gone learns nothing
        await connection.send_unconfirmed(mms.InformationReportUnconfirmed(specification, values))
