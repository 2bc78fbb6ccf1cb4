"""Modbus meters in a process of their own: in the gateway's a thousand would take turns with it, and show nothing else."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.managers import BaseManager

from tests.drivers.raw_modbus import Request
from tests.faults.far_side import FarSide
from tests.faults.peers import Answers, Meters

ANSWER_S = 10.0


def late(request: Request, answer: bytes) -> Answers:
    return [(ANSWER_S, answer)]


def trickled(request: Request, answer: bytes) -> Answers:
    """One byte a second."""
    return [(float(second), answer[second : second + 1]) for second in range(len(answer))]


def one_late(request: Request, answer: bytes) -> Answers:
    """Of a gateway's units the twentieth; a serial line takes the others 5 ms."""
    return late(request, answer) if request.unit == 20 else [(0.005, answer)]


REPLIES = {"late": late, "trickled": trickled, "one_late": one_late}


class Street:
    """Meters by name, each name a port of its own."""

    def __init__(self) -> None:
        self._far = FarSide()
        self._meters: dict[str, Meters] = {}

    def serve(self, name: str) -> int:
        """The port at which each new connection is one more meter of this name."""
        self._meters[name] = Meters()
        return self._far.serve(self._meters[name].protocol)

    def slow(self, name: str, reply: str) -> None:
        """From now on they answer so: a key of REPLIES."""
        self._far.call(setattr, self._meters[name], "reply", REPLIES[reply])

    def questions(self, name: str) -> list[int]:
        """How many questions each meter has had."""
        return self._far.call(lambda: list(map(len, self._meters[name].asked.values())))

    def asked(self, name: str) -> dict[int, list[float]]:
        """When each meter was asked, by the monotonic clock, which processes of a machine share."""
        return self._far.call(lambda: {number: list(moments) for number, moments in self._meters[name].asked.items()})


class _Manager(BaseManager):
    """Serves a street to the test."""


_Manager.register("Street", Street)


@contextmanager
def street() -> Iterator[Street]:
    """A street that ends with the block."""
    with _Manager(ctx=multiprocessing.get_context("spawn")) as manager:
        yield manager.Street()  # type: ignore[attr-defined]
