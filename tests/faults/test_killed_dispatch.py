"""F3, S17, S22: workers are killed in the middle of a dispatch; the device's own ledger says what was done. [station]"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.db import connection

from pilots.catalogue.services import note_change
from pilots.control import expiry
from pilots.control.services import request_setpoint
from pilots.domain.setpoint import Issuer, SetpointState
from pilots.models import Lease, Pilot, Point, Setpoint
from tests.acquisition.field import add_unit, arrived
from tests.builders import make_connection, make_pilot
from tests.faults.doomed import MOMENTS, NEVER
from tests.faults.far_side import FarSide
from tests.faults.inverters import Inverters, Write, unit_of
from tests.waiting import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.wire]
ROOT = Path(__file__).parents[2]
S = SetpointState
#: Every third set-point runs out while nobody lives who could carry it out.
LONG_S, SHORT_S = 300.0, 2.0
#: What the pure check lets through (tests/builders.py).
MOST_W = 100_000.0


class Lives:
    """One field worker after the other."""

    def __init__(self) -> None:
        database = urlunsplit(urlsplit(os.environ["TEST_DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}"))
        environment = os.environ | {"DATABASE_URL": database, "REDIS_URL": settings.REDIS_URL}
        environment |= {"DJANGO_SETTINGS_MODULE": "invade_scada.settings", "INVADE_LOG_LEVEL": "ERROR"}
        command = [sys.executable, "-m", "tests.faults.doomed"]
        self._mother = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT, start_new_session=True
        )
        self.pid = 0

    def begin(self, moment: str, setpoint: UUID | None = None) -> None:
        assert self._mother.stdin is not None and self._mother.stdout is not None
        self._mother.stdin.write(f"{moment} {setpoint}\n")
        self._mother.stdin.flush()
        self.pid = int(self._mother.stdout.readline())

    @property
    def lives(self) -> bool:
        """A dead one is a zombie until its mother has seen it: then its place in /proc is empty."""
        return Path(f"/proc/{self.pid}/exe").exists()

    def kill(self) -> None:
        """It is dead, of our hand or of its own, and its leases have run out."""
        if self.lives:
            os.kill(self.pid, signal.SIGKILL)
        assert self._mother.stdout is not None
        assert int(self._mother.stdout.readline()) == signal.SIGKILL
        Lease.objects.update(until=datetime.now(UTC))

    def end(self) -> None:
        os.killpg(self._mother.pid, signal.SIGKILL)
        self._mother.communicate()


@pytest.fixture
def clock() -> Iterator[None]:
    """What Celery's beat does each second."""
    ended = threading.Event()

    def tick() -> None:
        while not ended.wait(1.0):
            expiry.expire_setpoints(now=datetime.now(UTC))
        connection.close()

    thread = threading.Thread(target=tick, name="clock")
    thread.start()
    yield
    ended.set()
    thread.join()


@pytest.fixture
def lives() -> Iterator[Lives]:
    lives = Lives()
    yield lives
    lives.end()


@pytest.mark.parametrize("kills", [36, pytest.param(200, marks=pytest.mark.rig)], ids=["short", "rig"])
def test_s17_s22_killed_in_the_middle_nothing_is_done_twice_late_or_unexplained(
    far: FarSide, clock: None, lives: Lives, kills: int
) -> None:
    inverters = Inverters()
    pilot = _plant(far.serve_streams(inverters.peer.accept), kills)
    setpoints, own_hand = [], Counter[str]()
    for number, moment in enumerate(islice(cycle(MOMENTS), kills)):
        key, born = uuid4(), datetime.now(UTC)
        lives.begin(moment, key)
        until(partial(arrived, since=born, code=_code(number)), within_s=60)
        setpoint = _ask(pilot, key, number, SHORT_S if number // len(MOMENTS) % 3 == 0 else LONG_S)
        setpoints.append(setpoint)
        until(lambda setpoint=setpoint: not lives.lives or _over(setpoint), within_s=60)
        own_hand[moment] += not lives.lives
        lives.kill()
        until(lambda setpoint=setpoint: _lasts(setpoint) or setpoint.valid_until < datetime.now(UTC))
    lives.begin(NEVER)
    until(lambda: all(map(_over, setpoints)), within_s=120)
    setpoints = list(Setpoint.objects.filter(pk__in=[each.pk for each in setpoints]).select_related("point__device"))
    _report(setpoints, inverters.ledger, own_hand)

    assert all(own_hand[moment] for moment in MOMENTS)
    for setpoint in setpoints:
        writes = [each for each in inverters.ledger if each.unit == unit_of(setpoint) and each.value == setpoint.value]
        assert len(writes) <= 1, f"{setpoint.pk} was executed twice"
        assert all(each.at < setpoint.valid_until for each in writes), f"{setpoint.pk} was executed after its expiry"
        assert (setpoint.state == S.EXECUTED) <= (len(writes) == 1), f"{setpoint.pk} was never executed"
        assert (setpoint.state == S.FAILED) <= (not writes), f"{setpoint.pk} is called failed and was executed"
        story = list(setpoint.events.all())
        assert story[-1].state == setpoint.state and (story[-1].reason or setpoint.state == S.EXECUTED), "unexplained"
    asked = {(unit_of(each), each.value) for each in Setpoint.objects.select_related("point__device")}
    assert all((each.unit, each.value) in asked and abs(each.value) <= MOST_W for each in inverters.ledger)


def _plant(port: int, units: int) -> Pilot:
    pilot = make_pilot("bg")
    line = make_connection(pilot, "bg-rtu01", protocol="modbus_tcp", port=port, state="unknown", options={"timeout_s": 5.0})
    for unit in range(1, units + 1):
        add_unit(pilot, line, unit, code=_code(unit - 1), period_s=max(0.5, units / 100))
    note_change(pilot)
    return pilot


def _code(number: int) -> str:
    return f"bg-STO{number + 1:03d}"


def _ask(pilot: Pilot, key: UUID, number: int, lasts_s: float) -> Setpoint:
    """The value is the unit's own, so that the ledger tells whose it was, and far from the 0 that it begins with."""
    now = datetime.now(UTC)
    point = Point.objects.get(device__pilot=pilot, device__code=_code(number), name="p_set")
    until_then = now + timedelta(seconds=lasts_s)
    return request_setpoint(
        setpoint_id=key,
        point=point,
        value=-20_000.0 - 300 * number,
        unit="W",
        issuer=Issuer.OPERATOR,
        requested_by="ana",
        valid_until=until_then,
        now=now,
    )


def _lasts(setpoint: Setpoint) -> bool:
    return setpoint.valid_until - setpoint.received_at > timedelta(seconds=SHORT_S)


def _over(setpoint: Setpoint) -> bool:
    """Whether it has its end."""
    setpoint.refresh_from_db(fields=["state"])
    return SetpointState(setpoint.state).terminal


def _report(setpoints: list[Setpoint], ledger: list[Write], own_hand: Counter[str]) -> None:
    ends = Counter(setpoint.state for setpoint in setpoints)
    print(
        f"F3: {len(setpoints)} kills of the field worker, in the middle of a dispatch {own_hand.total()} "
        f"({', '.join(f'{moment} {own_hand[moment]}' for moment in MOMENTS)}); ends {dict(ends)}; "
        f"{len(ledger)} writes in the device's ledger"
    )
