"""One connected charge point: frames in and out, answers in order, our calls one at a time. [zone: field]

OCPP-J 1.6, 4 (RPC framework). The `ocpp` library validates, and matches answers to our calls; receiving is ours, because
the reader must never wait for a handler whose answer may depend on a frame behind it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import ocpp.messages
from ocpp.exceptions import (
    FormationViolationError,
    InternalError,
    NotImplementedError,
    NotSupportedError,
    OCPPError,
    UnknownCallErrorCodeError,
)
from ocpp.messages import Call, CallError, CallResult, validate_payload
from ocpp.v16 import ChargePoint
from ocpp.v16.enums import Action
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from pilots.domain.errors import AnswerTimeout, DeviceRefused, LinkDown, ProtocolViolation
from pilots.drivers.traffic import Traffic

# A thread hop per message costs more than the validation of the small messages that go through it.
ocpp.messages.ASYNC_VALIDATION = False

log = logging.getLogger(__name__)
# The library logs each frame and a traceback for each bad one: our counters say it in one number.
silent = logging.getLogger("pilots.drivers.ocpp.library")
silent.setLevel(logging.CRITICAL)

VERSION = "1.6"
#: A station may have one call open; more than this many waiting is a flood and slows its reader down.
MOST_WAITING = 64
END_TIMEOUT_S = 5.0
#: Its handler checks these itself, as the schema costs 4 ms a message.
CHECKED_BY_HANDLER = frozenset({"MeterValues", "Heartbeat"})
KNOWN_ACTIONS = frozenset(str(action.value) for action in Action)

Answer = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]


class StationSession:
    """The life of one WebSocket of one station.

    `answer(action, payload)` gives the payload of the CALLRESULT or raises OCPPError.
    """

    def __init__(
        self,
        identity: str,
        socket: ServerConnection,
        answer: Answer,
        *,
        actions: frozenset[str],
        timeout_s: float,
        traffic: Traffic,
    ) -> None:
        self.identity = identity
        self.gone = asyncio.Event()
        self.triggers_answered = True
        self._socket, self._answer, self._actions = socket, answer, actions
        self._timeout_s, self._traffic = timeout_s, traffic
        self._caller = ChargePoint(identity, self, response_timeout=timeout_s, logger=silent)
        self._calls: asyncio.Queue[list[Any] | None] = asyncio.Queue(MOST_WAITING)
        self._tasks: set[asyncio.Task[None]] = set()
        self._worker: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Serves until the socket is gone and every call that came by it is answered or found unanswerable."""
        self._worker = worker = asyncio.create_task(self._answer_calls())
        try:
            async for text in self._socket:
                await self._take(text)
        except ConnectionClosed:
            pass
        finally:
            for task in self._tasks:
                task.cancel()
            try:
                await self._finish(worker)
            finally:
                worker.cancel()
                self.gone.set()

    async def _finish(self, worker: asyncio.Task[None]) -> None:
        """What came before the socket went is still taken, unless `end` has lost patience."""
        ending = asyncio.ensure_future(self._calls.put(None))
        await asyncio.wait({worker})
        ending.cancel()

    async def close(self, reason: str) -> None:
        """The socket is closed; who runs the session sees it end."""
        await self._socket.close(1000, reason)

    async def end(self, reason: str) -> None:
        """The socket is closed and the session over, even if a commit it waits for never comes. Never raises."""
        await self.close(reason)
        try:
            async with asyncio.timeout(END_TIMEOUT_S):
                await self.gone.wait()
        except TimeoutError:
            if self._worker is not None:
                self._worker.cancel()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs `work` beside the reader until it ends or the station goes: handlers must not call out themselves."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def send(self, text: str) -> None:
        """The frame is handed to the socket. The `ocpp` library sends through this too."""
        self._traffic.note_sent(f"{self.identity} {text}".encode())
        await self._socket.send(text)

    async def call(self, request: Any) -> Any:
        """The station's CALLRESULT. Raises LinkDown, AnswerTimeout, DeviceRefused (CALLERROR), ProtocolViolation."""
        if self._socket.state.name != "OPEN":
            raise LinkDown(f"{self.identity} is not connected")
        started = asyncio.get_running_loop().time()
        call = asyncio.ensure_future(self._caller.call(request, suppress=False, skip_schema_validation=True))
        lost = asyncio.ensure_future(self._socket.wait_closed())
        try:
            await asyncio.wait({call, lost}, return_when=asyncio.FIRST_COMPLETED)
            if not call.done():
                self._traffic.timeouts += 1
                raise AnswerTimeout(f"{self.identity} disconnected before it answered {type(request).__name__}")
            result = self._result(call, type(request).__name__)
        finally:
            lost.cancel()
            call.cancel()
        self._traffic.note_round_trip(asyncio.get_running_loop().time() - started)
        return result

    def _result(self, call: asyncio.Future[Any], name: str) -> Any:
        try:
            return call.result()
        except TimeoutError as error:
            self._traffic.timeouts += 1
            raise AnswerTimeout(f"{self.identity} did not answer {name} within {self._timeout_s:g} s") from error
        except ConnectionClosed as error:
            raise LinkDown(f"{self.identity} is not connected") from error
        except (OCPPError, UnknownCallErrorCodeError) as error:
            self._traffic.refused += 1
            code = getattr(error, "code", "GenericError")
            raise DeviceRefused(f"{self.identity} refused {name}: {error}", device_code=str(code)) from error
        except TypeError as error:
            self._traffic.violations += 1
            raise ProtocolViolation(f"{self.identity} answered {name} with another payload: {error}") from error

    async def _take(self, text: str | bytes) -> None:
        """Sorts one frame: answers go to the waiting call at once, calls queue up. What is no OCPP is dropped and counted."""
        self._traffic.note_received(f"{self.identity} {text if isinstance(text, str) else text.hex()}".encode())
        try:
            frame = json.loads(text)
        except (ValueError, RecursionError):
            frame = None
        match frame:
            case [2, str(), str(), dict()]:
                await self._calls.put(frame)
            case [3, str(number), dict(payload)]:
                self._caller._response_queue.put_nowait(CallResult(number, payload))
            case [4, str(number), str(code), *rest]:
                self._caller._response_queue.put_nowait(CallError(number, code, *(rest + ["", {}][len(rest) :])[:2]))
            case [2, str(number), *_]:
                self._traffic.violations += 1
                await self._send_error(number, FormationViolationError(details={"cause": "a CALL is [2, id, action, payload]"}))
            case _:
                self._traffic.violations += 1
                log.debug("%s sent a frame that is no OCPP", self.identity)

    async def _answer_calls(self) -> None:
        """Answers calls in the order they came, so that a station's readings keep their order."""
        while (frame := await self._calls.get()) is not None:
            _, number, action, payload = frame
            with contextlib.suppress(ConnectionClosed):
                try:
                    result = await self._checked_answer(action, payload)
                except OCPPError as error:
                    self._traffic.violations += 1
                    await self._send_error(number, error)
                except Exception:
                    # Outermost loop of the session: the station is told and sends again what matters, the socket lives.
                    log.exception("%s: %s could not be taken", self.identity, action)
                    await self._send_error(number, InternalError())
                else:
                    await self.send(json.dumps([3, number, result], separators=(",", ":")))

    async def _checked_answer(self, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        if action not in self._actions:
            # The library has these two the other way round; OCPP-J 1.6, 4.2.3: NotImplemented = not known.
            raise NotSupportedError() if action in KNOWN_ACTIONS else NotImplementedError()
        if action not in CHECKED_BY_HANDLER:
            await validate_payload(Call("", action, payload), VERSION)
        return await self._answer(action, payload)

    async def _send_error(self, number: str, error: OCPPError) -> None:
        # 1.6 spells it FormationViolation; the schema check of the library uses the later name.
        code = "FormationViolation" if error.code == "FormatViolation" else error.code
        cause = str(error.details.get("cause", ""))[:255]
        details = {"cause": cause} if cause else {}
        await self.send(json.dumps([4, number, code, str(error.description)[:255], details], separators=(",", ":")))
