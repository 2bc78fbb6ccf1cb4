"""What a handover tells of a shift, and who may write and sign it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.test import Client

from pilots.alarms.occurrences import Coming, Going, turn
from pilots.alarms.services import shelve
from pilots.control import guards
from pilots.domain.shift import Preset, Shift, running_at, shift_of
from pilots.journal.services import of_link, record
from pilots.models import AuditEvent, Link, Role, Setpoint, ShiftNote, ShiftSignature, Side, Substitution
from pilots.shift.selectors import MOST, facts_of
from pilots.shift.services import HandoverRefused, sign, write_note
from tests.alarms.builders import make_rule
from tests.builders import make_pilot
from tests.ui.conftest import Plant, client_of, operator, plant, viewer

__all__ = ["operator", "plant", "viewer"]
MADRID = ZoneInfo("Europe/Madrid")
NOW = datetime(2026, 6, 12, 12, 5, tzinfo=UTC)  # 14:05 in Madrid
SHIFT = shift_of(date(2026, 6, 12), Preset.EARLY, MADRID)
QUERY = {"pilot": "es", "day": "2026-06-12", "shift": "06-14"}
EARLY = "pilot=es&shift=06-14&day=2026-06-12"


def alarm(plant: Plant, moments: list[datetime], *, what: str = "Power high", name: str = "es-STO01/active_power") -> None:
    """An alarm that comes at each moment and goes a minute later."""
    rule = make_rule(plant.power, what=what, subject=name, limit=80.0)
    for moment in moments:
        turn([Coming(rule.pk, moment, 90.0, 80.0)], [], now=moment)
        turn([], [Going(rule.pk, moment + timedelta(minutes=1))], now=moment + timedelta(minutes=1))


def make_setpoint(plant: Plant, received: datetime, **fields: object) -> Setpoint:
    form = {"value": -40_000.0, "unit": "W", "state": "executed", "issuer": "operator", "requested_by": "olaf", "priority": 3}
    form |= {
        "valid_from": received,
        "valid_until": received + timedelta(hours=4),
        "received_at": received,
        "finished_at": received,
    }
    return Setpoint.objects.create(point=plant.p_set, **(form | fields))


@pytest.mark.parametrize(
    ("day", "preset", "hours"),
    [(date(2026, 3, 28), Preset.NIGHT, 7), (date(2026, 10, 24), Preset.NIGHT, 9), (date(2026, 6, 12), Preset.LATE, 8)],
)
def test_a_shift_is_as_long_as_the_wall_clock_says(day: date, preset: Preset, hours: int) -> None:
    shift = shift_of(day, preset, MADRID)
    assert shift.end - shift.start == timedelta(hours=hours)
    for moment in (shift.start, shift.end - timedelta(seconds=1)):
        assert running_at(moment, MADRID) == (day, preset)


def test_alarms_are_counted_in_the_shift_and_stand_as_at_its_end(plant: Plant) -> None:
    start = SHIFT.start
    alarm(plant, [start - timedelta(hours=1)], what="Before")
    rule = make_rule(plant.power, what="Stays", subject="es-STO01/active_power", kind="high_high", limit=80.0)
    turn([Coming(rule.pk, start + timedelta(hours=2), 90.0, 80.0)], [], now=start + timedelta(hours=2))
    turn([], [Going(rule.pk, SHIFT.end + timedelta(minutes=1))], now=SHIFT.end + timedelta(minutes=1))
    facts = facts_of(plant.pilot, SHIFT, NOW)
    assert facts.alarm_events == {"raised": 1}
    assert facts.most_often == [("es-STO01/active_power", "Stays", 1)]
    assert {(entry.what, entry.state) for entry in facts.standing.rows} == {("Before", "returned"), ("Stays", "unacknowledged")}


def test_what_holds_commands_back_stands_as_it_was_at_the_end(plant: Plant) -> None:
    before, during = SHIFT.start - timedelta(hours=1), SHIFT.start + timedelta(hours=1)
    kept = guards.set_tag(plant.storage, owner="olaf", reason="Fuse out", now=before)
    guards.hold_point(plant.p_set, owner="olaf", reason="Test", until=SHIFT.end + timedelta(minutes=5), now=during)
    off = guards.switch_commands_off(plant.pilot, by="olaf", reason="Storm", now=before)
    guards.switch_commands_on(off, by="olaf", reason="", now=during)
    guards.remove_tag(kept, by="olaf", reason="", now=SHIFT.end + timedelta(minutes=1))
    form = {"value": 55.0, "owner": "olaf", "reason": "Sensor out", "set_at": during, "settled": True}
    Substitution.objects.create(point=plant.storage.points.get(name="soc"), until=SHIFT.end + timedelta(hours=1), **form)
    facts = facts_of(plant.pilot, SHIFT, NOW)
    assert [each.reason for each in facts.substitutions] == ["Sensor out"]
    assert ([tag.reason for tag in facts.tags], [hold.reason for hold in facts.holds], facts.off) == (["Fuse out"], ["Test"], [])


def test_set_points_in_force_and_given_with_their_ends(plant: Plant) -> None:
    held = make_setpoint(plant, SHIFT.end - timedelta(hours=1))
    make_setpoint(plant, SHIFT.start - timedelta(hours=1))
    make_setpoint(plant, SHIFT.start, state="failed", explanation="The device ignored it.")
    facts = facts_of(plant.pilot, SHIFT, NOW)
    assert list(facts.in_force.rows) == [held]
    assert (facts.setpoints.all, facts.setpoint_counts) == (2, {"executed": 1, "failed": 1})


def test_a_long_list_says_what_it_leaves_out(plant: Plant) -> None:
    for number in range(MOST + 3):
        make_setpoint(plant, SHIFT.start + timedelta(seconds=number))
    facts = facts_of(plant.pilot, SHIFT, NOW)
    assert (len(facts.setpoints.rows), facts.setpoints.left_out) == (MOST, 3)


def test_lost_links_are_counted_and_those_that_stay_lost_named(plant: Plant) -> None:
    link = Link.objects.select_related("end_a", "end_b").get()
    for minutes, state in ((1, "down"), (2, "up"), (3, "down")):
        link.state = state
        record([of_link(link, pilot="es", at=SHIFT.start + timedelta(minutes=minutes))])
    facts, at = facts_of(plant.pilot, SHIFT, NOW), SHIFT.start + timedelta(minutes=3)
    assert facts.link_losses == [("link a es-SCADA es-STO01", 2, at)]
    assert facts.links_not_up == [("link a es-SCADA es-STO01", "down", at)]
    assert facts_of(plant.pilot, Shift(SHIFT.start, SHIFT.start + timedelta(minutes=2, seconds=30)), NOW).links_not_up == []


def test_silenced_alarms_are_handed_over_with_their_reason(plant: Plant) -> None:
    rule = make_rule(plant.power, what="Chatters")
    shelve(rule, by="olaf", reason="Bad sensor", until=SHIFT.end, now=SHIFT.start + timedelta(hours=1))
    facts = facts_of(plant.pilot, SHIFT, NOW)
    assert [each.hidden_reason for each in facts.hidden] == ["Bad sensor"]
    assert [(row.action, row.reason) for row in facts.hiding.rows] == [("shelve alarm", "Bad sensor")]


def test_a_note_is_corrected_by_a_new_one_and_stays(plant: Plant) -> None:
    wrong = write_note(plant.pilot, SHIFT, by="olaf", text="Fuse at STO02", now=NOW)
    right = write_note(plant.pilot, SHIFT, by="olaf", text="Fuse at STO01", now=NOW, corrects=wrong)
    with pytest.raises(HandoverRefused, match="corrected before"):
        write_note(plant.pilot, SHIFT, by="olga", text="Fuse at STO03", now=NOW, corrects=wrong)
    assert list(ShiftNote.objects.values_list("text", flat=True)) == ["Fuse at STO02", "Fuse at STO01"]
    assert facts_of(plant.pilot, SHIFT, NOW).notes == [wrong, right]
    told = AuditEvent.objects.get(action="correct shift note")
    assert (told.actor, told.details["corrects"], told.details["text"]) == ("olaf", "Fuse at STO02", "Fuse at STO01")


def test_two_persons_sign_in_their_order_and_once(plant: Plant) -> None:
    for side, by, words in (
        (Side.INCOMING, "olga", "signs first"),
        (Side.OUTGOING, "olaf", ""),
        (Side.OUTGOING, "olga", "signed before"),
        (Side.INCOMING, "olaf", "Two persons"),
        (Side.INCOMING, "olga", ""),
    ):
        if not words:
            sign(plant.pilot, SHIFT, side, by=by, now=NOW)
            continue
        with pytest.raises(HandoverRefused, match=words):
            sign(plant.pilot, SHIFT, side, by=by, now=NOW)
    assert list(ShiftSignature.objects.values_list("side", "by")) == [("outgoing", "olaf"), ("incoming", "olga")]
    assert list(AuditEvent.objects.order_by("pk").values_list("action", flat=True)) == ["sign shift off", "take shift over"]


def test_the_page_shows_the_shift_and_takes_a_note(plant: Plant, operator: Client) -> None:
    alarm(plant, [SHIFT.start + timedelta(hours=1)], what="Battery temperature: trip limit")
    plain = operator.get("/handover/", QUERY).content.decode()
    for words in (
        "2026-06-12 06:00 – 2026-06-12 14:00",
        "Madrid, UTC+2",
        "Battery temperature: trip limit",
        "I hand this shift over",
    ):
        assert words in plain, words
    answer = operator.post("/handover/notes", {"query": EARLY, "of": "es", "text": "<b>Fuse</b>\nout"})
    assert (answer.status_code, answer.url) == (302, f"/handover/?{EARLY}#es")  # type: ignore[attr-defined]
    assert "&lt;b&gt;Fuse&lt;/b&gt;" in operator.get("/handover/", QUERY).content.decode()


def test_a_refused_note_comes_back_with_its_sentence(plant: Plant, operator: Client) -> None:
    answer = operator.post("/handover/sign", {"query": EARLY, "of": "es", "side": "incoming"})
    assert answer.status_code == 409
    assert "The outgoing operator signs first." in answer.content.decode()


@pytest.mark.parametrize(
    "query",
    ["shift=07-15", "day=yesterday", "from=2026-06-12T06:00", "from=2026-06-01T00:00&to=2026-06-12T00:00", "day=2199-01-01"],
)
def test_a_shift_that_cannot_be_meant_is_refused_in_a_sentence(plant: Plant, viewer: Client, query: str) -> None:
    for path in ("/handover/", "/handover/report.pdf"):
        assert viewer.get(f"{path}?{query}").status_code == 400


def test_only_operators_write_and_only_at_pilots_they_see(plant: Plant, viewer: Client) -> None:
    make_pilot("nl")
    form = {"query": EARLY, "of": "es", "text": "x", "side": "outgoing"}
    assert [viewer.post(f"/handover/{deed}", form).status_code for deed in ("notes", "sign")] == [403, 403]
    elsewhere = client_of(Role.OPERATOR, "otto", pilot=plant.pilot)
    assert elsewhere.post("/handover/notes", form | {"of": "nl"}).status_code == 404
    assert viewer.get("/handover/?pilot=nl").status_code == 404
    assert "Write note" not in viewer.get("/handover/", QUERY).content.decode()


def test_the_pdf_has_letters_for_every_language(plant: Plant, operator: Client, caplog: pytest.LogCaptureFixture) -> None:
    write_note(plant.pilot, SHIFT, by="olaf", text="Предпазител −40 kW ≥ 3 · señal, gewählt, Sjøvik", now=NOW)
    make_setpoint(plant, SHIFT.start)
    answer = operator.get("/handover/report.pdf", QUERY)
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/pdf")
    assert answer.content.startswith(b"%PDF-1.") and b"/Lang (en)" in answer.content
    assert answer.content.count(b"/FontFile2") == 2  # plain and bold, in the file
    assert [record.getMessage() for record in caplog.records if record.name.startswith("fpdf")] == []
    assert AuditEvent.objects.filter(action="export handover report", actor="olaf").exists()
