"""Equipment that is nobody's simulator of ours: a bare Modbus TCP server, a charge point, a pushing device."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import uuid4

import httpx
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from tests.drivers.iec61850.peers import POSITION, POSITION_CMD, POWER, VOLTAGE, Ied
from tests.drivers.raw_modbus import RawModbus, Request
from tests.journeys.api import Api, Json, stamp
from tests.waiting import close_server

POINTS = (POSITION, POSITION_CMD, POWER, VOLTAGE)
BOOT = {"chargePointVendor": "journeys", "chargePointModel": "bare"}


class ForeignMeter:
    """A PM5000 of register values, served by a few lines of asyncio in a thread: no pymodbus in it."""

    def __init__(self) -> None:
        self.modbus = RawModbus(registers=dict.fromkeys(range(2990, 3230), 0))
        self.garbage = False
        self.modbus.script = self._answer
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.show(12.5)
        self.modbus.load(3035, struct.pack(">f", 231.5))
        self.modbus.load(3109, struct.pack(">f", 50.0))

    def show(self, power_kw: float) -> None:
        self.modbus.load(3059, struct.pack(">f", power_kw))

    async def _answer(self, request: Request) -> bytes:
        return b"\xff garbage " * 8 if self.garbage else self.modbus.answer(request)

    def start(self) -> int:
        self._thread.start()
        assert self._ready.wait(5)
        return self.modbus.port

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self.modbus.accept, "127.0.0.1", 0))
        self.modbus.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(close_server(server))
        self.modbus.hang_up()
        pending = asyncio.all_tasks(self._loop)
        for task in pending:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
        # Who connected in the last moment hangs up too, and every transport gets its turn to close.
        self.modbus.hang_up()
        self._loop.run_until_complete(asyncio.sleep(0.05))
        self._loop.close()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)


class ForeignIed:
    """A protection IED by name and reference, whose values nobody has commissioned yet; it runs in a thread."""

    def __init__(self) -> None:
        self._ied = Ied(POINTS, {}, {})
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def port(self) -> int:
        return self._ied.port

    def start(self) -> None:
        self._thread.start()
        self._run(self._ied.server.start("127.0.0.1", self.port))

    def _run(self, deed: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(deed, self._loop).result(10)

    def stop(self) -> None:
        self._run(self._ied.server.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()


@contextmanager
def dead_port() -> Iterator[int]:
    """A port that refuses every connection, and that nobody else can take meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def ocpp_socket(port: int, identity: str, key: str) -> ClientConnection:
    headers = {"Authorization": "Basic " + base64.b64encode(f"{identity}:{key}".encode()).decode()}
    place = f"ws://127.0.0.1:{port}/ocpp/{identity}"
    return connect(place, subprotocols=["ocpp1.6"], additional_headers=headers, proxy=None, open_timeout=5, close_timeout=1)  # type: ignore[list-item]


class Sender:
    """Sends one message after the other in a thread; one that is not answered is sent again until it is.

    Values go on from sender to sender of a kind: what differs less than the point's deadband from the last one kept is no sample.
    """

    numbers: ClassVar[Iterator[int]]

    def __init_subclass__(cls) -> None:
        cls.numbers = itertools.count()

    def __init__(self) -> None:
        self.acknowledged: list[Json] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Sender:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(20)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        for number in self.numbers:
            value = {"t": stamp(datetime.now(UTC)), "value": float(100 + 37 * number % 900)}
            while not self._stopping.is_set() and not self.deliver(value):
                self._stopping.wait(0.3)
            if self._stopping.wait(0.3):
                self.close()
                return
            self.acknowledged.append(value)

    def deliver(self, value: Json) -> bool:
        """Whether the product has acknowledged it."""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing stays open."""


class Pusher(Sender):
    """Pushes irradiance of xx-WX; the key of a message stays the same at every try."""

    def __init__(self, api: Api) -> None:
        super().__init__()
        self._api = Api(api.url, api.token)
        self._keys: dict[str, str] = {}

    def deliver(self, value: Json) -> bool:
        key = self._keys.setdefault(value["t"], str(uuid4()))
        row = {"device": "xx-WX", "point": "irradiance_ghi", "unit": "W/m2", **value}
        try:
            answer = self._api.push("xx", [row], key)
        except (httpx.HTTPError, KeyError):
            return False
        return answer.status_code == 200

    def close(self) -> None:
        self._api.close()


class Station(Sender):
    """The charge point xx-EVSE01: MeterValues over a socket that it opens anew whenever it is gone."""

    def __init__(self, port: Callable[[], int], key: str) -> None:
        super().__init__()
        self._port, self._key = port, key
        self._socket: ClientConnection | None = None
        self._opened = ExitStack()

    def deliver(self, value: Json) -> bool:
        sampled = {"value": str(value["value"]), "measurand": "Power.Active.Import", "unit": "W"}
        reading = {"connectorId": 1, "meterValue": [{"timestamp": value["t"], "sampledValue": [sampled]}]}
        try:
            if self._socket is None:
                self._socket = self._opened.enter_context(ocpp_socket(self._port(), "xx-EVSE01", self._key))
                self.call("BootNotification", BOOT)
            self.call("MeterValues", reading)
        except (OSError, WebSocketException, TimeoutError, KeyError):
            self.close()
            return False
        return True

    def call(self, action: str, payload: object) -> Any:
        """The payload of the CALLRESULT; calls of the central system meanwhile are answered NotSupported."""
        assert self._socket is not None
        number = uuid4().hex
        self._socket.send(json.dumps([2, number, action, payload]))
        while True:
            message = json.loads(self._socket.recv(timeout=5))
            if message[0] == 3 and message[1] == number:
                return message[2]
            if message[0] == 2:
                self._socket.send(json.dumps([4, message[1], "NotSupported", "", {}]))

    def close(self) -> None:
        self._socket = None
        with suppress(OSError, WebSocketException):
            self._opened.close()
