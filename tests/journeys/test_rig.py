"""Long fault runs (`make rig`): many kills at random moments, and afterwards both sides are counted."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime

import pytest

from tests.journeys.installation import Installation
from tests.journeys.peers import ForeignMeter
from tests.journeys.test_losing_things import check_both_sides, check_sequences, senders, taken_over

pytestmark = pytest.mark.rig
KILLS = 20
SOAK_S = 1800.0


def test_twenty_kills_at_random_moments_lose_nothing_acknowledged(scada: Installation, foreign: ForeignMeter) -> None:
    start, chance = datetime.now(UTC), random.Random(731148)
    with senders(scada) as peers:
        for _ in range(KILLS):
            victim = chance.choice([scada.field, "simulators", *(("worker", "web") if scada.mode == "production" else ())])
            time.sleep(chance.uniform(0.0, 8.0))  # the moment of the kill is what is varied
            scada.children[victim].kill()
            killed = datetime.now(UTC)
            if victim == "simulators":
                scada.start_simulators()
            else:
                scada.start_server(victim)
            scada.until(lambda since=killed: taken_over(scada, since), 90, f"every pilot is read after the end of {victim}")  # type: ignore[misc]
    check_both_sides(scada, peers, start)


def test_half_an_hour_leaves_nothing_unread_and_nothing_missing(scada: Installation, foreign: ForeignMeter) -> None:
    start, until = datetime.now(UTC), time.monotonic() + SOAK_S
    with senders(scada) as peers:
        while time.monotonic() < until:
            time.sleep(30)  # a soak is a wait
            assert scada.readiness() == 200
            assert taken_over(scada, datetime.fromtimestamp(time.time() - 30, UTC))
            check_sequences(scada.ledger("platform"))
    check_both_sides(scada, peers, start)
