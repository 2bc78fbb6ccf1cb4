"""Pushers and the platform over real HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from pilots.api.forecast_body import read_forecast
from pilots.catalogue.loader import profiles_of
from pilots.domain.forecast import check_forecast
from pilots.domain.point import PointKind, PointSpec
from pilots.simulators.head_end import HeadEnd, pushers_of
from pilots.simulators.platform import Platform
from pilots.simulators.platform_forecasts import Forecasts
from pilots.simulators.platform_orders import ORDERS, Orders
from pilots.simulators.platform_schedules import Schedules
from pilots.simulators.small_http import Answer, HttpRequest, SmallHttpServer
from tests.simulators.peers import eventually, pilot, plant_of

TOKEN = "platform-token"
POWER = PointSpec(name="active_power", kind=PointKind.MEASUREMENT, unit="W")


@asynccontextmanager
async def platform(folder: Path) -> AsyncIterator[tuple[httpx.AsyncClient, Platform]]:
    service = Platform(folder, token=lambda: TOKEN)
    port = await service.start("127.0.0.1", 0)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False) as client:
        try:
            yield client, service
        finally:
            await service.stop()


def message(sequence: int, *, value: float = 1.0) -> dict[str, Any]:
    row = {"device": "es-STO01", "point": "soc", "t": "2026-11-23T12:00:00.000Z", "value": value, "unit": "%"}
    return {"pilot": "es", "epoch": 3, "sequence": sequence, "sent_at": "2026-11-23T12:00:00.000Z", "values": [row]}


async def test_a_message_is_in_the_ledger_before_it_is_answered(tmp_path: Path) -> None:
    async with platform(tmp_path) as (client, _):
        answer = await client.post("/measurements", json=message(1), headers={"Idempotency-Key": "k1"})
        lines = (tmp_path / "platform.jsonl").read_text().splitlines()
    assert answer.status_code == 200
    entry = json.loads(lines[0])
    assert (entry["key"], entry["pilot"], entry["epoch"], entry["sequence"]) == ("k1", "es", 3, 1)
    assert entry["values"] == message(1)["values"]


async def test_keys_are_remembered_across_a_restart(tmp_path: Path) -> None:
    key = {"Idempotency-Key": "k1"}
    async with platform(tmp_path) as (client, _):
        first = await client.post("/measurements", json=message(1), headers=key)
    # A line that kill -9 cut off was never acknowledged.
    with open(tmp_path / "platform.jsonl", "a") as ledger:
        ledger.write('{"t":"2026-11-23T')
    async with platform(tmp_path) as (client, service):
        again = await client.post("/measurements", json=message(1), headers=key)
        other = await client.post("/measurements", json=message(1, value=2.0), headers=key)
        state = service.state()
    assert (again.status_code, again.json()) == (200, first.json())
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    assert state["counts"]["messages"] == 1


async def test_gaps_in_the_sequence_are_seen_and_closed_by_late_arrivals(tmp_path: Path) -> None:
    async with platform(tmp_path) as (client, _):
        for sequence in (1, 2, 5):
            await client.post("/measurements", json=message(sequence), headers={"Idempotency-Key": f"k{sequence}"})
        gap = (await client.get("/state")).json()["sequences"]
        for sequence in (3, 4):
            await client.post("/measurements", json=message(sequence), headers={"Idempotency-Key": f"k{sequence}"})
        closed = (await client.get("/state")).json()["sequences"]
    assert gap == [{"pilot": "es", "epoch": 3, "last_sequence": 5, "missing": 2}]
    assert closed == [{"pilot": "es", "epoch": 3, "last_sequence": 5, "missing": 0}]


async def test_a_wrong_token_a_missing_key_and_nonsense_are_refused(tmp_path: Path) -> None:
    async with platform(tmp_path) as (client, _):
        wrong = {"Authorization": "Bearer no", "Idempotency-Key": "k"}
        stranger = await client.post("/measurements", json=message(1), headers=wrong)
        keyless = await client.post("/measurements", json=message(1))
        nonsense = await client.post("/measurements", content=b"{]", headers={"Idempotency-Key": "k"})
        nowhere = await client.get("/elsewhere")
    assert [answer.status_code for answer in (stranger, keyless, nonsense, nowhere)] == [401, 400, 422, 404]
    assert not (tmp_path / "platform.jsonl").exists()


class Api:
    """Our own API as the peers see it, answering what the test says."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.schedules: list[dict[str, Any]] = []
        self.requests: list[tuple[HttpRequest, dict[str, Any]]] = []
        self.server = SmallHttpServer(self.answer)
        self.url = ""

    async def answer(self, request: HttpRequest) -> Answer:
        self.requests.append((request, json.loads(request.body) if request.body else {}))
        if request.method == "GET" and "/schedules" in request.path:
            return 200, {"results": self.schedules}
        if request.path.endswith("/schedules"):
            self.schedules.append(self.requests[-1][1])
            return 201, self.requests[-1][1]
        if "/measurements/latest" in request.path:
            return 200, {"results": [{"value": 8000.0}]}
        if request.path.endswith("/forecasts"):
            return 201, {"id": "7"}
        if request.method == "GET":
            return 200, {"id": request.path.rpartition("/")[2], "state": "executed", "code": None}
        if request.path.endswith("/setpoints"):
            return 202, {"id": self.requests[-1][1]["id"], "state": "received"}
        return (self.statuses.pop(0) if self.statuses else 200), {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Api]:
        self.url = f"http://127.0.0.1:{await self.server.start('127.0.0.1', 0)}/api/v1"
        try:
            yield self
        finally:
            await self.server.stop()


