"""Group set-points (S20): previewed with everybody's reason, sent one after the other, explained, and aborted as a whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.core import signing

from pilots.control import dispatch, expiry, groups
from pilots.control.feedback import check_feedback
from pilots.control.group_plans import PLAN_KEPT_S, GroupWish, Plan, plan_group, read_plan, signed_plan, standing
from pilots.control.group_records import group_record
from pilots.control.guards import hold_point, set_tag, switch_commands_off
from pilots.control.releases import cancel_setpoint
from pilots.domain.errors import SetpointRejected
from pilots.domain.measurement import Measurement
from pilots.domain.quality import GOOD
from pilots.domain.setpoint import Issuer
from pilots.models import AuditEvent, Connection, Device, LatestValue, Point, Setpoint, SetpointGroup
from pilots.models.leases import HeldLease
from tests.builders import make_connection, make_device, make_latest, make_pilot, make_point
from tests.conftest import Battery
from tests.control.conftest import NOW, after, narrowed

pytestmark = pytest.mark.django_db


@pytest.fixture
def fleet(battery: Battery) -> list[Point]:
    """The p_set of three batteries of 100, 50 and 50 kW on one connection."""
    others = [make_device(battery.pilot, f"es-STO0{number}", connection=battery.connection) for number in (2, 3)]
    for device in others:
        make_point(device, max_interval_s=10)
    points = [battery.p_set, *(make_point(device, "p_set") for device in others)]
    for point in points[1:]:
        narrowed(point, minimum=-50_000, maximum=50_000)
    return points


def wish_of(fleet: Sequence[Point], target: float = -40_000.0, **fields: Any) -> GroupWish:
    form: dict[str, Any] = {"unit": "W", "issuer": Issuer.OPERATOR, "requested_by": "ana", "valid_until": after(300)}
    return GroupWish(points=fleet, target=target, **(form | {"reason": "peak"} | fields))


def planned(fleet: Sequence[Point], target: float = -40_000.0, **fields: Any) -> Plan:
    return plan_group(wish_of(fleet, target, **fields), NOW)


def sent(
    fleet: Sequence[Point], target: float = -40_000.0, *, proved: bool = False, plan: str = "", **fields: Any
) -> SetpointGroup:
    return groups.create_group(wish_of(fleet, target, **fields), proved=proved, plan=plan, now=NOW)


def shares(plan: Plan) -> dict[str, float | None]:
    return {part.device: part.share for part in plan.parts}


def measured(point: Point, value: float, seconds: float) -> None:
    """What the member does, as a measurement that proves its set-point if it is one."""
    moment = after(seconds)
    feedback = point.device.points.get(name="active_power")
    form = {"value": value, "quality": GOOD.pack(), "source_time": moment, "received_time": moment}
    LatestValue.objects.update_or_create(point=feedback, defaults=form)
    check_feedback({feedback.pk: Measurement(value, GOOD, moment, moment)}, now=moment)


def written(lease: HeldLease, seconds: float) -> list[str]:
    """The devices that the gateway writes to at that moment, each a set-point it may claim."""
    waiting = Setpoint.objects.filter(state="validated", claimed_at=None, valid_from__lte=after(seconds))
    found = []
    for setpoint in waiting.order_by("valid_from"):
        if dispatch.claim_setpoint(setpoint, lease, now=after(seconds)):
            dispatch.note_dispatched(setpoint, raw="", actor="gateway-1", now=after(seconds))
            found.append(setpoint.point.device.code)
    return found


def states(group: SetpointGroup) -> dict[str, str]:
    return {each.point.device.code: each.state for each in group.setpoints.select_related("point__device")}


def test_s20_a_target_is_previewed_in_proportion_to_what_each_can_do_and_nothing_is_stored(fleet: list[Point]) -> None:
    plan = planned(fleet)
    assert shares(plan) == {"es-STO01": -20_000.0, "es-STO02": -10_000.0, "es-STO03": -10_000.0}
    assert (plan.least, plan.most, plan.refusal) == (0.0, -200_000.0, None)
    assert Setpoint.objects.count() == SetpointGroup.objects.count() == AuditEvent.objects.count() == 0


def blocked(point: Point) -> None:
    set_tag(point.device, owner="olaf", reason="people on site", now=NOW)


def offline(point: Point) -> None:
    Device.objects.filter(pk=point.device_id).update(
        connection=make_connection(point.device.pilot, "es-gone", protocol="iec104", state="down")
    )


def held(point: Point) -> None:
    hold_point(point, owner="olaf", reason="test run", until=after(600), now=NOW)


def empty(point: Point) -> None:
    narrowed(point, soc="soc", soc_min=10, soc_max=90)
    make_latest(make_point(point.device, "soc", unit="%"), 9.5, at=NOW)


def limited(point: Point) -> None:
    Point.objects.filter(pk=point.pk).update(operating_minimum=0.0)


def local(point: Point) -> None:
    make_latest(make_point(point.device, "control_mode", kind="status", unit="", labels={"1": "local"}), 1.0, at=NOW)


@pytest.mark.parametrize(
    ("hinder", "code", "words"),
    [
        (blocked, "tagged", "Do not operate: tagged by olaf, people on site."),
        (offline, "link_down", "The link to the device is down"),
        (held, "conflict_priority", "operator olaf (test run) holds this point with priority 3."),
        (empty, "out_of_range", "Nothing more is discharged: soc is 9.5 %, its lower limit 10 %."),
        (limited, "out_of_range", "-100 W is outside 0 to 50000 W, the limits set for operation."),
        (local, "local_mode", "The device is in local mode"),
    ],
)
def test_s20_who_cannot_take_part_is_named_with_the_reason_and_its_share_goes_to_the_others(
    fleet: list[Point], hinder: Callable[[Point], None], code: str, words: str
) -> None:
    hinder(fleet[2])
    again = list(
        Point.objects.filter(name="p_set").select_related("device__pilot", "device__connection").order_by("device__code")
    )
    plan = planned(again, -30_000.0, issuer=Issuer.PLATFORM)
    assert shares(plan) == {"es-STO01": -20_000.0, "es-STO02": -10_000.0, "es-STO03": None}
    left = plan.parts[2]
    assert (left.code, plan.most) == (code, -150_000.0)
    assert left.reason.startswith(words)
    group = sent(again, -30_000.0, issuer=Issuer.PLATFORM)
    assert set(states(group)) == {"es-STO01", "es-STO02"}
    assert group_record(group, NOW)["members"][2]["reason"].startswith(words)


def test_s20_a_target_beyond_what_all_can_do_is_refused_with_the_figure(fleet: list[Point]) -> None:
    blocked(fleet[2])
    plan = planned(fleet, 180_000.0)
    assert plan.refusal is not None
    assert plan.refusal.reason == "All that can take part can do 150000 W together now, not 180000 W."
    with pytest.raises(SetpointRejected) as refusal:
        sent(fleet, 180_000.0)
    assert (refusal.value.code, refusal.value.field) == ("out_of_range", "target")
    assert SetpointGroup.objects.count() == Setpoint.objects.count() == 0


def test_when_nobody_can_take_part_each_reason_is_told_or_the_one_of_all(fleet: list[Point]) -> None:
    blocked(fleet[0])
    held(fleet[1])
    local(fleet[2])
    refusal = planned(fleet, issuer=Issuer.PLATFORM).refusal
    assert refusal is not None
    assert (refusal.code, refusal.field) == ("not_capable", "members")
    assert "es-STO01: Do not operate" in refusal.reason and "es-STO03: The device is in local mode" in refusal.reason
    switch_commands_off(fleet[0].device.pilot, by="olaf", reason="maintenance", now=NOW)
    for point in fleet:
        point.device.tags.all().delete()
    all_the_same = planned(fleet).refusal
    assert all_the_same is not None and all_the_same.code == "commands_off"


def test_a_time_that_has_passed_is_told_at_its_field(fleet: list[Point]) -> None:
    with pytest.raises(SetpointRejected) as refusal:
        sent(fleet, valid_until=after(-1))
    assert (refusal.value.code, refusal.value.field) == ("stale_request", "valid_until")


def test_what_its_own_ramp_forbids_leaves_the_share_to_the_others(fleet: list[Point]) -> None:
    """It would need 1000 s for its share, and the set-point holds for 300."""
    narrowed(fleet[1], ramp=10.0)
    assert shares(planned(fleet))["es-STO02"] is None  # where it stands was never received
    measured(fleet[1], 0.0, 0)
    plan = planned(fleet)
    assert shares(plan) == {"es-STO01": -26_700.0, "es-STO02": None, "es-STO03": -13_300.0}
    assert "longer than the set-point is valid" in plan.parts[1].reason
    narrowed(fleet[1], ramp=100.0)
    assert sent(fleet).setpoints.get(point=fleet[1]).ramp == 100.0


def test_devices_behind_one_connection_never_take_it_beyond_its_capacity_together(fleet: list[Point]) -> None:
    """Each alone may; the shares together may not (S3)."""
    pilot = fleet[0].device.pilot
    feeder = make_device(pilot, "es-TR01", kind="transformer", nameplate={"connection_capacity_w": 100_000})
    make_latest(make_point(feeder, max_interval_s=60), 40_000.0, at=NOW)
    Device.objects.filter(pk__in=[point.device_id for point in fleet]).update(parent=feeder)
    for point in fleet:
        measured(point, 0.0, 0)
        point.device.refresh_from_db()
    plan = planned(fleet, 59_900.0)
    assert (plan.most, plan.refusal) == (59_900.0, None)  # 60 kW are left, less what no one's whole steps reach
    beyond = planned(fleet, 60_000.0).refusal
    assert beyond is not None and "can do 59900 W together now, not 60000 W" in beyond.reason
    assert planned(fleet, -130_000.0).refusal is None


@pytest.mark.parametrize(
    ("make", "code", "field", "words"),
    [
        (lambda fleet: fleet[:1], "out_of_range", "members", "2 to 100 devices, not 1"),
        (lambda fleet: [*fleet, fleet[0]], "not_capable", "members[3]", "es-STO01 is named twice"),
        (lambda fleet: [fleet[0], fleet[0].device.points.get(name="active_power")], "not_capable", "members[1]", "no share"),
    ],
)
def test_what_is_no_group_is_refused_with_the_member_named(
    fleet: list[Point], make: Callable[[list[Point]], list[Point]], code: str, field: str, words: str
) -> None:
    with pytest.raises(SetpointRejected, match=words) as refusal:
        sent(make(fleet))
    assert (refusal.value.code, refusal.value.field) == (code, field)


def test_a_group_is_of_one_pilot_one_point_and_one_unit(fleet: list[Point]) -> None:
    elsewhere = make_point(make_device(make_pilot("nl", name="Arnhem"), "nl-STO01"), "p_set")
    limit = make_point(
        make_device(fleet[0].device.pilot, "es-EVSE01", kind="charge_point"), "p_limit", kind="setpoint",
        capability={"minimum": 0, "maximum": 11_000, "modes": ["limit"]},
    )  # fmt: skip
    for odd, words in ((elsewhere, "of another pilot"), (limit, "asked by p_limit")):
        with pytest.raises(SetpointRejected, match=words):
            sent([fleet[0], odd])
    with pytest.raises(SetpointRejected) as refusal:
        sent(fleet, unit="kW")
    assert (refusal.value.code, refusal.value.field) == ("wrong_unit", "unit")


def test_s20_more_than_fifty_devices_want_the_password_again(battery: Battery) -> None:
    many = [make_point(make_device(battery.pilot, f"es-X{n:02}", connection=battery.connection), "p_set") for n in range(51)]
    with pytest.raises(SetpointRejected) as refusal:
        sent(many)
    assert (refusal.value.code, refusal.value.field) == ("step_up_required", "members")
    assert refusal.value.reason == "51 devices at once are more than 50. The token lacks the scope switch_critical."
    assert sent(many, proved=True).setpoints.count() == 51
    assert sent(many[:50]).setpoints.count() == 50


def test_s20_shares_go_out_one_after_the_other_as_ordinary_set_points_of_one_group(fleet: list[Point], lease: HeldLease) -> None:
    group = sent(fleet, priority=3, service="congestion")
    rows = list(group.setpoints.order_by("valid_from"))
    assert [row.valid_from for row in rows] == [after(0), after(0.2), after(0.4)]
    assert {(row.valid_until, row.reason, row.issuer, row.requested_by, row.priority, row.service) for row in rows} == {
        (after(300), "peak", "operator", "ana", 3, "congestion")
    }
    assert {row.correlation_id for row in rows} == {str(group.pk)}
    assert [written(lease, second) for second in (0.0, 0.1, 0.2, 0.4)] == [["es-STO01"], [], ["es-STO02"], ["es-STO03"]]


def test_each_member_is_explained_with_the_sum_beside_the_target(fleet: list[Point], lease: HeldLease) -> None:
    local(fleet[2])
    again = list(
        Point.objects.filter(name="p_set").select_related("device__pilot", "device__connection").order_by("device__code")
    )
    group = sent(again, -30_000.0)
    record = group_record(group, NOW)
    assert (record["state"], record["target"], record["shared"], record["measured"]) == ("under_way", -30_000.0, -30_000.0, None)
    written(lease, 1)
    for point, value in zip(again[:2], (-20_000.0, -9_900.0), strict=True):
        measured(point, value, 2)
    record = group_record(group, after(2))
    assert (record["state"], record["measured"]) == ("in_force", -29_900.0)
    assert [(each["state"], each["active"], each["measured"]) for each in record["members"]] == [
        ("executed", True, -20_000.0), ("executed", True, -9_900.0), (None, False, None),
    ]  # fmt: skip
    cancel_setpoint(group.setpoints.get(point=again[0]), actor="olaf", reason="", now=after(3))
    record = group_record(group, after(3))
    assert (record["state"], record["members"][0]["reason"]) == ("partly_in_force", "Ended by olaf.")
    expiry.expire_setpoints(now=after(301))
    assert group_record(group, after(301))["state"] == "ended"


def test_s20_aborting_stops_what_waits_and_gives_back_what_was_written_and_each_is_told(
    fleet: list[Point], lease: HeldLease
) -> None:
    group = sent(fleet)
    assert written(lease, 0.0) == ["es-STO01"]
    measured(fleet[0], -20_000.0, 0.1)
    assert written(lease, 0.2) == ["es-STO02"]
    groups.abort_group(group, actor="olaf", reason="wrong feeder", now=after(0.3))
    assert states(group) == {"es-STO01": "executed", "es-STO02": "cancelled", "es-STO03": "cancelled"}
    record = group_record(group, after(1))
    assert (record["state"], record["aborted_by"], record["abort_reason"]) == ("aborted", "olaf", "wrong feeder")
    assert [each["reason"] for each in record["members"]] == ["Ended by olaf.", *["Its group was aborted."] * 2]
    back = Setpoint.objects.filter(issuer="fallback").select_related("point__device")
    assert {(each.point.device.code, each.value) for each in back} == {("es-STO01", 0.0), ("es-STO02", 0.0)}
    assert Setpoint.objects.filter(group=group, finished_at__gt=after(1)).count() == 0
    assert set(written(lease, 2)) == {"es-STO01", "es-STO02"}  # nothing but what gives them back
    with pytest.raises(SetpointRejected) as refusal:
        groups.abort_group(group, actor="olaf", reason="", now=after(3))
    assert refusal.value.code == "already_finished"


def test_s20_from_the_abort_on_nothing_of_it_is_claimed_though_its_set_points_are_not_cancelled_yet(
    fleet: list[Point], lease: HeldLease
) -> None:
    """The gateway may look between the abort and its end at each set-point."""
    group = sent(fleet)
    SetpointGroup.objects.filter(pk=group.pk).update(aborted_at=after(0.1))
    assert written(lease, 1) == []
    assert groups.finish_aborts(now=after(5)) == 0  # who aborted is still at it
    assert groups.finish_aborts(now=after(6)) == 3
    assert set(states(group).values()) == {"cancelled"}
    assert groups.finish_aborts(now=after(7)) == 0


def test_an_outcome_that_nobody_knows_is_ended_once_it_is_read(fleet: list[Point], lease: HeldLease) -> None:
    group = sent(fleet)
    first = group.setpoints.get(point=fleet[0])
    assert dispatch.claim_setpoint(first, lease, now=after(0.1))
    dispatch.note_unknown(first, reason="no answer", actor="gateway-1", now=after(0.2))
    groups.abort_group(group, actor="olaf", reason="", now=after(0.3))
    assert states(group)["es-STO01"] == "unknown"
    measured(fleet[0], -20_000.0, 8)
    assert groups.finish_aborts(now=after(9)) == 1
    assert group.setpoints.get(point=fleet[0]).released_at == after(9)
    assert Setpoint.objects.get(issuer="fallback").value == 0.0


def test_a_share_that_is_refused_right_before_its_write_stands_so_in_the_group(fleet: list[Point], lease: HeldLease) -> None:
    group = sent(fleet)
    blocked(fleet[1])
    written(lease, 1)
    second = group_record(group, after(1))["members"][1]
    assert (second["state"], second["code"]) == ("rejected", "tagged")


def test_what_was_previewed_is_what_is_sent(fleet: list[Point]) -> None:
    wish = wish_of(fleet)
    token = signed_plan(wish, plan_group(wish, NOW))
    narrowed(fleet[0], maximum=90_000)
    Point.objects.filter(pk=fleet[0].pk).update(operating_minimum=-60_000.0)
    group = sent(fleet, plan=token)
    assert sorted(group.setpoints.values_list("value", flat=True)) == [-20_000.0, -10_000.0, -10_000.0]


def test_a_preview_that_cannot_be_kept_any_more_sends_nothing(fleet: list[Point]) -> None:
    wish = wish_of(fleet)
    token = signed_plan(wish, plan_group(wish, NOW))
    blocked(fleet[1])
    with pytest.raises(SetpointRejected) as refusal:
        sent(fleet, plan=token)
    assert refusal.value.code == "tagged"
    assert refusal.value.reason.startswith("es-STO02 cannot take its share any more, nothing was sent: Do not operate")
    assert SetpointGroup.objects.count() == Setpoint.objects.count() == 0


def test_a_preview_of_another_wish_or_person_or_time_is_none(fleet: list[Point], monkeypatch: pytest.MonkeyPatch) -> None:
    wish = wish_of(fleet)
    token = signed_plan(wish, plan_group(wish, NOW))
    for other in (wish_of(fleet, -30_000.0), wish_of(fleet[:2]), wish_of(fleet, requested_by="olaf")):
        with pytest.raises(SetpointRejected, match="of another wish"):
            read_plan(other, token)
    with pytest.raises(SetpointRejected, match="no preview of ours"):
        read_plan(wish, token[:-1] + ("A" if token[-1] != "A" else "B"))
    stamped = signing.time.time() + PLAN_KEPT_S + 1
    monkeypatch.setattr(signing.time, "time", lambda: stamped)
    with pytest.raises(SetpointRejected, match="more than 2 min old") as refusal:
        read_plan(wish, token)
    assert (refusal.value.code, refusal.value.field) == ("preview_over", "preview")


def test_an_id_makes_one_group(fleet: list[Point]) -> None:
    group = sent(fleet)
    with pytest.raises(SetpointRejected) as refusal:
        groups.create_group(wish_of(fleet), proved=False, group_id=group.pk, now=after(1))
    assert (refusal.value.code, refusal.value.field) == ("duplicate_id", "id")
    assert Setpoint.objects.count() == 3


def test_a_group_and_its_abort_stand_in_the_audit_trail(fleet: list[Point]) -> None:
    local(fleet[2])
    again = list(
        Point.objects.filter(name="p_set").select_related("device__pilot", "device__connection").order_by("device__code")
    )
    group = sent(again)
    groups.abort_group(group, actor="olaf", reason="wrong feeder", now=after(1))
    made, ended = (AuditEvent.objects.get(action=f"{verb} group") for verb in ("create", "abort"))
    assert (made.actor, made.reason, made.pilot, made.subject) == ("ana", "peak", "es", "2 devices/p_set")
    assert made.details["shares"] == {"es-STO01": -26_700.0, "es-STO02": -13_300.0}
    assert made.details["left"]["es-STO03"].startswith("The device is in local mode")
    assert (ended.actor, ended.reason, ended.details["id"]) == ("olaf", "wrong feeder", str(group.pk))


def test_who_has_less_than_a_step_left_is_told_what_it_can_do(fleet: list[Point]) -> None:
    narrowed(fleet[1], maximum_from="p_charge_max")
    make_latest(make_point(fleet[1].device, "p_charge_max"), 60.0, at=NOW)
    plan = planned(fleet, 15_000.0)
    assert shares(plan)["es-STO02"] is None
    assert plan.parts[1].reason == "100 W is outside -50000 to 60 W, all that p_charge_max allows now."


def test_what_each_can_do_is_told_without_a_target(fleet: list[Point]) -> None:
    blocked(fleet[0])
    narrowed(fleet[1], minimum=4_140, default=4_140)
    narrowed(fleet[2], maximum_from="p_charge_max")
    make_latest(make_point(fleet[2].device, "p_charge_max"), -60_000.0, at=NOW)
    told = standing(fleet, requested_by="ana", now=NOW)
    assert [(part.low, part.high, part.code) for part in told] == [
        (-100_000, 100_000, "tagged"), (4_140, 50_000, ""), (-50_000, -60_000, "out_of_range"),
    ]  # fmt: skip
    narrowed(fleet[2], minimum=-50_000, maximum=-1_050, maximum_from="", default=-2_000)
    assert standing(fleet, requested_by="ana", now=NOW)[2].code == ""


def test_ceilings_of_charge_points_are_shared_too(battery: Battery) -> None:
    chargers = [make_device(battery.pilot, f"es-EVSE0{n}", kind="charge_point", connection=battery.connection) for n in (1, 2, 3)]
    limit = {"minimum": 0, "maximum": 11_000, "step": 100, "modes": ["limit"], "self_expiring": True}
    points = [make_point(device, "p_limit", kind="setpoint", capability=limit) for device in chargers]
    narrowed(points[2], maximum=22_000)
    plan = planned(points, 22_000.0)
    assert shares(plan) == {"es-EVSE01": 5_500.0, "es-EVSE02": 5_500.0, "es-EVSE03": 11_000.0}
    assert set(sent(points, 22_000.0).setpoints.values_list("mode", flat=True)) == {"limit"}
    assert planned(points, -5_000.0).refusal is not None


def test_a_source_that_asks_too_often_gets_no_part_of_a_group(fleet: list[Point], settings: Any) -> None:
    settings.SETPOINT_RATE, settings.SETPOINT_BURST = 1, 2
    with pytest.raises(SetpointRejected) as refusal:
        sent(fleet)
    assert (refusal.value.code, refusal.value.wait_s) == ("rate_limited", pytest.approx(1.0))
    assert Setpoint.objects.count() == SetpointGroup.objects.count() == 0
    assert sent(fleet[:2]).setpoints.count() == 2


def test_a_link_that_comes_back_changes_who_takes_part(fleet: list[Point]) -> None:
    offline(fleet[2])
    fleet[2].device.refresh_from_db()
    assert shares(planned(fleet))["es-STO03"] is None
    Connection.objects.filter(name="es-gone").update(state="up", state_since=NOW - timedelta(minutes=1))
    fleet[2].device.refresh_from_db()
    assert shares(planned(fleet))["es-STO03"] == -10_000.0
