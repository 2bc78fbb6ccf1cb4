"""What the tests of websockets share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator

from pilots.models import Pilot, User
from pilots.routing import websocket_urlpatterns
from tests.builders import make_pilot, make_user


@pytest.fixture
async def pilot(transactional_db: None) -> Pilot:
    return await sync_to_async(make_pilot)()


@pytest.fixture
async def ana(pilot: Pilot) -> User:
    return await sync_to_async(make_user)(pilot=pilot)


@asynccontextmanager
async def opened(path: str, user: Any, session: Any = None) -> AsyncIterator[WebsocketCommunicator]:
    """A websocket that was accepted."""
    socket = WebsocketCommunicator(URLRouter(websocket_urlpatterns), path)
    socket.scope |= {"user": user, "session": session}
    connected, _ = await socket.connect(timeout=10)
    assert connected
    try:
        yield socket
    finally:
        await socket.disconnect()
