"""What the simulators' tests share: pilots, plants, free ports."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from pilots.catalogue.loader import load_pilots, profiles_of
from pilots.domain.topology import ConnectionSpec, PilotSpec
from pilots.simulators.plant import Plant

START = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
CODES = ("bg", "es", "nl", "no", "de")


def pilot(code: str) -> PilotSpec:
    return load_pilots()[code]


def plant_of(code: str, *, start: datetime = START, seed: int = 1, day_type: int | None = None) -> Plant:
    spec = pilot(code)
    return Plant(spec, profiles_of(spec), seed=seed, start=start, day_type=day_type)


def connection_of(spec: PilotSpec, name: str) -> ConnectionSpec:
    return next(connection for connection in spec.connections if connection.name == name)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.asynccontextmanager
async def stepping(plant: Plant) -> AsyncIterator[None]:
    """The plant follows the wall clock while the block runs."""

    async def follow() -> None:
        while True:
            plant.step(datetime.now(UTC))
            await asyncio.sleep(0.1)

    task = asyncio.create_task(follow())
    try:
        yield
    finally:
        task.cancel()


async def eventually(look: Callable[[], Any], *, within_s: float = 30.0) -> Any:
    """The first true answer of `look`. Raises AssertionError when none comes in time."""
    until = asyncio.get_running_loop().time() + within_s
    while True:
        found = look()
        answer = await found if isinstance(found, Awaitable) else found
        if answer:
            return answer
        assert asyncio.get_running_loop().time() < until, f"nothing within {within_s} s"
        await asyncio.sleep(0.05)
