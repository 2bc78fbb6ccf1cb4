"""Dashboards of people's own: values and hour trends of any points they may see, in their own order, shared if they like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from pilots.audit.services import record_event
from pilots.models import Dashboard, Pilot, Point, User
from pilots.ui.access import signed_in
from pilots.ui.kiosks import shown_dashboards
from pilots.ui.quantities import point_name, shown_unit
from pilots.ui.setpoint_chart import hour_of
from pilots.ui.time_zones import zone_label, zone_of
from pilots.ui.words import page_words

MOST_TILES, MOST_PER_PERSON = 24, 50
KINDS = ("value", "trend")


class DashboardRefused(Exception):
    """A dashboard cannot be changed like this, in a sentence."""


@signed_in
@require_safe
def dashboards_page(request: HttpRequest) -> HttpResponse:
    return _list(request)


@signed_in
@require_POST
def new_dashboard(request: HttpRequest) -> HttpResponse:
    """An empty one of that name; on to it."""
    user, name = cast(User, request.user), " ".join(request.POST.get("name", "").split())
    if not name or len(name) > 80 or not name.isprintable():
        return _list(request, _("Give it a name of at most 80 letters."))
    if Dashboard.objects.filter(owner=user).count() >= MOST_PER_PERSON:
        return _list(request, _("You have %(n)d dashboards: delete one first.") % {"n": MOST_PER_PERSON})
    try:
        with transaction.atomic():
            made = Dashboard.objects.create(owner=user, name=name, changed_at=timezone.now())
            _audit(user, "create dashboard", name)
    except IntegrityError:
        return _list(request, _("You have one of this name already."))
    return HttpResponseRedirect(reverse("dashboard", args=[made.pk]))


@signed_in
@require_safe
def dashboard_page(request: HttpRequest, number: int) -> HttpResponse:
    return _page(request, get_object_or_404(_visible(request), pk=number))


@signed_in
@require_POST
def change_dashboard(request: HttpRequest, number: int) -> HttpResponse:
    """One deed of its owner: a tile added, moved or taken away; shared or not. To others it cannot be changed: 404."""
    user = cast(User, request.user)
    with transaction.atomic():
        own = get_object_or_404(Dashboard.objects.select_for_update(), pk=number, owner=user)
        deed = request.POST.get("deed", "")
        if deed == "delete":
            own.delete()
            _audit(user, "delete dashboard", own.name)
            return HttpResponseRedirect(reverse("dashboards"))
        try:
            _DEEDS[deed](own, request.POST, user)
        except (DashboardRefused, KeyError) as refusal:
            return _page(request, own, str(refusal) if isinstance(refusal, DashboardRefused) else _("That is no change we know."))
        own.changed_at = timezone.now()
        own.save()
    tile = request.POST.get("tile", "")
    place = f"#tile-{tile}" if deed in ("earlier", "later") and tile.isdigit() else ""
    return HttpResponseRedirect(reverse("dashboard", args=[own.pk]) + place)


def _add(own: Dashboard, form: QueryDict, user: User) -> None:
    reference, kind = form.get("point", "").strip(), form.get("kind", "")
    if kind not in KINDS:
        raise DashboardRefused(_("A tile shows a value or a trend."))
    if len(own.tiles) >= MOST_TILES:
        raise DashboardRefused(_("A dashboard has %(n)d tiles at most.") % {"n": MOST_TILES})
    if reference not in _points([reference], user):
        raise DashboardRefused(_("Point: %(text)s is none that you may see. Write device/point.") % {"text": reference[:80]})
    own.tiles.append({"point": reference, "kind": kind})


def _move(step: int) -> Callable[[Dashboard, QueryDict, User], None]:
    def move(own: Dashboard, form: QueryDict, user: User) -> None:
        place = _place(own, form)
        other = min(max(place + step, 0), len(own.tiles) - 1)
        own.tiles[place], own.tiles[other] = own.tiles[other], own.tiles[place]

    return move


def _remove(own: Dashboard, form: QueryDict, user: User) -> None:
    del own.tiles[_place(own, form)]


def _share(own: Dashboard, form: QueryDict, user: User) -> None:
    own.shared = not own.shared
    _audit(user, "share dashboard" if own.shared else "stop sharing dashboard", own.name)


_DEEDS: dict[str, Callable[[Dashboard, QueryDict, User], None]] = {
    "add": _add,
    "earlier": _move(-1),
    "later": _move(1),
    "remove": _remove,
    "share": _share,
}


def _place(own: Dashboard, form: QueryDict) -> int:
    text = form.get("tile", "")
    place = int(text) if text.isascii() and text.isdigit() and len(text) < 4 else MOST_TILES
    if place >= len(own.tiles):
        raise DashboardRefused(_("That tile is gone: look again."))
    return place


def _visible(request: HttpRequest) -> QuerySet[Dashboard]:
    user = cast(User, request.user)
    if user.is_kiosk:
        maker = Q(owner=user.kiosk.made_by) | Q(shared=True)
        return Dashboard.objects.filter(maker, pk__in=shown_dashboards(user)).select_related("owner")
    return Dashboard.objects.filter(Q(owner=user) | Q(shared=True)).select_related("owner")


def _list(request: HttpRequest, refusal: str = "") -> HttpResponse:
    context = {"page": "dashboards", "boards": _visible(request), "refusal": refusal, "name": request.POST.get("name", "")[:80]}
    return render(request, "pilots/dashboards.html", context, status=400 if refusal else 200)


def _page(request: HttpRequest, board: Dashboard, refusal: str = "") -> HttpResponse:
    user = cast(User, request.user)
    points = _points([tile["point"] for tile in board.tiles], user)
    tiles = [_tile(place, tile, points.get(tile["point"]), user) for place, tile in enumerate(board.tiles)]
    context = {
        "page": "dashboards",
        "board": board,
        "own": board.owner_id == user.pk,
        "tiles": tiles,
        "pilots": sorted({point.device.pilot.code for point in points.values()}),
        "choices": _choices(user) if board.owner_id == user.pk else [],
        "refusal": refusal,
        "words": page_words(),
    }
    return render(request, "pilots/dashboard.html", context, status=400 if refusal else 200)


def _tile(place: int, tile: dict[str, str], point: Point | None, user: User) -> dict[str, Any]:
    """What the template draws; without a point, one that is gone or not the reader's to see."""
    if point is None:
        return {"place": place, "reference": tile["point"], "point": None}
    zone = zone_of(user, point.device.pilot)
    return {
        "place": place,
        "reference": tile["point"],
        "point": point,
        "pilot": point.device.pilot,
        # An hour of a pilot, however many pilots stand beside it.
        "zone": zone.key,
        "zone_label": zone_label(zone, timezone.now()),
        "label": point_name(point.name),
        "shown": shown_unit(point.unit)[0],
        "key": f"drawn-{place}",
        "drawn": {"values": hour_of(point, timezone.now()), "wishes": []} if tile["kind"] == "trend" else None,
    }


def _points(references: list[str], user: User) -> dict[str, Point]:
    """The points of these that this person may see, by reference."""
    pairs = [reference.split("/") for reference in references if reference.count("/") == 1 and "\0" not in reference]
    wanted = Q(pk=None)
    for device, name in pairs:
        wanted |= Q(device__code=device, name=name)
    rows = Point.objects.filter(wanted, device__pilot__in=user.visible_pilots()).select_related("device__pilot")
    return {f"{point.device.code}/{point.name}": point for point in rows}


def _choices(user: User) -> list[str]:
    pilots: QuerySet[Pilot] = user.visible_pilots()
    rows = Point.objects.filter(device__pilot__in=pilots).order_by("device__code", "name")
    return [f"{device}/{name}" for device, name in rows.values_list("device__code", "name")[:5000]]


def _audit(user: User, action: str, name: str) -> None:
    record_event(at=timezone.now(), actor=user.get_username(), action=action, subject=f"dashboard {name}")
