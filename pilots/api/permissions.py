"""What a client may do (scopes per method, deny by default) and how often (20 requests a second)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast

from rest_framework.exceptions import MethodNotAllowed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.throttling import BaseThrottle

from pilots.api.authentication import client_of
from pilots.api.errors import Problem
from pilots.audit.origin import add_to_origin

if TYPE_CHECKING:  # the framework's settings import this module while its views are still being read
    from rest_framework.views import APIView

#: A view's word for "any token or login, whatever its scopes".
ANY_SCOPE = "any"


class Declaring(Protocol):
    """A view that says which scope each of its methods needs."""

    scopes: Mapping[str, str]


class DenyAll(BasePermission):
    """The default: a view that declares nothing answers nobody."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return False


class ScopeRequired(BasePermission):
    """The client is known and its token has the scope that the view declares for this method."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        client = client_of(request)
        scope = cast(Declaring, view).scopes.get("GET" if request.method == "HEAD" else str(request.method))
        if scope is None:
            raise MethodNotAllowed(str(request.method))
        if scope != ANY_SCOPE and scope not in client.scopes:
            raise Problem(403, "not_authorised", f"The token lacks the scope {scope}.")
        add_to_origin(role=f"scope {scope}")
        return True


class RateLimit:
    """A token bucket per client in this process's memory: `per_s` requests a second, and that many at once.

    Kept as one number per client, the time when its bucket is full again (generic cell rate algorithm).
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, most_clients: int = 10_000) -> None:
        self._clock, self._most_clients = clock, most_clients
        self._lock = threading.Lock()
        self._full_at: dict[str, float] = {}

    def take(self, key: str, per_s: float) -> float:
        """Seconds this client must wait; 0 when the request may pass, which is then counted."""
        now = self._clock()
        with self._lock:
            full_at = max(self._full_at.get(key, now), now)
            wait_s = full_at + 1.0 / per_s - now - 1.0
            # 1 ns of grace: the sum of twenty shares of a second is not exactly a second.
            if wait_s > 1e-9:
                return wait_s
            self._full_at[key] = full_at + 1.0 / per_s
            if len(self._full_at) > self._most_clients:
                self._full_at = {other: time for other, time in self._full_at.items() if time > now}
            return 0.0

    def forget(self) -> None:
        """Everybody starts with a full bucket."""
        with self._lock:
            self._full_at.clear()


RATE_LIMIT = RateLimit()


class ClientThrottle(BaseThrottle):
    """20 requests a second for each token or person, held by every web process for itself."""

    wait_s = 0.0

    def allow_request(self, request: Request, view: APIView) -> bool:
        rates: dict[str, Any] = api_settings.DEFAULT_THROTTLE_RATES
        per_s = float(str(rates["client"]).split("/")[0])
        self.wait_s = RATE_LIMIT.take(client_of(request).throttle_key, per_s)
        return self.wait_s == 0.0

    def wait(self) -> float:
        return self.wait_s
