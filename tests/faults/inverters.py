"""Inverters of our own behind one Modbus server, each a unit, with the ledger of what they were written. [zone: field]"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pilots.models import Setpoint
from tests.acquisition.field import P_SET, POWER
from tests.drivers.raw_modbus import RawModbus, Request


@dataclass
class Write:
    at: datetime
    unit: int
    value: float


@dataclass
class Inverters:
    """Units that follow their set-points at once, and their ledger."""

    ledger: list[Write] = field(default_factory=list)
    powers: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.peer = RawModbus(script=self.answer)

    async def answer(self, request: Request) -> bytes | None:
        if request.function == 16:
            assert request.address == P_SET
            (value,) = struct.unpack(">f", request.body[5:])
            self.ledger.append(Write(datetime.now(UTC), request.unit, value))
            self.powers[request.unit] = value
        power = struct.pack(">f", self.powers.get(request.unit, 0.0))
        self.peer.load(POWER, power)
        self.peer.load(P_SET, power)
        return self.peer.answer(request)


def unit_of(setpoint: Setpoint) -> int:
    """Of the device that it is for."""
    return int(setpoint.point.device.address["unit"])
