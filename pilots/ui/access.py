"""Who may use which view. Every view declares it; a view that does not is refused (`middleware.DenyByDefaultMiddleware`).

Own views carry a marker (`public`, `signed_in`, `requires`), API views the class attribute `access = "api"` (their DRF
permission classes decide), and what other packages bring is listed in `FOREIGN` by the namespace of its route.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar, cast

from django.http import HttpRequest

from pilots.models import Role, User
from pilots.models.access import Rights

View = TypeVar("View", bound=Callable[..., Any])


class Door(StrEnum):
    """How a view is guarded."""

    PUBLIC = "public"  # anybody, also without a session
    SIGNED_IN = "signed_in"  # any session
    ROLE = "role"  # a session with a role at the pilot of the URL
    STAFF = "staff"  # the Django admin: a session of staff
    API = "api"  # DRF authenticates and permits


@dataclass(frozen=True, slots=True)
class Access:
    """A declaration; `role` stands beside `Door.ROLE` only."""

    door: Door
    role: Role | None = None


#: Route namespaces of other packages.
FOREIGN: dict[str, Access] = {"admin": Access(Door.STAFF)}

#: All that a kiosk may read, by the names of the routes: its own screen and what the pages of a rotation are made of.
KIOSK_READS = frozenset(
    {
        *("kiosk", "kiosk_told", "open_kiosk"),
        *("overview", "totals", "overview_map", "pilot", "diagram_table", "diagram_ladder"),
        *("alarm_marks", "pilot_alarm_strip", "alarm_strip"),
        *("alarms", "alarm_rows", "dashboard", "trends", "trends_data"),
    }
)


def public(view: View) -> View:
    """Anybody may use this view, without a session too."""
    return _declare(view, Access(Door.PUBLIC))


def signed_in(view: View) -> View:
    """Everybody with a session may use this view; what it shows is its own business."""
    return _declare(view, Access(Door.SIGNED_IN))


def requires(role: Role) -> Callable[[View], View]:
    """Only who has `role` at the pilot named by the URL's `code` may use this view.

    `Role.VIEWER` asks for any role that sees values. A pilot that may not be seen does not exist: 404.
    """
    return lambda view: _declare(view, Access(Door.ROLE, role))


def kiosk_may(method: str | None, name: str) -> bool:
    """Whether a kiosk's session may ask for the route of this name like this."""
    return method in ("GET", "HEAD") and name in KIOSK_READS


def rights_of(request: HttpRequest) -> Rights:
    """What who is logged in may read and be offered, asked once a request."""
    held: Rights | None = getattr(request, "rights", None)
    if held is None:
        held = request.rights = cast(User, request.user).rights()  # type: ignore[attr-defined]
    return held


def _declare(view: View, access: Access) -> View:
    view.access = access  # type: ignore[attr-defined]
    return view


def declared_access(view: Callable[..., Any], namespaces: list[str]) -> Access | None:
    """What a view (or its class) declares, or the table for its namespace; None when nobody said anything."""
    for carrier in (view, getattr(view, "view_class", None), getattr(view, "cls", None)):
        declared = getattr(carrier, "access", None)
        if isinstance(declared, Access):
            return declared
        if isinstance(declared, str):
            return Access(Door(declared))
    return next((FOREIGN[name] for name in namespaces if name in FOREIGN), None)
