"""What `doctor` looks at, one function a thing: each tells in words how it is. Nothing is changed. [all zones]"""

from __future__ import annotations

import os
import shutil
import socket
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

from django.conf import settings
from django.contrib.staticfiles import finders
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Max, Min

from invade_scada.celery import app
from invade_scada.ports import read_ports
from pilots.audit.selectors import head, is_protected, last_verification
from pilots.catalogue.loader import load_pilots, load_profiles, load_use_cases
from pilots.domain.errors import CatalogueError
from pilots.domain.topology import LinkState
from pilots.models import Connection, LatestValue, Lease, OutboxMessage, OutboxState, Pilot

LEAST_FREE_BYTES = 2 * 1024**3
LONGEST_UNVERIFIED = timedelta(days=2)
LONGEST_BACKLOG = timedelta(minutes=5)
CLOCK_TOLERANCE = timedelta(seconds=5)
ROLES = ("web", "field", "worker", "beat")
STATIC_FILES = ("css/app.css", "css/tokens.css", "js/live.js", "admin/css/base.css")


class Verdict(Enum):
    WELL = "ok"
    NOTICE = "notice"
    BROKEN = "BROKEN"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    what: str
    verdict: Verdict
    words: str


def check_up() -> list[Finding]:
    """Everything was looked at; what needs tables only when they stand."""
    findings = [*_look("data folder", _data_folder), *_look("secret", _secret), *_look("database", _database)]
    tables = findings[-1].verdict is not Verdict.BROKEN
    findings += [*_look("broker", _broker), *_look("ports", _ports), *_look("disk", _disk)]
    findings += [*_look("static files", _static), *_look("catalogue", _catalogue)]
    if tables:
        looks: dict[str, Callable[[], Iterator[Finding]]] = {"pilots": _pilots, "roles": _roles, "connections": _connections}
        looks |= {"outbox": _outbox, "clock": _clock, "audit trail": _audit}
        for what, look in looks.items():
            findings += _look(what, look)
    return findings


def _look(what: str, look: Callable[[], Iterator[Finding]]) -> list[Finding]:
    try:
        return list(look())
    except (OSError, DatabaseError, ValueError) as error:
        return [Finding(what, Verdict.BROKEN, f"{type(error).__name__}: {error}")]


def _well(what: str, words: str) -> Finding:
    return Finding(what, Verdict.WELL, words)


def _notice(what: str, words: str) -> Finding:
    return Finding(what, Verdict.NOTICE, words)


def _broken(what: str, words: str) -> Finding:
    return Finding(what, Verdict.BROKEN, words)


def _data_folder() -> Iterator[Finding]:
    folder = settings.DATA_DIR
    if not os.access(folder, os.W_OK | os.X_OK):
        yield _broken("data folder", f"{folder} cannot be written by this user")
        return
    yield _well("data folder", f"{folder} can be written")


def _secret() -> Iterator[Finding]:
    path = settings.DATA_DIR / "secret_key"
    if os.environ.get("INVADE_SECRET_KEY"):
        yield _well("secret", "given by INVADE_SECRET_KEY")
    elif stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield _broken("secret", f"others may read {path}: chmod 600 it")
    else:
        yield _well("secret", f"{path.name} is readable by its owner only")


def _database() -> Iterator[Finding]:
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if missing:
        yield _broken("database", f"{len(missing)} migrations are missing: manage.py migrate")
        return
    yield from _sqlite() if connection.vendor == "sqlite" else _postgresql()


def _sqlite() -> Iterator[Finding]:
    with connection.cursor() as cursor:
        values = {}
        for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout"):
            cursor.execute(f"PRAGMA {name}")
            values[name] = str(cursor.fetchone()[0])
    said = ", ".join(f"{name} {value}" for name, value in values.items())
    # synchronous 2 is FULL: an acknowledged value outlives a power cut.
    if values["journal_mode"] not in ("wal", "memory") or int(values["synchronous"]) < 1:
        yield _notice("database", f"SQLite reachable, but {said}: journal_mode wal and synchronous full are meant")
    else:
        yield _well("database", f"SQLite, migrations complete, {said}")


def _postgresql() -> Iterator[Finding]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version'), current_setting('synchronous_commit')")
        version, commit = cursor.fetchone()
    said = f"PostgreSQL {version}, migrations complete, synchronous_commit {commit}"
    if int(version.partition(".")[0]) < 15:
        yield _broken("database", f"{said}; version 15 or newer is needed")
    elif commit == "off":
        yield _notice("database", f"{said}: an acknowledged value may be lost in a power cut")
    else:
        yield _well("database", said)


def _broker() -> Iterator[Finding]:
    if settings.EMBEDDED:
        yield _well("broker", "none: every role lives in one process")
        return
    try:
        with app.connection_for_write(connect_timeout=3) as broker:
            broker.ensure_connection(max_retries=1, timeout=3)
    except Exception as error:  # noqa: BLE001  each transport raises its own kinds
        yield _broken("broker", f"Redis does not answer ({type(error).__name__}): check REDIS_URL and the server")
        return
    yield _well("broker", "Redis answers")


