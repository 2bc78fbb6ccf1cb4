"""A device profile: one device model's points, as a YAML of `catalogue/profiles` declares them. [zone: field]"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pilots.domain.point import PointSpec
from pilots.domain.topology import Protocol


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """One device model. `options` belong to the driver (word order, block holes, ...); `source` names the maker's paper."""

    name: str
    protocol: Protocol
    source: str
    maker: str = ""
    model: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    points: Mapping[str, PointSpec] = field(default_factory=dict)