def head_end(code: str, name: str, api: Api) -> HeadEnd:
    spec, plant = pilot(code), plant_of(code, start=datetime.now(UTC))
    devices = pushers_of(spec)[name]
    return HeadEnd(plant, name, devices, profiles_of(spec), base_url=lambda: api.url or None, token=lambda: "t", period_s=0.3)


@asynccontextmanager
async def pushing(pusher: HeadEnd) -> AsyncIterator[None]:
    task = asyncio.create_task(pusher.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_home_automation_cloud_pushes_every_point_of_its_devices() -> None:
    async with Api().running() as api, pushing(head_end("no", "no-HAC", api)):
        request, body = (await eventually(lambda: api.requests))[0]
    assert request.path == "/api/v1/measurements"
    assert request.headers["authorization"] == "Bearer t"
    assert request.headers["idempotency-key"]
    rows = {(row["device"], row["point"]): row for row in body["values"]}
    assert body["pilot"] == "no"
    assert ("no-SM01", "active_power") in rows
    assert ("no-STO01", "soc") in rows
    soc = rows["no-STO01", "soc"]
    assert soc["unit"] == "%"
    assert soc["agg"] == "last"
    assert 10 <= soc["value"] <= 90
    assert soc["quality"] == {"validity": "good", "source": "simulated", "flags": []}


async def test_what_could_not_be_sent_comes_later_in_order_under_the_same_key() -> None:
    async with Api().running() as api:
        api.statuses = [503, 503]
        async with pushing(head_end("bg", "bg-WX", api)):
            await eventually(lambda: len(api.requests) >= 5)
    keys = [request.headers["idempotency-key"] for request, _ in api.requests]
    assert keys[0] == keys[1] == keys[2] != keys[3]
    sequences = [body["sequence"] for _, body in api.requests]
    assert sequences == sorted(sequences)
    assert set(sequences) == set(range(1, sequences[-1] + 1))


async def test_a_message_refused_for_good_does_not_block_the_next() -> None:
    async with Api().running() as api:
        api.statuses = [422]
        async with pushing(head_end("bg", "bg-WX", api)):
            await eventually(lambda: len(api.requests) >= 2)
    assert [body["sequence"] for _, body in api.requests[:2]] == [1, 2]


async def test_the_weather_source_pushes_itself_and_german_meters_push_each_for_itself() -> None:
    assert [device.id for device in pushers_of(pilot("bg"))["bg-WX"]] == ["bg-WX"]
    assert {f"de-SM{number:02d}" for number in range(1, 11)} <= set(pushers_of(pilot("de")))


async def test_the_platform_orders_follows_and_notes_the_outcome(tmp_path: Path) -> None:
    async with Api().running() as api, httpx.AsyncClient(trust_env=False) as client:
        orders = Orders(tmp_path, base_url=lambda: api.url, token=lambda: "c", devices=["bg-STO01"])
        assert await orders.place(client, ORDERS[0]) == "executed"
    request, body = api.requests[0]
    assert request.headers["idempotency-key"] == body["id"]
    assert (body["device"], body["point"], body["unit"]) == ("bg-STO01", "p_set", "W")
    assert (body["mode"], body["priority"]) == ("absolute", 5)
    noted = json.loads((tmp_path / "platform_setpoints.jsonl").read_text())
    assert (noted["device"], noted["value"], noted["state"]) == ("bg-STO01", 30000.0, "executed")


async def test_the_platform_keeps_one_schedule_of_a_day_open_and_notes_it(tmp_path: Path) -> None:
    now = datetime(2026, 11, 23, 14, 50, tzinfo=UTC)
    async with Api().running() as api, httpx.AsyncClient(trust_env=False) as client:
        schedules = Schedules(tmp_path, base_url=lambda: api.url, token=lambda: "c", devices=["nl-EVSE42"])
        number = await schedules.see_to(client, now)
        assert await schedules.see_to(client, now) is None
    (body,) = api.schedules
    assert (body["id"], body["device"], body["point"], body["unit"]) == (number, "nl-EVSE42", "p_limit", "W")
    assert (body["start"], len(body["values"]), body["values"][:2]) == ("2026-11-23T14:45:00.000Z", 96, [11_000.0, 7_000.0])
    noted = json.loads((tmp_path / "platform_schedules.jsonl").read_text())
    assert (noted["id"], noted["status"]) == (number, 201)


async def test_the_platform_tells_what_it_foresees_once_an_hour(tmp_path: Path) -> None:
    noon = datetime(2026, 6, 21, 12, 0, tzinfo=UTC)
    pilots = [pilot(code) for code in ("bg", "es", "nl", "no", "de")]
    async with Api().running() as api, httpx.AsyncClient(trust_env=False) as client:
        forecasts = Forecasts(tmp_path, base_url=lambda: api.url, token=lambda: "c", pilots=pilots, seed=1)
        assert {subject.pilot for subject in forecasts.due(noon)} == {"bg", "es", "nl", "no", "de"}
        assert {await forecasts.tell(client, subject, noon) for subject in forecasts.due(noon)} == {"7"}
        assert not list(forecasts.due(noon + timedelta(minutes=59))) and list(forecasts.due(noon + timedelta(hours=1)))
    told = [read_forecast(body) for request, body in api.requests if request.path.endswith("/forecasts")]
    for body in told:
        point = None if body.run.kind == "price" else POWER
        check_forecast(body.run, point=point, issued_at=body.issued_at, now=noon, kept=timedelta(days=1))
    values = {body.device: body.run.values for body in told}
    at_noon = 12 * 4
    assert min(values["es-PV01"][at_noon] or 0.0, -1.0) < -1000 and values["es-PV01"][0] == 0.0, "PV gives by day alone"
    assert values["nl-SM14"][at_noon] is not None and (tmp_path / "platform_forecasts.jsonl").exists()
