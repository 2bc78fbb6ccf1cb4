"""What stands beside the resources: unknown paths, the schema and its page."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import HttpResponseBase
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.request import Request

from pilots.api.base import ApiView
from pilots.api.errors import Problem
from pilots.api.permissions import ScopeRequired
from pilots.models import Scope


class Unknown(ApiView):
    """Every other path under `/api/v1/`, those with a trailing slash too: 404 for everybody, never a redirect."""

    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()

    @extend_schema(exclude=True)
    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.http_method_names = [str(request.method).lower()]
        return super().dispatch(request, *args, **kwargs)

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
    url_name = "api:schema"
