"""Wall screens: made with a token that is shown once, opened by it, revoked. [operation]

A kiosk's session is one of an account that is nobody's: it sees the kiosk's pilots as a viewer does, and the door before every
view lets it read the pages of a rotation and nothing else (`access.KIOSK_READS`).
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import uuid4

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from pilots.audit.services import audited, record_event
from pilots.models import Dashboard, Kiosk, Pilot, Role, RoleGrant, TrendView, User

MOST_PAGES = 12
SECONDS = range(5, 3601)
#: How exactly the list knows when a screen was there last.
SEEN_EVERY = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class Page:
    """What may stand in a rotation: `show` as kept, its words, its address, the code of the pilot it needs."""

    show: str
    words: str
    href: str
    pilot: str = ""


def choices(pilots: Sequence[Pilot], user: User) -> list[Page]:
    """Every page that this person can put on a screen of these pilots."""
    found = [Page("overview", _("Overview"), reverse("overview")), Page("alarms", _("Alarms"), reverse("alarms"))]
    for pilot in pilots:
        place, own = reverse("pilot", args=[pilot.code]), pilot.code
        found.append(Page(f"pilot/{own}", _("Diagram of %(pilot)s") % {"pilot": pilot.name}, place, own))
        found.append(Page(f"table/{own}", _("Live table of %(pilot)s") % {"pilot": pilot.name}, f"{place}?view=table", own))
    for board in Dashboard.objects.filter(Q(owner=user) | Q(shared=True)):
        words = _("Dashboard %(name)s") % {"name": board.name}
        found.append(Page(f"dashboard/{board.pk}", words, reverse("dashboard", args=[board.pk])))
    for view in TrendView.objects.filter(Q(owner=user) | Q(shared=True), pilot__in=pilots).select_related("pilot"):
        words = _("Trends of %(pilot)s: %(name)s") % {"pilot": view.pilot.name, "name": view.name}
        place = f"{reverse('trends', args=[view.pilot.code])}?{view.query}"
        found.append(Page(f"trends/{view.pk}", words, place, view.pilot.code))
    return found


def rotation(kiosk: Kiosk) -> list[dict[str, Any]]:
    """Its pages in their order with their addresses; what is gone meanwhile, or no longer shared, is left out."""
    known = {page.show: page for page in choices(list(kiosk.user.visible_pilots()), kiosk.made_by or kiosk.user)}
    return [{"page": known[row["show"]], "seconds": row["seconds"]} for row in kiosk.pages if row["show"] in known]


def shown_dashboards(user: User) -> list[int]:
    """The keys of the dashboards that a kiosk's account may open: those of its rotation."""
    kinds = (row["show"].partition("/") for row in user.kiosk.pages)
    return [int(key) for kind, _slash, key in kinds if kind == "dashboard"]


def make_kiosk(
    *,
    name: str,
    pilots: Sequence[Pilot],
    pages: list[dict[str, Any]],
    ends_at: datetime,
    look: dict[str, str],
    by: User,
    now: datetime,
) -> tuple[Kiosk, str]:
    """The kiosk, and its token: kept nowhere, so shown now or never."""
    token = secrets.token_urlsafe(32)
    with audited():
        account = User(username=f"kiosk-{uuid4().hex}", is_kiosk=True, **look)
        account.set_unusable_password()
        account.save()
        RoleGrant.objects.bulk_create(RoleGrant(user=account, pilot=pilot, role=Role.VIEWER) for pilot in pilots)
        kiosk = Kiosk(name=name, user=account, made_by=by, pages=pages, sha256=_hash(token), created_at=now, ends_at=ends_at)
        kiosk.save()
        details = {
            "pilots": [pilot.code for pilot in pilots],
            "pages": [row["show"] for row in pages],
            "ends": ends_at.isoformat(),
        }
        _audit(kiosk, "create kiosk", by.get_username(), now, details)
    return kiosk, token


def revoke_kiosk(kiosk: Kiosk, *, by: str, now: datetime) -> bool:
    """Its link opens nothing any more and its open screens close; False when it was revoked before."""
    with audited():
        if not Kiosk.objects.filter(pk=kiosk.pk, revoked_at=None).update(revoked_at=now):
            return False
        User.objects.filter(pk=kiosk.user_id).update(is_active=False)
        _audit(kiosk, "revoke kiosk", by, now)
    return True


def kiosk_of_token(token: str, now: datetime) -> Kiosk | None:
    """The kiosk that this token opens now."""
    kiosk = Kiosk.objects.filter(sha256=_hash(token)).select_related("user").first()
    return kiosk if kiosk is not None and kiosk.is_live(now) and kiosk.user.is_active else None


def note_use(kiosk: Kiosk, address: str, now: datetime) -> None:
    """The first time stands in the audit trail, the last one in the list."""
    with audited():
        if Kiosk.objects.filter(pk=kiosk.pk, first_used_at=None).update(first_used_at=now):
            _audit(kiosk, "use kiosk for the first time", f"kiosk {kiosk.name}", now, {"address": address})
        note_seen(kiosk, address, now)


def note_seen(kiosk: Kiosk, address: str, now: datetime) -> None:
    if kiosk.last_seen_at is None or now - kiosk.last_seen_at >= SEEN_EVERY or kiosk.last_address != address:
        Kiosk.objects.filter(pk=kiosk.pk).update(last_seen_at=now, last_address=address)


def is_closed(user: User, now: datetime) -> bool:
    """Whether this account is a kiosk's that was revoked or has ended: then it sees nothing more."""
    return user.is_kiosk and not Kiosk.objects.filter(user=user, revoked_at=None, ends_at__gt=now).exists()


def kiosks_of(user: User) -> QuerySet[Kiosk]:
    """Those that this person may revoke: of pilots whose engineer they are; all for a security administrator."""
    rows = Kiosk.objects.select_related("user", "made_by")
    return rows if user.has_role(Role.SECADM) else rows.filter(user__grants__pilot__in=engineered(user)).distinct()


def engineered(user: User) -> QuerySet[Pilot]:
    """The pilots that this person may put on a screen."""
    return user.rights().pilots_where(Role.ENGINEER)


def account_of(request: HttpRequest) -> User | None:
    """The kiosk's account that asks; None for people and strangers."""
    user = getattr(request, "user", None)
    return user if isinstance(user, User) and user.is_kiosk else None


def _hash(token: str) -> str:
    return sha256(token.encode()).hexdigest()


def _audit(kiosk: Kiosk, action: str, actor: str, now: datetime, details: dict[str, Any] | None = None) -> None:
    record_event(at=now, actor=actor, action=action, subject=f"kiosk {kiosk.name}", details=details)
