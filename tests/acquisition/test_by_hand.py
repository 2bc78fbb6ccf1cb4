"""Values by hand: what stands, what the history keeps, how they end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import orjson
import pytest
from django.conf import settings

from pilots.acquisition.by_hand import ByHand, uphold
from pilots.acquisition.ingest import Ingest
from pilots.catalogue.services import note_change
from pilots.control.substitutions import substitute, withdraw
from pilots.domain.measurement import RawReading
from pilots.domain.quality import Flag, Quality, Source, Validity
from pilots.history.selectors import read_samples
from pilots.live.hub import hub
from pilots.models import AuditEvent, LatestValue, OutboxMessage, Substitution
from pilots.northbound.messages import written_values
from tests.builders import make_point
from tests.conftest import Battery
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)


class Field:
    """A battery whose values come, and an operator who says otherwise."""

    def __init__(self, door: Ingest, battery: Battery) -> None:
        self.door, self.battery, self.now = door, battery, datetime.now(UTC)
        note_change(battery.pilot)
        door.directory.refresh(force=True)
        # Every flush asks anew: these tests wait for no second to pass.
        door.by_hand = ByHand(clock=iter(range(0, 10_000, 10)).__next__)

    def measures(self, value: float, seconds: float = 0.0) -> None:
        reading = RawReading("active_power", value, source_time=self.now + timedelta(seconds=seconds))
        self.door.put("es-STO01", [reading], datetime.now(UTC)).result(10)

    def by_hand(self, value: float) -> Substitution:
        now = datetime.now(UTC)
        made = substitute(
            self.battery.power, value, owner="ana", reason="read at the meter", until=now + timedelta(minutes=5), now=now
        )
        self.upheld()
        return made

    def upheld(self) -> None:
        uphold(self.door, datetime.now(UTC))
        self.door.put("es-STO01", [RawReading("nothing", 0.0)], datetime.now(UTC)).result(10)  # the flush after it

    def latest(self) -> tuple[float | None, Source, bool]:
        row = LatestValue.objects.get(point=self.battery.power)
        return row.value, row.unpacked_quality.source, Flag.OLD in row.unpacked_quality.flags

    def history(self) -> list[tuple[float | None, Source]]:
        day = timedelta(days=1)
        rows = read_samples([self.battery.power], self.now - day, self.now + day, limit=100)
        return [(row.value, row.quality.source) for row in rows]


@pytest.fixture
def field(door: Ingest, battery: Battery) -> Field:
    return Field(door, battery)


def test_the_value_by_hand_stands_and_the_field_goes_to_history_as_its_own(field: Field) -> None:
    field.measures(1000, -5)
    field.by_hand(7000)
    field.measures(2000, 30)
    assert field.latest() == (7000, Source.SUBSTITUTED, False)
    assert field.history() == [(1000, Source.PROCESS), (7000, Source.SUBSTITUTED), (2000, Source.PROCESS)]
    packed = OutboxMessage.objects.order_by("pk").values_list("values_json", flat=True)
    said = [value for body in packed for value in orjson.loads(written_values(body))]
    assert [(value["value"], value["quality"]["source"]) for value in said] == [
        (1000.0, "process"),
        (7000.0, "substituted"),
        (2000.0, "process"),
    ]


def test_pages_never_see_what_is_held_back_not_even_ahead_of_its_commit(field: Field) -> None:
    field.by_hand(7000)
    seen: list[float] = []
    hub(settings.REDIS_URL).subscribe("es", lambda n, text, gap: seen.extend(row[1] for row in orjson.loads(text)["points"]))
    for number in range(5):
        field.measures(2000 + number, 30 + number)
    field.upheld()
    assert set(seen) == {7000}


def test_renewing_it_makes_no_sample_and_keeps_it_from_growing_old(field: Field) -> None:
    field.by_hand(7000)
    first = LatestValue.objects.get(point=field.battery.power)
    field.upheld()
    again = LatestValue.objects.get(point=field.battery.power)
    assert again.received_time > first.received_time and again.source_time == first.source_time
    assert field.history() == [(7000, Source.SUBSTITUTED)]


def test_a_lost_device_does_not_make_it_old(field: Field) -> None:
    field.by_hand(7000)
    row = LatestValue.objects.get(point=field.battery.power)
    from_row = {row.point_id: field.door.image.newest(row.point_id)}
    field.door.mark_old({key: newest for key, newest in from_row.items() if newest is not None}).result(10)
    assert field.latest() == (7000, Source.SUBSTITUTED, False)


def test_withdrawn_it_looks_old_until_the_field_tells_anew(field: Field) -> None:
    made = field.by_hand(7000)
    withdraw(made, by="otto", reason="link is back", now=datetime.now(UTC))
    field.upheld()
    assert field.latest() == (7000, Source.SUBSTITUTED, True)
    field.measures(2000, 30)
    assert field.latest() == (2000, Source.PROCESS, False)
    field.upheld()
    assert Substitution.objects.get().settled
    assert [event.action for event in AuditEvent.objects.order_by("pk")] == ["substitute value", "withdraw substituted value"]


def test_what_comes_on_change_says_its_own_last_word_again(field: Field) -> None:
    position = make_point(field.battery.device, "position", kind="status", unit="", labels={"1": "open", "2": "closed"})
    note_change(field.battery.pilot)
    field.door.directory.refresh(force=True)
    field.door.put("es-STO01", [RawReading("position", 2.0)], datetime.now(UTC)).result(10)
    now = datetime.now(UTC)
    made = substitute(position, 1.0, owner="ana", reason="seen on site", until=now + timedelta(minutes=5), now=now)
    field.upheld()
    assert LatestValue.objects.get(point=position).value == 1.0
    withdraw(made, by="ana", reason="", now=datetime.now(UTC))
    field.upheld()
    row = LatestValue.objects.get(point=position)
    assert (row.value, row.unpacked_quality) == (2.0, Quality())


def test_it_ends_by_itself_at_its_time_also_after_a_restart(field: Field) -> None:
    made = field.by_hand(7000)
    uphold(field.door, made.until)
    made.refresh_from_db()
    assert (made.removed_by, made.removed_at) == ("clock", made.until)
    until(lambda: field.latest()[2])
    assert AuditEvent.objects.order_by("-pk")[0].action == "end substituted value"


def test_a_value_that_came_before_the_entry_was_noticed_does_not_win(field: Field) -> None:
    field.by_hand(7000)
    row = LatestValue.objects.get(point=field.battery.power)
    LatestValue.objects.filter(pk=row.pk).update(value=1.0, quality=0, source_time=row.source_time + timedelta(seconds=9))
    field.upheld()
    assert field.latest() == (7000, Source.SUBSTITUTED, False)
    assert LatestValue.objects.get(pk=row.pk).unpacked_quality.validity is Validity.GOOD
