"""The frame log of a connection, asked of the gateway that holds it, and as a capture file. [station]"""

from __future__ import annotations

from typing import Any

from pilots.acquisition.asking import asked_and_answered
from pilots.domain.topology import Protocol
from pilots.drivers.capture import capture
from pilots.drivers.traffic import LoggedFrame
from pilots.models import Connection, RequestKind

#: Ports by which Wireshark knows what a capture holds; serial protocols are read by "Decode As" this port.
PORTS = {
    Protocol.MODBUS_TCP: 502,
    Protocol.MODBUS_RTU: 5020,
    Protocol.IEC104: 2404,
    Protocol.IEC101: 2405,
    Protocol.IEC61850: 102,
}


def newest_frames(connection: Connection, *, after: int, asked_by: str) -> dict[str, Any]:
    """`{"count", "frames"}`: how many frames the connection has seen, and rows `[number, at_ms, sent, length, hex, words]`.

    Raises NoAnswer when no gateway answers within three seconds.
    """
    return asked_and_answered(connection, RequestKind.FRAMES, {"after": after}, asked_by=asked_by)


def captured(connection: Connection, rows: list[list[Any]]) -> bytes:
    """The rows of `newest_frames` as a capture file."""
    logged = (LoggedFrame(n, at_ms / 1000, bool(sent), length, bytes.fromhex(raw)) for n, at_ms, sent, length, raw, _ in rows)
    return capture(logged, port=PORTS.get(Protocol(connection.protocol), connection.port or 1))
