"""A set-point there and back: from the API to the device, and from its measurement back."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from tests.journeys.api import Json, stamp
from tests.journeys.installation import Installation

#: Device, point, value (W), mode, tolerance (W): Spain by IEC 104, Germany by SunSpec, the Netherlands by OCPP.
THREE = [
    ("es-STO01", "p_set", -20_000.0, 3_000.0),
    ("de-STO90", "p_set", 10_000.0, 3_000.0),
    ("nl-EVSE01", "p_limit", 6_000.0, None),
]


@pytest.fixture(autouse=True)
def devices_given_back(scada: Installation) -> Iterator[None]:
    """What is still active after a journey is cancelled, so that the next one finds the device as it was."""
    yield
    for device, *_ in THREE:
        for record in scada.api.get("setpoints", device=device)["results"]:
            if record["active"] or record["state"] in ("validated", "dispatched"):
                scada.api.send("POST", f"setpoints/{record['id']}/cancel", json={"reason": "the journey is over"})


def writes(scada: Installation, device: str, point: str, since: int = 0) -> list[Json]:
    """What the simulated device obeyed, without those before the first `since`."""
    return [entry for entry in scada.ledger("writes") if (entry["device"], entry["point"]) == (device, point)][since:]


def executed(scada: Installation, number: str) -> Json:
    """The record once it is executed: 20 s are the issue's own limit."""

    def done() -> Json | None:
        record = scada.api.setpoint(number)
        assert record["state"] not in ("rejected", "failed", "expired", "cancelled"), record
        return record if record["state"] == "executed" else None

    return scada.until(done, 20, f"set-point {number} executed")


@pytest.mark.parametrize(("device", "point", "value", "tolerance"), THREE)
def test_a_setpoint_reaches_its_device_and_its_measurement_within_twenty_seconds(
    scada: Installation, device: str, point: str, value: float, tolerance: float | None
) -> None:
    before = len(writes(scada, device, point))
    answer = scada.api.ask(device, point, value, reason="journey")
    assert answer.status_code == 202, answer.text
    record = executed(scada, answer.json()["id"])
    states = [event["state"] for event in record["events"]]
    assert states == ["received", "validated", "dispatched", "executed"]
    shown = scada.api.value(f"{record['pilot']}/{device}/active_power")["value"]
    assert shown <= value * 1.1 if tolerance is None else abs(shown - value) <= tolerance
    assert [entry["value"] for entry in writes(scada, device, point, before)] == [pytest.approx(value)]


@pytest.mark.parametrize(("device", "point", "value"), [("es-STO01", "p_set", 12_000.0), ("de-STO90", "p_set", -8_000.0)])
def test_ten_repeats_with_one_key_are_one_record_and_one_write(
    scada: Installation, device: str, point: str, value: float
) -> None:
    before, key = len(writes(scada, device, point)), str(uuid4())
    same = {"key": key, "valid_until": stamp(datetime.now(UTC) + timedelta(minutes=2)), "reason": "again"}
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: scada.api.ask(device, point, value, **same), range(5)))
    answers += [scada.api.ask(device, point, value, **same) for _ in range(5)]
    taken = [answer for answer in answers if answer.status_code == 202]
    # While the first is still being answered a repeat is told so; it never becomes a second record.
    assert {answer.json()["code"] for answer in answers if answer.status_code != 202} <= {"idempotency_in_progress"}
    assert len(taken) >= 5
    (number,) = {answer.json()["id"] for answer in taken}
    executed(scada, number)
    assert len(writes(scada, device, point, before)) == 1


@pytest.mark.parametrize(
    ("wish", "status", "code"),
    [
        ({"value": 1e9}, 202, "out_of_range"),
        ({"unit": "kW"}, 422, "wrong_unit"),
        ({"valid_until": "2020-01-01T00:00:00Z"}, 202, "stale_request"),
        ({"device": "es-STO99"}, 404, "unknown_device"),
        ({"point": "no_such"}, 404, "unknown_point"),
        ({"point": "soc", "unit": "%"}, 202, "not_capable"),
    ],
)
def test_a_setpoint_that_cannot_be_is_refused_with_its_reason(scada: Installation, wish: Json, status: int, code: str) -> None:
    before = len(writes(scada, "es-STO01", "p_set"))
    form = {"device": "es-STO01", "point": "p_set", "value": 1000.0} | wish
    answer = scada.api.ask(form.pop("device"), form.pop("point"), form.pop("value"), **form)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert status != 202 or answer.json()["state"] == "rejected"
    assert len(writes(scada, "es-STO01", "p_set")) == before


def test_a_setpoint_that_is_no_number_is_refused(scada: Installation) -> None:
    body = '{"device": "es-STO01", "point": "p_set", "value": NaN, "unit": "W", "valid_until": "2099-01-01T00:00:00Z"}'
    headers = {"Idempotency-Key": str(uuid4()), "Content-Type": "application/json"}
    answer = scada.api.send("POST", "setpoints", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_json")


def test_without_the_right_token_nothing_is_sent(scada: Installation) -> None:
    for token, status in (("wrong", 401), (scada.token(f"reader-{uuid4().hex[:6]}", "read"), 403)):
        answer = scada.api.ask("es-STO01", "p_set", 1000.0, token=token)
        assert answer.status_code == status, answer.text


def test_a_cancelled_setpoint_gives_the_battery_back(scada: Installation) -> None:
    number = scada.api.ask("de-STO90", "p_set", 9_000.0).json()["id"]
    executed(scada, number)
    assert scada.api.send("POST", f"setpoints/{number}/cancel", json={"reason": "enough"}).status_code == 200
    assert scada.api.setpoint(number)["active"] is False
    again = scada.api.send("POST", f"setpoints/{number}/cancel", json={"reason": "enough"})
    assert (again.status_code, again.json()["code"]) == (409, "already_finished")
    scada.until(lambda: abs(scada.api.value("de/de-STO90/active_power")["value"]) < 1000, 30, "de-STO90 at rest")


def test_an_expired_setpoint_is_released_by_itself(scada: Installation) -> None:
    number = scada.api.ask("es-STO01", "p_set", 15_000.0, valid_s=12).json()["id"]
    executed(scada, number)
    scada.until(lambda: scada.api.setpoint(number)["active"] is False, 30, "set-point released")
    scada.until(lambda: abs(scada.api.value("es/es-STO01/active_power")["value"]) < 1500, 30, "es-STO01 at rest")
