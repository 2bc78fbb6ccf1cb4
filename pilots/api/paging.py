"""Lists: `{"results": [...], "next": url or null}` with an opaque cursor."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import orjson
from django.db.models import Model, Q, QuerySet
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from pilots.api.errors import invalid
from pilots.api.reading import query

DEFAULT_LIMIT = 1_000
MAX_LIMIT = 10_000
T = TypeVar("T")
M = TypeVar("M", bound=Model)


def limit_of(request: Request) -> int:
    """`limit`, 1 to 10 000, 1 000 when absent. Raises Problem 400."""
    given = query(request, "limit").get("limit", str(DEFAULT_LIMIT))
    if not given.isascii() or not given.isdigit() or len(given) > 6 or not 1 <= int(given) <= MAX_LIMIT:
        raise invalid("limit", f"limit must be a whole number from 1 to {MAX_LIMIT}.")
    return int(given)


def cursor_of(request: Request, decode: Callable[[list[Any]], T]) -> T | None:
    """What `decode` makes of the cursor's parts, None on the first page. Raises Problem 400 for a cursor not of ours."""
    given = query(request, "cursor").get("cursor")
    if given is None:
        return None
    try:
        return decode(orjson.loads(base64.urlsafe_b64decode(given.encode())))
    except (binascii.Error, ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
        raise invalid("cursor", "cursor must be taken from `next` as it is.") from error


def page(request: Request, rows: Iterable[Any], following: list[Any] | None) -> Response:
    """One page; `following` are the parts of the next cursor, None on the last page."""
    url = None
    if following is not None:
        cursor = base64.urlsafe_b64encode(orjson.dumps(following)).decode()
        url = replace_query_param(request.build_absolute_uri(), "cursor", cursor)
    return Response({"results": list(rows), "next": url})


def page_by_key(request: Request, rows: QuerySet[M], form: Callable[[M], dict[str, Any]], key: str = "pk") -> Response:
    """One page of rows in the order of a unique whole-number `key`."""
    limit = limit_of(request)
    after = cursor_of(request, lambda parts: key_part(parts[0]))
    if after is not None:
        rows = rows.filter(Q(**{f"{key}__gt": after}))
    found = list(rows.order_by(key)[: limit + 1])
    more = len(found) > limit
    return page(request, map(form, found[:limit]), [found[limit - 1].pk] if more else None)


def page_newest_first(
    request: Request, rows: QuerySet[M], form: Callable[[M], dict[str, Any]], *, most: int = MAX_LIMIT
) -> Response:
    """One page, of `most` rows at most, of rows that have `received_at` and a UUID for a key."""
    limit = min(limit_of(request), most)
    after = cursor_of(request, lambda parts: (moment_part(parts[0]), UUID(parts[1])))
    if after is not None:
        rows = rows.filter(Q(received_at__lt=after[0]) | Q(received_at=after[0], pk__lt=after[1]))
    keyed = list(rows.order_by("-received_at", "-pk")[: limit + 1])
    last: Any = keyed[limit - 1] if len(keyed) > limit else None
    return page(request, map(form, keyed[:limit]), None if last is None else [last.received_at.isoformat(), str(last.pk)])


def key_part(part: Any) -> int:
    """A database key of a cursor. Raises TypeError or ValueError."""
    if isinstance(part, bool) or not isinstance(part, int):
        raise TypeError("not a key")
    if not 0 <= part < 2**63:
        raise ValueError("not a key")
    return part


def moment_part(part: Any) -> datetime:
    """An aware time of a cursor. Raises TypeError or ValueError."""
    moment = datetime.fromisoformat(part)
    if moment.tzinfo is None:
        raise ValueError("not a time of ours")
    return moment
