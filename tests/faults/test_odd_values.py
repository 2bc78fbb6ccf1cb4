"""F25: what is no number, no value, out of range, stuck or counted backwards. [field -> enterprise]"""

from __future__ import annotations

import csv
import json
import math
import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from pilots.acquisition.gateway import Gateway
from pilots.domain.quality import Flag, Validity
from pilots.exports.sample_csv import csv_lines
from pilots.history.selectors import read_samples, stream_samples
from pilots.live.frames import encode_snapshot
from pilots.live.hub import hub
from pilots.models import AuditEvent, Device, LatestValue, OutboxMessage, Pilot, Point
from pilots.northbound.services import _body
from pilots.ui.live_state import point_rows
from tests.api.conftest import Api, api
from tests.builders import make_connection, make_device, make_pilot, make_point
from tests.drivers.raw_modbus import Request
from tests.faults.far_side import FarSide
from tests.faults.peers import Answers, Meters
from tests.waiting import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.wire]
NAN, INFINITE = float("nan"), float("inf")
RESET_AT = 8


def odd(turn: int) -> dict[int, bytes]:
    """What the registers hold at the n-th question: registers as bytes by their number."""
    return {
        0: struct.pack(">f", NAN),
        10: struct.pack(">f", INFINITE),
        20: struct.pack(">f", -INFINITE),
        30: b"\x80\0",
        40: struct.pack(">f", 1e6),
        50: struct.pack(">f", 5.0),
        60: struct.pack(">f", 5.0 if turn % 2 else NAN),
        70: struct.pack(">I", 1000 + turn if turn < RESET_AT else turn - RESET_AT),
    }


#: Point, its address, and its other fields.
POINTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nan": ({"register": 0, "type": "float32"}, {}),
    "infinite": ({"register": 10, "type": "float32"}, {}),
    "minus_infinite": ({"register": 20, "type": "float32"}, {}),
    "lacking": ({"register": 30, "type": "int16", "not_implemented": -32768}, {}),
    "beyond": ({"register": 40, "type": "float32"}, {"low": -1000.0, "high": 1000.0}),
    "stuck": ({"register": 50, "type": "float32"}, {}),
    "mixed": ({"register": 60, "type": "float32"}, {}),
    "energy": ({"register": 70, "type": "uint32"}, {"kind": "counter", "unit": "Wh"}),
}
WITHOUT = ("nan", "infinite", "minus_infinite", "lacking")


def odd_device(far: FarSide, pilot: Pilot) -> tuple[Device, Meters]:
    turns = [0]

    def reply(request: Request, answer: bytes) -> Answers:
        turns[0] += request.address == 0
        memory = bytearray(200)
        for register, raw in odd(turns[0]).items():
            memory[2 * register : 2 * register + len(raw)] = raw
        words = bytes(memory[2 * request.address : 2 * (request.address + request.count)])
        return [(0.0, request.frame(bytes((request.function, len(words))) + words))]

    meters = Meters(reply=reply)
    line = make_connection(pilot, "bg-odd", protocol="modbus_tcp", port=far.serve(meters.protocol), state="unknown")
    device = make_device(pilot, "bg-odd-1", connection=line, address={"unit": 1})
    for name, (address, fields) in POINTS.items():
        make_point(device, name, period_s=0.1, max_interval_s=5.0, address=address, **fields)
    return device, meters


def strictly(answer: Any) -> Any:
    """The JSON of an answer. Raises AssertionError at NaN and Infinity, which JSON has not."""
    return parse(answer.content)


def parse(body: bytes) -> Any:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(body, parse_constant=refuse)


