"""The measurement message that head-end systems push: read value by value, each bad one refused by its index.

One query finds the points of the whole message and one their newest values; nothing is asked per value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from pilots.api import reading
from pilots.api.authentication import Client
from pilots.api.errors import Problem, invalid, missing
from pilots.domain.guards import MAX_CLOCK_SKEW
from pilots.domain.measurement import RawReading
from pilots.domain.point import PointKind, PointSpec
from pilots.domain.quality import GOOD, Quality
from pilots.models import Pilot, Point

MAX_VALUES = 5_000
LONGEST_TEXT = 200


@dataclass(frozen=True, slots=True)
class Known:
    """A point that this client may push: its key and what a value of it must look like."""

    point_id: int
    spec: PointSpec


@dataclass(frozen=True, slots=True)
class Accepted:
    """One readable value of a message, `t` aware UTC, `reading` as ingest takes it."""

    device: str
    known: Known
    reading: RawReading
    t: datetime


@dataclass(slots=True)
class Message:
    """What a message brought: the values that can be stored, and why the others cannot."""

    values: list[Accepted] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)

    def refuse(self, index: int, name: str, code: str) -> None:
        self.refused.append({"index": index, "field": name, "code": code})

    def refusals(self) -> Counter[str]:
        """How often each code."""
        return Counter(str(refusal["code"]) for refusal in self.refused)


class _Refused(Exception):
    """One value cannot be stored: which field and why."""

    def __init__(self, name: str, code: str) -> None:
        super().__init__(name, code)
        self.name, self.code = name, code


def read_message(body: Any, client: Client, now: datetime) -> Message:
    """The message with its bad values set aside.

    Raises Problem: 400 naming a wrong field of the message itself, 404 `unknown_pilot`, 413 over 5 000 values, 422 `clock_skew`.
    """
    form = reading.json_object(body)
    pilot = _pilot(form, client)
    reading.whole(form, "epoch", low=0, high=2**63 - 1)
    reading.whole(form, "sequence", low=0, high=2**63 - 1)
    _check_clock(form, now)
    values = _values(form)
    points = _known_points(client, pilot, values)
    message = Message()
    for index, value in enumerate(values):
        try:
            message.values.append(_accepted(value, points))
        except _Refused as refused:
            message.refuse(index, refused.name, refused.code)
    return message


def _pilot(form: dict[str, Any], client: Client) -> Pilot:
    code = reading.text(form, "pilot", longest=16)
    found = client.pilots.filter(code=code).first()
    if found is None:
        raise Problem(404, "unknown_pilot", "No such pilot.", field="pilot")
    return found


def _check_clock(form: dict[str, Any], now: datetime) -> None:
    sent_at = reading.moment(form, "sent_at")
    if sent_at is not None and abs(sent_at - now) > MAX_CLOCK_SKEW:
        raise Problem(422, "clock_skew", "sent_at is more than 60 s off our clock (GET /clock).", field="sent_at")


def _values(form: dict[str, Any]) -> list[Any]:
    values = form.get("values")
    if values is None:
        raise missing("values")
    if not isinstance(values, list):
        raise invalid("values", "values must be a list.")
    if len(values) > MAX_VALUES:
        raise Problem(413, "too_large", f"A message carries at most {MAX_VALUES} values.", field="values")
    return values


def _known_points(client: Client, pilot: Pilot, values: Iterable[Any]) -> dict[str, dict[str, Known]]:
    """The client's points by device and name, of the devices that the message names."""
    named = {value["device"] for value in values if isinstance(value, dict) and isinstance(value.get("device"), str)}
    named = {code for code in named if "\0" not in code}  # PostgreSQL has no such text
    rows: QuerySet[Point] = Point.objects.filter(client.reach("device__"), device__pilot=pilot, device__code__in=named)
    known: dict[str, dict[str, Known]] = {}
    for point in rows.select_related("device"):
        known.setdefault(point.device.code, {})[point.name] = Known(point.pk, point.spec)
    # A device without points is still a device: its values are refused for the point's sake.
    for code in client.devices.filter(pilot=pilot, code__in=named).values_list("code", flat=True):
        known.setdefault(code, {})
    return known


def _accepted(value: Any, points: dict[str, dict[str, Known]]) -> Accepted:
    if not isinstance(value, dict):
        raise _Refused("", "invalid_value")
    device, known = _find(value, points)
    spec = known.spec
    t = _time(value)
    quality = _quality(value)
    reading_value = _text(value) if spec.kind is PointKind.TEXT else _number(value, spec)
    return Accepted(device, known, RawReading(spec.name, reading_value, quality, t), t)


def _find(value: dict[str, Any], points: dict[str, dict[str, Known]]) -> tuple[str, Known]:
    device, name = value.get("device"), value.get("point")
    for key, word in (("device", device), ("point", name)):
        if word is None:
            raise _Refused(key, "missing_field")
        if not isinstance(word, str):
            raise _Refused(key, "invalid_field")
    if device not in points:
        raise _Refused("device", "unknown_device")
    known = points[device].get(str(name))
    if known is None:
        raise _Refused("point", "unknown_point")
    return str(device), known


def _time(value: dict[str, Any]) -> datetime:
    if value.get("t") is None:
        raise _Refused("t", "missing_field")
    moment = reading.as_moment(value["t"])
    if moment is None:
        raise _Refused("t", "invalid_field")
    return moment


def _quality(value: dict[str, Any]) -> Quality:
    form = value.get("quality")
    if form is None:
        return GOOD
    if not isinstance(form, dict):
        raise _Refused("quality", "invalid_field")
    try:
        return Quality.from_dict(form)
    except (KeyError, ValueError):
        raise _Refused("quality", "invalid_field") from None


def _number(value: dict[str, Any], spec: PointSpec) -> float | None:
    if "text" in value:
        raise _Refused("text", "invalid_field")
    if "value" not in value:
        raise _Refused("value", "missing_field")
    _check_unit(value, spec)
    if value["value"] is None:
        return None
    number = reading.as_number(value["value"])
    if number is None:
        raise _Refused("value", "invalid_field")
    # Pushed values are in the point's unit already; ingest scales what it gets as if it came from a wire.
    return number if (spec.scale, spec.offset, spec.sign) == (1.0, 0.0, 1) else spec.to_wire(number)


def _check_unit(value: dict[str, Any], spec: PointSpec) -> None:
    unit = value.get("unit")
    if unit is None and (spec.unit == "" or value["value"] is None):
        return
    if unit is None:
        raise _Refused("unit", "missing_field")
    if unit != spec.unit:
        raise _Refused("unit", "wrong_unit")


def _text(value: dict[str, Any]) -> str | None:
    if value.get("value") is not None:
        raise _Refused("value", "invalid_field")
    text = value.get("text")
    if text is None:
        if "text" not in value:
            raise _Refused("text", "missing_field")
        return None
    if not isinstance(text, str) or len(text) > LONGEST_TEXT or "\0" in text:
        raise _Refused("text", "invalid_field")
    return text
