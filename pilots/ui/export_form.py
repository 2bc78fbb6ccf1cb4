"""The form of an export: what the page offers, and what it makes of what was sent. [operation]"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.http import QueryDict
from django.utils.translation import gettext as _

from pilots.domain.export import ExportFormat, Resolution
from pilots.domain.point import PointKind
from pilots.exports.services import ExportRefused, ExportWish
from pilots.models import Pilot, Point
from pilots.ui.quantities import point_name
from pilots.ui.time_zones import BadClock, moment_of_wall

#: Points without a history.
WITHOUT = [PointKind.TEXT, PointKind.NAMEPLATE, PointKind.COMMAND]


def form_of(pilot: Pilot, query: QueryDict, now: datetime, clock: ZoneInfo) -> dict[str, Any]:
    """What the form shows: the fields as they were given, or the last whole day; UTC where that is the reader's `clock`."""
    wanted = query.get("zone") or clock.key
    zone = wanted if wanted == "UTC" else pilot.time_zone
    offered = presets(ZoneInfo(str(zone)), now)
    start, end = (_wall(query.get(name, ""), str(zone)) for name in ("start", "end"))
    yesterday = next(each for each in offered if each["name"] == "yesterday")
    return {
        "zone": zone,
        "zones": list(dict.fromkeys([pilot.time_zone, "UTC"])),
        "start": start or yesterday["start"],
        "end": end or yesterday["end"],
        "format": query.get("format", ExportFormat.CSV_LONG.value),
        "resolution": query.get("resolution", Resolution.RAW.value),
        "formats": [(shape.value, words) for shape, words in format_words().items()],
        "resolutions": [(each.value, words) for each, words in resolution_words().items()],
        "presets": _in_both_zones(pilot, now),
        "groups": groups_of(pilot, set(_references(query))),
    }


def wish_of(pilot: Pilot, query: QueryDict) -> ExportWish:
    """The sent form as a wish. Raises ExportRefused with the field at fault."""
    zone = query.get("zone") or pilot.time_zone
    if zone not in (pilot.time_zone, "UTC"):
        raise ExportRefused(_("The zone is the pilot's, %(zone)s, or UTC.") % {"zone": pilot.time_zone}, field="zone")
    return ExportWish(
        pilot=pilot,
        points=_points(pilot, _references(query)),
        start=_moment(query, "start", zone),
        end=_moment(query, "end", zone),
        zone=zone,
        resolution=Resolution(_choice(query, "resolution", list(Resolution))),
        format=ExportFormat(_choice(query, "format", list(ExportFormat))),
    )


def groups_of(pilot: Pilot, chosen: set[str]) -> list[dict[str, Any]]:
    """The pilot's points by device, each with its stored unit; a device with a chosen one is open."""
    rows = Point.objects.filter(device__pilot=pilot).exclude(kind__in=WITHOUT).order_by("device__code", "name")
    groups: dict[str, dict[str, Any]] = {}
    for code, title, name, unit in rows.values_list("device__code", "device__name", "name", "unit"):
        group = groups.setdefault(code, {"code": code, "title": title, "points": [], "is_open": False})
        reference = f"{code}/{name}"
        group["points"].append({"reference": reference, "name": point_name(name), "unit": unit, "is_on": reference in chosen})
        group["is_open"] |= reference in chosen
    return list(groups.values())


def presets(zone: ZoneInfo, now: datetime) -> list[dict[str, str]]:
    """Windows by name, as wall clock of the zone."""
    wall = now.astimezone(zone).replace(tzinfo=None, second=0, microsecond=0)
    today = wall.date()
    month = today.replace(day=1)
    month_before = (month - timedelta(days=1)).replace(day=1)
    windows: dict[str, tuple[str, date | datetime, date | datetime]] = {
        "day": (_("24 h"), wall - timedelta(hours=24), wall),
        "today": (_("Today"), today, wall),
        "yesterday": (_("Yesterday"), today - timedelta(days=1), today),
        "week": (_("7 days"), today - timedelta(days=7), today),
        "month": (_("This month"), month, wall),
        "last_month": (_("Last month"), month_before, month),
    }
    return [
        {"name": name, "words": words, "start": _text(low), "end": _text(high)} for name, (words, low, high) in windows.items()
    ]


def format_words() -> dict[ExportFormat, str]:
    return {
        ExportFormat.CSV_LONG: _("CSV, a line a value"),
        ExportFormat.CSV_WIDE: _("CSV, a column a point"),
        ExportFormat.XLSX: _("XLSX"),
        ExportFormat.PARQUET: _("Parquet"),
    }


def resolution_words() -> dict[Resolution, str]:
    return {
        Resolution.RAW: _("as kept"),
        Resolution.MINUTE: _("1 min"),
        Resolution.QUARTER: _("15 min"),
        Resolution.HOUR: _("1 h"),
        Resolution.DAY: _("1 day"),
    }


def _in_both_zones(pilot: Pilot, now: datetime) -> list[dict[str, Any]]:
    own, universal = (presets(ZoneInfo(zone), now) for zone in (pilot.time_zone, "UTC"))
    return [mine | {"utc_start": utc["start"], "utc_end": utc["end"]} for mine, utc in zip(own, universal, strict=True)]


def _text(day: date | datetime) -> str:
    moment = day if isinstance(day, datetime) else datetime.combine(day, time())
    return moment.isoformat(timespec="minutes")


def _references(query: QueryDict) -> list[str]:
    return list(dict.fromkeys(name for each in query.getlist("points") for name in each.split(",") if name))


def _points(pilot: Pilot, references: list[str]) -> list[Point]:
    if any("\0" in name for name in references):
        raise ExportRefused(_("Write words without control characters."), field="points")
    codes = {name.partition("/")[0] for name in references}
    rows = Point.objects.filter(device__pilot=pilot, device__code__in=codes).select_related("device")
    known = {f"{point.device.code}/{point.name}": point for point in rows}
    for name in references:
        if name not in known:
            raise ExportRefused(_("%(point)s is no point here.") % {"point": name[:80]}, field="points")
    return [known[name] for name in references]


def _moment(query: QueryDict, field: str, zone: str) -> datetime:
    """Wall clock of the zone, or ISO 8601 with an offset; of an hour that comes twice a wall clock means the first."""
    try:
        return moment_of_wall(query.get(field, ""), ZoneInfo(zone))
    except BadClock as error:
        raise ExportRefused(str(error), field=field) from error
    except (ValueError, OverflowError) as error:
        raise ExportRefused(_("Give both times as date and time."), field=field) from error


def _wall(text: str, zone: str) -> str:
    """What was given, as wall clock of the zone for the form; nothing for what is no time."""
    try:
        moment = datetime.fromisoformat(text)
        local = moment.astimezone(ZoneInfo(zone)) if moment.tzinfo else moment
    except (ValueError, OverflowError):
        return ""
    return local.replace(tzinfo=None).isoformat(timespec="seconds" if local.second else "minutes")


def _choice(query: QueryDict, field: str, among: list[Any]) -> str:
    given = query.get(field, "")
    if given not in among:
        raise ExportRefused(_("%(given)s is no %(field)s.") % {"given": given[:40], "field": field}, field=field)
    return given
