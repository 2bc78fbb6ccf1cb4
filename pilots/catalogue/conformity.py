"""How each device of a pilot serves the use cases of D7.1 section 4 now: what is there, live and good. [zone: operation]"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from pilots.catalogue.loader import load_use_cases
from pilots.catalogue.use_cases import Direction, UseCase, UseCaseItem
from pilots.domain.quality import Flag, Validity
from pilots.domain.topology import DeviceKind, Protocol
from pilots.models import Device, LatestValue, Point
from pilots.models.values import shown_quality


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemState:
    """One exchanged item at one device. `point` satisfies it (empty: none does); `live` and `good` are of measured ones only.

    `kept`: a head-end system that only pushes keeps this command to itself.
    """

    item: UseCaseItem
    point: str
    live: bool | None
    good: bool | None
    kept: bool = False

    @property
    def is_missing(self) -> bool:
        return self.item.required and not self.point and not self.kept


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceConformity:
    """What a use case asks of a device, item by item."""

    use_case: UseCase
    device: Device
    items: tuple[ItemState, ...]

    @property
    def asked(self) -> int:
        return sum(state.item.required and not state.kept for state in self.items)

    @property
    def missing(self) -> list[ItemState]:
        return [state for state in self.items if state.is_missing]

    @property
    def present(self) -> int:
        return self.asked - len(self.missing)

    @property
    def measured(self) -> list[ItemState]:
        """What is there of the measured items, also of those that D7.1 does not insist on."""
        return [state for state in self.items if state.point and state.live is not None]

    @property
    def live(self) -> int:
        return sum(bool(state.live) for state in self.measured)

    @property
    def good(self) -> int:
        return sum(bool(state.good) for state in self.measured)


def conformity(rows: QuerySet[Device], now: datetime) -> list[DeviceConformity]:
    """Of these devices, by use case and device code."""
    cases = list(load_use_cases().values())
    kinds = {kind for case in cases for kind in case.kinds}
    devices = list(rows.filter(kind__in=kinds).select_related("connection").order_by("code"))
    points = _points(devices)
    latest = _latest(devices, cases)
    return [
        DeviceConformity(use_case=case, device=each, items=tuple(_states(case, each, points, latest, now)))
        for case in cases
        for each in devices
        if DeviceKind(each.kind) in case.kinds
    ]


def _points(devices: Iterable[Device]) -> dict[int, set[str]]:
    found: dict[int, set[str]] = {}
    for key, name in Point.objects.filter(device__in=_carriers(devices)).values_list("device_id", "name"):
        found.setdefault(key, set()).add(name)
    return found


def _latest(devices: Iterable[Device], cases: Iterable[UseCase]) -> dict[tuple[int, str], LatestValue]:
    names = {point for case in cases for item in case.items for point in item.points}
    rows = LatestValue.objects.filter(point__device__in=_carriers(devices), point__name__in=names).select_related("point")
    return {(row.point.device_id, row.point.name): row for row in rows}


def _carriers(devices: Iterable[Device]) -> set[int]:
    """The devices and the meters that stand for them."""
    return {key for device in devices for key in (device.pk, device.measured_by_id) if key is not None}


def _states(
    case: UseCase,
    device: Device,
    points: Mapping[int, set[str]],
    latest: Mapping[tuple[int, str], LatestValue],
    now: datetime,
) -> Iterable[ItemState]:
    pushed = device.connection is not None and device.connection.protocol == Protocol.PUSH
    for item in case.items:
        if item.direction is Direction.GIVEN or (item.kinds and DeviceKind(device.kind) not in item.kinds):
            continue
        commanded = item.direction is Direction.COMMANDED
        carriers = [device.pk] if commanded else [device.pk, device.measured_by_id or 0]
        found = next(((key, name) for key in carriers for name in item.points if name in points.get(key, ())), None)
        if found is None or commanded:
            kept = pushed and commanded and found is None
            yield ItemState(item=item, point=found[1] if found else "", live=None, good=None, kept=kept)
            continue
        live, good = _standing(latest.get(found), now)
        yield ItemState(item=item, point=found[1], live=live, good=good)


def _standing(row: LatestValue | None, now: datetime) -> tuple[bool, bool]:
    """Whether the value arrived within its interval, and whether it is good."""
    if row is None:
        return False, False
    quality = shown_quality(row, now)
    live = not quality.flags & (Flag.OLD | Flag.COMM_FAILURE)
    return live, live and quality.validity is Validity.GOOD
