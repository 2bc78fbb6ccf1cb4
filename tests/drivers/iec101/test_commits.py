"""Received items on their way into the store."""

from __future__ import annotations

import asyncio

from pilots.domain.errors import LinkDown
from pilots.drivers.iec101.commits import Commits


async def test_what_comes_during_a_commit_is_committed_together_next_and_in_order() -> None:
    gate, batches, committed = asyncio.Event(), [], []

    async def commit(items: list[int]) -> None:
        batches.append(items)
        await gate.wait()

    failures: list[LinkDown] = []
    commits = Commits(commit, failures.append)
    for number in range(4):
        commits.put(number, lambda number=number: committed.append(number))  # type: ignore[misc]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert (batches, committed) == ([[0]], [])
    gate.set()
    await commits.end()
    assert (batches, committed) == ([[0], [1, 2, 3]], [0, 1, 2, 3])
    assert failures == []


async def test_a_commit_that_does_not_end_is_given_up_when_the_link_closes() -> None:
    failures: list[LinkDown] = []

    async def commit(items: list[int]) -> None:
        await asyncio.Event().wait()

    commits = Commits(commit, failures.append)
    commits.put(1, lambda: None)
    await asyncio.sleep(0)
    await commits.end()
    await commits.end()
    assert len(failures) == 1
