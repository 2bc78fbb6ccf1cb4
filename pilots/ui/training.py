"""What the training page shows, and the audit trail of what is done there. [zone: none, demo]"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings

from pilots.audit.services import record_event
from pilots.domain.topology import Protocol
from pilots.models import Pilot, Point, Role, User
from pilots.simulators.control_client import SimulatorControl
from pilots.simulators.faults import MOMENTS_S, OPTIONS, FaultKind
from pilots.ui.training_words import FIGURE_WORDS, KIND_WORDS, OPTION_WORDS, PROTOCOL_NAMES

#: Who may break simulated equipment: those who may take real equipment out of service.
TRAINERS = (Role.ENGINEER, Role.INSTALLER)


def simulator() -> SimulatorControl:
    """The simulation of this installation, running or not."""
    return SimulatorControl(settings.DATA_DIR)


def training_pilots(user: User) -> list[Pilot]:
    """The pilots where this person may start faults."""
    return list(user.rights().pilots_where(*TRAINERS))


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """The simulated connections of the pilots a person may train at, and what runs there."""

    connections: list[dict[str, Any]]
    faults: list[dict[str, Any]]

    def place(self, name: str) -> dict[str, Any] | None:
        """The connection, backup way or device of that name, with the connection it belongs to under `of`."""
        for connection in self.connections:
            for place in (connection, *connection["backups"], *connection["devices"]):
                if place["name"] == name:
                    return {**place, "of": connection}
        return None


def scene_of(control: SimulatorControl, codes: set[str]) -> Scene:
    """Raises SimulatorAway."""
    faults = [_fault(fault) for fault in control.faults() if fault["pilot"] in codes]
    connections = [each for each in control.connections() if each["pilot"] in codes]
    for connection in connections:
        names = {connection["name"], *(place["name"] for place in (*connection["backups"], *connection["devices"]))}
        connection["protocol_name"] = PROTOCOL_NAMES[Protocol(connection["protocol"])]
        connection["faults"] = [fault for fault in faults if fault["target"] in names]
    return Scene(connections=connections, faults=faults)


def _fault(fault: dict[str, Any]) -> dict[str, Any]:
    # A speed limit of 0 is none.
    figures = [
        str(FIGURE_WORDS[name]) % f"{value:g}" for name, value in fault["options"].items() if value or name != "bytes_per_s"
    ]
    words = [*([fault["point"]] if fault["point"] else []), *figures]
    return {**fault, "title": KIND_WORDS[FaultKind(fault["kind"])].title, "figures": ", ".join(words)}


def kind_choices(place: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What can be done to a place: kind, words, options with their defaults."""
    return [
        {
            "kind": kind.value,
            "words": KIND_WORDS[kind],
            "is_moment": kind in MOMENTS_S,
            "options": [
                {"name": name, "label": OPTION_WORDS[name], "default": f"{option.default:g}"}
                for name, option in OPTIONS.get(kind, {}).items()
            ],
        }
        for kind in map(FaultKind, place["kinds"])
    ]


def points_of(device: str) -> list[str]:
    """The points of a device that could be stuck alone."""
    return list(Point.objects.filter(device__code=device).order_by("name").values_list("name", flat=True))


def note_deed(action: str, fault: Mapping[str, Any], *, actor: str, now: datetime, reason: str = "") -> None:
    """The audit trail says who started or ended which fault, or switched which medium."""
    record_event(
        at=now,
        actor=actor,
        action=action,
        pilot=fault["pilot"],
        subject=f"{fault['kind']} at {fault['target']}",
        reason=reason,
        details=fault,
    )
