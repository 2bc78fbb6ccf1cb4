"""How long a set-point has been known, by a clock that nobody sets. [operation]

The wall clock may be wrong or jump; the clock since boot may not, and all processes of a machine share it. A set-point that was
received on this machine since it was started ends by whichever of the two is first; of others only the wall clock is known.
"""

from __future__ import annotations

import time
from datetime import datetime
from functools import cache
from pathlib import Path

from django.db.models import Q

from pilots.models import Setpoint

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@cache
def boot() -> str:
    """Which run of which machine this is; empty where the system does not say."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def since_boot_s() -> float:
    """Seconds by the clock that nobody sets; it goes on while the machine, or a process, sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def stamp(setpoint: Setpoint) -> None:
    """The set-point, received just now, knows its end by the clock since boot."""
    setpoint.boot = boot()
    setpoint.ends_since_boot_s = since_boot_s() + (setpoint.valid_until - setpoint.received_at).total_seconds()


def over(now: datetime) -> Q:
    """Set-points whose time has passed, by either clock."""
    ended = Q(valid_until__lte=now)
    here = boot()
    return ended | Q(boot=here, ends_since_boot_s__lte=since_boot_s()) if here else ended


def left_s(setpoint: Setpoint, now: datetime) -> float:
    """Seconds until its time is over, by the clock that is ahead; 0 or less when it is."""
    by_wall = (setpoint.valid_until - now).total_seconds()
    if not setpoint.boot or setpoint.boot != boot() or setpoint.ends_since_boot_s is None:
        return by_wall
    return min(by_wall, setpoint.ends_since_boot_s - since_boot_s())
