"""The door charge points come in by: one WebSocket listener per endpoint, shared by its connections. [zone: field]

OCPP-J 1.6, 3.1 (identity in the URL, subprotocol) and its security whitepaper, profiles 0 and 1: an unknown identity is
answered 404 and a wrong key 401, both before the upgrade.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import unquote, urlsplit
from weakref import WeakKeyDictionary

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from pilots.domain.errors import LinkDown
from pilots.drivers.traffic import Traffic

PATH = "/ocpp/"
SUBPROTOCOL = Subprotocol("ocpp1.6")
LARGEST_MESSAGE = 256 * 1024
PROTOCOL_ERROR = 1002
# Its messages are of handshakes that fail, which our counters and one line of ours already say.
silent = logging.getLogger("pilots.drivers.ocpp.websocket")
silent.setLevel(logging.CRITICAL)
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Admission:
    """One identity that may connect. `key_sha256` None: no key asked (security profile 0)."""

    serve: Callable[[ServerConnection], Awaitable[None]]
    traffic: Traffic
    security_profile: int = 0
    key_sha256: str = ""

    def lets_in(self, identity: str, authorization: Sequence[str]) -> bool:
        """Whether these Authorization headers are right; compared in constant time."""
        if self.security_profile == 0:
            return True
        user, key = credentials(authorization)
        # Keys of up to 20 bytes are configured as 40 hex digits, and stations send either form.
        digests = [hashlib.sha256(form).hexdigest() for form in (key, key.hex().encode(), key.hex().upper().encode())]
        # A list, not a generator: every form is compared, so that the time tells nothing.
        right_key = any([hmac.compare_digest(digest, self.key_sha256.lower()) for digest in digests])  # noqa: C419
        return hmac.compare_digest(user, identity.encode()) and right_key and bool(self.key_sha256)


def credentials(authorization: Sequence[str]) -> tuple[bytes, bytes]:
    """User and key of the one Basic header; empty when there is none, several or garbage."""
    scheme, _, coded = (authorization[0] if len(authorization) == 1 else "").partition(" ")
    if scheme.lower() != "basic":
        return b"", b""
    try:
        user, _, key = base64.b64decode(coded.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return b"", b""
    return user, key


class Listener:
    """One endpoint; `admissions` says who may come in and who serves them."""

    def __init__(self, host: str, port: int, *, ping_s: float) -> None:
        self.host, self._wanted, self._ping_s = host, port, ping_s
        self.admissions: dict[str, Admission] = {}
        self.strangers = 0
        self.users = 0
        self._server: Server | None = None
        self._opening = asyncio.Lock()

    @property
    def port(self) -> int:
        return int(self._server.sockets[0].getsockname()[1]) if self._server is not None else self._wanted

    async def open(self) -> None:
        """It listens; twice is once. Raises LinkDown when the endpoint cannot be listened on."""
        async with self._opening:
            if self._server is None:
                self._server = await self._listen()

    async def _listen(self) -> Server:
        try:
            return await serve(
                self._serve,
                self.host,
                self._wanted,
                process_request=self._admit,
                select_subprotocol=lambda _, offered: SUBPROTOCOL if SUBPROTOCOL in offered else None,
                compression=None,  # it triples the memory of a station and doubles the cost of a message
                max_size=LARGEST_MESSAGE,
                ping_interval=self._ping_s,
                ping_timeout=self._ping_s,
                close_timeout=1.0,
                server_header=None,
                logger=silent,
            )
        except OSError as error:
            raise LinkDown(f"cannot listen on {self.host}:{self._wanted}: {error.strerror or error}") from error

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        identity = identity_of(request.path)
        admission = self.admissions.get(identity)
        if admission is None:
            self.strangers += 1
            # Nobody's message, so whoever listens here counts it: the operators see it beside the connection.
            for traffic in {id(known.traffic): known.traffic for known in self.admissions.values()}.values():
                traffic.refused += 1
            log.info("an unknown charge point was refused", extra={"identity": identity[:48], "listener": self.port})
            return connection.respond(HTTPStatus.NOT_FOUND, "unknown charge point\n")
        if not admission.lets_in(identity, request.headers.get_all("Authorization")):
            admission.traffic.refused += 1
            log.warning("a charge point came with a wrong key", extra={"identity": identity, "listener": self.port})
            response = connection.respond(HTTPStatus.UNAUTHORIZED, "wrong user or key\n")
            response.headers["WWW-Authenticate"] = 'Basic realm="ocpp"'
            return response
        return None

    async def _serve(self, connection: ServerConnection) -> None:
        request = connection.request
        admission = self.admissions.get(identity_of(request.path)) if request is not None else None
        if connection.subprotocol != SUBPROTOCOL or admission is None:
            await connection.close(PROTOCOL_ERROR, "no common subprotocol")
            return
        await admission.serve(connection)


def identity_of(path: str) -> str:
    """The identity in `/ocpp/<percent-encoded identity>`; empty for any other path.

    >>> identity_of("/ocpp/RDAM%20123"), identity_of("/other/x")
    ('RDAM 123', '')
    """
    route = urlsplit(path).path
    return unquote(route.removeprefix(PATH)) if route.startswith(PATH) else ""


_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, int], Listener]] = WeakKeyDictionary()


async def join(host: str, port: int, *, ping_s: float) -> Listener:
    """The listener of that endpoint, opened by its first user; port 0 is a new one each time. Raises LinkDown."""
    listeners = _shared.setdefault(asyncio.get_running_loop(), {})
    listener = listeners.get((host, port)) or Listener(host, port, ping_s=ping_s)
    if port:
        # Entered before the await, so that two connections opening at once do not both bind.
        listeners[host, port] = listener
    listener.users += 1
    try:
        await listener.open()
    except BaseException:
        await leave(listener)
        raise
    return listener


async def leave(listener: Listener) -> None:
    """The last user closes the endpoint."""
    listener.users -= 1
    if listener.users > 0:
        return
    listeners = _shared.get(asyncio.get_running_loop(), {})
    for place in [place for place, shared in listeners.items() if shared is listener]:
        del listeners[place]
    await listener.close()
