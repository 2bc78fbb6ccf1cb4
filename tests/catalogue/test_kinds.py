"""The kinds of set-point of D7.1 section 4 that a pilot of ours takes, and what each needs to be proved and to end."""

from __future__ import annotations

import pytest

from pilots.catalogue.loader import load_pilots, profiles_of
from pilots.domain.guards import endings_offered
from pilots.domain.point import PointKind, PointSpec

KINDS = (
    "p_set", "q_set", "pf_set", "u_set", "f_droop_set", "p_limit",
    "soc_min_set", "soc_max_set", "temp_room_set", "load_shed_level",
)  # fmt: skip


def commissioned() -> dict[str, list[tuple[str, PointSpec, dict[str, PointSpec]]]]:
    """Set-points by their name: device, point and its device's points."""
    found: dict[str, list[tuple[str, PointSpec, dict[str, PointSpec]]]] = {}
    for pilot in load_pilots().values():
        profiles = profiles_of(pilot)
        for device in pilot.devices:
            points = dict(profiles[device.profile].points) if device.profile in profiles else {}
            for name, spec in points.items():
                if spec.kind is PointKind.SETPOINT:
                    found.setdefault(name, []).append((device.id, spec, points))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_a_commissioned_device(kind: str) -> None:
    assert commissioned().get(kind), kind


def test_each_set_point_can_be_proved_and_released() -> None:
    for found in commissioned().values():
        for device, spec, points in found:
            assert spec.feedback in points, f"{device} {spec.name} has no feedback"
            assert spec.capability is not None
            assert "release" in endings_offered(spec.capability), f"{device} {spec.name} has no default"
