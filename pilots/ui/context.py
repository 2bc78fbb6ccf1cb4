"""What the frame of every page needs: the reader's pilots, whether anything is simulated, the language."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from pilots.models import Connection, Pilot, User


def navigation(request: HttpRequest) -> dict[str, Any]:
    """Context processor: lazy, so that pages without the frame ask the database nothing."""
    user = getattr(request, "user", None)
    if not isinstance(user, User):
        return {"own_pilots": [], "simulated": False}
    pilots = SimpleLazyObject(lambda: list(user.visible_pilots()))
    return {"own_pilots": pilots, "simulated": SimpleLazyObject(lambda: _any_simulated(user))}


def _any_simulated(user: User) -> bool:
    pilots: list[Pilot] = list(user.visible_pilots())
    return Connection.objects.filter(pilot__in=pilots, simulated=True).exists()
