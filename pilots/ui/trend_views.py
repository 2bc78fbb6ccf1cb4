"""The history page: a choice of points, their figure, their export."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any, cast
from zoneinfo import ZoneInfo

import orjson
from asgiref.sync import sync_to_async
from csp.decorators import csp_update
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from pilots.domain.point import PointKind
from pilots.domain.topology import DeviceKind
from pilots.exports.sample_csv import csv_lines
from pilots.history.forecasts import has_prices
from pilots.history.selectors import stream_samples
from pilots.models import Pilot, Point, Role, User
from pilots.ui.access import requires
from pilots.ui.charts import MAX_CURVES
from pilots.ui.plotly_files import plotly_version, style_hashes
from pilots.ui.quantities import point_name, shown_unit
from pilots.ui.saved_views import saved_views
from pilots.ui.time_zones import page_zone
from pilots.ui.topology import Topology, infeed_references, topology_of
from pilots.ui.trend_figure import trend_figure
from pilots.ui.trend_query import LONGEST_EXPORT, MOST_EXPORTED, BadWindow, points_of, references, shown_of, window_of
from pilots.ui.views import pilot_of
from pilots.ui.words import page_words


@requires(Role.VIEWER)
@require_safe
def trends_page(request: HttpRequest, **_route: str) -> HttpResponse:
    """Plotly writes two style sheets of its own: their hashes are allowed here and nowhere else."""
    update = {"style-src": list(style_hashes()), "img-src": ["blob:"]}
    response: HttpResponse = csp_update(update)(_trends_page)(request)  # type: ignore[assignment]
    return response


def _trends_page(request: HttpRequest) -> HttpResponse:
    pilot = pilot_of(request)
    chosen = set(references(request.GET))
    context = {
        "page": "trends",
        "pilot": pilot,
        "groups": _groups(pilot, chosen or opening_points(topology_of(pilot))),
        "most": MAX_CURVES,
        "has_prices": has_prices(pilot),
        "plotly_version": plotly_version(),
        "views": saved_views(pilot, cast(User, request.user)),
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
    pilot, now = pilot_of(request), timezone.now()
    try:
        points = points_of(pilot, request.GET, MAX_CURVES)
        window, shown = window_of(pilot, request.GET, now), replace(shown_of(request.GET), zone=page_zone())
    except BadWindow as error:
        return JsonResponse({"code": "bad_window", "reason": str(error), "field": error.field}, status=400)
    if cast(User, request.user).is_kiosk:  # the marks of set-points name who asked for them
        shown = replace(shown, hidden=shown.hidden | {"setpoints"})
    body = trend_figure(pilot, points, window, shown, now)
    return HttpResponse(orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY), content_type="application/json")


@requires(Role.VIEWER)
@require_safe
def trends_export(request: HttpRequest, **_route: str) -> HttpResponse | StreamingHttpResponse:
    """Every kept sample of the window as CSV, streamed."""
    pilot = pilot_of(request)
    try:
        points = points_of(pilot, request.GET, MOST_EXPORTED)
        window = window_of(pilot, request.GET, timezone.now(), LONGEST_EXPORT)
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