def test_f25_odd_values_never_become_numbers(far: FarSide, start: Callable[[], Gateway]) -> None:
    began, pilot, frames = datetime.now(UTC), make_pilot("bg"), list[str]()
    _, meters = odd_device(far, pilot)
    hub().subscribe("bg", lambda number, frame, gap: frames.append(frame))
    start()
    until(lambda: len(meters.told) > 20 and LatestValue.objects.count() == len(POINTS))
    until(lambda: kept("energy", began)[-1] >= 3 and kept("energy", began)[0] > 1000)
    latest = {row.point.name: row for row in LatestValue.objects.select_related("point")}
    for name in WITHOUT:
        assert (latest[name].value, latest[name].unpacked_quality.validity) == (None, Validity.INVALID), name
        assert kept(name, began) == []
    assert Flag.OUT_OF_RANGE in latest["beyond"].unpacked_quality.flags
    assert latest["beyond"].unpacked_quality.validity is Validity.QUESTIONABLE
    assert set(kept("mixed", began)) == {5.0}
    assert latest["stuck"].value == 5.0
    # However long it stands still, it is read: no old data, and it is renewed.
    read = latest["stuck"].received_time
    until(lambda: LatestValue.objects.get(point__name="stuck").received_time > read)
    assert latest["stuck"].unpacked_quality.flags == Flag.NONE

    client, wanted = api(), (began - timedelta(seconds=1)).isoformat().replace("+00:00", "Z")
    rows = strictly(client.get("/measurements/latest"))["results"]
    assert {row["point"] for row in rows if row["value"] is None} >= set(WITHOUT)
    means = {name: mean(client, name, wanted) for name in POINTS}
    assert means["mixed"] == means["stuck"] == 5.0
    assert [means[name] for name in WITHOUT] == [None] * len(WITHOUT)
    bodies = [parse(_body(pilot, message)) for message in OutboxMessage.objects.all()]
    forwarded = [value for body in bodies for value in body["values"]]
    assert all(value["value"] is None for value in forwarded if value["point"] in WITHOUT)

    shown = [row for frame in frames for row in parse(frame.encode())["points"]]
    shown += parse(snapshot(pilot).encode())["points"]
    assert {row[0] for row in shown} == {f"bg-odd-1/{name}" for name in POINTS}
    assert all(row[1] is None for row in shown if row[0].split("/")[1] in WITHOUT)
    exported = list(csv.DictReader(exported_lines(began)))
    assert {row["point"] for row in exported} == POINTS.keys()
    assert all((row["value"] == "") is (row["validity"] == "invalid") for row in exported)
    assert all(math.isfinite(float(row["value"] or 0)) for row in exported)

    energy = kept("energy", began)
    falls = sum(after < before for before, after in pairwise(energy))
    assert falls == 1
    assert min(energy) >= 0
    reset = AuditEvent.objects.get(action="counter_reset")
    assert reset.subject == "bg/bg-odd-1/energy"
    assert (reset.details["before"], reset.details["after"]) == (1000 + RESET_AT - 1, 0)
    print(
        f"F25: {len(forwarded)} values forwarded in {len(bodies)} messages of strict JSON, 0 numbers of {len(WITHOUT)} points "
        f"without value; means beside NaN {means['mixed']}; a counter set back is kept as it came ({len(energy)} samples, "
        f"{falls} fall, none negative)"
    )


def snapshot(pilot: Pilot) -> str:
    """What a page starts with."""
    return encode_snapshot(pilot.code, epoch="", n=0, now=datetime.now(UTC), points=point_rows(pilot), links=[], setpoints=[])


def exported_lines(began: datetime) -> list[str]:
    """The CSV of the trends page."""
    points = list(Point.objects.select_related("device"))
    samples = stream_samples(points, began - timedelta(minutes=1), began + timedelta(hours=1))
    return "".join(csv_lines(points, samples, ZoneInfo("UTC"))).splitlines()


def kept(name: str, began: datetime) -> list[float]:
    point = Point.objects.filter(name=name)
    rows = read_samples(list(point), began - timedelta(minutes=1), began + timedelta(hours=1), limit=10_000)
    return [row.value for row in rows if row.value is not None] or ([] if name in WITHOUT else [0.0])


def mean(client: Api, name: str, start: str) -> float | None:
    """Of the newest interval that has one."""
    query = {"point": f"bg/bg-odd-1/{name}", "from": start, "resolution": "PT1M", "agg": "mean"}
    rows = strictly(client.get("/measurements", **query))["results"]
    return next((row["mean"] for row in reversed(rows) if row["mean"] is not None), None)
