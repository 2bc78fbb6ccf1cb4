"""Measurements: the newest, the history, and the messages of head-end systems. [station, operation]"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from django.http import HttpResponseBase
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from pilots.api import reading, schema, shapes
from pilots.api.authentication import Client
from pilots.api.base import ApiView
from pilots.api.errors import invalid, missing, not_found
from pilots.api.idempotency import Answer, answer_around, key_of
from pilots.api.message import read_message
from pilots.api.paging import cursor_of, key_part, limit_of, moment_part, page, page_by_key
from pilots.api.plant_views import find_device, find_pilot, visible_points
from pilots.api.pushing import store
from pilots.api.records import latest_record, value_record
from pilots.api.system_views import AGGREGATES
from pilots.history.selectors import Interval, aggregate, read_samples
from pilots.models import LatestValue, Point, Scope
from pilots.northbound.messages import rfc3339

MAX_POINTS = 100


class Latest(ApiView):
    """`/measurements/latest`"""

    scopes: ClassVar[dict[str, str]] = {"GET": Scope.READ}

    @extend_schema(
        operation_id="list_latest_measurements",
        parameters=[schema.PILOT, schema.DEVICE, schema.POINT, *schema.PAGING],
        responses=schema.listed(shapes.Value),
    )
    def get(self, request: Request) -> Response:
        """The newest value of each point that ever had one, with the quality it has now."""
        client, now = self.client(request), timezone.now()
        form = reading.query(request, "pilot", "device", "point")
        rows = LatestValue.objects.filter(client.reach("point__device__")).select_related("point__device__pilot")
        if "pilot" in form:
            rows = rows.filter(point__device__pilot=find_pilot(client, form["pilot"], "pilot"))
        if "device" in form:
            rows = rows.filter(point__device=find_device(client, form["device"], "device"))
        if "/" in form.get("point", ""):
            rows = rows.filter(point__in=find_points(client, [form["point"]]))
        elif "point" in form:
            rows = rows.filter(point__name=form["point"])
        return page_by_key(request, rows, lambda row: latest_record(row, now))


class Measurements(ApiView):
    """`/measurements`"""

    scopes: ClassVar[dict[str, str]] = {"GET": Scope.READ, "POST": Scope.INGEST}

    @extend_schema(
        operation_id="list_measurements",
        parameters=[schema.POINTS, schema.FROM, schema.TO, schema.RESOLUTION, schema.AGG, *schema.PAGING],
        responses=schema.listed(shapes.Value),
    )
    def get(self, request: Request) -> Response:
        """The samples of [from, to) as they were kept, or intervals of a resolution, oldest first."""
        points = find_points(self.client(request), request.query_params.getlist("point"))
        form = reading.query(request, "from", "to", "resolution", "agg")
        start, end = _window(form)
        resolution_s = reading.duration_s(form, "resolution")
        words = _aggregates(form, resolution_s)
        if resolution_s is None:
            return _raw(request, points, start, end)
        return _intervals(request, points, _on_grid(start, resolution_s), end, resolution_s, words)

    @extend_schema(
        operation_id="push_measurements",
        parameters=[schema.KEY],
        request=shapes.Message,
        responses=schema.one(shapes.Stored) | schema.CONFLICT | schema.TOO_LARGE | schema.UNPROCESSABLE,
    )
    def post(self, request: Request) -> HttpResponseBase:
        """The good values of the message are committed; the bad ones are named by their index."""
        return answer_around(request, key_of(request, mandatory=False), lambda: self._push(request))

    def _push(self, request: Request) -> Answer:
        now = timezone.now()
        return Answer(200, store(read_message(request.data, self.client(request), now), now))


def find_points(client: Client, references: Sequence[str], *, field: str = "point", most: int = MAX_POINTS) -> list[Point]:
    """The points of these references `pilot/device/point`, in that order. Raises Problem 400 or 404."""
    if not any(references):
        raise missing(field)
    if len(references) > most:
        raise invalid(field, f"At most {most} points in one request.")
    parts = [_parts(reference, field) for reference in dict.fromkeys(references)]
    rows = visible_points(client).filter(
        device__code__in={device for _, device, _ in parts}, name__in={name for *_, name in parts}
    )
    found = {(point.device.pilot.code, point.device.code, point.name): point for point in rows}
    if any(part not in found for part in parts):
        raise not_found("point", field)
    return [found[part] for part in parts]


def _parts(reference: str, field: str) -> tuple[str, str, str]:
    words = reference.split("/")
    if len(words) != 3 or "\0" in reference:
        raise invalid(field, f"{field} must be a reference pilot/device/point.")
    return words[0], words[1], words[2]


def _window(form: dict[str, str]) -> tuple[datetime, datetime]:
    start = reading.moment(form, "from")
    if start is None:
        raise missing("from")
    end = reading.moment(form, "to") or timezone.now()
    if end <= start:
        raise invalid("to", "to must be later than from.")
    return start, end


def _aggregates(form: dict[str, str], resolution_s: int | None) -> list[str]:
    if "agg" not in form:
        return AGGREGATES
    if resolution_s is None:
        raise invalid("agg", "agg needs a resolution.")
    words = form["agg"].split(",")
    if not set(words) <= set(AGGREGATES):
        raise invalid("agg", f"agg must be a list of {', '.join(AGGREGATES)}.")
    return words


def _raw(request: Request, points: list[Point], start: datetime, end: datetime) -> Response:
    limit = limit_of(request)
    after = cursor_of(request, _position)
    rows = read_samples(points, start, end, limit=limit + 1, after=after)
    of = {point.pk: point for point in points}
    shown = rows[:limit]
    forms = [value_record(of[row.point_id], row.source_time, row.received_time, row.value, row.quality) for row in shown]
    following = [shown[-1].source_time.isoformat(), shown[-1].point_id] if len(rows) > limit else None
    return page(request, forms, following)


def _intervals(
    request: Request, points: list[Point], start: datetime, end: datetime, resolution_s: int, words: list[str]
) -> Response:
    """Whole instants only: a page ends where the next would not fit with all its points."""
    start = cursor_of(request, lambda parts: moment_part(parts[0])) or start
    instants = max(1, limit_of(request) // len(points))
    stop = min(end, start + timedelta(seconds=instants * resolution_s))
    per_point = [aggregate(point, start, stop, resolution_s) for point in points]
    forms = [
        _interval_record(point, interval, resolution_s, words)
        for instant in zip(*per_point, strict=True)
        for point, interval in zip(points, instant, strict=True)
    ]
    return page(request, forms, [stop.isoformat()] if stop < end else None)


def _interval_record(point: Point, interval: Interval, resolution_s: int, words: list[str]) -> dict[str, Any]:
    form: dict[str, Any] = {
        "pilot": point.device.pilot.code,
        "device": point.device.code,
        "point": point.name,
        "t": rfc3339(interval.start),
        "resolution": f"PT{resolution_s}S" if resolution_s % 60 else f"PT{resolution_s // 60}M",
        "unit": point.unit,
    }
    form |= {word: getattr(interval, word) for word in words}
    return form | {"count": interval.count, "good_share": interval.good_share}


def _on_grid(start: datetime, resolution_s: int) -> datetime:
    """Intervals begin at whole multiples of the resolution since 1970 UTC, so that every request sees the same ones."""
    return datetime.fromtimestamp(start.timestamp() // resolution_s * resolution_s, UTC)


def _position(parts: list[Any]) -> tuple[datetime, int]:
    return moment_part(parts[0]), key_part(parts[1])
