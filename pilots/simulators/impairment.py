"""What running faults do to the messages of one connection or line. [zones: field to operation, simulated]"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping

from pilots.simulators.faults import Fault, FaultKind, Faults
from pilots.simulators.frame_faults import Framing
from pilots.simulators.media import LEAST_REPEAT_S, Losses, repeat_s

#: The fault `loss` comes in bad spells of so many seconds in the mean.
LOSS_SPELL_S = 1.0


class Impairment:
    """One way's share of the board.

    `targets` are the names under which the whole way is meant (a connection; for a station that dials, its device too),
    `units` the devices that answer as a unit of it.
    """

    def __init__(
        self, faults: Faults, targets: tuple[str, ...], framing: Framing, units: Mapping[int, tuple[str, ...]] | None = None
    ) -> None:
        self.faults, self.targets, self.framing = faults, targets, framing
        self.units = units or {}
        self._losses: dict[str, Losses] = {}

    def on(self, kind: FaultKind) -> Fault | None:
        """The fault of this kind at the whole way."""
        return self.faults.on(kind, *self.targets)

    @property
    def is_down(self) -> bool:
        """Nobody can connect."""
        return self.on(FaultKind.REFUSE) is not None or self.on(FaultKind.REBOOT) is not None

    @property
    def is_frozen(self) -> bool:
        """Packets vanish both ways."""
        return self.on(FaultKind.HALF_OPEN) is not None

    def answer(self, frame: bytes) -> bytes:
        """What comes of a frame of the equipment: itself, another one, or nothing."""
        if not self.faults.running:
            return frame
        names = self._names(frame)
        if self.faults.on(FaultKind.SILENCE, *names) is not None:
            return b""
        fault = self._struck(FaultKind.EXCEPTION, names)
        if fault is not None:
            frame = self.framing.as_exception(frame, int(fault.options["code"]))
        if self._struck(FaultKind.WRONG_UNIT, names) is not None:
            frame = self.framing.with_wrong_unit(frame)
        fault = self._struck(FaultKind.WRONG_LENGTH, names)
        if fault is not None:
            frame = self.framing.with_wrong_length(frame, fault.source)
        fault = self._struck(FaultKind.GARBAGE, names)
        if fault is not None:
            whole = fault.target in self.targets
            frame = fault.source.randbytes(len(frame)) if whole else self.framing.garbled(frame, fault.source)
        return frame

    def noisy(self, message: bytes) -> bytes:
        """The message with some bytes garbled while there is noise."""
        fault = self.on(FaultKind.NOISE)
        return message if fault is None else garbled(message, fault.options["share"], fault.source)

    def slowness(self, frame: bytes) -> Fault | None:
        """The fault that slows this frame down."""
        return self.faults.on(FaultKind.SLOWNESS, *self._names(frame)) if self.faults.running else None

    def is_lost(self) -> bool:
        """Whether the fault `loss` takes the next message."""
        losses = self._current_losses()
        return losses is not None and losses.next(time.monotonic())

    def repeat_s(self) -> float:
        """Seconds that TCP spends on repeating the next message because of the fault `loss`."""
        losses = self._current_losses()
        return 0.0 if losses is None else repeat_s(losses, time.monotonic(), LEAST_REPEAT_S)

    def _current_losses(self) -> Losses | None:
        fault = self.on(FaultKind.LOSS)
        if fault is None:
            return None
        if fault.id not in self._losses:
            self._losses = {fault.id: Losses(fault.options["share"], spell_s=LOSS_SPELL_S, source=fault.source)}
        return self._losses[fault.id]

    def _names(self, frame: bytes) -> tuple[str, ...]:
        unit = self.framing.unit(frame) if self.units and len(frame) > 3 else None
        return self.targets if unit is None else self.targets + self.units.get(unit, ())

    def _struck(self, kind: FaultKind, names: tuple[str, ...]) -> Fault | None:
        fault = self.faults.on(kind, *names)
        return fault if fault is not None and fault.strikes() else None


def garbled(message: bytes, share: float, source: random.Random) -> bytes:
    """Each byte is another one with this probability."""
    return bytes(byte ^ source.randint(1, 255) if source.random() < share else byte for byte in message)
