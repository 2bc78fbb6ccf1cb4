"""The handbook, the topic of one page for the panel beside it, and the tour's steps and end."""

from __future__ import annotations

from typing import Any, cast

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from pilots.models import Role, User
from pilots.ui.access import signed_in
from pilots.ui.handbook import SECTIONS, TOPICS, tour
from pilots.ui.handbook.keys import KEYS, WHERE, rows
from pilots.ui.handbook.legend import FIGURES
from pilots.ui.handbook.topic import Topic

#: The pages where a newcomer begins.
OFFERED_ON = ("overview", "pilot")


@signed_in
@require_safe
def help_page(request: HttpRequest) -> HttpResponse:
    user = cast(User, request.user)
    own = _own_roles(user)
    sections = [(title, [_told(topic, user, own) for topic in topics]) for title, topics in SECTIONS]
    pilot = user.visible_pilots().first()
    start = tour_address(pilot.code) if pilot is not None else ""
    return render(request, "pilots/help/handbook.html", {"page": "help", "sections": sections, "start": start})


@signed_in
@require_safe
def help_topic(request: HttpRequest, topic: str) -> HttpResponse:
    """The panel's inside."""
    if topic not in TOPICS:
        raise Http404
    user = cast(User, request.user)
    return render(request, "pilots/help/panel.html", {"told": _told(TOPICS[topic], user, _own_roles(user))})


@signed_in
@require_safe
def tour_steps(_request: HttpRequest) -> JsonResponse:
    words = {
        "step": _("Step %s of %s"),
        "back": _("Back"),
        "next": _("Next"),
        "done": _("Done"),
        "end": _("End the tour"),
        "keys": _("Enter or → goes on, ← goes back, Esc ends."),
    }
    steps = [{"at": step.at, "title": str(step.title), "text": str(step.text)} for step in tour.STEPS]
    return JsonResponse({"steps": steps, "words": words})


@signed_in
@require_POST
def end_tour(request: HttpRequest) -> HttpResponse:
    """It is offered no more; /help/ starts it again."""
    User.objects.filter(pk=cast(User, request.user).pk).update(tour_ended_at=timezone.now())
    return HttpResponseRedirect(reverse("overview"))


def tour_address(code: str) -> str:
    return f"{reverse('pilot', args=[code])}?tour"


def _own_roles(user: User) -> set[str]:
    """Roles that this person has at some pilot."""
    return set(Role) if user.is_superuser else set(user.grants.values_list("role", flat=True))


def _told(topic: Topic, reader: User, own: set[str]) -> dict[str, Any]:
    """What the page and the panel show of a topic to this person."""
    figure = FIGURES.get(topic.figure)
    return {
        "topic": topic,
        "roles": ", ".join(str(role.label) for role in topic.roles),
        "may": bool(own.intersection(topic.roles)),
        "keys": [{"where": WHERE[script], "rows": rows(script)} for script in _scripts(topic)],
        "figure": figure(reader) if figure is not None else [],
    }


def _scripts(topic: Topic) -> list[str]:
    return list(KEYS) if topic.figure == "keys" else list(topic.keys)
