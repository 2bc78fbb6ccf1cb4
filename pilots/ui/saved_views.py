"""Saved views of the trends: each person's own, and those shared with everybody who sees the pilot."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import urlencode

from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from pilots.audit.services import record_event
from pilots.models import Pilot, Role, TrendView, User
from pilots.ui.access import requires
from pilots.ui.charts import MAX_CURVES
from pilots.ui.trend_query import FIELDS, BadWindow, points_of, shown_of, window_of
from pilots.ui.views import pilot_of

MOST_PER_PERSON = 100


def saved_views(pilot: Pilot, user: User) -> list[dict[str, Any]]:
    """What this person may open: own ones first. A kiosk has its own and no list, which names people."""
    if user.is_kiosk:
        return []
    rows = visible_views(pilot, user).select_related("owner")
    views = [{"view": view, "own": view.owner_id == user.pk} for view in rows]
    return sorted(views, key=lambda row: not row["own"])


def visible_views(pilot: Pilot, user: User) -> QuerySet[TrendView]:
    return TrendView.objects.filter(Q(owner=user) | Q(shared=True), pilot=pilot)


@requires(Role.VIEWER)
@require_POST
def save_view(request: HttpRequest, **_route: str) -> HttpResponse:
    """The view of that name is what the form says; answers with the list. One's own of the same name is replaced."""
    pilot, user, form = pilot_of(request), cast(User, request.user), request.POST
    name, shared = " ".join(form.get("name", "").split()), form.get("shared") == "on"
    try:
        query = _query(pilot, form.get("query", ""))
        _check_name(name, pilot, user)
    except BadWindow as error:
        return JsonResponse({"code": "bad_view", "reason": str(error), "field": error.field}, status=400)
    now = timezone.now()
    with transaction.atomic():
        fields = {"query": query, "shared": shared, "changed_at": now}
        TrendView.objects.update_or_create(owner=user, pilot=pilot, name=name, defaults=fields)
        _audit(user, pilot, name, "save trend view", {"shared": shared})
    return _list(request, pilot, user)


@requires(Role.VIEWER)
@require_POST
def delete_view(request: HttpRequest, number: int, **_route: str) -> HttpResponse:
    """Only its owner takes a view away; to everybody else it is not there."""
    pilot, user = pilot_of(request), cast(User, request.user)
    view = get_object_or_404(TrendView, pk=number, pilot=pilot, owner=user)
    with transaction.atomic():
        view.delete()
        _audit(user, pilot, view.name, "delete trend view", {})
    return _list(request, pilot, user)


def _query(pilot: Pilot, text: str) -> str:
    """The address in the order of its fields, without what the page does not know. Raises BadWindow."""
    if len(text) > 4000:
        raise BadWindow(_("%(n)d points at most.") % {"n": MAX_CURVES}, "query")
    given = QueryDict(text)
    points_of(pilot, given, MAX_CURVES)
    window_of(pilot, given, timezone.now())
    shown_of(given)
    return urlencode([(name, value) for name in FIELDS for value in given.getlist(name)])


def _check_name(name: str, pilot: Pilot, user: User) -> None:
    if not name or not name.isprintable():
        raise BadWindow(_("Give the view a name."), "name")
    if len(name) > 80:
        raise BadWindow(_("A name has 80 characters at most."), "name")
    own = TrendView.objects.filter(owner=user, pilot=pilot)
    if own.count() >= MOST_PER_PERSON and not own.filter(name=name).exists():
        raise BadWindow(_("You have %(n)d views here. Take one away first.") % {"n": MOST_PER_PERSON}, "name")


def _audit(user: User, pilot: Pilot, name: str, action: str, details: dict[str, Any]) -> None:
    at, actor = timezone.now(), user.get_username()
    record_event(at=at, actor=actor, action=action, pilot=pilot.code, subject=name, details=details)


def _list(request: HttpRequest, pilot: Pilot, user: User) -> HttpResponse:
    return render(request, "pilots/trend_view_list.html", {"pilot": pilot, "views": saved_views(pilot, user)})
