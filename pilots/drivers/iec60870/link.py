"""What a controlling station needs of the link below it, whatever carries the ASDUs. [zone: field]

Source: IEC 60870-5-101:2003, 6 and 7.1: the link layer transports ASDUs and knows nothing of what they say.
"""

from __future__ import annotations

from typing import Protocol

from pilots.domain.errors import FieldError


class AsduLink(Protocol):
    """One connection to one or more controlled stations; made with `receive`, `commit`, `on_closed` and `traffic`.

    `receive(asdu) -> item` is called for each ASDU as it arrives, must not wait and may raise ProtocolViolation.
    `commit(items)` is awaited with what `receive` returned, in order; only then may the link acknowledge them, where its
    protocol can wait. `on_closed()` is called once, when the connection is gone for whatever reason.
    """

    ended: bool
    failure: FieldError | None  # why it ended; None after our own `close`

    async def start(self) -> None:
        """Data transfer is started. Raises FieldError."""

    async def send(self, asdu: bytes, *, before: float | None = None) -> None:
        """The ASDU left. Waits for its turn; after `before` (the loop's clock) it leaves no more.

        Raises LinkDown, or NotSent when `before` passed: then it did not leave and never will. Cancelling it while it
        waits for its turn has the same effect.
        """

    async def close(self) -> None:
        """The connection is gone. Never raises; twice is once."""
