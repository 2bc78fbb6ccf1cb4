"""Field workers that kill -9 themselves at a chosen moment of a dispatch. [zone: station]

`python -m tests.faults.doomed` reads a line `MOMENT SETPOINT` a life and answers with its process id, then with the signal it
died of. A life is a fork of a process that has everything loaded and no thread and no connection yet: it starts in an instant.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import django

#: Of a dispatch, in their order; NEVER lives until somebody else kills it.
MOMENTS = ["before_claim", "after_claim", "after_write", "in_state", "after_state", "in_feedback"]
NEVER = "never"


def main() -> None:
    django.setup()
    from pilots.acquisition import gateway as loaded  # everything a life needs, before the first is born

    del loaded
    for line in sys.stdin:
        life = os.fork()
        if not life:
            live(*line.split())
        print(life, flush=True)
        _, status = os.waitpid(life, 0)
        print(os.WTERMSIG(status), flush=True)


def live(moment: str, key: str) -> None:
    """Works as a field worker does until the moment comes; never returns."""
    from pilots.acquisition import gateway

    gateway.TEND_EVERY_S = 0.1
    doom(moment, key)
    gateway.Gateway().start()
    while True:
        signal.pause()


def doom(moment: str, key: str) -> None:
    """At this moment of that set-point the process is gone, without a word."""
    from pilots.acquisition.orders import Orders
    from pilots.control import dispatch, transitions
    from pilots.domain.setpoint import SetpointState

    if moment in ("before_claim", "after_claim"):
        dispatch.claim_setpoint = dying(dispatch.claim_setpoint, key, before=moment == "before_claim")
    elif moment == "after_write":
        Orders._write = written(Orders._write, key)  # type: ignore[method-assign]
    elif moment == "after_state":
        dispatch.note_dispatched = dying(dispatch.note_dispatched, key)
    elif moment != NEVER:  # inside the transaction: what it wrote must be gone with it
        state = SetpointState.DISPATCHED if moment == "in_state" else SetpointState.EXECUTED
        transitions.add_event = dying(transitions.add_event, key, state=state)


def dying(call: Callable[..., Any], key: str, *, before: bool = False, state: str = "") -> Callable[..., Any]:
    """The function, which nobody survives that calls it for this set-point (and this state), `before` it or after."""

    @wraps(call)
    def wrapped(setpoint: Any, *arguments: Any, **named: Any) -> Any:
        meant = str(setpoint.pk) == key and (not state or arguments[0] == state)
        if before and meant:
            die()
        answer = call(setpoint, *arguments, **named)
        if meant and answer is not False:
            die()
        return answer

    return wrapped


def written(write: Callable[..., Any], key: str) -> Callable[..., Any]:
    """The device has confirmed the write, and nobody is there any more to hear of it."""

    async def wrapped(orders: Any, driver: Any, setpoint: Any, *more: Any) -> Any:
        answer = await write(orders, driver, setpoint, *more)
        if str(setpoint.pk) == key:
            die()
        return answer

    return wrapped


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
