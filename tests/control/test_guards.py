"""What people put between commands and the plant, and the checks right before the write."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction

from pilots.control import dispatch, guards
from pilots.control.guards import GuardRefused
from pilots.control.statements import due_for
from pilots.domain.setpoint import Issuer, SetpointState
from pilots.models import AuditEvent, Connection, LatestValue, Pilot, Point, Setpoint
from pilots.models.leases import HeldLease, give_up_lease
from tests.builders import make_device, make_latest, make_pilot, make_point
from tests.conftest import Battery
from tests.control.conftest import NOW, after, narrowed

pytestmark = pytest.mark.django_db
Wish = Callable[..., Setpoint]
S = SetpointState
ISSUERS = [issuer for issuer in Issuer if issuer is not Issuer.FALLBACK]


def told(setpoint: Setpoint) -> tuple[str, str]:
    setpoint.refresh_from_db()
    return setpoint.state, setpoint.code


def give_back(wish: Wish, **fields: Any) -> Setpoint:
    return wish(0.0, issuer=Issuer.FALLBACK, requested_by="clock", valid_until=after(3600), **fields)


@pytest.mark.parametrize("issuer", ISSUERS)
def test_s14_a_tag_refuses_whoever_asks_and_names_owner_and_reason(battery: Battery, wish: Wish, issuer: Issuer) -> None:
    guards.set_tag(battery.device, owner="ana", reason="crew at the battery.", now=NOW)
    refused = wish(issuer=issuer, priority=1, now=after(1))
    assert told(refused) == (S.REJECTED, "tagged")
    assert refused.explanation == "Do not operate: tagged by ana, crew at the battery."


def test_s14_a_tag_hung_after_the_acceptance_stops_the_write(battery: Battery, wish: Wish, lease: HeldLease) -> None:
    setpoint = wish()
    guards.set_tag(battery.device, owner="ana", reason="crew at work", now=after(1))
    assert not dispatch.claim_setpoint(setpoint, lease, now=after(2))
    assert told(setpoint) == (S.REJECTED, "tagged")


def test_s14_the_claiming_update_itself_sees_the_tag(battery: Battery, wish: Wish) -> None:
    setpoint = wish()
    rows = Setpoint.objects.filter(guards.unguarded(battery.device), pk=setpoint.pk)
    assert rows.exists()
    guards.set_tag(battery.device, owner="ana", reason="crew at work", now=NOW)
    assert not rows.update(claimed_at=NOW)


def test_s14_what_gives_the_point_back_waits_for_the_tag_and_goes_then(battery: Battery, wish: Wish, lease: HeldLease) -> None:
    tag = guards.set_tag(battery.device, owner="ana", reason="crew at work", now=NOW)
    release = give_back(wish, now=after(1))
    assert not dispatch.claim_setpoint(release, lease, now=after(2))
    assert told(release) == (S.VALIDATED, "")
    guards.remove_tag(tag, by="olaf", reason="done", now=after(3))
    assert dispatch.claim_setpoint(release, lease, now=after(4))


def test_s14_one_persons_tag_does_not_go_with_anothers(battery: Battery, wish: Wish) -> None:
    mine = guards.set_tag(battery.device, owner="ana", reason="crew 1", now=NOW)
    guards.set_tag(battery.device, owner="olaf", reason="crew 2", now=NOW)
    with pytest.raises(GuardRefused, match="tagged es-STO01 already"):
        guards.set_tag(battery.device, owner="ana", reason="again", now=NOW)
    guards.remove_tag(mine, by="ana", reason="", now=after(1))
    assert wish(now=after(2)).explanation == "Do not operate: tagged by olaf, crew 2."
    with pytest.raises(GuardRefused, match="before"):
        guards.remove_tag(mine, by="ana", reason="", now=after(3))


def test_a_tag_at_another_device_is_no_matter(battery: Battery, wish: Wish) -> None:
    guards.set_tag(make_device(battery.pilot, "es-STO02"), owner="ana", reason="crew", now=NOW)
    assert wish().state == S.VALIDATED


@pytest.mark.parametrize("everywhere", [False, True])
def test_s21_commands_off_refuses_and_stops_what_waits(battery: Battery, wish: Wish, lease: HeldLease, everywhere: bool) -> None:
    waiting = wish()
    pilot = None if everywhere else battery.pilot
    switch = guards.switch_commands_off(pilot, by="ana", reason="storm", now=after(1))
    assert not dispatch.claim_setpoint(waiting, lease, now=after(2))
    assert told(waiting) == (S.REJECTED, "commands_off")
    refused = wish(now=after(3))
    assert told(refused) == (S.REJECTED, "commands_off")
    assert refused.explanation == f"Commands are off at {'every pilot' if everywhere else 'Granollers'}: ana, storm."
    guards.switch_commands_on(switch, by="ana", reason="over", now=after(4))
    assert wish(now=after(5)).state == S.VALIDATED


def test_s21_the_claiming_update_itself_sees_the_switch(battery: Battery, wish: Wish) -> None:
    setpoint = wish()
    guards.switch_commands_off(None, by="ana", reason="storm", now=NOW)
    assert not Setpoint.objects.filter(guards.unguarded(battery.device), pk=setpoint.pk).update(claimed_at=NOW)


def test_s21_the_safe_state_still_goes_out_while_commands_are_off(battery: Battery, wish: Wish, lease: HeldLease) -> None:
    guards.switch_commands_off(battery.pilot, by="ana", reason="storm", now=NOW)
    assert dispatch.claim_setpoint(give_back(wish, now=after(1)), lease, now=after(2))


def test_s21_another_pilots_switch_is_no_matter(battery: Battery, wish: Wish) -> None:
    guards.switch_commands_off(make_pilot("de", name="Freiburg"), by="ana", reason="storm", now=NOW)
    assert wish().state == S.VALIDATED
    guards.switch_commands_off(None, by="ana", reason="storm", now=NOW)
    with pytest.raises(GuardRefused, match="off already"):
        guards.switch_commands_off(None, by="olaf", reason="storm", now=NOW)


def test_every_guard_stands_in_the_audit_trail_with_its_reason(battery: Battery) -> None:
    tag = guards.set_tag(battery.device, owner="ana", reason="crew", now=NOW)
    guards.remove_tag(tag, by="olaf", reason="crew left", now=after(1))
    guards.switch_commands_off(None, by="ana", reason="storm", now=after(2))
    hold = guards.hold_point(battery.p_set, owner="ana", reason="test run", until=after(60), now=after(3))
    guards.hand_back(hold, by="ana", reason="", now=after(4))
    assert list(AuditEvent.objects.order_by("pk").values_list("actor", "action", "pilot", "subject", "reason")) == [
        ("ana", "set blocking tag", "es", "es-STO01", "crew"),
        ("olaf", "remove blocking tag", "es", "es-STO01", "crew left"),
        ("ana", "switch commands off", "", "all pilots", "storm"),
        ("ana", "hold point", "es", "es-STO01/p_set", "test run"),
        ("ana", "hand back point", "es", "es-STO01/p_set", ""),
    ]


@pytest.mark.parametrize("reason", ["", "   "])
def test_nobody_blocks_anything_without_a_reason(battery: Battery, reason: str) -> None:
    with pytest.raises(GuardRefused, match="Say why"):
        guards.set_tag(battery.device, owner="ana", reason=reason, now=NOW)
    assert not AuditEvent.objects.exists()


def test_a_guard_without_its_audit_row_does_not_exist(battery: Battery) -> None:
    with transaction.atomic():
        guards.set_tag(battery.device, owner="ana", reason="crew", now=NOW)
        transaction.set_rollback(True)
    assert not guards.tags_on(battery.device.pk).exists()
    assert not AuditEvent.objects.exists()


# Operator holds


def test_s13_a_held_point_refuses_the_platform_and_names_the_holder(battery: Battery, wish: Wish) -> None:
    guards.hold_point(battery.p_set, owner="olaf", reason="test run", until=after(600), now=NOW)
    refused = wish(issuer=Issuer.PLATFORM, now=after(1))
    assert told(refused) == (S.REJECTED, "conflict_priority")
    assert refused.explanation == "operator olaf (test run) holds this point with priority 3."
    assert wish(issuer=Issuer.OPERATOR, now=after(2)).state == S.VALIDATED


def test_a_hold_stops_what_waits_and_ends_by_itself(battery: Battery, wish: Wish, lease: HeldLease) -> None:
    waiting = wish(issuer=Issuer.PLATFORM)
    guards.hold_point(battery.p_set, owner="olaf", reason="test run", until=after(600), now=after(1))
    assert not dispatch.claim_setpoint(waiting, lease, now=after(2))
    assert told(waiting) == (S.REJECTED, "conflict_priority")
    assert wish(issuer=Issuer.PLATFORM, now=after(601)).state == S.VALIDATED


def test_s13_a_hold_is_handed_back_before_another_takes_it(battery: Battery, wish: Wish) -> None:
    hold = guards.hold_point(battery.p_set, owner="olaf", reason="test run", until=after(600), now=NOW)
    with pytest.raises(GuardRefused, match="held already"):
        guards.hold_point(battery.p_set, owner="ana", reason="mine", until=after(600), now=after(1))
    guards.hand_back(hold, by="olaf", reason="", now=after(2))
    assert wish(issuer=Issuer.PLATFORM, now=after(3)).state == S.VALIDATED
    guards.hold_point(battery.p_set, owner="ana", reason="mine", until=after(10), now=after(4))
    guards.hold_point(battery.p_set, owner="olaf", reason="after hers ran out", until=after(60), now=after(11))


@pytest.mark.parametrize("duration", [timedelta(0), timedelta(hours=24, seconds=1)])
def test_a_hold_has_an_end_within_a_day(battery: Battery, duration: timedelta) -> None:
    with pytest.raises(GuardRefused, match="24 h"):
        guards.hold_point(battery.p_set, owner="olaf", reason="why", until=NOW + duration, now=NOW)


# Right before the write


def test_s3_limits_that_were_narrowed_meanwhile_stop_the_write(battery: Battery, wish: Wish, lease: HeldLease) -> None:
    setpoint = wish(-20_000.0)
    Point.objects.filter(pk=battery.p_set.pk).update(operating_minimum=-10_000)
    assert not dispatch.claim_setpoint(setpoint, lease, now=after(1))
    assert told(setpoint) == (S.REJECTED, "out_of_range")


def test_s13_a_device_taken_to_local_mode_meanwhile_is_not_written_to(battery: Battery, wish: Wish, lease: HeldLease) -> None:
    setpoint = wish()
    make_latest(make_point(battery.device, "control_mode", kind="status", labels={"1": "local"}), 1.0, at=after(1))
    assert not dispatch.claim_setpoint(setpoint, lease, now=after(2))
    assert told(setpoint) == (S.REJECTED, "local_mode")


def test_a_device_that_fell_silent_meanwhile_is_failed_not_written_to(battery: Battery, wish: Wish, lease: HeldLease) -> None:
    make_latest(battery.power, at=NOW)
    setpoint = wish()
    assert not dispatch.claim_setpoint(setpoint, lease, now=after(31))
    assert told(setpoint) == (S.FAILED, "link_down")


def test_a_device_just_reconnected_is_given_the_time_to_be_heard(battery: Battery, wish: Wish, lease: HeldLease) -> None:
    make_latest(battery.power, at=NOW)
    setpoint = wish()
    Connection.objects.update(state="up", state_since=after(30))
    assert dispatch.claim_setpoint(setpoint, lease, now=after(31))


def test_a_check_before_the_write_is_the_lease_holders_alone(battery: Battery, wish: Wish, lease: HeldLease) -> None:
    setpoint = wish()
    guards.set_tag(battery.device, owner="ana", reason="crew", now=NOW)
    give_up_lease(lease, now=NOW)
    assert not dispatch.claim_setpoint(setpoint, lease, now=after(1))
    assert told(setpoint) == (S.VALIDATED, "")


def test_s4_of_a_hundred_wishes_in_a_second_two_are_written_and_the_last_wins(
    battery: Battery, wish: Wish, lease: HeldLease
) -> None:
    written = []
    for number in range(100):
        now = after(number / 100)
        wish(-100.0 * (number + 1), now=now)
        for due in due_for([battery.connection.pk], now):
            if dispatch.claim_setpoint(due, lease, now=now):
                written.append(due.value)
                dispatch.note_dispatched(due, raw="ok", actor="gateway-1", now=now)
    for due in due_for([battery.connection.pk], after(1.2)):
        if dispatch.claim_setpoint(due, lease, now=after(1.2)):
            written.append(due.value)
    assert written == [-100.0, -10_000.0]
    assert Setpoint.objects.filter(state=S.CANCELLED, code="superseded").count() == 99


def test_a_clock_that_was_set_back_does_not_hold_a_point(battery: Battery, wish: Wish, lease: HeldLease) -> None:
    first = wish(-1000.0, now=after(3600))
    assert dispatch.claim_setpoint(first, lease, now=after(3600 - 1e-3)) is False
    Setpoint.objects.filter(pk=first.pk).update(claimed_at=after(3600), state=S.EXECUTED, released_at=after(3600))
    assert dispatch.claim_setpoint(wish(-2000.0, now=after(1)), lease, now=after(1))


def test_an_interlock_reads_other_devices_fresh_when_it_is_claimed(battery: Battery, wish: Wish, lease: HeldLease) -> None:
    switch = make_point(make_device(battery.pilot, "es-SW01", kind="switch"), "position", kind="status", labels={"2": "closed"})
    switch.period_s = 1.0
    switch.save()
    narrowed(battery.p_set, interlock="es-SW01/position = 'closed'", interlock_words="The feeder must be closed")
    assert "was never received" in wish().explanation
    make_latest(switch, 2.0, at=NOW)
    setpoint = wish()
    assert setpoint.state == S.VALIDATED
    LatestValue.objects.filter(point=switch).update(value=1.0)
    assert not dispatch.claim_setpoint(setpoint, lease, now=after(1))
    assert told(setpoint) == (S.REJECTED, "interlock")
    assert "is 9 s old" in wish(now=after(9)).explanation


def test_an_interlock_never_reads_another_pilots_device(battery: Battery, wish: Wish) -> None:
    other = make_point(make_device(make_pilot("de"), "de-SW01", kind="switch"), "position", kind="status")
    make_latest(other, 2.0, at=NOW)
    narrowed(battery.p_set, interlock="de-SW01/position = 2")
    assert "was never received" in wish().explanation


def test_the_state_of_charge_and_what_the_device_offers_bound_it_now(battery: Battery, wish: Wish) -> None:
    narrowed(battery.p_set, soc="soc", soc_max=90, maximum_from="p_charge_max")
    make_latest(make_point(battery.device, "p_charge_max"), 30_000.0, at=NOW)
    soc = make_latest(make_point(battery.device, "soc", unit="%"), 89.0, at=NOW)
    assert "p_charge_max" in wish(30_100.0).explanation
    assert wish(30_000.0).state == S.VALIDATED
    soc.value = 90.0
    soc.save()
    assert "upper limit 90 %" in wish(30_000.0).explanation


def test_the_connection_above_the_device_is_not_overloaded(battery: Battery, wish: Wish) -> None:
    make_latest(battery.power, 0.0, at=NOW)
    house = make_device(battery.pilot, "es-GRID", kind="grid_infeed", nameplate={"connection_capacity_w": 50_000})
    make_latest(make_point(house), 40_000.0, at=NOW)
    battery.device.parent = house
    battery.device.save()
    assert "es-GRID would carry 60000 W" in wish(20_000.0).explanation
    assert wish(10_000.0).state == S.VALIDATED


def test_a_connection_without_a_measurement_of_its_own_is_known_by_its_meter(battery: Battery, wish: Wish) -> None:
    make_latest(battery.power, 0.0, at=NOW)
    power = make_point(make_device(battery.pilot, "es-PM01", kind="meter"), max_interval_s=10)
    measured = make_latest(power, 40_000.0, at=NOW)
    house = make_device(
        battery.pilot, "es-H01", kind="household", measured_by=power.device, nameplate={"connection_capacity_w": 50_000}
    )
    battery.device.parent = house
    battery.device.save()
    assert "es-H01 would carry 60000 W" in wish(20_000.0).explanation
    measured.received_time = NOW - timedelta(seconds=31)
    measured.save()
    assert wish(20_000.0).state == S.VALIDATED  # what is not known bounds nothing


def test_s4_a_switch_that_wears_rests_for_the_hour(battery: Battery, wish: Wish, lease: HeldLease) -> None:
    narrowed(battery.p_set, max_per_hour=2, min_interval_s=0)
    for second in (0, 1):
        assert dispatch.claim_setpoint(wish(-1000.0 * second, now=after(second)), lease, now=after(second))
    assert told(wish(now=after(2))) == (S.REJECTED, "rate_limited")
    assert wish(now=after(3601)).state == S.VALIDATED


def test_guards_are_shown_with_who_why_and_where(battery: Battery) -> None:
    guards.set_tag(battery.device, owner="ana", reason="crew", now=NOW)
    guards.switch_commands_off(None, by="ana", reason="storm", now=NOW)
    guards.hold_point(battery.p_set, owner="olaf", reason="run", until=after(60), now=NOW)
    state = guards.guard_state(Pilot.objects.get(), after(1))
    assert [(row["device"], row["owner"], row["reason"]) for row in state["tags"]] == [("es-STO01", "ana", "crew")]
    assert [row["everywhere"] for row in state["off"]] == [True]
    assert [(row["device"], row["point"], row["owner"]) for row in state["holds"]] == [("es-STO01", "p_set", "olaf")]
    assert guards.guard_state(Pilot.objects.get(), after(61))["holds"] == []
