"""The form of a group set-point: members, direction, value in shown units, how long, why; read as a wish."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.http import QueryDict
from django.utils.translation import gettext as _

from pilots.control.group_plans import GroupWish, Part, groupable, may_share, standing
from pilots.domain.errors import SetpointRejected
from pilots.domain.setpoint import Issuer, RejectCode
from pilots.models import Pilot, Point, Role, User
from pilots.models.access import Rights
from pilots.ui.quantities import expiries, point_name, shown_number, shown_unit

FIELDS = ("point", "direction", "value", "minutes", "reason")
#: Of the form, what a refusal may stand at.
_PLACES = {"target": "value", "valid_until": "minutes", "members": "members"}
_LONGEST = max(minutes for minutes, _words in expiries())


def read_form(pilot: Pilot, form: QueryDict, user: User, now: datetime) -> GroupWish:
    """The wish of the form. Raises SetpointRejected that names the field that cannot be read."""
    points = _points(pilot, form)
    value = _value(form, points[0])
    return GroupWish(
        points=points,
        target=value,
        unit=points[0].unit,
        issuer=Issuer.OPERATOR,
        requested_by=user.get_username(),
        user=user,
        valid_until=now + timedelta(minutes=_minutes(form)),
        reason=form.get("reason", "")[:300].replace("\0", ""),
    )


def read_id(form: QueryDict) -> UUID:
    """The id that the page gave the wish, so that trying again makes no second one."""
    try:
        return UUID(form.get("id", ""))
    except ValueError as error:
        raise SetpointRejected("malformed", _("%(field)s must be a UUID.") % {"field": "id"}, field="id") from error


def form_context(
    pilot: Pilot, form: QueryDict, user: User, now: datetime, refusal: SetpointRejected | None = None
) -> dict[str, Any]:
    """The form as it stands, its devices with what they can do now."""
    able = groupable(pilot)
    names = sorted({point.name for point in able}, reverse=True)
    name = form.get("point", "") if form.get("point", "") in names else next(iter(names), "")
    points = [point for point in able if point.name == name]
    chosen = set(form.getlist("member"))
    parts = standing(points, requested_by=user.get_username(), now=now)
    return {
        "kinds": [(each, kind_words(each), each == name) for each in names],
        "name": name,
        "directed": is_directed(points),
        "shown": shown_unit("W")[0],
        "members": [
            member_row(point, part) | {"chosen": part.device in chosen} for point, part in zip(points, parts, strict=True)
        ],
        "given": given_of(form),
        "expiries": [(str(minutes), words) for minutes, words in expiries()],
        "refusal": refusal,
        "field": "" if refusal is None else _PLACES.get(refusal.field.partition("[")[0], refusal.field),
    }


def given_of(form: QueryDict) -> dict[str, str]:
    """What was typed and chosen, each with its key."""
    return {field: form.get(field, "") for field in FIELDS}


def member_row(point: Point, part: Part) -> dict[str, Any]:
    """A device with its limits of the moment, and why it takes no part."""
    unit = point.unit
    none = part.low > part.high
    return {
        "part": part,
        "name": point.device.name,
        "reference": f"{point.device.code}/{point.feedback}" if point.feedback else "",
        "before": "–" if part.before is None else shown_number(part.before, unit),
        "share": "" if part.share is None else shown_number(part.share, unit),
        "range": "–" if none else f"{shown_number(part.low, unit)} … {shown_number(part.high, unit)}",
        "low": part.low,
        "high": part.high,
    }


def kind_words(name: str) -> str:
    """What devices a point's groups are of.

    >>> kind_words("p_limit")
    'Charge points, power limit'
    """
    return (
        _("Batteries, power") if name == "p_set" else _("Charge points, power limit") if name == "p_limit" else point_name(name)
    )


def is_directed(points: Sequence[Point]) -> bool:
    """Direction is a choice, never a sign to type."""
    capabilities = [point.capability for point in points if point.capability is not None]
    return any(each["minimum"] < 0 < each["maximum"] for each in capabilities)


def group_pilots(rights: Rights, pilots: Iterable[Pilot]) -> list[Pilot]:
    """Those of the pilots where this person may send one target to several devices."""
    return [pilot for pilot in pilots if rights.has_role(Role.OPERATOR, pilot) and may_share(pilot)]


def _points(pilot: Pilot, form: QueryDict) -> list[Point]:
    """Those that are named, in the order in which they are listed."""
    chosen = set(form.getlist("member"))
    found = [point for point in groupable(pilot) if point.name == form.get("point", "") and point.device.code in chosen]
    if not found:
        raise SetpointRejected("malformed", _("Choose the devices."), field="members")
    unknown = chosen - {point.device.code for point in found}
    if unknown:
        told = {"id": min(unknown)[:64]}
        raise SetpointRejected(RejectCode.UNKNOWN_DEVICE, _("%(id)s is no device here.") % told, field="members")
    return found


def _value(form: QueryDict, point: Point) -> float:
    if form.get("direction") == "0":
        return 0.0
    cell = form.get("value", "").strip().replace(",", ".")
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SetpointRejected("malformed", _("Give the value as a number."), field="value")
    if value < 0:
        raise SetpointRejected("malformed", _("Give the value without a sign: the direction says it."), field="value")
    # 12.3 kW is 12 300 W and not 12300.000000000002.
    amount = round(value * shown_unit(point.unit)[1], 6)
    return -amount if form.get("direction") == "-1" and amount else amount


def _minutes(form: QueryDict) -> float:
    try:
        minutes = float(form.get("minutes", ""))
    except ValueError:
        minutes = math.nan
    if not 0 < minutes <= _LONGEST:
        raise SetpointRejected(RejectCode.OUT_OF_RANGE, _("A set-point is valid for 24 h at most."), field="minutes")
    return minutes
