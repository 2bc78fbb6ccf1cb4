"""What every view of the API has in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django.utils import timezone
from django.views.decorators.gzip import gzip_page
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from pilots.api.authentication import Client, client_of
from pilots.api.permissions import ScopeRequired
from pilots.control.fallbacks import note_heard
from pilots.control.heartbeat import NOTES
from pilots.models import Scope


def note_caller(client: Client) -> None:
    """Whoever may control and calls is the platform's sign of life at the pilots it reaches."""
    if Scope.CONTROL not in client.scopes or not NOTES.due(client.name):
        return
    pilots = client.pilots if client.device_ids is None else client.pilots.filter(devices__in=client.device_ids).distinct()
    note_heard(pilots.exclude(heartbeat_s=None), client.name, now=timezone.now())


class ApiView(APIView):
    """A view that names the scope of each method; what it does not name is 405, and nothing is open by default.

    Answers are compressed here and not for the whole site: pages carry secrets (CSRF) beside reflected input, these do not.
    """

    access: ClassVar[str] = "api"
    scopes: ClassVar[Mapping[str, str]] = {}
    permission_classes: Sequence[type[BasePermission]] = (ScopeRequired,)
    http_method_names = ["get", "head", "post"]

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        view = gzip_page(super().as_view(**initkwargs))
        view.access = "api"  # type: ignore[attr-defined]
        return view

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        note_caller(client_of(request))

    @staticmethod
    def client(request: Request) -> Client:
        return client_of(request)
