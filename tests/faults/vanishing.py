"""A far end whose packets can vanish both ways, nobody being told: by the kernel where it lets us, else by the relay.

With the kernel: a network namespace at the other end of a veth pair, and blackhole routes on both sides. Without it the relay
stops reading and writing; then our own kernel still acknowledges, and only the protocol's own timers can notice.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol as Shape

from pilots.domain.topology import Protocol
from pilots.simulators.faults import FaultKind
from tests.faults.far_side import HOST, FarSide
from tests.faults.peers import Meters, Stations

ROOT = Path(__file__).parents[2]
#: What answers on a port of the far end, by protocol.
PEERS: dict[Protocol, Callable[[], asyncio.Protocol]] = {
    Protocol.MODBUS_TCP: Meters().protocol,
    Protocol.IEC104: Stations(every_s=0.5).protocol,
}


class FarEnd(Shape):
    """Where the peers are, and how packets vanish (`how`, in words)."""

    host: str
    how: str

    def port(self, protocol: Protocol) -> int: ...

    def vanish(self) -> None: ...

    def return_(self) -> None: ...


class Namespace:
    """The peers run in a network namespace; needs root and a kernel with veth."""

    how = "by the kernel: network namespace, blackhole routes both ways"

    def __init__(self, number: int) -> None:
        self.name, self._near, self.host = f"scada{number}", f"10.201.{number}.1", f"10.201.{number}.2"
        veth, number_of = f"sc{number}", ["/30", "dev"]
        self._peers: dict[Protocol, tuple[subprocess.Popen[str], int]] = {}
        ip("netns", "add", self.name)
        ip("link", "add", f"{veth}a", "type", "veth", "peer", "name", f"{veth}b", "netns", self.name)
        ip("addr", "add", self._near + number_of[0], "dev", f"{veth}a")
        ip("link", "set", f"{veth}a", "up")
        self._inside("addr", "add", self.host + number_of[0], "dev", f"{veth}b")
        self._inside("link", "set", f"{veth}b", "up")

    def _inside(self, *words: str) -> None:
        ip("-n", self.name, *words)

    def port(self, protocol: Protocol) -> int:
        if protocol not in self._peers:
            self._peers[protocol] = peer_process(protocol, self.host, "ip", "netns", "exec", self.name)
        return self._peers[protocol][1]

    def vanish(self) -> None:
        ip("route", "add", "blackhole", f"{self.host}/32")
        self._inside("route", "add", "blackhole", f"{self._near}/32")

    def return_(self) -> None:
        ip("route", "del", "blackhole", f"{self.host}/32")
        self._inside("route", "del", "blackhole", f"{self._near}/32")

    def end(self) -> None:
        for peer, _ in self._peers.values():
            end_process(peer)
        subprocess.run(["ip", "route", "del", "blackhole", f"{self.host}/32"], check=False, capture_output=True)
        ip("netns", "del", self.name)


class Swallowing:
    """The peers run in the far side's loop behind relays."""

    how = "by a relay that swallows both ways"
    host = HOST

    def __init__(self, far: FarSide) -> None:
        self._far = far
        self._ports: dict[Protocol, int] = {}

    def port(self, protocol: Protocol) -> int:
        if protocol not in self._ports:
            self._ports[protocol] = self._far.relay(self._far.serve(PEERS[protocol]), protocol, name=protocol).port
        return self._ports[protocol]

    def vanish(self) -> None:
        for protocol in self._ports:
            self._far.call(lambda name=protocol: self._far.faults.start(FaultKind.HALF_OPEN, name, now=datetime.now(UTC)))

    def return_(self) -> None:
        for fault in list(self._far.faults.running):
            self._far.call(self._far.faults.end, fault)


def peer_process(protocol: Protocol, host: str, *before: str) -> tuple[subprocess.Popen[str], int]:
    """Peers of this protocol in a process of their own, and the port they answer on; `before` is put before the command."""
    command = [*before, sys.executable, "-m", "tests.faults.vanishing", protocol, host]
    peer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert peer.stdout is not None
    return peer, int(peer.stdout.readline())


def end_process(peer: subprocess.Popen[str]) -> None:
    peer.kill()
    peer.wait()
    if peer.stdout is not None:
        peer.stdout.close()


def ip(*words: str) -> None:
    """Raises CalledProcessError where the kernel, or our rights, do not allow it; FileNotFoundError without iproute2."""
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextmanager
def vanishing(far: FarSide, *, kernel: bool) -> Iterator[FarEnd]:
    """A far end by the kernel's means where asked for and possible, else by the relay's."""
    namespace = None
    try:
        namespace = Namespace(os.getpid() % 250 + 1) if kernel else None
    except (subprocess.CalledProcessError, FileNotFoundError):
        namespace = None
    try:
        yield namespace or Swallowing(far)
    finally:
        if namespace is not None:
            namespace.end()


async def _serve(protocol: Protocol, host: str) -> None:
    server = await asyncio.get_running_loop().create_server(PEERS[protocol], host, 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(Protocol(sys.argv[1]), sys.argv[2]))
