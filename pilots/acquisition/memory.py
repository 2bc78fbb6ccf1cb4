"""What the allocator keeps of memory that was freed goes back to the machine. [station]

A gateway frees and takes blocks of every size for weeks. Nothing of it is lost, but the free room lies scattered between
what is in use: resident memory creeps by 1 % an hour, which looks like a leak and hides one.
"""

from __future__ import annotations

import asyncio
import ctypes

EVERY_S = 600.0


async def give_memory_back() -> None:
    """For ever, every ten minutes; where the C library is not glibc there is nothing to do."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    while trim is not None:
        await asyncio.sleep(EVERY_S)
        await asyncio.to_thread(trim, 0)
