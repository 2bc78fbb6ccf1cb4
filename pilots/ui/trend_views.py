"""The history page: a choice of points, their figure, their export."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from asgiref.sync import sync_to_async
from csp.decorators import csp_update
from django.http import HttpRequest, HttpResponse, JsonResponse, QueryDict, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from pilots.domain.point import PointKind
from pilots.domain.topology import DeviceKind
from pilots.exports.sample_csv import csv_lines
from pilots.history.selectors import stream_samples
from pilots.models import Pilot, Point, Role
from pilots.ui.access import requires
from pilots.ui.charts import MAX_CURVES, figure
from pilots.ui.plotly_files import plotly_version, style_hashes
from pilots.ui.quantities import point_name, shown_unit
from pilots.ui.topology import Topology, infeed_references, topology_of
from pilots.ui.views import pilot_of
from pilots.ui.words import page_words

LONGEST = timedelta(days=31)


class BadWindow(ValueError):
    """The request asks for points or times that cannot be; the message says which."""


@dataclass(frozen=True, slots=True)
class Window:
    """[start, end) in aware UTC."""

    start: datetime
    end: datetime


@requires(Role.VIEWER)
@require_safe
def trends_page(request: HttpRequest, **_route: str) -> HttpResponse:
    """Plotly writes two style sheets of its own: their hashes are allowed here and nowhere else."""
    update = {"style-src": list(style_hashes()), "img-src": ["blob:"]}
    response: HttpResponse = csp_update(update)(_trends_page)(request)  # type: ignore[assignment]
    return response


def _trends_page(request: HttpRequest) -> HttpResponse:
    pilot = pilot_of(request)
    chosen = {name for each in request.GET.getlist("points") for name in each.split(",")}
    context = {
        "page": "trends",
        "pilot": pilot,
        "zone": pilot.time_zone,
        "groups": _groups(pilot, chosen or opening_points(topology_of(pilot))),
        "plotly_version": plotly_version(),
        "words": page_words(),
    }
    return render(request, "pilots/trends.html", context)


def opening_points(topology: Topology) -> set[str]:
    """What the page shows when nobody chose: power at the infeed and of the first battery, else the first power there is."""
    found = infeed_references(topology)[:1] + topology.sum_of([DeviceKind.STORAGE_UNIT])[:1]
    powers = (topology.power(device) for device in sorted(topology.devices, key=lambda device: device.id))
    return set(found) or set([reference for reference in powers if reference][:1])


def _groups(pilot: Pilot, chosen: set[str]) -> list[dict[str, Any]]:
    """Points with a history by device: text and nameplate points have none."""
    rows = Point.objects.filter(device__pilot=pilot).exclude(kind__in=[PointKind.TEXT, PointKind.NAMEPLATE, PointKind.COMMAND])
    groups: dict[str, dict[str, Any]] = {}
    for code, title, name, unit in rows.order_by("device__code", "name").values_list(
        "device__code", "device__name", "name", "unit"
    ):
        group = groups.setdefault(code, {"code": code, "title": title, "points": [], "open": False})
        reference = f"{code}/{name}"
        group["points"].append(
            {"reference": reference, "name": point_name(name), "unit": shown_unit(unit)[0], "on": reference in chosen}
        )
        group["open"] |= reference in chosen
    return list(groups.values())


@requires(Role.VIEWER)
@require_safe
def trends_data(request: HttpRequest, **_route: str) -> HttpResponse:
    """The figure as JSON; 400 with a sentence for a window or point that cannot be."""
    pilot = pilot_of(request)
    try:
        points, window = _points(pilot, request.GET), _window(pilot, request.GET)
    except BadWindow as error:
        return JsonResponse({"code": "bad_window", "reason": str(error), "field": ""}, status=400)
    body = figure(points[:MAX_CURVES], window.start, window.end, ZoneInfo(pilot.time_zone))
    return HttpResponse(orjson.dumps(body), content_type="application/json")


@requires(Role.VIEWER)
@require_safe
def trends_export(request: HttpRequest, **_route: str) -> HttpResponse | StreamingHttpResponse:
    """Every kept sample of the window as CSV, streamed."""
    pilot = pilot_of(request)
    try:
        points, window = _points(pilot, request.GET), _window(pilot, request.GET)
    except BadWindow as error:
        return HttpResponse(str(error), status=400, content_type="text/plain; charset=utf-8")
    lines = csv_lines(points, stream_samples(points, window.start, window.end), ZoneInfo(pilot.time_zone))
    response = StreamingHttpResponse(off_the_loop(lines), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{pilot.code}-{window.start:%Y%m%dT%H%MZ}.csv"'
    return response


async def off_the_loop(lines: Iterator[str]) -> AsyncIterator[str]:
    """The chunks, each read in a worker thread: a long export must not hold up the live frames."""
    fetch = sync_to_async(lambda: next(lines, None), thread_sensitive=True)
    while (chunk := await fetch()) is not None:
        yield chunk


def _points(pilot: Pilot, query: QueryDict) -> list[Point]:
    wanted = [name for each in query.getlist("points") for name in each.split(",") if name]
    if not wanted:
        raise BadWindow(_("Choose at least one point."))
    if len(wanted) > 200:
        raise BadWindow(_("200 points at most."))
    devices = {name.partition("/")[0] for name in wanted}
    rows = Point.objects.filter(device__pilot=pilot, device__code__in=devices).select_related("device")
    known = {f"{point.device.code}/{point.name}": point for point in rows}
    missing = [name for name in wanted if name not in known]
    if missing:
        raise BadWindow(_("%(point)s is no point here.") % {"point": missing[0][:80]})
    return [known[name] for name in dict.fromkeys(wanted)]


def _window(pilot: Pilot, query: QueryDict) -> Window:
    """`hours` back from now, or `from` and `to` as wall clock of the pilot's zone (or ISO 8601 with an offset)."""
    now = timezone.now()
    if "hours" in query:
        return Window(now - timedelta(hours=_hours(query.get("hours", ""))), now)
    start, end = (_moment(query.get(name, ""), pilot) for name in ("from", "to"))
    if end <= start:
        raise BadWindow(_("The end must be after the beginning."))
    if end - start > LONGEST:
        raise BadWindow(_("31 days at most."))
    return Window(start, end)


def _hours(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 744:
        raise BadWindow(_("hours is a whole number from 1 to 744."))
    return int(text)


def _moment(text: str, pilot: Pilot) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(pilot.time_zone))).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BadWindow(_("Give both times as date and time.")) from error
