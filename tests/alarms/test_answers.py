"""What people do about alarms: acknowledged also while active, shelved with an end and a reason, each deed in the audit trail."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pilots.alarms import occurrences, services
from pilots.alarms.occurrences import Coming, Going, turn
from pilots.alarms.selectors import counts, seen_at, urgent_first
from pilots.alarms.services import AlarmRefused
from pilots.alarms.upkeep import keep_up
from pilots.models import Alarm, AlarmRule, AuditEvent, Point
from tests.alarms.builders import make_rule
from tests.builders import make_point
from tests.conftest import Battery

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def after(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


def come(*rules: AlarmRule, at: datetime = NOW) -> None:
    turn([Coming(rule.pk, at) for rule in rules], [], now=at)


def go(*rules: AlarmRule, at: datetime) -> None:
    turn([], [Going(rule.pk, at) for rule in rules], now=at)


def acknowledge(*alarms: Alarm, at: datetime = NOW, comment: str = "") -> list[Alarm]:
    return services.acknowledge([alarm.pk for alarm in alarms], among=Alarm.objects.all(), by="olaf", comment=comment, now=at)


@pytest.fixture
def rule(battery: Battery) -> AlarmRule:
    return make_rule(battery.power)


@pytest.fixture
def alarm(rule: AlarmRule) -> Alarm:
    come(rule)
    return Alarm.objects.get()


def test_an_active_alarm_is_acknowledged_with_a_comment_and_ends_when_it_returns(rule: AlarmRule, alarm: Alarm) -> None:
    acknowledge(alarm, at=after(1), comment="electrician called")
    alarm.refresh_from_db()
    assert (alarm.state, alarm.acknowledged_by, alarm.comment) == ("acknowledged", "olaf", "electrician called")
    go(rule, at=after(5))
    alarm.refresh_from_db()
    assert (alarm.state, alarm.closed_at) == ("normal", after(5))


def test_one_that_returned_unseen_stays_until_it_is_acknowledged(rule: AlarmRule, alarm: Alarm) -> None:
    go(rule, at=after(1))
    alarm.refresh_from_db()
    assert (alarm.state, alarm.closed_at) == ("returned", None)
    acknowledge(alarm, at=after(2))
    alarm.refresh_from_db()
    assert alarm.closed_at == after(2)


@pytest.mark.parametrize("many", [1, 2])
def test_what_comes_again_is_the_same_occurrence_with_what_is_new_of_it(alarm: Alarm, battery: Battery, many: int) -> None:
    """One is written by a statement of its own, more by one for all."""
    rules = [make_rule(make_point(battery.device, f"p{number}")) for number in range(many)]
    come(*rules)
    go(*rules, at=after(1))
    turn([Coming(each.pk, after(2), value=9.0, detail="again", cause=alarm.pk) for each in rules], [], now=after(2.5))
    rows = Alarm.objects.filter(rule__in=rules)
    told = rows.values_list("times", "raised_at", "returned_at", "changed_at", "value", "detail", "cause", "hidden", "state")
    assert list(told) == [(2, after(2), None, after(2.5), 9.0, "again", alarm.pk, "member", "unacknowledged")] * many


def test_an_alarm_that_went_with_its_device_meanwhile_is_no_fault(rule: AlarmRule, alarm: Alarm) -> None:
    loaded = Alarm.objects.get()
    Alarm.objects.all().delete()
    occurrences._update([loaded], ["state"])
    assert not Alarm.objects.exists()


def test_many_are_acknowledged_at_once_with_an_event_each(battery: Battery) -> None:
    rules = [make_rule(make_point(battery.device, f"p{number}")) for number in range(3)]
    come(*rules)
    acknowledge(*Alarm.objects.all(), comment="seen")
    events = AuditEvent.objects.filter(action="acknowledge alarm")
    assert sorted(event.subject for event in events) == ["es-STO01/p0", "es-STO01/p1", "es-STO01/p2"]
    assert {(event.actor, event.reason, event.pilot) for event in events} == {("olaf", "seen", "es")}


def test_nothing_is_acknowledged_twice(alarm: Alarm) -> None:
    acknowledge(alarm)
    with pytest.raises(AlarmRefused, match="None of these waits"):
        acknowledge(alarm)


def test_seen_and_gone_it_does_not_ask_again_within_a_minute(rule: AlarmRule, alarm: Alarm) -> None:
    acknowledge(alarm)
    go(rule, at=after(1))
    come(rule, at=after(1.5))
    assert [(each.state, each.times) for each in Alarm.objects.all()] == [("acknowledged", 2)]
    go(rule, at=after(2))
    come(rule, at=after(10))
    assert sorted(each.state for each in Alarm.objects.all()) == ["normal", "unacknowledged"]


def test_a_shelved_alarm_is_silent_and_comes_back_by_itself(rule: AlarmRule, alarm: Alarm) -> None:
    services.shelve(rule, by="olaf", reason="meter is being changed", until=after(30), now=NOW)
    assert counts(seen_at([rule.pilot]))[2].all == 0
    keep_up(after(29))
    assert Alarm.objects.get().hidden == "shelved"
    keep_up(after(30))
    rule.refresh_from_db()
    assert (Alarm.objects.get().hidden, Alarm.objects.get().state, rule.hidden) == ("", "unacknowledged", "")
    event = AuditEvent.objects.get(action="shelve alarm")
    assert (event.actor, event.reason, event.subject) == ("olaf", "meter is being changed", "es-STO01/active_power")


def test_what_comes_while_it_is_shelved_is_kept_and_silent(rule: AlarmRule) -> None:
    services.shelve(rule, by="olaf", reason="test", until=after(30), now=NOW)
    come(rule, at=after(1))
    assert Alarm.objects.get().hidden == "shelved"
    go(rule, at=after(2))
    assert Alarm.objects.get().closed_at == after(2)


def test_a_shelved_one_is_returned_by_hand(rule: AlarmRule, alarm: Alarm) -> None:
    services.shelve(rule, by="olaf", reason="test", until=after(30), now=NOW)
    rule.refresh_from_db()
    services.bring_back(rule, by="olaf", now=after(1))
    assert Alarm.objects.get().hidden == ""
    assert AuditEvent.objects.filter(action="return shelved alarm", actor="olaf").exists()


@pytest.mark.parametrize(("minutes", "reason"), [(0, "why"), (-5, "why"), (24 * 60 + 1, "why"), (30, ""), (30, "  ")])
def test_a_shelf_has_an_end_within_a_day_and_a_reason(rule: AlarmRule, minutes: float, reason: str) -> None:
    with pytest.raises(AlarmRefused):
        services.shelve(rule, by="olaf", reason=reason, until=after(minutes), now=NOW)
    assert not AuditEvent.objects.exists()


def test_what_is_out_of_service_is_not_shelved_but_returned(rule: AlarmRule, alarm: Alarm) -> None:
    services.take_out_of_service(rule, by="enza", reason="inverter is replaced", now=NOW)
    assert Alarm.objects.get().hidden == "out_of_service"
    with pytest.raises(AlarmRefused, match="return it first"):
        services.shelve(rule, by="olaf", reason="test", until=after(30), now=NOW)
    keep_up(after(60 * 24 * 30))
    rule.refresh_from_db()
    assert rule.hidden == "out_of_service"


def test_a_suppressed_alarm_asks_nobody(rule: AlarmRule) -> None:
    services.suppress(rule, by="enza", reason="the unit is off in winter", now=NOW)
    come(rule, at=after(1))
    assert [tally.all for tally in counts(seen_at([rule.pilot]))] == [0, 0, 0, 0]
    assert AuditEvent.objects.filter(action="suppress alarm").exists()


def test_a_latched_alarm_ends_by_a_reset_only(battery: Battery) -> None:
    rule = make_rule(battery.power, latched=True)
    come(rule)
    (alarm,) = acknowledge(*Alarm.objects.all())
    with pytest.raises(AlarmRefused):
        services.reset(alarm, by="olaf", now=after(1))
    go(rule, at=after(2))
    assert Alarm.objects.get().state == "latched"
    services.reset(alarm, by="olaf", now=after(3))
    assert Alarm.objects.get().closed_at == after(3)


def test_new_come_first_then_the_more_urgent_then_the_newer(battery: Battery) -> None:
    points: list[Point] = [make_point(battery.device, f"p{number}") for number in range(4)]
    rules = [make_rule(point, priority=priority) for point, priority in zip(points, (3, 1, 3, 2), strict=True)]
    for minute, rule in enumerate(rules):
        come(rule, at=after(minute))
    acknowledge(Alarm.objects.get(rule=rules[1]), at=after(5))
    assert [alarm.rule_id for alarm in urgent_first(Alarm.objects.all())] == [rules[number].pk for number in (3, 2, 0, 1)]
