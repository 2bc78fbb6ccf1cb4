"""The pure parts of the OCPP driver: transaction numbers, limits and meter values."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilots.domain.point import PointKind
from pilots.drivers.ocpp import transactions
from pilots.drivers.ocpp.listener import Admission, credentials
from pilots.drivers.ocpp.mapping import PointMap, in_base_unit, pick, read_sample
from pilots.drivers.ocpp.profiles import build_profile, limit_of
from pilots.drivers.ocpp.transactions import StartKey, TransactionBook
from pilots.drivers.traffic import Traffic
from tests.drivers.builders import make_device, make_point

FIRST: StartKey = ("nl-EVSE01", 1, "tag", "2026-01-01T10:00:00Z", 0)
SECOND: StartKey = ("nl-EVSE02", 1, "tag", "2026-01-01T10:00:00Z", 0)


def test_one_number_is_never_given_to_two_transactions() -> None:
    book = TransactionBook(numbering=lambda key: 2**31 - 1)
    first, second = book.start(FIRST), book.start(SECOND)
    assert (first.id, second.id) == (2**31 - 1, 1)
    assert book.start(SECOND) is second


def test_a_number_taken_up_after_a_restart_stays_its_stations() -> None:
    book = TransactionBook(numbering=lambda key: 5)
    assert book.seen(5, "nl-EVSE01", 1) is not None
    assert book.start(SECOND).id == 6
    assert book.start(FIRST).id == 5
    assert book.seen(5, "nl-EVSE02", 1) is None
    assert book.seen(0, "nl-EVSE01", 1) is None


def test_the_newest_open_transaction_of_a_connector_is_the_running_one() -> None:
    book = TransactionBook()
    book.start(FIRST)
    later = book.start((*FIRST[:3], "2026-01-01T12:00:00Z", 5))
    assert book.running("nl-EVSE01", 1) is later
    assert book.running("nl-EVSE01", 2) is None


def test_closed_transactions_are_forgotten_before_open_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "REMEMBERED", 2)
    book = TransactionBook()
    running = book.start(FIRST)
    book.start(SECOND).open = False
    book.start((*FIRST[:3], "2026-01-02T10:00:00Z", 0))
    assert book.running("nl-EVSE01", 1) is not None
    assert book.seen(running.id, "nl-EVSE01", 1) is running


@given(power_w=st.floats(-1e3, 1e6), phases=st.sampled_from([1, 3]))
def test_a_limit_in_amperes_never_allows_more_and_never_what_no_car_can_use(power_w: float, phases: int) -> None:
    amperes, unit = limit_of(power_w, {"rate_unit": "A", "phases": phases})
    assert unit == "A"
    assert amperes == 0 or amperes >= 6
    assert amperes * 230 * phases <= max(power_w, 0) + 1e-3


def test_a_limit_without_end_has_none() -> None:
    now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    profile = build_profile("TxDefaultProfile", 1001, 100, now=now, valid_for_s=None, options={"stack_level": 9})
    assert "valid_to" not in profile and "duration" not in profile["charging_schedule"]
    assert profile["charging_schedule"]["start_schedule"] == "2026-01-01T11:59:00Z"
    assert profile["stack_level"] == 2


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [("1.5", "kWh", 1500.0), ("50", "Fahrenheit", 10.0), ("21", "Celcius", 21.0), ("inf", "W", None), ("50", "Hz", 50.0)],
)
def test_units_become_base_units(text: str, unit: str, value: float | None) -> None:
    assert in_base_unit(text, unit) == value


def test_discharging_is_negative_and_an_unreadable_part_spoils_the_difference() -> None:
    export = {"value": "3", "measurand": "Power.Active.Export", "unit": "kW"}
    power = ("Power.Active.Import", "")
    assert pick(read_sample({"sampledValue": [export]}), power) == (True, -3000.0)
    broken = {"value": "?", "measurand": "Power.Active.Import"}
    assert pick(read_sample({"sampledValue": [export, broken]}), power) == (True, None)
    assert pick(read_sample({"sampledValue": []}), power) == (False, None)


def test_currents_are_never_summed_and_signed_data_is_left_out() -> None:
    phases = [{"value": "10", "measurand": "Current.Import", "phase": phase} for phase in ("L1", "L2", "L3")]
    signed = {"value": "AAEC", "format": "SignedData"}
    sample = read_sample({"sampledValue": [*phases, signed]})
    assert pick(sample, ("Current.Import", "")) == (False, None)
    assert len(sample) == 3


def test_a_status_without_a_number_is_missing_and_a_text_point_keeps_the_word() -> None:
    device = make_device(
        make_point("connector_state", PointKind.STATUS, status="connector_state"),
        make_point("fault", PointKind.TEXT, status="error_code"),
    )
    readings = PointMap.of(device).status_readings({"status": "Charging", "errorCode": "GroundFailure"})
    assert {reading.point: reading.value for reading in readings} == {"connector_state": None, "fault": "GroundFailure"}


@pytest.mark.parametrize("headers", [[], ["Basic ???"], ["Bearer x"], ["Basic YTpi", "Basic YTpi"], ["Basic"]])
def test_what_is_not_one_basic_header_gives_no_credentials(headers: list[str]) -> None:
    assert credentials(headers) == (b"", b"")


def test_a_key_configured_as_bytes_may_come_as_its_hex_digits() -> None:
    async def nobody(socket: object) -> None:
        return None

    digest = hashlib.sha256(bytes(range(20)).hex().encode()).hexdigest()
    admission = Admission(serve=nobody, traffic=Traffic(), security_profile=1, key_sha256=digest)
    raw = "Basic " + base64.b64encode(b"cp:" + bytes(range(20))).decode()
    assert admission.lets_in("cp", [raw])
    assert not admission.lets_in("other", [raw])
