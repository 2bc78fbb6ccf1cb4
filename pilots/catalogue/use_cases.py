"""The use cases of D7.1 section 4 and what a device must offer to serve them. [zone: operation]"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pilots.domain.topology import DeviceKind


class Direction(StrEnum):
    """Which way an exchanged item travels, seen from the communication layer."""

    MEASURED = "measured"  # from the device
    COMMANDED = "commanded"  # to the device
    GIVEN = "given"  # to a forecast or an app, neither from nor to the device


@dataclass(frozen=True, kw_only=True, slots=True)
class UseCaseItem:
    """One exchanged item; any point of `points` satisfies it. Empty `kinds`: every kind of the use case."""

    text: str
    direction: Direction
    points: tuple[str, ...]
    required: bool
    kinds: tuple[DeviceKind, ...] = ()
    remark: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class UseCase:
    """One use case under D7.1's own identifier; UC-4 does not exist there."""

    id: str
    title: str
    source: str
    kinds: tuple[DeviceKind, ...]
    items: tuple[UseCaseItem, ...]
    exceptions: tuple[str, ...] = ()


def use_case_of(raw: dict[str, Any]) -> UseCase:
    """The use case of a checked mapping."""
    return UseCase(
        id=raw["id"],
        title=raw["title"],
        source=raw["source"],
        kinds=tuple(map(DeviceKind, raw["kinds"])),
        items=tuple(_item_of(item) for item in raw["items"]),
        exceptions=tuple(raw.get("exceptions", ())),
    )


def _item_of(raw: dict[str, Any]) -> UseCaseItem:
    return UseCaseItem(
        text=raw["text"],
        direction=Direction(raw["direction"]),
        points=tuple(raw["points"]),
        required=raw["required"],
        kinds=tuple(map(DeviceKind, raw.get("kinds", ()))),
        remark=raw.get("remark", ""),
    )


def missing_from(use_cases: Iterable[UseCase], kind: DeviceKind, points: Iterable[str], *, commanded: bool = True) -> list[str]:
    """The required items that no point satisfies, as `UC-2-STO: state of charge (soc)`; empty: the device conforms.

    `commanded=False` leaves the set-points out: a head-end system that only pushes keeps control to itself.
    """
    offered = set(points)
    return [
        f"{case.id}: {item.text} ({' or '.join(item.points)})"
        for case in use_cases
        if kind in case.kinds
        for item in case.items
        if item.required
        and (not item.kinds or kind in item.kinds)
        and (commanded or item.direction is not Direction.COMMANDED)
        and offered.isdisjoint(item.points)
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class Conformance:
    """How a set of points serves one use case as one kind of device: the texts of its items."""

    use_case: str
    kind: DeviceKind
    offered: tuple[str, ...]
    lacking: tuple[str, ...]
    optional: tuple[str, ...]


def conformance(use_cases: Iterable[UseCase], points: Iterable[str], kind: DeviceKind | None = None) -> list[Conformance]:
    """How the points serve each use case as this kind of device; without one, as every kind that it mostly serves."""
    offered = set(points)
    found = [_conformance(case, each, offered) for case in use_cases for each in case.kinds if kind in (None, each)]
    return [one for one in found if kind is not None or len(one.offered) >= 2 * len(one.lacking)]


def _conformance(case: UseCase, kind: DeviceKind, offered: set[str]) -> Conformance:
    items = [item for item in case.items if item.direction is not Direction.GIVEN and (not item.kinds or kind in item.kinds)]
    served = [not offered.isdisjoint(item.points) for item in items]
    return Conformance(
        use_case=case.id,
        kind=kind,
        offered=tuple(item.text for item, there in zip(items, served, strict=True) if there),
        lacking=tuple(item.text for item, there in zip(items, served, strict=True) if item.required and not there),
        optional=tuple(item.text for item, there in zip(items, served, strict=True) if not item.required and not there),
    )
