"""F26: devices whose clock is a day ahead, or stands in 1970. [field -> enterprise]"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pilots.acquisition.ingest import Ingest
from pilots.domain.measurement import RawReading
from pilots.domain.quality import Flag
from pilots.history.selectors import read_samples
from pilots.models import LatestValue, OutboxMessage
from pilots.northbound.services import _body
from tests.conftest import Battery
from tests.faults.test_odd_values import parse

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
