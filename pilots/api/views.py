"""What stands beside the resources: unknown paths, the schema and its page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from pilots.api.base import ApiView
from pilots.api.errors import Problem
from pilots.api.permissions import ScopeRequired
from pilots.models import Scope


class Unknown(ApiView):
    """Every other path under `/api/v1/`, those with a trailing slash too: 404 for everybody, never a redirect."""

    authentication_classes: Sequence[type[BaseAuthentication]] = ()
    permission_classes = ()
    throttle_classes: Sequence[type[BaseThrottle]] = ()

    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise Problem(404, "not_found", "No such resource.")


class Schema(SpectacularAPIView):
    """The OpenAPI document: YAML, or JSON with `?format=json`."""

    access: ClassVar[str] = "api"
    scopes: ClassVar[dict[str, str]] = {"GET": Scope.READ}
    permission_classes = (ScopeRequired,)


class Docs(SpectacularSwaggerSplitView):
    """The OpenAPI document as a page: the variant without inline scripts, as our content security policy wants it."""

    access: ClassVar[str] = "api"
    scopes: ClassVar[dict[str, str]] = {"GET": Scope.READ}
    permission_classes = (ScopeRequired,)
    template_name = "api/docs.html"
    url_name = "api:schema"