def _ports() -> Iterator[Finding]:
    ports = read_ports(settings.DATA_DIR)
    if not ports:
        yield _notice("ports", "none claimed yet: run_scada has not run with this data folder")
        return
    hosts = {"web": settings.WEB_HOST, "ocpp": settings.OCPP_HOST}
    silent = [f"{name} {port}" for name, port in ports.items() if not _listens(hosts.get(name, "127.0.0.1"), port)]
    if silent:
        yield _notice("ports", f"{len(ports) - len(silent)} of {len(ports)} listen; silent: {', '.join(silent)}")
    else:
        yield _well("ports", f"all {len(ports)} listen: " + ", ".join(f"{name} {port}" for name, port in ports.items()))


def _listens(host: str, port: int) -> bool:
    # Binding, not connecting: a visitor could throw a device's only client out.
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((host, port))
        except OSError:
            return True
    return False


def _disk() -> Iterator[Finding]:
    free = shutil.disk_usage(settings.DATA_DIR).free
    said = f"{free / 1024**3:.1f} GiB free in the data folder"
    yield _well("disk", said) if free >= LEAST_FREE_BYTES else _notice("disk", f"{said}: at least 2 GiB are meant")


def _static() -> Iterator[Finding]:
    collected = settings.STATIC_ROOT
    missing = [name for name in STATIC_FILES if finders.find(name) is None and not (collected / name).exists()]
    if missing:
        yield _broken("static files", f"missing: {', '.join(missing)}")
    else:
        yield _well("static files", "present")


def _catalogue() -> Iterator[Finding]:
    try:
        pilots, profiles, cases = load_pilots(), load_profiles(), load_use_cases()
    except CatalogueError as error:
        yield _broken("catalogue", str(error))
        return
    yield _well("catalogue", f"{len(pilots)} pilots, {len(profiles)} profiles, {len(cases)} use cases, all valid")


def _pilots() -> Iterator[Finding]:
    codes = list(Pilot.objects.values_list("code", flat=True))
    if codes:
        yield _well("pilots", ", ".join(codes))
    else:
        yield _notice("pilots", "none commissioned: manage.py commission FILE, or run_scada --demo")


def _roles() -> Iterator[Finding]:
    now = datetime.now(UTC)
    resources = Lease.objects.filter(resource__startswith="role:", until__gt=now).values_list("resource", flat=True)
    alive = Counter(resource.split(":")[1] for resource in resources)
    absent = [role for role in ROLES if not alive[role]]
    said = ", ".join(f"{role} {count}" for role, count in sorted(alive.items())) or "none"
    if absent:
        yield _notice("roles", f"alive: {said}; not running: {', '.join(absent)}")
    else:
        yield _well("roles", f"alive: {said}")


def _connections() -> Iterator[Finding]:
    enabled = Connection.objects.filter(enabled=True)
    states = Counter(enabled.values_list("state", flat=True))
    said = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none configured"
    down = enabled.filter(state=LinkState.DOWN)
    if not down:
        yield _well("connections", said)
        return
    listed = "; ".join(f"{row.name}: {row.last_error or 'no reason recorded'}" for row in down[:5])
    yield _notice("connections", f"{said}. {listed}")


def _outbox() -> Iterator[Finding]:
    waiting = OutboxMessage.objects.filter(refused_at=None)
    oldest = waiting.aggregate(oldest=Min("created_at"))["oldest"]
    refused = OutboxMessage.objects.exclude(refused_at=None).count()
    accepted = OutboxState.objects.aggregate(last=Max("accepted_at"))["last"]
    last = "INVADE has accepted nothing yet" if accepted is None else f"last acceptance {accepted:%Y-%m-%d %H:%M:%S} UTC"
    said = f"{waiting.count()} waiting, {refused} set aside, {last}"
    late = oldest is not None and datetime.now(UTC) - oldest > LONGEST_BACKLOG
    trouble = OutboxState.objects.exclude(last_error="").values_list("last_error", flat=True).first()
    if late or refused:
        yield _notice("outbox", f"{said}{'; ' + trouble if trouble else ''}")
    else:
        yield _well("outbox", said)


def _clock() -> Iterator[Finding]:
    times = LatestValue.objects.aggregate(received=Max("received_time"), source=Max("source_time"))
    if times["received"] is None:
        yield _well("clock", "no value received yet to compare with")
        return
    ahead = times["received"] - datetime.now(UTC)
    if ahead > CLOCK_TOLERANCE:
        yield _broken(
            "clock", f"the newest value was received {ahead.total_seconds():.0f} s ahead of now: the clock was set back"
        )
    else:
        yield _well("clock", f"newest value received {-ahead.total_seconds():.0f} s ago")


def _audit() -> Iterator[Finding]:
    what, verdict = "audit trail", last_verification()
    rows = f"{head()[0]} rows"
    if not is_protected():
        yield _broken(what, f"{rows}, and its table can be changed: triggers of the migrations are missing or disabled")
    elif verdict is None:
        yield _notice(what, f"{rows}, never verified: the worker does it each hour, or manage.py verify_audit")
    elif verdict.fault:
        yield _broken(what, f"{rows}. {verdict.fault}")
    elif datetime.now(UTC) - verdict.at > LONGEST_UNVERIFIED:
        yield _notice(what, f"{rows}, last verified {verdict.at:%Y-%m-%d %H:%M:%S} UTC: manage.py verify_audit")
    else:
        yield _well(what, f"{rows}, verified up to {verdict.number} at {verdict.at:%Y-%m-%d %H:%M:%S} UTC")
