"""What is silent by design, what came first, and what is wrong at our own side."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction

from pilots.alarms import services
from pilots.alarms.occurrences import CHATTER, Coming, Going, turn
from pilots.alarms.ourselves import GIB, shutil
from pilots.alarms.services import AlarmRefused
from pilots.alarms.states import StateAlarms
from pilots.catalogue.alarm_rules import check_rule, put_default_rules
from pilots.domain.alarm import CHATTER_TIMES
from pilots.domain.errors import CatalogueError
from pilots.domain.quality import INVALID
from pilots.models import Alarm, AlarmRule, AuditEvent, Device, LatestValue
from pilots.models.alarms import locked_rules
from tests.alarms.builders import make_pilot_rule, make_rule
from tests.builders import make_device, make_latest, make_point, queue_messages
from tests.conftest import Battery
from tests.waiting import until

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def come(rule: AlarmRule, seconds: float = 0) -> Alarm:
    turn([Coming(rule.pk, after(seconds))], [], now=after(seconds))
    return Alarm.objects.get(rule=rule, closed_at=None)


@pytest.fixture
def rule(battery: Battery) -> AlarmRule:
    return make_rule(battery.power, limit=80.0)


@pytest.fixture
def breaker(battery: Battery) -> LatestValue:
    """The breaker that feeds the battery, closed."""
    switch = make_device(battery.power.device.pilot, "es-SW01", kind="switch")
    point = make_point(switch, "position", kind="status", unit="", labels={"1": "open", "2": "closed"})
    return make_latest(point, 2.0, at=NOW)


def conditional(rule: AlarmRule) -> AlarmRule:
    rule.suppress_when = "es-SW01/position = 'open'"
    check_rule(rule)
    rule.save()
    return rule


def put(row: LatestValue, value: float) -> None:
    LatestValue.objects.filter(pk=row.pk).update(value=value)


def test_an_alarm_is_silent_by_design_while_its_condition_holds(rule: AlarmRule, breaker: LatestValue) -> None:
    alarm, states = come(conditional(rule)), StateAlarms()
    put(breaker, 1.0)
    states.look(after(1))
    alarm.refresh_from_db()
    assert alarm.hidden == "suppressed"
    with pytest.raises(AlarmRefused, match="es-SW01/position = 'open'"):
        services.bring_back(rule, by="enza", now=after(2))
    put(breaker, 2.0)
    states.look(after(3))
    alarm.refresh_from_db()
    assert (alarm.hidden, alarm.state) == ("", "unacknowledged")
    told = AuditEvent.objects.filter(actor="condition").order_by("number").values_list("action", "reason")
    assert list(told) == [(action, rule.suppress_when) for action in ("suppress alarm", "return suppressed alarm")]


def test_a_condition_whose_value_is_unknown_suppresses_nothing(rule: AlarmRule, breaker: LatestValue) -> None:
    alarm = come(conditional(rule))
    LatestValue.objects.filter(pk=breaker.pk).update(value=1.0, quality=INVALID.pack())
    StateAlarms().look(after(1))
    alarm.refresh_from_db()
    assert alarm.hidden == ""


def test_what_an_operator_shelved_is_not_returned_by_its_condition(rule: AlarmRule, breaker: LatestValue) -> None:
    come(conditional(rule))
    services.shelve(rule, by="olaf", reason="known", until=after(3600), now=NOW)
    StateAlarms().look(after(1))
    rule.refresh_from_db()
    assert (rule.hidden, rule.hidden_by) == ("shelved", "olaf")


@pytest.mark.parametrize(
    ("condition", "words"), [("soc >", "cannot be read"), ("es-SW09/position = 'open'", "is no point of this pilot")]
)
def test_a_condition_that_cannot_be_meant_is_refused_at_its_field(rule: AlarmRule, condition: str, words: str) -> None:
    rule.suppress_when = condition
    with pytest.raises(CatalogueError, match=words) as refusal:
        check_rule(rule)
    assert refusal.value.field == "suppress_when"


def chain(battery: Battery) -> list[AlarmRule]:
    """Rules of a transformer, of the battery behind it and of a meter behind another one."""
    pilot, storage = battery.power.device.pilot, battery.power.device
    transformer = make_device(pilot, "es-TR01", kind="transformer")
    Device.objects.filter(pk=storage.pk).update(parent=transformer)
    other = make_device(pilot, "es-AN09", kind="meter")
    return [make_rule(point) for point in (make_point(transformer), battery.power, make_point(other))]


def test_the_first_of_a_chain_of_devices_leads_those_that_follow(battery: Battery) -> None:
    transformer, storage, meter = (come(rule, second) for second, rule in enumerate(chain(battery)))
    assert [alarm.first_out for alarm in (transformer, storage, meter)] == [True, False, True]
    assert (storage.led_by, meter.led_by) == (transformer, None)


def test_what_comes_long_after_has_another_cause(battery: Battery) -> None:
    transformer, storage, _ = chain(battery)
    come(transformer)
    assert come(storage, 31).led_by is None


def test_chatter_that_shelves_itself_stands_in_the_audit_trail(rule: AlarmRule) -> None:
    for number in range(CHATTER_TIMES):
        come(rule, 10 * number)
        turn([], [Going(rule.pk, after(10 * number + 5))], now=after(10 * number + 5))
    event = AuditEvent.objects.get(actor=CHATTER)
    assert (event.action, event.subject) == ("shelve alarm", rule.subject)


def test_a_devices_clock_an_outbox_and_a_disk_are_alarms_and_return(battery: Battery, monkeypatch: pytest.MonkeyPatch) -> None:
    pilot, device, states = battery.power.device.pilot, battery.power.device, StateAlarms()
    make_pilot_rule(pilot, kind="outbox_waiting", what="Platform not reached", limit=300)
    make_pilot_rule(pilot, kind="disk_full", what="Disk nearly full", limit=2)
    for kind, limit in (("clock_off", 5), ("clock_wrong", 60)):
        make_pilot_rule(pilot, device=device, subject=device.code, kind=kind, what="Clock", limit=limit)
    free = shutil.disk_usage("/")._replace(free=int(1.5 * GIB))
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: free)
    queue_messages(pilot, 1.0, now=NOW)
    Device.objects.filter(pk=device.pk).update(clock_skew_s=20.0)
    states.look(after(301))
    assert sorted(Alarm.objects.values_list("kind", flat=True)) == ["clock_off", "disk_full", "outbox_waiting"]
    assert Alarm.objects.get(kind="disk_full").detail == "1.5 GiB free."
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: free._replace(free=9 * GIB))
    pilot.outbox.all().delete()
    Device.objects.update(clock_skew_s=None)
    states.look(after(302))
    assert not Alarm.objects.filter(returned_at=None).exists()


def test_what_only_consumes_and_what_has_an_export_limit_have_an_alarm_of_it(battery: Battery) -> None:
    pilot = battery.power.device.pilot
    make_point(make_device(pilot, "es-EVSE01", kind="charge_point"))
    make_point(make_device(pilot, "es-SM01", kind="smart_meter", nameplate={"export_limit_w": 10_000}))
    put_default_rules(pilot)
    assert not AlarmRule.objects.filter(consequence="").exists()
    rules = AlarmRule.objects.filter(kind="low", point__name="active_power")
    assert dict(rules.values_list("subject", "limit")) == {
        "es-EVSE01/active_power": -100.0,
        "es-SM01/active_power": -10_500.0,
    }


@pytest.mark.django_db(transaction=True)
def test_what_turns_waits_for_who_answers_before_it_holds_anything(rule: AlarmRule) -> None:
    """Rules are locked before alarms by everybody: the other way round the two would wait for each other."""
    if connection.vendor != "postgresql":
        assert not connection.features.has_select_for_update  # one writer at a time: nothing to lock
        return
    come(rule)
    turn([], [Going(rule.pk, after(1))], now=after(1))
    Alarm.objects.update(recent_times=CHATTER_TIMES - 1)

    def chatter() -> None:
        try:
            come(rule, 2)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            locked_rules([rule.pk])
            turning = pool.submit(chatter)
            until(somebody_waits)
            Alarm.objects.filter(rule=rule).update(changed_at=after(3))
        turning.result(10)
    rule.refresh_from_db()
    assert rule.hidden_by == CHATTER


def somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])
