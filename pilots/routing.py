"""Websocket routes."""

from __future__ import annotations

from django.urls import path

from pilots.ui.alarm_consumer import AlarmConsumer
from pilots.ui.consumers import LinkConsumer, PilotConsumer

websocket_urlpatterns = [
    path("ws/alarms/", AlarmConsumer.as_asgi()),
    path("ws/pilots/<slug:code>/", PilotConsumer.as_asgi()),
    path("ws/pilots/<slug:code>/links/", LinkConsumer.as_asgi()),
]
