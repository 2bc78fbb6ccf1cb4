"""F26: devices whose clock is a day ahead, or stands in 1970. [field -> enterprise]"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pilots.acquisition.ingest import Ingest
from pilots.domain.measurement import RawReading
from pilots.domain.quality import Flag
from pilots.history.selectors import read_samples
from pilots.models import AuditEvent, Device, LatestValue, OutboxMessage
from pilots.northbound.services import _body
from tests.conftest import Battery
from tests.faults.test_odd_values import parse
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)
START = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
CLOCKS = {"a day ahead": START + timedelta(days=1), "1970": datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC)}


@pytest.mark.parametrize("clock", CLOCKS)
def test_f26_a_wrong_clock_pins_nothing_and_loses_nothing(battery: Battery, door: Ingest, clock: str) -> None:
    door.directory.refresh(force=True)
    wrong = CLOCKS[clock]

    def put(value: float, source: datetime, seconds: float) -> LatestValue:
        received = START + timedelta(seconds=seconds)
        door.put("es-STO01", [RawReading("active_power", value, source_time=source)], received).result(10)
        return LatestValue.objects.get(point=battery.power)

    first = put(1000.0, START, 0.0)
    assert first.value == 1000.0
    odd = put(2000.0, wrong, 10.0)
    right = put(3000.0, START + timedelta(seconds=20), 20.0)
    assert right.value == 3000.0
    assert Flag.CLOCK_UNSYNCED not in right.unpacked_quality.flags
    rows = read_samples([battery.power], datetime(1960, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC), limit=100)
    stored = {row.value: row for row in rows}
    assert stored.keys() == {1000.0, 2000.0, 3000.0}
    flagged = Flag.CLOCK_UNSYNCED in stored[2000.0].quality.flags
    bodies = [parse(_body(battery.pilot, message)) for message in OutboxMessage.objects.all()]
    forwarded = {value["value"]: value for body in bodies for value in body["values"]}
    print(
        f"F26: clock {clock}: shown meanwhile {odd.value:g} of {odd.source_time:%F}, kept at {stored[2000.0].source_time:%F %T}, "
        f"flagged {flagged}; the next right value shows at once; forwarded {forwarded[2000.0]}"
    )
    assert odd.source_time <= START + timedelta(seconds=10)
    assert flagged
    until(AuditEvent.objects.exists)
    event = AuditEvent.objects.get()
    assert (event.action, event.pilot, event.subject) == ("clock_skew", "es", "es-STO01")
    assert START + timedelta(seconds=10 + event.details["skew_s"]) == wrong


def test_f26_a_clock_is_told_of_when_it_goes_wrong_and_when_it_is_right_again(battery: Battery, door: Ingest) -> None:
    door.directory.refresh(force=True)

    def put(source_s: float, seconds: float) -> None:
        moment = START + timedelta(seconds=seconds)
        reading = RawReading("active_power", seconds, source_time=moment + timedelta(seconds=source_s))
        door.put("es-STO01", [reading], moment).result(10)

    for skew_s, seconds in ((86400, 0), (0, 1), (86400, 2), (0, 3), (0, 61), (0, 63), (0, 64), (3600, 70)):
        put(skew_s, seconds)
    until(lambda: AuditEvent.objects.count() == 3)
    events = list(AuditEvent.objects.order_by("pk").values_list("action", "details"))
    assert events == [
        ("clock_skew", {"skew_s": 86400.0}),
        ("clock_right", {"skew_s": 86400.0}),
        ("clock_skew", {"skew_s": 3600.0}),
    ]
    assert Device.objects.get().clock_skew_s == 3600.0


def test_a_clock_somewhat_ahead_is_kept_for_its_alarm_and_told_nobody_else(battery: Battery, door: Ingest) -> None:
    door.directory.refresh(force=True)
    for skew_s, seconds in ((10, 0), (0, 1), (0, 62)):
        moment = START + timedelta(seconds=seconds)
        reading = RawReading("active_power", seconds, source_time=moment + timedelta(seconds=skew_s))
        door.put("es-STO01", [reading], moment).result(10)
        wanted = 10.0 if seconds < 60 else None
        until(lambda wanted=wanted: Device.objects.get().clock_skew_s == wanted)  # type: ignore[misc]
    assert not AuditEvent.objects.exists()
