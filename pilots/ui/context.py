"""What the frame of every page needs: the reader's pilots, whether anything is simulated, whether they train."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from pilots.audit.selectors import may_read
from pilots.models import Connection, Pilot, Role, User
from pilots.ui.training import simulator, training_pilots


def navigation(request: HttpRequest) -> dict[str, Any]:
    """Context processor: lazy, so that pages without the frame ask the database nothing."""
    user = getattr(request, "user", None)
    if not isinstance(user, User):
        return {"own_pilots": [], "simulated": False, "trains": False, "commissions": False, "audits": False}
    pilots = SimpleLazyObject(lambda: list(user.visible_pilots()))
    return {
        "own_pilots": pilots,
        "simulated": SimpleLazyObject(lambda: _any_simulated(user)),
        "commissions": SimpleLazyObject(lambda: user.grants.filter(role=Role.ENGINEER).exists() or user.is_superuser),
        "audits": SimpleLazyObject(lambda: may_read(user)),
        # The page's entry shows only where a simulation runs and its reader may break something of it.
        "trains": SimpleLazyObject(lambda: simulator().is_there and bool(training_pilots(user))),
    }


def _any_simulated(user: User) -> bool:
    pilots: list[Pilot] = list(user.visible_pilots())
    return Connection.objects.filter(pilot__in=pilots, simulated=True).exists()
