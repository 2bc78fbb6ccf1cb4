"""What a group set-point would be: who takes part with which share, who does not and why. Nothing is written here. [operation]

Each member is looked at as any set-point for it would be, with what is so now (`circumstances`); `domain.sharing` makes the
shares. Who cannot take its share leaves it to the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.core import signing
from django.db.models import QuerySet

from pilots.control.circumstances import circumstances
from pilots.domain.errors import SetpointRejected
from pilots.domain.guards import Circumstances, Wish, range_now, refusals
from pilots.domain.point import PointKind
from pilots.domain.schedule import step_ramp
from pilots.domain.setpoint import DEFAULT_PRIORITY, Issuer, RejectCode
from pilots.domain.sharing import LEAST_MEMBERS, MOST_MEMBERS, Member, has_room, overloaded, reach, share
from pilots.domain.topology import DeviceKind
from pilots.models import Pilot, Point, Setpoint, User

KINDS = (DeviceKind.STORAGE_UNIT, DeviceKind.CHARGE_POINT)
POINTS = ("p_set", "p_limit")
#: A plan that somebody looked at is sent as it was shown for so long; each share is checked again all the same.
PLAN_KEPT_S = 120
_SALT = "pilots.control.group_plans"
#: Of several reasons, these tell more than a figure does.
_TELLING = (
    RejectCode.TAGGED,
    RejectCode.COMMANDS_OFF,
    RejectCode.LINK_DOWN,
    RejectCode.LOCAL_MODE,
    RejectCode.CONFLICT_PRIORITY,
    RejectCode.INTERLOCK,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupWish:
    """What somebody wants of several devices together: `target` in W, load convention; of a ceiling what all may take."""

    points: Sequence[Point]
    target: float
    unit: str
    issuer: Issuer
    requested_by: str
    valid_until: datetime
    priority: int | None = None
    reason: str = ""
    service: str = ""
    issued_at: datetime | None = None
    user: User | None = None

    @property
    def rank(self) -> int:
        return DEFAULT_PRIORITY[self.issuer] if self.priority is None else self.priority

    @property
    def mode(self) -> str:
        capability = self.points[0].spec.capability
        return "absolute" if capability is None else capability.modes[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One member: its limits of the moment, what it did, its share; without a share, the code and sentence of why."""

    device: str
    low: float
    high: float
    before: float | None
    share: float | None = None
    code: str = ""
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The parts in the order of the wish; `refusal`: why it cannot be done; `least`, `most`: what they can do together, W."""

    parts: tuple[Part, ...]
    least: float
    most: float
    refusal: SetpointRejected | None = None


@dataclass(slots=True)
class _Candidate:
    point: Point
    around: Circumstances
    part: Part
    member: Member
    left: SetpointRejected | None = None  # why it takes no part


def check_members(wish: GroupWish) -> None:
    """These can be a group. Raises SetpointRejected naming the field, a member as `members[3]`."""
    points = wish.points
    if not LEAST_MEMBERS <= len(points) <= MOST_MEMBERS:
        sentence = f"A group has {LEAST_MEMBERS} to {MOST_MEMBERS} devices, not {len(points)}."
        raise SetpointRejected(RejectCode.OUT_OF_RANGE, sentence, field="members")
    for number, point in enumerate(points):
        why = _misfit(point, points[0])
        if not why and point in points[:number]:
            why = f"{point.device.code} is named twice."
        if why:
            raise SetpointRejected(RejectCode.NOT_CAPABLE, why, field=f"members[{number}]")
    if wish.unit != points[0].unit:
        raise SetpointRejected(RejectCode.WRONG_UNIT, f"The unit of {points[0].name} is {points[0].unit}.", field="unit")


def plan_group(wish: GroupWish, now: datetime) -> Plan:
    """What each member would get now. Raises SetpointRejected as `check_members`."""
    check_members(wish)
    found = [_candidate(point, wish, now) for point in wish.points]
    taking = [one for one in found if _takes_part(one, wish, now)]
    shares: dict[str, float] = {}
    refusal: SetpointRejected | None = None
    while taking:
        try:
            shares = share(wish.target, [one.member for one in taking])
        except SetpointRejected as error:
            refusal = error
            break
        staying = [one for one in taking if _may_take(one, shares[one.point.device.code], wish, now)]
        if len(staying) == len(taking):
            sentence = overloaded(shares, [one.member for one in taking])
            refusal = SetpointRejected(RejectCode.OUT_OF_RANGE, sentence, field="target") if sentence else None
            break
        taking, shares = staying, {}
    least, most = reach(wish.target, [one.member for one in taking])
    sign = -1.0 if wish.target < 0 else 1.0
    parts = tuple(_told(one, shares) for one in found)
    return Plan(parts=parts, least=sign * least or 0.0, most=sign * most or 0.0, refusal=refusal if taking else _nobody(found))


def standing(points: Sequence[Point], *, requested_by: str, now: datetime) -> tuple[Part, ...]:
    """What each could do for an operator now, and why one could take no share whatever the target; no shares."""
    valid_until = now + timedelta(minutes=5)
    form: dict[str, Any] = {"points": points, "unit": "W", "issuer": Issuer.OPERATOR, "requested_by": requested_by}
    wish = GroupWish(target=0.0, valid_until=valid_until, **form)
    found = [_candidate(point, wish, now) for point in points]
    for one in found:
        if one.part.low > one.part.high:
            _takes_part(one, wish, now)
        else:
            _may_take(one, _nearest_to_rest(one.member), wish, now)
    return tuple(_told(one, {}) for one in found)


def groupable(pilot: Pilot) -> list[Point]:
    """Every set-point of the pilot that may be asked for a share."""
    able = _able(pilot).select_related("device__pilot", "device__connection", "device__measured_by")
    return list(able.order_by("name", "device__position", "device__code"))


def may_share(pilot: Pilot) -> bool:
    """Whether there are enough of them for a group."""
    return _able(pilot).count() >= LEAST_MEMBERS


def _able(pilot: Pilot) -> QuerySet[Point]:
    rows = Point.objects.filter(device__pilot=pilot, device__kind__in=KINDS, name__in=POINTS, kind=PointKind.SETPOINT, unit="W")
    return rows.exclude(capability=None)


def signed_plan(wish: GroupWish, plan: Plan) -> str:
    """The plan as its reader sends it back, unchanged."""
    form = {"for": _identity(wish), "parts": [asdict(part) for part in plan.parts]}
    return signing.dumps(form, salt=_SALT, compress=True)


def read_plan(wish: GroupWish, token: str) -> tuple[Part, ...]:
    """The parts of the plan that was shown. Raises SetpointRejected when it is over or of another wish."""
    try:
        form: dict[str, Any] = signing.loads(token, salt=_SALT, max_age=PLAN_KEPT_S)
    except signing.SignatureExpired as error:
        sentence = f"The preview is more than {PLAN_KEPT_S // 60} min old: look at it again."
        raise SetpointRejected("preview_over", sentence, field="preview") from error
    except signing.BadSignature as error:
        raise SetpointRejected("preview_over", "This is no preview of ours.", field="preview") from error
    if form["for"] != _identity(wish):
        raise SetpointRejected("preview_over", "The preview is of another wish: look at this one.", field="preview")
    return tuple(Part(**part) for part in form["parts"])


def _identity(wish: GroupWish) -> list[Any]:
    return [wish.points[0].name, wish.target, sorted(point.device.code for point in wish.points), wish.requested_by]


def _misfit(point: Point, first: Point) -> str:
    code = point.device.code
    if point.kind != PointKind.SETPOINT or point.capability is None or point.unit != "W" or point.device.kind not in KINDS:
        return f"{code}/{point.name} takes no share: groups are of storage units and charge points."
    if point.name != first.name:
        return f"{code} is asked by {point.name}, the group by {first.name}."
    if point.device.pilot_id != first.device.pilot_id:
        return f"{code} is of another pilot than {first.device.code}."
    return ""


def _candidate(point: Point, wish: GroupWish, now: datetime) -> _Candidate:
    draft = Setpoint(point=point, issuer=wish.issuer, requested_by=wish.requested_by, valid_from=now)
    around, spec = circumstances(draft, now), point.spec
    low, high = range_now(spec, around)
    capability = spec.capability
    reading = around.readings.get(spec.feedback)
    member = Member(
        name=point.device.code,
        low=low,
        high=high,
        step=0.0 if capability is None else capability.step,
        ends=(low, high) if capability is None else (capability.minimum, capability.maximum),
        own=None if reading is None or reading.fault else reading.value,
        behind=around.connections if wish.mode == "absolute" else (),
    )
    return _Candidate(point, around, Part(device=point.device.code, low=low, high=high, before=around.before), member)


def _nearest_to_rest(member: Member) -> float:
    if member.low <= 0 <= member.high:
        return 0.0
    side = 1.0 if member.low > 0 else -1.0
    return side * reach(side, [member])[0]


def _takes_part(one: _Candidate, wish: GroupWish, now: datetime) -> bool:
    if has_room(wish.target, one.member):
        return True
    step = max(one.member.step, 1.0)
    least = SetpointRejected(RejectCode.OUT_OF_RANGE, f"It can do {one.part.low:g} to {one.part.high:g} W now.", field="target")
    one.left = _why_not(one, -step if wish.target < 0 else step if wish.target else 0.0, wish, now) or least
    return False


def _may_take(one: _Candidate, value: float, wish: GroupWish, now: datetime) -> bool:
    one.left = _why_not(one, value, wish, now)
    return one.left is None


def _why_not(one: _Candidate, value: float, wish: GroupWish, now: datetime) -> SetpointRejected | None:
    """The most telling of the reasons why it may not get this; of several bounds the later ones are what made the first."""
    spec = one.point.spec
    its = Wish(
        value=value,
        unit=wish.unit,
        mode=wish.mode,
        priority=wish.rank,
        valid_from=now,
        valid_until=wish.valid_until,
        issued_at=wish.issued_at,
        ramp=step_ramp(spec, wish.mode),
    )
    found = refusals(its, spec, now, one.around)
    telling = [refusal for code in _TELLING for refusal in found if refusal.code == code]
    return next(iter([*telling, *reversed(found)]), None)


def _told(one: _Candidate, shares: Mapping[str, float]) -> Part:
    if one.left is not None:
        return replace(one.part, code=str(one.left.code), reason=one.left.reason)
    return replace(one.part, share=shares.get(one.point.device.code))


def _nobody(found: Sequence[_Candidate]) -> SetpointRejected:
    """Nobody takes part: the one reason, or all of them."""
    reasons = {one.point.device.code: one.left for one in found if one.left is not None}
    first = next(iter(reasons.values()))
    if {(each.code, each.reason) for each in reasons.values()} == {(first.code, first.reason)}:
        return first
    why = " ".join(f"{code}: {each.reason}" for code, each in list(reasons.items())[:3])
    more = f" And {len(reasons) - 3} more." if len(reasons) > 3 else ""
    return SetpointRejected(RejectCode.NOT_CAPABLE, f"None of them can take a share now. {why}{more}", field="members")
