"""What supervisors have to tell the database, gathered: one transaction for hundreds of connections. [station]

States are written as they change, figures every two seconds where they changed. While the database is away nothing is
lost: what was noted is written when it is back.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from django.db import DatabaseError, connection, transaction

from pilots.acquisition.ingest import Ingest
from pilots.acquisition.old_data import mark_devices_old
from pilots.acquisition.threads import DatabaseThreads
from pilots.audit.services import record_event
from pilots.domain.topology import LinkState
from pilots.models import Connection

if TYPE_CHECKING:
    from pilots.acquisition.supervisor import Supervisor

log = logging.getLogger(__name__)

FIGURES_EVERY_S = 2.0
#: So many connections' figures are worked out before the loop's other work gets its turn.
AT_ONCE = 50
RETRY_S = 1.0

_COLUMNS = "state, since, error, last_frame, way, statistics"
_KEPT_SINCE = "CASE WHEN {row}state = {new}state THEN {row}state_since ELSE {new}since END"
_POSTGRESQL = f"""UPDATE pilots_connection AS c SET state_since = {_KEPT_SINCE.format(row="c.", new="v.")}, state = v.state,
last_error = v.error, last_frame_at = v.last_frame, active_way = COALESCE(v.way, c.active_way),
statistics = v.statistics::jsonb
FROM unnest(%s::bigint[], %s::text[], %s::timestamptz[], %s::text[], %s::timestamptz[], %s::smallint[], %s::text[])
AS v (id, {_COLUMNS}) WHERE c.id = v.id"""
_SQLITE = """UPDATE pilots_connection SET state_since = CASE WHEN state = %s THEN state_since ELSE %s END, state = %s,
last_error = %s, last_frame_at = %s, active_way = COALESCE(%s, active_way), statistics = %s WHERE id = %s"""


@dataclass(frozen=True, slots=True)
class StateRow:
    """The row of one supervisor's connections as it should be.

    `way` is None before one stood. `switch`: why it is this way, where there are several; it goes to the audit trail.
    """

    connections: Sequence[int]
    owner: str
    state: LinkState
    since: datetime | None
    error: str
    last_frame: datetime | None
    way: int | None
    statistics: str  # JSON text: one is kept of every connection
    switch: str = ""


class StateWriter:
    """Lives in the gateway's loop."""

    def __init__(self, ingest: Ingest, threads: DatabaseThreads) -> None:
        self._ingest, self._threads = ingest, threads
        self._changed: dict[Supervisor, None] = {}
        self._old: dict[str, None] = {}
        self._written: dict[Supervisor, str] = {}
        self._news, self._one_at_a_time = asyncio.Event(), asyncio.Lock()
        self._figures_at = 0.0

    def note(self, supervisor: Supervisor) -> None:
        """Its state has changed."""
        self._changed[supervisor] = None
        self._news.set()

    def note_old(self, devices: Sequence[str]) -> None:
        """The values of these devices cannot be renewed any more."""
        self._old.update(dict.fromkeys(devices))
        self._news.set()

    def forget(self, supervisor: Supervisor) -> None:
        """It has ended: its row belongs to whoever takes the connection next."""
        self._written.pop(supervisor, None)

    async def run(self) -> None:
        """Writes for ever, at once when something is noted; what comes meanwhile goes with the next transaction."""
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await self.write()
            except DatabaseError as error:
                # A database that is away is no reason to drop the field: its values wait in ingest.
                log.warning("states wait for the database: %s", error)
                await asyncio.sleep(RETRY_S)
                self._news.set()

    async def write(self) -> None:
        """What was noted stands in the database. Raises DatabaseError, and then it is still to be written."""
        changed, self._changed = self._changed, {}
        old, self._old = self._old, {}
        try:
            if changed:
                await self._write_rows([s.row(time.monotonic()) for s in changed if not s.ended])
            if old:
                await self._threads.run(mark_devices_old, self._ingest, list(old))
        except DatabaseError:
            self._changed, self._old = changed | self._changed, old | self._old
            raise

    async def write_figures(self, supervisors: Sequence[Supervisor]) -> None:
        """The rows whose figures changed show them; at most every two seconds. Raises DatabaseError."""
        if time.monotonic() - self._figures_at < FIGURES_EVERY_S:
            return
        self._figures_at = time.monotonic()
        rows: dict[Supervisor, StateRow] = {}
        for index, supervisor in enumerate(supervisors):
            row = supervisor.row(time.monotonic())
            if row.statistics != self._written.get(supervisor):
                rows[supervisor] = row
            if index % AT_ONCE == AT_ONCE - 1:
                await asyncio.sleep(0)
        rows = {supervisor: row for supervisor, row in rows.items() if not supervisor.ended}
        if rows:
            await self._write_rows(list(rows.values()))
            self._written |= {supervisor: row.statistics for supervisor, row in rows.items()}

    async def _write_rows(self, rows: list[StateRow]) -> None:
        async with self._one_at_a_time:  # two writers of the same rows could wait for each other
            await self._threads.run(write_rows, rows)


@transaction.atomic
def write_rows(rows: Sequence[StateRow]) -> None:
    """These connections' rows are so; `state_since` stays where the state did. Switched ways stand in the audit trail."""
    for row in rows:
        if row.switch and row.way is not None:
            _note_switch(row, row.way)
    flat = [(key, row) for row in rows for key in row.connections]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(_POSTGRESQL, _arrays(flat))
        else:
            adapt = connection.ops.adapt_datetimefield_value
            cursor.executemany(
                _SQLITE,
                [
                    (r.state, adapt(r.since), r.state, r.error[:300], adapt(r.last_frame), r.way, r.statistics, key)
                    for key, r in flat
                ],
            )


def _arrays(flat: Sequence[tuple[int, StateRow]]) -> list[str]:
    """The columns as array literals (PostgreSQL manual, 8.15.2): psycopg would hold up the loop with them ten times as long."""
    columns: list[list[object]] = [
        [key for key, _ in flat],
        [row.state for _, row in flat],
        [row.since for _, row in flat],
        [_quoted(row.error[:300]) for _, row in flat],
        [row.last_frame for _, row in flat],
        [row.way for _, row in flat],
        [_quoted(row.statistics) for _, row in flat],
    ]
    return ["{" + ",".join("NULL" if value is None else str(value) for value in column) + "}" for column in columns]


def _quoted(text: str) -> str:
    return '"' + text.replace("\0", "").replace("\\", "\\\\").replace('"', '\\"') + '"'


def _note_switch(row: StateRow, way: int) -> None:
    """The UPDATE decides who tells: figures and a state may be written for the same switch."""
    for line in Connection.objects.filter(pk__in=row.connections).exclude(active_way=way).select_related("pilot"):
        if not Connection.objects.filter(pk=line.pk, active_way=line.active_way).update(active_way=way):
            continue
        record_event(
            at=datetime.now(UTC),
            actor=row.owner,
            action="way_switched",
            pilot=line.pilot.code,
            subject=line.name,
            reason=row.switch,
            details={"from": line.active_way, "to": way},
        )
