"""HTTP and websockets of the web role."""

from __future__ import annotations

import os
from typing import Any

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "invade_scada.settings")
http = get_asgi_application()

from channels.auth import AuthMiddlewareStack  # noqa: E402  Django must be set up first
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402
from django.conf import settings  # noqa: E402

from pilots.routing import websocket_urlpatterns  # noqa: E402
from pilots.ui.static_files import StaticFiles  # noqa: E402

guarded = AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(websocket_urlpatterns)))


async def websockets(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """A page's frames go to the server itself, past the middleware that would look at the session before each of them."""
    await guarded({**scope, "server_send": send}, receive, send)


application = ProtocolTypeRouter({"http": StaticFiles(http, settings.STATICFILES_DIRS), "websocket": websockets})
