"""A simulated device's serial line with everything that can happen to it. [zones: field, simulated]

What the relay is to a TCP connection this is to a line; what is lost here stays lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping

from pilots.domain.media import Medium
from pilots.domain.topology import Protocol
from pilots.simulators.faults import Fault, FaultKind, Faults
from pilots.simulators.frame_faults import FRAMINGS
from pilots.simulators.impairment import Impairment
from pilots.simulators.media import Channel
from pilots.simulators.serial_line import QUIET, Disturbance, SerialLine


class SerialWay:
    """Joins `line` with the board; arguments as of `relay.Relay`. The line's own speed stands for the medium's bandwidth."""

    def __init__(
        self,
        line: SerialLine,
        *,
        faults: Faults,
        targets: tuple[str, ...],
        protocol: Protocol,
        units: Mapping[int, tuple[str, ...]] | None = None,
        medium: Medium | None = None,
        seed: int = 0,
    ) -> None:
        self.line, self.medium, self.seed = line, medium, seed
        self.impairment = Impairment(faults, targets, FRAMINGS[protocol](), units)
        line.spoil, line.lag = self._spoilt, self._lag_s
        self._channel: Channel | None = None
        self._dialled = False
        self._flap_down = False
        self._changed = asyncio.Event()
        self._tending: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """The device file is there. Raises OSError."""
        await self.line.open()
        self.impairment.faults.watch(self._on_fault)
        self._tending = asyncio.create_task(self._tend(), name=f"line {self.impairment.targets[-1]}")

    async def stop(self) -> None:
        """The device file is gone; twice is once."""
        self.impairment.faults.forget(self._on_fault)
        if self._tending is not None:
            self._tending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._tending
            self._tending = None
        await self.line.close()

    def _on_fault(self, fault: Fault) -> None:
        if fault.target in self.impairment.targets:
            self._changed.set()

    async def _tend(self) -> None:
        """The line is as the board wants it."""
        while True:
            self._changed.clear()
            flapping = self.impairment.on(FaultKind.FLAPPING)
            self._flap_down = flapping is not None and not self._flap_down
            unplugged = self.impairment.on(FaultKind.REFUSE) is not None
            (self.line.unplug if unplugged else self.line.plug)()
            self.line.disturb(self._disturbance())
            self.line.byte_s = self._byte_s()
            wait_s = None if flapping is None else flapping.options["down_s" if self._flap_down else "up_s"]
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), wait_s)

    def _disturbance(self) -> Disturbance:
        rebooting = self.impairment.on(FaultKind.REBOOT) is not None
        if self.impairment.is_frozen or rebooting or self._flap_down:
            return Disturbance(silent=True)
        noise = self.impairment.on(FaultKind.NOISE)
        if noise is None:
            return QUIET
        return Disturbance(garbled=noise.options["share"], bursts_per_s=noise.options["bursts_per_s"])

    def _byte_s(self) -> float:
        slow = self.impairment.on(FaultKind.SLOWNESS)
        limit = 0.0 if slow is None else slow.options["bytes_per_s"]
        return max(self.line.settings.byte_s, 1.0 / limit if limit else 0.0)

    def _spoilt(self, frame: bytes) -> bytes:
        channel = self._current_channel()
        lost = self.impairment.is_lost() or (channel is not None and channel.is_lost(time.monotonic()))
        return b"" if lost else self.impairment.answer(frame)

    def _lag_s(self, frame: bytes) -> float:
        slow = self.impairment.slowness(frame)
        lag_s = 0.0 if slow is None else slow.options["answer_s"]
        channel = self._current_channel()
        if channel is None:
            return lag_s
        if not self._dialled:
            self._dialled = True
            lag_s += channel.medium.setup_s
        # The question's way and the answer's: only answers wait here.
        return lag_s + channel.latency_s() + channel.latency_s()

    def _current_channel(self) -> Channel | None:
        if self.medium is None:
            self._channel = None
        elif self._channel is None or self._channel.medium is not self.medium:
            self._channel, self._dialled = Channel(self.medium, f"{self.seed} {self.impairment.targets[-1]}"), False
        return self._channel
