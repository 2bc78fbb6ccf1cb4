"""One place where changes of all processes meet and leave as numbered frames, encoded once for everyone. [operation]

Publishers (field, worker) call `publish` after their commit, for values a window ahead of it (`acquisition.preview`); each web
process numbers its own frames per pilot with an `epoch` of its own, fewer of them for a crowd of pages. Within one process the
hub is a plain object; with Redis every process has one and they share a channel. Push is a hint: who misses a number asks for a
snapshot. Wake-ups of field workers travel the same way.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import orjson
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from pilots.live.frames import Change, encode_frame

log = logging.getLogger(__name__)
#: Redis keeps channels apart by name only, not by database: two installations on one server must not hear each other.
CHANNEL = "invade.live.{db}"
#: A crowd of pages gets fewer frames of values: each page beyond a few takes so long between two of a pilot, five hundred a tenth
#: of a second.
FEW, PAGE_S = 20, 0.0002
#: Redis was away: so long nobody waits for it again, least of all the writer of values.
AWAY_S = 1.0
_FIELDS = [field.name for field in fields(Change)]
#: Called with (frame number, encoded frame, whether numbers before it were lost), from any thread or in its loop; must not block.
Listener = Callable[[int, str, bool], None]


class Hub:
    """Hands each pilot's frames to its listeners in order, and wake-ups to the gateway."""

    def __init__(self) -> None:
        self.epoch = secrets.token_hex(4)
        self._lock = threading.RLock()
        #: By pilot and by the loop they live in; None: wherever it is published.
        self._listeners: dict[str, dict[asyncio.AbstractEventLoop | None, set[Listener]]] = defaultdict(lambda: defaultdict(set))
        self._wakers: set[Callable[[str], None]] = set()
        self._numbers: dict[str, int] = defaultdict(int)
        self._crowd = 0
        self._last_s: dict[str, float] = defaultdict(lambda: -math.inf)
        #: Values that leave with the next frame of their pilot.
        self._waiting: dict[str, Change] = {}

    def subscribe(self, pilot: str, listener: Listener, loop: asyncio.AbstractEventLoop | None = None) -> int:
        """`listener` gets every frame after the returned number: in `loop`, where a frame hops once for all, or at once."""
        with self._lock:
            self._listeners[pilot][loop].add(listener)
            self._count_pages()
            return self._numbers[pilot]

    def unsubscribe(self, pilot: str, listener: Listener, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """A frame that is on its way into the loop still comes."""
        with self._lock:
            listeners = self._listeners[pilot]
            listeners[loop].discard(listener)
            if not listeners[loop]:
                del listeners[loop]
            self._count_pages()

    def _count_pages(self) -> None:
        pages = sum(len(listeners) for loops in self._listeners.values() for listeners in loops.values())
        self._crowd = max(0, pages - FEW)

    def number(self, pilot: str) -> int:
        """The newest frame's number."""
        with self._lock:
            return self._numbers[pilot]

    def on_wake(self, waker: Callable[[str], None]) -> None:
        """`waker(resource)` is called when a set-point waits for the holder of that lease resource."""
        with self._lock:
            self._wakers.add(waker)

    def forget_waker(self, waker: Callable[[str], None]) -> None:
        """`waker` is not called any more."""
        with self._lock:
            self._wakers.discard(waker)

    def publish(self, changes: Iterable[Change]) -> None:
        """Every listener of these pilots, here and in other processes, is handed the changes."""
        for change in changes:
            self._deliver(change)

    def wake(self, resource: str) -> None:
        """Whoever holds `resource` looks at its set-points now; a lost wake-up costs a second, not the set-point."""
        with self._lock:
            wakers = list(self._wakers)
        for waker in wakers:
            waker(resource)

    def close(self) -> None:
        """Nothing is delivered any more."""

    def _deliver(self, change: Change) -> None:
        """At once, but with a crowd of pages: then values gather, and leave with whatever must not wait."""
        with self._lock:
            waiting = self._waiting.pop(change.pilot, None)
            if waiting is not None:
                change = waiting.followed_by(change)
            rest_s = self._last_s[change.pilot] + self._crowd * PAGE_S - time.monotonic()
            if rest_s <= 0 or not change.is_of_values:
                self._hand_out(change)
                return
            self._waiting[change.pilot] = change
            if waiting is None:
                timer = threading.Timer(rest_s, self._deliver_waiting, [change.pilot])
                timer.daemon = True
                timer.start()

    def _deliver_waiting(self, pilot: str) -> None:
        with self._lock:
            waiting = self._waiting.pop(pilot, None)
            if waiting is not None:
                self._hand_out(waiting)

    def _hand_out(self, change: Change) -> None:
        # Under the lock, so that every listener sees the numbers in order whatever thread publishes.
        self._numbers[change.pilot] += 1
        self._last_s[change.pilot] = time.monotonic()
        if self._listeners[change.pilot]:
            n = self._numbers[change.pilot]
            self._tell(change.pilot, n, encode_frame(change, epoch=self.epoch, n=n, now=datetime.now(UTC)), gap=False)

    def _deliver_gap(self) -> None:
        """Nobody knows whose changes were lost, so every page looks anew."""
        with self._lock:
            for pilot in self._listeners:
                self._tell(pilot, self._numbers[pilot], "", gap=True)

    def _tell(self, pilot: str, n: int, text: str, *, gap: bool) -> None:
        for loop, listeners in self._listeners[pilot].items():
            if loop is None:
                _tell_all(tuple(listeners), n, text, gap)
            else:
                with suppress(RuntimeError):  # the loop has ended
                    loop.call_soon_threadsafe(_tell_all, tuple(listeners), n, text, gap)


def _tell_all(listeners: Iterable[Listener], n: int, text: str, gap: bool) -> None:
    for listener in listeners:
        listener(n, text, gap)


def channel_of(url: str) -> str:
    """The channel that the installation on this Redis database shares.

    >>> channel_of("redis://localhost:6379/3")
    'invade.live.3'
    """
    return CHANNEL.format(db=redis.ConnectionPool.from_url(url).connection_kwargs.get("db", 0))


class RedisHub(Hub):
    """The same between processes: one Redis channel, one subscription a process.

    Redis may lose messages: publishers number theirs, and after a gap every page of this process gets a snapshot.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self._redis = redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5, health_check_interval=10)
        # Whoever publishes waits, the writer of values among them: one try more on a connection that had ended, and no pauses.
        at_once = Retry(NoBackoff(), 1)
        self._outlet = redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1, retry=at_once)
        self._channel = channel_of(url)
        self._publisher = secrets.token_hex(4)
        self._sending = threading.Lock()
        self._sent, self._away_until_s = 0, -math.inf
        self._heard: dict[str, int] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="live-hub", daemon=True)
        self._thread.start()

    def publish(self, changes: Iterable[Change]) -> None:
        for change in changes:
            told = ((name, getattr(change, name)) for name in _FIELDS)
            self._send({name: value for name, value in told if value is not None})

    def wake(self, resource: str) -> None:
        self._send({"wake": resource})

    def close(self) -> None:
        self._stopping.set()
        self._thread.join(3.0)
        self._redis.close()
        self._outlet.close()

    def _send(self, body: dict[str, Any]) -> None:
        # Numbered and sent by one thread at a time: a number that overtakes another is a gap, and a snapshot for every page.
        with self._sending:
            self._sent += 1
            if time.monotonic() < self._away_until_s:
                return
            body |= {"publisher": self._publisher, "k": self._sent}
            try:
                self._outlet.publish(self._channel, orjson.dumps(body, default=str))
            except redis.RedisError as error:
                # The database has it; pages fetch what they missed when the numbers go on.
                self._away_until_s = time.monotonic() + AWAY_S
                log.warning("live channel: %s", error)
                self._tell_when_back()

    def _tell_when_back(self) -> None:
        """The next number shows what was lost, also where nothing else is going to be said for long: this wakes nobody."""

        def tell() -> None:
            if not self._stopping.is_set():
                self.wake("")

        timer = threading.Timer(AWAY_S + 0.1, tell)
        timer.daemon = True
        timer.start()

    def _listen(self) -> None:
        while not self._stopping.is_set():
            try:
                self._receive()
            except redis.RedisError as error:
                log.warning("live channel lost: %s", error)
                self._stopping.wait(1.0)

    def _receive(self) -> None:
        subscription = self._redis.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
        try:
            subscription.subscribe(self._channel)
            while not self._stopping.is_set():
                message = subscription.get_message(timeout=0.5)
                if message is not None:
                    self._take(message["data"])
        finally:
            subscription.close()

    def _take(self, data: bytes) -> None:
        try:
            body = orjson.loads(data)
            publisher, k = str(body["publisher"]), int(body["k"])
            change = None if "wake" in body else _change_of(body)
        except (ValueError, KeyError, TypeError) as error:
            log.warning("live channel: not a message of ours: %s", error)
            return
        # A publisher first heard in mid-count has said something before that we cannot know.
        gap = k != self._heard.get(publisher, 0) + 1
        self._heard[publisher] = k
        if change is None:
            super().wake(body["wake"])
        else:
            self._deliver(change)
        if gap:
            self._deliver_gap()


def _change_of(body: dict[str, Any]) -> Change:
    return Change(**{name: body[name] for name in _FIELDS if name in body})


_hub: Hub | None = None
_hub_lock = threading.Lock()


def hub(redis_url: str | None = None) -> Hub:
    """This process's hub; the first caller decides whether it speaks over Redis."""
    global _hub
    with _hub_lock:
        if _hub is None:
            _hub = RedisHub(redis_url) if redis_url else Hub()
        return _hub
