"""What a Modbus connection's options may say, checked once. [zone: field] [Modbus over Serial Line V1.02, 2.5 and 3.3]"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pilots.domain.errors import CatalogueError

#: Above this speed the silences between characters and frames are fixed (2.5.1.1).
FAST_BAUD = 19_200
FAST_SILENCE_S = 0.00175


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """Speed and form of a serial line.

    >>> line = Line(baudrate=9600)
    >>> round(1000 * line.bytes_s(105)), round(1000 * line.silence_s, 1)
    (120, 4.0)
    """

    baudrate: int = 19_200
    parity: str = "E"
    stopbits: float = 1

    @property
    def byte_s(self) -> float:
        """A start bit, eight data bits, parity and stop bits."""
        return (9 + (self.parity != "N") + self.stopbits) / self.baudrate

    @property
    def silence_s(self) -> float:
        """t3.5: what ends a frame, and must pass before the next."""
        return 3.5 * self.byte_s if self.baudrate <= FAST_BAUD else FAST_SILENCE_S

    def bytes_s(self, count: int) -> float:
        """How long so many bytes take on the line."""
        return count * self.byte_s


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkOptions:
    """`timeout_s` is what a unit may take to answer; a serial line's own time comes on top. No answer comes later than
    `late_s` after that. `local_echo`: whether the adapter hears itself; None finds out."""

    timeout_s: float = 1.0
    late_s: float = 1.0
    line: Line = field(default_factory=Line)
    local_echo: bool | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> LinkOptions:
        """Raises CatalogueError whose field is the option that cannot be."""
        timeout_s = _number(options, "timeout_s", 1.0, lowest=0.001, highest=600.0)
        echo = options.get("local_echo")
        if echo is not None and not isinstance(echo, bool):
            raise CatalogueError(f"true or false, not {echo}", field="local_echo")
        return cls(
            timeout_s=timeout_s,
            late_s=_number(options, "late_s", timeout_s, lowest=0.0, highest=600.0),
            line=_line(options),
            local_echo=echo,
        )


def _line(options: Mapping[str, Any]) -> Line:
    parity = options.get("parity", "E")
    if parity not in ("N", "E", "O"):
        raise CatalogueError(f"N, E or O, not {parity}", field="parity")
    stopbits = options.get("stopbits", 1)
    if stopbits not in (1, 1.5, 2):
        raise CatalogueError(f"1, 1.5 or 2, not {stopbits}", field="stopbits")
    baudrate = _number(options, "baudrate", 19_200, lowest=50, highest=10_000_000)
    return Line(baudrate=int(baudrate), parity=parity, stopbits=stopbits)


def _number(options: Mapping[str, Any], name: str, default: float, *, lowest: float, highest: float) -> float:
    value = options.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not lowest <= value <= highest:
        raise CatalogueError(f"a number from {lowest:g} to {highest:g}, not {value}", field=name)
    return float(value)
