"""The outbox keeps columns; what leaves is the message of docs/api.md."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import orjson
import pytest

from pilots.domain.columns import Measurements
from pilots.domain.measurement import Measurement
from pilots.domain.quality import GOOD, INVALID, Flag, Quality, Source, Validity
from pilots.models import OutboxMessage, OutboxState, Pilot
from pilots.northbound.messages import pack_values, rfc3339, written_values
from pilots.northbound.outbox import VALUES_A_MESSAGE, enqueue_measurements
from tests.builders import make_pilot

NOW = datetime(2026, 11, 23, 8, 0, 0, 999_999, tzinfo=UTC)
NAMES = [("es-STO01", "active_power", "W"), ("es-STO01", "soc", "%"), ("nl-EVSE01", 'odd "name"', "")]
OLD = Quality(Validity.QUESTIONABLE, Source.SIMULATED, Flag.OLD | Flag.OVERFLOW)
SENT = [
    (1, Measurement(55.5, GOOD, NOW, NOW + timedelta(milliseconds=1))),
    (0, Measurement(None, INVALID, NOW - timedelta(days=9000), NOW)),
    (2, Measurement(None, OLD, NOW, NOW, 'grüß "Gott"\n')),
    (0, Measurement(-42150.0, OLD, NOW, NOW)),
    (0, Measurement(1e300, GOOD, NOW.replace(microsecond=0), NOW)),
]


def form(place: int, measurement: Measurement) -> dict[str, Any]:
    device, point, unit = NAMES[place]
    expected = {
        "device": device,
        "point": point,
        "unit": unit,
        "resolution": None,
        "agg": "last",
        "t": rfc3339(measurement.source_time),
        "received": rfc3339(measurement.received_time),
        "value": measurement.value,
        "quality": measurement.quality.as_dict(),
    }
    return expected if measurement.text is None else expected | {"text": measurement.text}


def test_what_leaves_names_every_value_as_the_contract_asks() -> None:
    points = np.array([place for place, _ in SENT], dtype=np.int64)
    packed = pack_values(NAMES, points, Measurements.of([measurement for _, measurement in SENT]))
    assert orjson.loads(written_values(packed)) == [form(place, measurement) for place, measurement in SENT]


def test_what_an_older_version_kept_leaves_as_it_is() -> None:
    kept = orjson.dumps([form(*SENT[0])]).decode()
    assert written_values(kept) == kept


@pytest.fixture
def pilot(db: None) -> Pilot:
    return make_pilot()


def test_a_message_carries_no_more_values_than_the_contract_allows(pilot: Pilot) -> None:
    count = 2 * VALUES_A_MESSAGE + 1
    numbers = np.arange(count)
    values = Measurements(numbers * 1.0, numbers * 0, numbers, numbers, np.empty(count, dtype=object))
    for _ in range(2):
        enqueue_measurements(np.full(count, pilot.pk), numbers * 0, values, names=NAMES, now=NOW)
    messages = list(OutboxMessage.objects.order_by("sequence"))
    assert [message.sequence for message in messages] == [1, 2, 3, 4, 5, 6]
    assert OutboxState.objects.get().next_sequence == 7
    sent = [value["value"] for message in messages[:3] for value in orjson.loads(written_values(message.values_json))]
    assert sent == numbers.tolist()
    assert messages[0].created_at == NOW
