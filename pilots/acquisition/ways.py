"""Which way to the far end is tried next, and when: rules only. [station]

D7.1 2.2.1.1: IEC 60870-5-101 by GSM or GPRS behind IEC 60870-5-104. A way that fails twice, or has not stood for
`switch_after_s`, yields to the next one; from a backup the connection goes back as soon as a better way stands again.
"""

from __future__ import annotations

from collections.abc import Sequence

from pilots.domain.topology import Protocol, Way

TRIES = 2
SWITCH_AFTER_S = 10.0
#: A modem dials for a quarter of a minute before anything can be said.
DIALLED_SWITCH_AFTER_S = 60.0
RETURN_AFTER_S = 60.0
FIRST_PAUSE_S = 0.5
#: Opening a serial line anew costs nobody at its far end anything.
NOISY_PAUSE_S = 0.2
LONGEST_PAUSE_S = 30.0
LONGEST_SIMULATED_PAUSE_S = 4.0
#: A connection that lived this long has earned a quick first retry.
STEADY_S = 60.0


class BackOff:
    """Pauses between attempts, which double while nothing changes; seconds."""

    def __init__(self, *, simulated: bool = False) -> None:
        self._longest_s = LONGEST_SIMULATED_PAUSE_S if simulated else LONGEST_PAUSE_S
        self._pause_s = FIRST_PAUSE_S

    def pause_s(self, *, lived_s: float, noisy: bool = False) -> float:
        """Before the next attempt. `noisy`: a serial line stood, with noise on it, and may be quiet again at any moment.

        >>> pauses = BackOff()
        >>> [pauses.pause_s(lived_s=3), pauses.pause_s(lived_s=3), pauses.pause_s(lived_s=3, noisy=True)]
        [0.5, 1.0, 0.2]
        """
        if noisy:
            self._pause_s = FIRST_PAUSE_S
            return NOISY_PAUSE_S
        pause_s = FIRST_PAUSE_S if lived_s > STEADY_S else self._pause_s
        self._pause_s = min(2 * pause_s, self._longest_s)
        return pause_s


class WayChoice:
    """The way to try now (`index`), as its failures and successes are told. Times by a monotonic clock, seconds."""

    def __init__(self, ways: Sequence[Way]) -> None:
        self.ways = ways
        self.index = 0
        self._tries = 0
        self._missing_since: float | None = None
        self._failed_ways = 0

    @property
    def open_within_s(self) -> float | None:
        """How long one attempt may take; None where there is no other way to turn to."""
        return switch_after_s(self.ways[self.index]) if len(self.ways) > 1 else None

    @property
    def return_after_s(self) -> float:
        """How often the better ways are tried while a backup stands."""
        return float(self.ways[0].options.get("return_after_s", RETURN_AFTER_S))

    @property
    def better(self) -> list[int]:
        """The ways before the one in use that can be tried beside it: a serial line serves one at a time."""
        line = self.ways[self.index].serial_line
        return [index for index in range(self.index) if not line or self.ways[index].serial_line != line]

    def note_trying(self, now: float) -> None:
        """An attempt begins: unless the way was missed already, it is from now on."""
        if self._missing_since is None:
            self._missing_since = now

    def note_stands(self) -> None:
        """The way is open and answers."""
        self._tries, self._missing_since, self._failed_ways = 0, None, 0

    def note_failed(self, now: float) -> bool:
        """The attempt failed, or nobody answered. True when the next goes another way that was not tried yet."""
        self._tries += 1
        missed_s = 0.0 if self._missing_since is None else now - self._missing_since
        if len(self.ways) == 1 or (self._tries < TRIES and missed_s < switch_after_s(self.ways[self.index])):
            return False
        self._failed_ways += 1
        self._tries, self._missing_since = 0, None
        self.index = (self.index + 1) % len(self.ways)
        return self._failed_ways % len(self.ways) != 0

    def go_back(self, index: int) -> None:
        """A better way stands again: it is the next to be opened."""
        self.index = index
        self.note_stands()


def switch_after_s(way: Way) -> float:
    """How long this way may be missed before the next one is tried.

    >>> switch_after_s(Way(protocol=Protocol.IEC104)), switch_after_s(Way(protocol=Protocol.IEC101, serial_line="/dev/ttyS0"))
    (10.0, 60.0)
    """
    serial = bool(way.serial_line) or (way.port is None and way.protocol in (Protocol.IEC101, Protocol.MODBUS_RTU))
    return float(way.options.get("switch_after_s", DIALLED_SWITCH_AFTER_S if serial else SWITCH_AFTER_S))


def words_of(ways: Sequence[Way], index: int) -> str:
    """A way in words, for messages and the audit trail.

    >>> words_of([Way(protocol=Protocol.IEC104, host="10.0.0.7", port=2404)], 0)
    'way 0 (iec104, 10.0.0.7:2404)'
    """
    way = ways[index]
    place = way.serial_line or (f"{way.host}:{way.port}" if way.port is not None else "simulated")
    return f"way {index} ({way.protocol}, {place})"
