"""Frames over a real socket: at once while it takes them, whole and in order when it does not."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Iterator
from contextlib import suppress

import pytest
from daphne.ws_protocol import WebSocketFactory
from twisted.internet.tcp import Connection

from pilots.live.sockets import EagerProtocol

#: More than Twisted writes in one go.
FRAME, FRAMES = 200_000, 12


class Loop:
    """Where Twisted asks to be told when the socket takes more."""

    def __init__(self) -> None:
        self.writers: set[object] = set()

    def addWriter(self, writer: object) -> None:
        self.writers.add(writer)

    def removeWriter(self, writer: object) -> None:
        self.writers.discard(writer)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def page(ours: socket.socket) -> tuple[EagerProtocol, Connection, Loop]:
    loop = Loop()
    factory = WebSocketFactory(None)
    factory.protocol = EagerProtocol
    protocol = factory.buildProtocol(None)
    protocol.transport = Connection(ours, protocol, loop)
    protocol.transport.connected = True
    protocol.send_queue, protocol.state, protocol.peer, protocol.logOctets = deque(), protocol.STATE_CLOSING, "", False
    return protocol, protocol.transport, loop


def read(theirs: socket.socket) -> bytes:
    """What has come."""
    with suppress(BlockingIOError):
        return theirs.recv(1 << 20)
    return b""


def frame(number: int) -> bytes:
    return bytes([number % 251]) * FRAME


def test_a_socket_that_takes_it_has_the_frame_before_the_loop_is_asked(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    protocol, _transport, loop = page(ours)
    protocol.sendData(b"news")
    assert (theirs.recv(10), loop.writers) == (b"news", set())


def test_a_slow_reader_gets_every_frame_whole_and_in_order(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    protocol, transport, loop = page(ours)
    got = bytearray()
    for number in range(FRAMES):
        protocol.sendData(frame(number))
        assert loop.writers == {transport}
        # There is room again before the loop has said so: what comes next must not overtake what waits.
        got += read(theirs)
    while loop.writers:
        transport.doWrite()
        got += read(theirs)
    assert bytes(got) == b"".join(frame(number) for number in range(FRAMES))
    protocol.sendData(b"at once again")
    assert (theirs.recv(100), loop.writers) == (b"at once again", set())


def test_a_reader_that_left_is_found_gone_the_usual_way(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    protocol, transport, loop = page(ours)
    theirs.close()
    protocol.sendData(b"news")
    assert loop.writers == {transport}
    assert isinstance(transport.doWrite(), Exception)


def test_what_waits_in_the_protocol_stays_before_it(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    protocol, _transport, loop = page(ours)
    protocol.triggered = True  # Autobahn is about to send its queue
    protocol.send_queue.append((b"first", False))
    protocol.sendData(b"second")
    assert [data for data, _sync in protocol.send_queue] == [b"first", b"second"]
    assert loop.writers == set()
    with pytest.raises(BlockingIOError):
        theirs.recv(10)


def test_a_socket_that_is_being_closed_gets_nothing_at_once(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, _theirs = ends
    protocol, transport, loop = page(ours)
    transport.disconnecting = True
    protocol.sendData(b"too late")
    assert loop.writers == {transport}
