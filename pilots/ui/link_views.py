"""The links of a pilot: their state and figures live, the frames of their connections, the month's quality sheet."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any, cast
from zoneinfo import ZoneInfo

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from pilots.acquisition.asking import NoAnswer, Refused
from pilots.acquisition.frame_logs import captured, newest_frames
from pilots.catalogue.link_points import field_end, has_round_trip, point_names
from pilots.domain.topology import LinkRole, Protocol
from pilots.drivers.registry import DRIVERS
from pilots.history.link_sheets import SHEET_HEADER, SheetRow, month_sheet
from pilots.history.selectors import read_samples
from pilots.models import Connection, Link, Pilot, Point, Role, User
from pilots.ui.access import requires
from pilots.ui.topology import Letter
from pilots.ui.views import pilot_of
from pilots.ui.words import page_words

#: Frames may show what others wrote and who charges where: more than a viewer's rights.
FRAME_READERS = (Role.OPERATOR, Role.ENGINEER, Role.INSTALLER)
#: The small curve of a row; the page itself draws on from there.
CURVE = timedelta(minutes=10)
MOST_SAMPLES = 5_000


@requires(Role.VIEWER)
@require_safe
def links_page(request: HttpRequest, **_route: str) -> HttpResponse:
    pilot = pilot_of(request)
    user = cast(User, request.user)
    links = list(Link.objects.filter(pilot=pilot).select_related("end_a", "end_b", "connection").order_by("letter", "id"))
    groups = _groups(links)
    edges = [edge for group in groups for edge in group["edges"]]
    context = {
        "page": "links",
        "pilot": pilot,
        "groups": groups,
        "edges": edges,
        "trips": _recent_trips(pilot, edges),
        "may_read_frames": _may_read_frames(user, pilot),
        "words": page_words(),
    }
    return render(request, "pilots/links.html", context)


def _groups(links: list[Link]) -> list[dict[str, Any]]:
    """One row a letter, protocol and medium; its edges in order."""
    suffixes = point_names(links)
    groups: dict[tuple[str, ...], dict[str, Any]] = {}
    for link in links:
        key = (link.letter, link.protocol, link.medium, link.role)
        group = groups.get(key)
        if group is None:
            group = groups[key] = {"link": link, "letter": Letter(link.letter), "edges": [], "id": f"g{len(groups)}"}
            # D7.1's letters also name wires that carry power and no message.
            group["carries"] = not link.protocol.startswith("none")
        group["edges"].append(_edge(link, suffixes[link.pk]) | {"group": group["id"]})
    for group in groups.values():
        group["keys"] = " ".join(edge["key"] for edge in group["edges"])
        group["sides"] = _sides([(edge["a"], edge["b"]) for edge in group["edges"]])
        group["ends"] = _("%(a)s to %(b)s") % dict(zip("ab", map(", ".join, group["sides"]), strict=True))
    return list(groups.values())


def _edge(link: Link, suffix: str) -> dict[str, Any]:
    device, answered = field_end(link).code, has_round_trip(link)
    connection = link.connection if answered else None
    return {
        "key": f"{link.letter}|{link.end_a.code}|{link.end_b.code}",
        "letter": Letter(link.letter).shown,
        "a": link.end_a.code,
        "b": link.end_b.code,
        "about": ", ".join(part for part in (link.protocol, link.medium, link.sgam) if part),
        "alternatives": link.alternatives,
        "source": link.source,
        "way": _way(link),
        "connection": "" if connection is None else connection.name,
        "captures": connection is not None and bool(DRIVERS[Protocol(connection.protocol)].dissector),
        "points": [f"{device}/comm_state{suffix}"] + ([f"{device}/round_trip{suffix}"] if answered else []),
    }


def _way(link: Link) -> str:
    """Who keeps the link up: the word for it stands in `link_words`."""
    if link.role != LinkRole.OURS:
        return "observed"
    if link.connection is None:
        return "platform"
    return "held" if has_round_trip(link) else "pushed"


def _recent_trips(pilot: Pilot, edges: list[dict[str, Any]]) -> dict[str, list[list[float]]]:
    """By edge, `[ms since 1970, round trip in ms]` of the last ten minutes, oldest first."""
    keys = {edge["points"][1]: edge["key"] for edge in edges if len(edge["points"]) > 1}
    rows = Point.objects.filter(device__pilot=pilot, name__startswith="round_trip").select_related("device")
    points = {point.pk: key for point in rows if (key := keys.get(f"{point.device.code}/{point.name}"))}
    now = timezone.now()
    trips: dict[str, list[list[float]]] = {}
    for sample in read_samples([row for row in rows if row.pk in points], now - CURVE, now, limit=MOST_SAMPLES):
        if sample.value is not None:
            trip = [sample.source_time.timestamp() * 1000, round(1000 * sample.value, 1)]
            trips.setdefault(points[sample.point_id], []).append(trip)
    return trips


def _sides(pairs: list[tuple[str, str]]) -> list[list[str]]:
    """Both sides, a row of numbered devices as its first and last.

    >>> _sides([("es-RTU01", "es-AN01"), ("es-RTU01", "es-AN02"), ("es-RTU01", "es-GRID")])
    [['es-RTU01'], ['es-AN01..02', 'es-GRID']]
    """
    return [_together(sorted(set(side))) for side in zip(*pairs, strict=True)]


def _together(codes: list[str]) -> list[str]:
    families: dict[str, list[str]] = {}
    for code in codes:
        stem, number = cast(re.Match[str], re.match(r"(.*?)(\d*)$", code)).groups()
        families.setdefault(stem, []).append(number)
    return [f"{stem}{own[0]}" if len(own) == 1 else f"{stem}{own[0]}..{own[-1]}" for stem, own in families.items()]


def _may_read_frames(user: User, pilot: Pilot) -> bool:
    return any(user.has_role(role, pilot) for role in FRAME_READERS)


# Frames


@requires(Role.VIEWER)
@require_safe
def frames(request: HttpRequest, **_route: str) -> JsonResponse:
    """`{"count", "frames": [[number, at_ms, sent, length, hex, words], ...]}`, oldest first, those after `after`."""
    try:
        connection = _connection(request)
        return JsonResponse(newest_frames(connection, after=_after(request), asked_by=str(request.user)))
    except (NoAnswer, Refused) as error:
        return JsonResponse({"code": error.code, "reason": str(error)}, status=503)


@requires(Role.VIEWER)
@require_safe
def frames_text(request: HttpRequest, **_route: str) -> HttpResponse:
    """The log as text, a frame a line."""
    return _download(request, "txt")


@requires(Role.VIEWER)
@require_safe
def frames_capture(request: HttpRequest, **_route: str) -> HttpResponse:
    """The log as a capture file for Wireshark."""
    return _download(request, "pcap")


def _download(request: HttpRequest, kind: str) -> HttpResponse:
    connection = _connection(request)
    driver = DRIVERS[Protocol(connection.protocol)]
    if kind == "pcap" and not driver.dissector:
        raise Http404
    try:
        rows = newest_frames(connection, after=-1, asked_by=str(request.user))["frames"]
    except (NoAnswer, Refused) as error:
        return HttpResponse(str(error), status=503, content_type="text/plain; charset=utf-8")
    body: bytes | str = captured(connection, rows) if kind == "pcap" else "".join(map(_line, rows))
    content_type = "application/vnd.tcpdump.pcap" if kind == "pcap" else "text/plain; charset=utf-8"
    response = HttpResponse(body, content_type=content_type)
    response["Content-Disposition"] = f'attachment; filename="{connection.name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.{kind}"'
    return response


def _line(row: list[Any]) -> str:
    number, at_ms, sent, length, raw, words = row
    moment = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    # What a device says may hold anything: a line stays a line.
    safe = "".join(char if char.isprintable() else "." for char in words)
    return f"{number}\t{moment}\t{'sent' if sent else 'received'}\t{length}\t{raw}\t{safe}\n"


def _connection(request: HttpRequest) -> Connection:
    pilot = pilot_of(request)
    name = request.GET.get("connection", "")
    found = Connection.objects.filter(pilot=pilot, name=name).exclude(protocol=Protocol.PUSH).first()
    if found is None or not _may_read_frames(cast(User, request.user), pilot):
        raise Http404
    return found


def _after(request: HttpRequest) -> int:
    text = request.GET.get("after", "-1")
    return int(text) if text.lstrip("-").isdigit() and len(text) < 12 else -1


# The month's sheet


@requires(Role.VIEWER)
@require_safe
def quality_sheet(request: HttpRequest, **_route: str) -> HttpResponse:
    pilot = pilot_of(request)
    year, month = _month(request, pilot)
    rows = month_sheet(pilot, year, month, now=timezone.now())
    context = {
        "page": "links",
        "pilot": pilot,
        "rows": rows,
        "month": f"{year}-{month:02d}",
        "missed": sum(bool(row.misses) for row in rows),
        "measured": sum(row.availability is not None for row in rows),
    }
    return render(request, "pilots/quality.html", context)


@requires(Role.VIEWER)
@require_safe
def quality_export(request: HttpRequest, **_route: str) -> HttpResponse:
    """The sheet as CSV, one link a row."""
    pilot = pilot_of(request)
    year, month = _month(request, pilot)
    body = sheet_csv(month_sheet(pilot, year, month, now=timezone.now()))
    response = HttpResponse(body, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{pilot.code}-links-{year}-{month:02d}.csv"'
    return response


def sheet_csv(rows: Iterable[SheetRow]) -> str:
    """Header and rows; cells are our own codes and numbers, and the link's words quoted against spreadsheets' formulas."""
    out = StringIO()
    writer = csv.writer(out)
    writer.writerow(SHEET_HEADER)
    for row in rows:
        writer.writerow([f"'{cell}" if isinstance(cell, str) and cell[:1] in "=+-@\t\r" and cell else cell for cell in row.cells])
    return out.getvalue()


def _month(request: HttpRequest, pilot: Pilot) -> tuple[int, int]:
    """`month=2026-11`; the running month of the pilot's clock without it or where it is no month."""
    found = re.fullmatch(r"(20\d\d)-(0[1-9]|1[0-2])", request.GET.get("month", ""))
    if found:
        return int(found[1]), int(found[2])
    now = timezone.now().astimezone(ZoneInfo(pilot.time_zone))
    return now.year, now.month
