"""Typed readers of bodies and queries: each names the field it refuses. Nothing is guessed or converted."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from rest_framework.request import Request

from pilots.api.errors import Problem, invalid, missing

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DURATION = re.compile(r"P(?:(\d{1,3})D)?(?:T(?:(\d{1,4})H)?(?:(\d{1,5})M)?(?:(\d{1,6})S)?)?", re.ASCII)
LONGEST_RESOLUTION_S = 86_400


def json_object(body: Any) -> dict[str, Any]:
    """The body as an object. Raises Problem 400."""
    if not isinstance(body, dict):
        raise Problem(400, "invalid_field", "The body must be a JSON object.")
    return body


def text(form: Mapping[str, Any], field: str, *, longest: int, default: str | None = None) -> str:
    """A string of at most `longest` characters; without a default it is mandatory and not empty. Raises Problem 400."""
    value = form.get(field)
    if value is None:
        if default is None:
            raise missing(field)
        return default
    if not isinstance(value, str):
        raise invalid(field, f"{field} must be a string.")
    if len(value) > longest or "\0" in value:
        raise invalid(field, f"{field} must have at most {longest} characters and no NUL.")
    if default is None and not value:
        raise invalid(field, f"{field} must not be empty.")
    return value


def number(form: Mapping[str, Any], field: str) -> float:
    """A finite number; true, false and text are none. Raises Problem 400."""
    if form.get(field) is None:
        raise missing(field)
    value = as_number(form[field])
    if value is None:
        raise invalid(field, f"{field} must be a finite number.")
    return value


def as_number(value: Any) -> float | None:
    """The value as a float, None when it is no finite number.

    >>> as_number(5), as_number(True), as_number("5"), as_number(10**400)
    (5.0, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        result = float(value)
    except OverflowError:
        return None
    return result if math.isfinite(result) else None


def whole(form: Mapping[str, Any], field: str, *, low: int, high: int) -> int | None:
    """A whole number from `low` to `high`, None when the field is absent. Raises Problem 400."""
    value = form.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise invalid(field, f"{field} must be a whole number from {low} to {high}.")
    return value


def moment(form: Mapping[str, Any], field: str) -> datetime | None:
    """An aware time, None when the field is absent. Raises Problem 400, for times without an offset too."""
    value = form.get(field)
    if value is None:
        return None
    found = as_moment(value)
    if found is None:
        raise invalid(field, f"{field} must be an RFC 3339 time with Z or an offset, as 2024-05-01T10:00:00.000Z.")
    return found


def as_moment(value: Any) -> datetime | None:
    """The RFC 3339 time in UTC, None when it is none.

    >>> as_moment("2024-05-01T10:00:00+02:00").isoformat(), as_moment("2024-05-01T10:00:00")
    ('2024-05-01T08:00:00+00:00', None)
    """
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        return None
    try:
        found = datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    # Years that no device means, and that sums with a validity would overflow.
    return found if 1970 <= found.year < 9000 else None


def one_of(form: Mapping[str, Any], field: str, words: Collection[str], *, default: str) -> str:
    """One of the words. Raises Problem 400."""
    value = form.get(field)
    if value is None:
        return default
    if not isinstance(value, str) or value not in words:
        raise invalid(field, f"{field} must be one of {', '.join(sorted(words))}.")
    return value


def uuid(value: Any, field: str) -> UUID:
    """A UUID in its usual form. Raises Problem 400."""
    try:
        if isinstance(value, str) and len(value) == 36:
            return UUID(value)
    except ValueError:
        pass
    raise invalid(field, f"{field} must be a UUID.")


def query(request: Request, *known: str) -> dict[str, str]:
    """The named parameters that were given, each at most once and without NUL. Raises Problem 400."""
    form: dict[str, str] = {}
    for name in known:
        values = request.query_params.getlist(name)
        if len(values) > 1:
            raise invalid(name, f"{name} may stand once only.")
        if values and values[0] != "":
            form[name] = text({name: values[0]}, name, longest=2000)
    return form


def duration_s(form: Mapping[str, str], field: str) -> int | None:
    """Seconds of an ISO 8601 duration of 1 s to 1 day, None when absent. Raises Problem 400.

    >>> duration_s({"resolution": "PT15M"}, "resolution")
    900
    """
    value = form.get(field)
    if value is None:
        return None
    match = _DURATION.fullmatch(value)
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match else (0, 0, 0, 0)
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if not 1 <= total <= LONGEST_RESOLUTION_S:
        raise invalid(field, f"{field} must be an ISO 8601 duration from PT1S to P1D, as PT15M.")
    return total
