"""A remote terminal unit on IEC 60870-5-104, simulated with hat-drivers. [zone: station, simulated] [D7.1 3.1.2 a]

Not with c104: that refuses groups, knows no packed single points and keeps one type at an address, where real units report
with a time tag (M_ME_TF_1) and answer interrogations without (M_ME_NC_1) at the same one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from hat.drivers import net
from hat.drivers.iec104.encoder import Encoder
from hat.drivers.iec60870 import apci
from hat.drivers.iec60870.encodings import iec104 as encodings

from pilots.domain.profile import Profile
from pilots.domain.topology import ConnectionSpec, PilotSpec
from pilots.simulators.iec60870_objects import Packer
from pilots.simulators.iec60870_station import Station, placed_points
from pilots.simulators.ledger import Ledger
from pilots.simulators.plant import Plant

log = logging.getLogger(__name__)

SCAN_S = 1.0
#: Options of a connection -> hat-drivers' names of them.
_TIMERS = {"t1": "response_timeout", "t2": "supervisory_timeout", "t3": "test_timeout"}


class RemoteTerminalUnit:
    """The server side of one iec104 connection; `start` listens and reports every SCAN_S what changed."""

    def __init__(
        self, plant: Plant, connection: ConnectionSpec, pilot: PilotSpec, profiles: Mapping[str, Profile], ledger: Ledger
    ) -> None:
        self.name, self.station = connection.name, Station(plant, ledger, connection.name)
        for point in placed_points(connection, pilot, profiles):
            self.station.add(point)
        self._timers = {name: float(connection.options[key]) for key, name in _TIMERS.items() if key in connection.options}
        self._messages = Encoder()
        self._packer = Packer(self._messages, encodings.encoder.Encoder())
        self._peers: set[Any] = set()
        self._server: Any = None
        self._scan: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int) -> None:
        """Raises OSError."""
        self._server = await apci.listen(self._welcome, net.TcpAddress(host, port), **self._timers)
        self._scan = asyncio.create_task(self._keep_reporting(), name=f"{self.name} scans")

    async def stop(self) -> None:
        """Nothing of it runs on; twice is once."""
        if self._scan is not None:
            self._scan.cancel()
            await asyncio.gather(self._scan, return_exceptions=True)
            self._scan = None
        if self._server is not None:
            await self._server.async_close()
            self._server = None

    def _welcome(self, peer: Any) -> None:
        peer.async_group.spawn(self._converse, peer)

    async def _converse(self, peer: Any) -> None:
        self._peers.add(peer)
        try:
            while True:
                await self._answer(peer, await peer.receive())
        except ConnectionError:
            log.debug("%s: a controlling station is gone", self.name)
        finally:
            self._peers.discard(peer)

    async def _answer(self, peer: Any, asdu: bytes) -> None:
        try:
            told = [answer for message in self._messages.decode(asdu) for answer in self.station.answers(message, peer)]
        except Exception as error:  # noqa: BLE001  whatever an ASDU holds, the next one is answered
            log.info("%s: an ASDU was not understood: %r", self.name, error)
            return
        await self._tell(peer, told)

    async def _tell(self, peer: Any, messages: list[Any]) -> None:
        for asdu in self._packer.pack(messages):
            await peer.send(asdu)

    async def _keep_reporting(self) -> None:
        while True:
            await asyncio.sleep(SCAN_S)
            try:
                await self._report()
            except Exception:
                log.exception("%s: a scan failed", self.name)

    async def _report(self) -> None:
        """To all that have said STARTDT; what nobody hears of is due as long."""
        peers = [peer for peer in self._peers if peer.is_enabled]
        messages = [message for _, message in self.station.due()] if peers else []
        for peer in peers:
            try:
                await self._tell(peer, messages)
            except ConnectionError:
                continue  # `_converse` sees it too
