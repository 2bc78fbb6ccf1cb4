"""A question to the gateway that holds a connection, and the wait for its answer: for pages and the API. [station]"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from pilots.acquisition.field_requests import answer_of, ask
from pilots.domain.errors import PilotsError
from pilots.models import Connection, Device

PATIENCE_S = 3.0
LOOK_EVERY_S = 0.05


class NoAnswer(PilotsError):
    """No gateway answered in time."""

    code = "no_gateway"


class Refused(PilotsError):
    """The gateway answered that it could not be done; the words are the driver's or the device's."""

    code = "field_refused"


def asked_and_answered(
    connection: Connection,
    kind: str,
    question: dict[str, Any],
    *,
    asked_by: str,
    device: Device | None = None,
    patience_s: float | None = None,
) -> dict[str, Any]:
    """The gateway's answer. Raises CatalogueError (the question is wrong), Refused, NoAnswer; blocks for `patience_s` at most."""
    patience_s = PATIENCE_S if patience_s is None else patience_s
    asked = ask(
        connection=connection,
        kind=kind,
        question=question,
        asked_by=asked_by,
        now=datetime.now(UTC),
        patience_s=patience_s,
        device=device,
    )
    ends = time.monotonic() + patience_s
    while time.monotonic() < ends:
        found = answer_of(asked.pk)
        if found.error:
            raise Refused(found.error)
        if found.answer is not None:
            answer: dict[str, Any] = found.answer
            return answer
        time.sleep(LOOK_EVERY_S)
    raise NoAnswer("No gateway answered: none holds this connection just now, or it is stopped.")
