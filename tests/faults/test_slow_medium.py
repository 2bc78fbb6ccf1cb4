"""F28: IEC 104 and Modbus over a GPRS-like medium: no device called failed, no question the link cannot carry. [zone: field]

D7.1 2.2.3.2; the medium's figures are those of `pilots.domain.media`. The short form is the same link, all times divided
by `SHORT`: medium, time-outs, timers and periods alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from pilots.acquisition.gateway import Gateway
from pilots.domain.media import MEDIA, Medium
from pilots.domain.quality import Flag
from pilots.domain.topology import LinkState, Protocol
from pilots.models import LatestValue
from tests.builders import make_pilot
from tests.faults.far_side import FarSide
from tests.faults.peers import Meters, Stations
from tests.faults.plant import arrived, iec104_line, modbus_line
from tests.waiting import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.wire]
SHORT, LINKS = 6.0, 4
#: What one sets for a connection over GPRS, in seconds: docs/protocols/modbus.md, docs/protocols/iec104.md.
PERIOD_S, TIMEOUT_S = 15.0, 30.0
TIMERS = {"t0": 30.0, "t1": 45.0, "t2": 10.0, "t3": 120.0}


def hastened(medium: Medium, times: float) -> Medium:
    return replace(
        medium,
        bandwidth_bps=medium.bandwidth_bps * times,
        latency_p50_s=medium.latency_p50_s / times,
        latency_p95_s=medium.latency_p95_s / times,
        bad_spell_s=medium.bad_spell_s / times,
    )


@dataclass
class Failures:
    """What was called failed although it only was slow; `late` looks met a value that had rightly become old."""

    downs: int = 0
    old: int = 0
    late: int = 0

    def look(self, gateway: Gateway) -> None:
        self.downs += sum(each.state is LinkState.DOWN for each in gateway.supervisors.values())
        now = datetime.now(UTC)
        for row in LatestValue.objects.select_related("point"):
            if Flag.OLD in row.unpacked_quality.flags:
                overdue = (now - row.received_time).total_seconds() > (row.point.spec.max_age_s or 0.0)
                self.late += overdue
                self.old += not overdue


def options_104(times: float) -> dict[str, Any]:
    return {name: seconds / times for name, seconds in TIMERS.items()}


@pytest.mark.parametrize(
    ("lasts_s", "times"), [(60.0, SHORT), pytest.param(3600.0, 1.0, marks=pytest.mark.rig)], ids=["short", "rig"]
)
def test_f28_a_slow_link_is_not_a_failed_one(far: FarSide, start: Callable[[], Gateway], lasts_s: float, times: float) -> None:
    gprs, pilot = hastened(MEDIA["GPRS"], times), make_pilot("bg")
    meters, stations = Meters(), Stations(every_s=PERIOD_S / times)
    ports = (far.serve(meters.protocol), far.serve(stations.protocol))
    for number in range(LINKS):
        modbus, iec104 = (
            far.relay(port, protocol, medium=gprs, name=f"{protocol} {number}", seed=number).port
            for port, protocol in zip(ports, (Protocol.MODBUS_TCP, Protocol.IEC104), strict=True)
        )
        polled = {"timeout_s": TIMEOUT_S / times}
        modbus_line(pilot, f"bg-m{number}", modbus, period_s=PERIOD_S / times, options=polled)
        line = f"bg-r{number}"
        iec104_line(pilot, line, iec104, max_interval_s=2 * PERIOD_S / times, options=options_104(times))
    began, gateway = time.monotonic(), start()
    names = [f"bg-{kind}{number}" for number in range(LINKS) for kind in "mr"]
    until(lambda: arrived(*names), within_s=60)

    failures, ends = Failures(), time.monotonic() + lasts_s / times
    while time.monotonic() < ends:
        failures.look(gateway)
        time.sleep(0.25)  # the link is watched for its time
    ended = time.monotonic()
    report(gateway, failures, meters, stations, lasts_s)
    assert (failures.downs, failures.old, failures.late) == (0, 0, 0)
    for number, supervisor in enumerate(gateway.supervisors.values()):
        assert supervisor.traffic.reconnects == 0, number
        # No question before the one before it was answered or given up: as many rounds as the link carries.
        assert supervisor.counters.polls <= (ended - began) * times / PERIOD_S + 3


def report(gateway: Gateway, failures: Failures, meters: Meters, stations: Stations, lasts_s: float) -> None:
    size = {"modbus": 0, "iec104": 0}
    skipped, trips = 0, []
    for supervisor in gateway.supervisors.values():
        kind = "iec104" if supervisor.plan.protocol is Protocol.IEC104 else "modbus"
        size[kind] += supervisor.traffic.sent_bytes + supervisor.traffic.received_bytes
        skipped += supervisor.counters.skipped
        trips += supervisor.traffic.round_trips_s if kind == "modbus" else ()
    trips.sort()
    print(
        f"F28: {failures.downs + failures.old} false failures in {lasts_s:g} s of GPRS on {len(gateway.supervisors)} links; "
        f"bytes a sample: Modbus {size['modbus'] / len(meters.told):.0f}, IEC 104 {size['iec104'] / len(stations.told):.0f}; "
        f"{failures.late} looks (four a second) at a value older than three periods; {skipped} polls skipped, "
        f"longest round trip {trips[-1]:.1f} s (as run)"
    )
