"""Channels as its manual shows it: a group, a layer in memory, Daphne. [bench]

`python -m tests.bench.layer serve REDIS_URL CHANNEL` sends what it hears on a Redis channel.
"""

from __future__ import annotations

import asyncio
import sys

from django.conf import settings

settings.configure(CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIG": {"capacity": 1000}}})

from channels.generic.websocket import AsyncWebsocketConsumer  # noqa: E402  needs the settings
from channels.layers import get_channel_layer  # noqa: E402
from daphne.server import Server  # noqa: E402

from tests.bench.plain import free_port  # noqa: E402

GROUP = "pilot.es"


class GroupConsumer(AsyncWebsocketConsumer):
    """One browser."""

    pump: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        await self.channel_layer.group_add(GROUP, self.channel_name)
        await self.accept()
        if GroupConsumer.pump is None:
            GroupConsumer.pump = asyncio.create_task(_pump(*sys.argv[2:4]))

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(GROUP, self.channel_name)

    async def frame(self, event: dict[str, str]) -> None:
        await self.send(text_data=event["text"])


async def _pump(url: str, channel: str) -> None:
    import redis.asyncio as redis  # only here

    async with redis.Redis.from_url(url).pubsub() as subscription:
        await subscription.subscribe(channel)
        async for message in subscription.listen():
            if message["type"] == "message":
                await get_channel_layer().group_send(GROUP, {"type": "frame", "text": message["data"].decode()})


if __name__ == "__main__":
    port = free_port()
    endpoint = f"tcp:port={port}:interface=127.0.0.1"
    Server(
        GroupConsumer.as_asgi(), endpoints=[endpoint], signal_handlers=False, ready_callable=lambda: print(port, flush=True)
    ).run()
