"""Who is calling: a machine with a service token, or a logged-in person who may only read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.request import Request

from pilots.api.errors import CHALLENGE, Problem
from pilots.audit.origin import add_to_origin
from pilots.models import Device, Pilot, Scope, ServiceToken, User

#: `last_used_at` is for people; a write per request would cost more than it tells.
USE_RESOLUTION = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class Client:
    """The caller: its name, what it may do, and where. `pilot_ids` or `device_ids` None: all."""

    name: str
    throttle_key: str
    scopes: frozenset[str]
    pilot_ids: frozenset[int] | None
    device_ids: frozenset[int] | None = None
    user: User | None = None

    is_authenticated = True
    is_active = True

    @cached_property
    def pilots(self) -> QuerySet[Pilot]:
        """The pilots this client may see."""
        return Pilot.objects.all() if self.pilot_ids is None else Pilot.objects.filter(pk__in=self.pilot_ids)

    @cached_property
    def devices(self) -> QuerySet[Device]:
        """The devices this client may see, ask and (with the scope) command."""
        return Device.objects.filter(self.reach())

    def reach(self, prefix: str = "") -> Q:
        """The condition that a row belongs to a device of this client; `prefix` leads to the device (`point__device__`)."""
        condition = Q()
        if self.pilot_ids is not None:
            condition &= Q(**{f"{prefix}pilot_id__in": self.pilot_ids})
        if self.device_ids is not None:
            condition &= Q(**{f"{prefix}id__in": self.device_ids})
        return condition


def client_of(request: Request) -> Client:
    """The authenticated caller. Raises Problem 401 when there is none."""
    client: object = request.user
    if not isinstance(client, Client):
        raise Problem(401, "not_authenticated", "A bearer token or a login is needed.")
    return client


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer <token>`, looked up by its SHA-256."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        words = get_authorization_header(request).split()
        if not words:
            return None
        if words[0].lower() != b"bearer" or len(words) != 2:
            raise Problem(401, "not_authenticated", "The Authorization header must be: Bearer <token>.")
        now = timezone.now()
        token = find_token(words[1], now)
        if token is None:
            raise Problem(401, "not_authenticated", "The token is unknown, expired or revoked.")
        _note_use(token, now)
        add_to_origin(token=token.sha256[:16])
        return _client_of_token(token), token

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


class ReadOnlySession(BaseAuthentication):
    """A logged-in person may look (GET); everything that changes something needs a token or a page of ours."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        user = getattr(request._request, "user", None)
        if not isinstance(user, User) or not user.is_active:
            return None
        if request.method not in ("GET", "HEAD"):
            raise Problem(403, "token_required", "A login may only read here: send a bearer token.")
        pilot_ids = frozenset(user.visible_pilots().values_list("pk", flat=True))
        key = f"user:{user.pk}:{user.get_session_auth_hash()[:16]}"
        client = Client(name=user.username, throttle_key=key, scopes=frozenset({Scope.READ}), pilot_ids=pilot_ids, user=user)
        return client, None


def digest(token: str | bytes) -> str:
    """What is kept of a token: its SHA-256 in hexadecimal."""
    return hashlib.sha256(token.encode() if isinstance(token, str) else token).hexdigest()


def find_token(token: str | bytes, now: datetime) -> ServiceToken | None:
    """The live service token of that secret, None when it is unknown, expired or revoked."""
    found = ServiceToken.objects.filter(sha256=digest(token)).first()
    return found if found is not None and found.is_live(now) else None


def _client_of_token(token: ServiceToken) -> Client:
    pilots = None if token.all_pilots else frozenset(token.pilots.values_list("pk", flat=True))
    devices = None if token.all_devices else frozenset(token.devices.values_list("pk", flat=True))
    return Client(
        name=token.name,
        throttle_key=token.sha256,
        scopes=frozenset(token.scopes),
        pilot_ids=pilots,
        device_ids=devices,
    )


def _note_use(token: ServiceToken, now: datetime) -> None:
    if token.last_used_at is None or now - token.last_used_at >= USE_RESOLUTION:
        ServiceToken.objects.filter(pk=token.pk).update(last_used_at=now)
