"""Transactions of all stations of one listener: their numbers and who owns them. [zone: field]

In OCPP 1.6 the central system numbers transactions, uniquely per installation. The number is a 31-bit digest of what
makes a StartTransaction unique, so a station that repeats it (also after our restart) gets the same number without a
store. OCPP 1.6 edition 2, 4.8 and 4.10.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

#: (station, connector, idTag, timestamp, meterStart)
StartKey = tuple[str, int, str, str, int]
Numbering = Callable[[StartKey], int]
#: Closed transactions are remembered this long a list, for repeated messages; older ones are forgotten.
REMEMBERED = 10_000


@dataclass(slots=True)
class Transaction:
    id: int
    station: str
    connector: int
    id_tag: str = ""
    meter_start: float | None = None
    open: bool = True


def digest_number(key: StartKey) -> int:
    """1 .. 2**31 - 1, the same for the same key.

    >>> digest_number(("a", 1, "tag", "2026-01-01T00:00:00Z", 0)) == digest_number(("a", 1, "tag", "2026-01-01T00:00:00Z", 0))
    True
    """
    digest = hashlib.sha256("\x1f".join(str(part) for part in key).encode()).digest()
    return int.from_bytes(digest[:4], "big") % (2**31 - 1) + 1


class TransactionBook:
    """What we know of transactions; a number is never given to two."""

    def __init__(self, numbering: Numbering = digest_number) -> None:
        self._numbering = numbering
        self._by_id: dict[int, Transaction] = {}
        self._keys: dict[int, StartKey] = {}

    def start(self, key: StartKey) -> Transaction:
        """The transaction of this StartTransaction, new or repeated."""
        number = self._numbering(key)
        while self._is_taken(number, key):
            number = number % (2**31 - 1) + 1
        if self._keys.get(number) == key:
            return self._by_id[number]
        transaction = Transaction(number, key[0], key[1], key[2], float(key[4]))
        self._remember(transaction)
        self._keys[number] = key
        return transaction

    def seen(self, number: int, station: str, connector: int) -> Transaction | None:
        """The transaction a message of this station names; one from before our restart is taken up.

        None when the number belongs to another station or is none (-1, 0).
        """
        known = self._by_id.get(number)
        if known is None and number > 0:
            known = Transaction(number, station, connector)
            self._remember(known)
        return known if known is not None and known.station == station else None

    def running(self, station: str, connector: int) -> Transaction | None:
        """The newest open transaction of a connector."""
        found = [one for one in self._by_id.values() if one.open and (one.station, one.connector) == (station, connector)]
        return found[-1] if found else None

    def _is_taken(self, number: int, key: StartKey) -> bool:
        """By another start, or taken up from another station's messages after our restart."""
        known = self._by_id.get(number)
        return known is not None and (known.station != key[0] or self._keys.get(number, key) != key)

    def _remember(self, transaction: Transaction) -> None:
        self._by_id[transaction.id] = transaction
        if len(self._by_id) > REMEMBERED:
            oldest = next((one for one in self._by_id.values() if not one.open), next(iter(self._by_id.values())))
            del self._by_id[oldest.id]
            self._keys.pop(oldest.id, None)
