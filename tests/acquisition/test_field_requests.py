"""Questions to live equipment: asked, claimed once, answered; and what passes by the control door."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pilots.acquisition import field_requests
from pilots.acquisition.field_requests import ask
from pilots.acquisition.questions import carry_out
from pilots.acquisition.targets import Plan
from pilots.control import guards
from pilots.domain.errors import CatalogueError
from pilots.domain.topology import LinkState
from pilots.drivers.base import Target
from pilots.drivers.traffic import Traffic
from pilots.models import AuditEvent, Connection, Device, FieldRequest, Pilot, Point, RequestKind
from pilots.models.leases import HeldLease, take_lease
from tests.acquisition.conftest import Start
from tests.acquisition.field import P_SET, POWER, Field, StationLine
from tests.builders import make_connection, make_device, make_pilot, make_point
from tests.conftest import Battery
from tests.waiting import until

FREE = 200
READ, WRITE, FRAMES, BROWSE = RequestKind.READ, RequestKind.WRITE, RequestKind.FRAMES, RequestKind.BROWSE


def question(
    kind: str, form: dict[str, Any], *, patience_s: float = 20.0, unit: int = 1, now: datetime | None = None
) -> FieldRequest:
    """Asked of a unit of the only connection."""
    return ask(
        connection=Connection.objects.get(),
        device=Device.objects.get(code=f"bg-STO0{unit}"),
        kind=kind,
        question=form,
        asked_by="eva",
        now=now or datetime.now(UTC),
        patience_s=patience_s,
    )


def answered(request: FieldRequest) -> FieldRequest:
    return until(lambda: found if (found := field_requests.answer_of(request.pk)).answered_at else None)


def refusal(kind: str, form: dict[str, Any]) -> CatalogueError:
    with pytest.raises(CatalogueError) as caught:
        question(kind, form)
    assert not FieldRequest.objects.exists() and not AuditEvent.objects.exists()
    return caught.value


@pytest.fixture
def running(start: Start, pilot: Pilot, field: Field) -> Field:
    """A field with a gateway that is connected to it."""
    field.peer.load(FREE, b"\x00\x07\x00\x08")
    start()
    until(lambda: Connection.objects.get().state == LinkState.UP)
    return field


@pytest.mark.wire
@pytest.mark.django_db(transaction=True)
class TestAnswers:
    """What the gateway does with a question."""

    def test_an_address_is_read_raw_and_scaled(self, running: Field) -> None:
        form = {"address": {"register": POWER}, "type": "float32", "unit": "kW", "scale": 0.001, "sign": -1}
        found = answered(question(READ, form))
        assert (found.error, found.answer["wire"], found.answer["value"]) == ("", 4500.0, -4.5)
        assert found.answer["unit"] == "kW"
        assert found.answer["quality"] == {"validity": "good", "source": "process", "flags": []}

    def test_what_a_simulated_device_says_is_said_to_be_simulated(self, start: Start, pilot: Pilot, field: Field) -> None:
        Connection.objects.update(simulated=True)
        start()
        until(lambda: Connection.objects.get().state == LinkState.UP)
        found = answered(question(READ, {"address": {"register": POWER}, "type": "float32"}))
        assert found.answer["quality"]["source"] == "simulated"
        assert found.answer["quality"]["validity"] == "good"
        assert found.answer["raw"]

    def test_an_address_nobody_has_is_told_in_the_devices_words(self, running: Field) -> None:
        found = answered(question(READ, {"address": {"register": 9000, "type": "uint16"}}))
        assert found.answer is None
        assert "exception 2" in found.error

    def test_a_free_register_is_written_once_and_twice_in_the_audit_trail(self, running: Field) -> None:
        found = answered(question(WRITE, {"address": {"register": FREE, "type": "uint16"}, "value": 42}))
        assert found.error == ""
        assert running.peer.registers[FREE] == 42
        assert [request.address for request in running.writes] == [FREE]
        wish, outcome = AuditEvent.objects.filter(subject="bg-STO01").order_by("id")
        assert (wish.actor, wish.action, wish.pilot) == ("eva", "write address", "bg")
        assert (wish.details["address"], wish.details["value"]) == ({"register": FREE, "type": "uint16"}, 42)
        assert (outcome.action, "answer" in outcome.details) == ("write address outcome", True)

    def test_frames_come_with_words_and_from_a_number_on(self, running: Field) -> None:
        until(lambda: Connection.objects.get().statistics.get("sent", 0) > 3)
        found = answered(question(FRAMES, {}))
        number, at_ms, sent, length, raw, words = found.answer["frames"][0]
        assert (number, sent, length, len(raw)) == (0, True, 12, 24)
        assert abs(at_ms / 1000 - datetime.now(UTC).timestamp()) < 30
        assert "read" in words
        last = found.answer["frames"][-1][0]
        later = answered(question(FRAMES, {"after": last}))
        assert all(frame[0] > last for frame in later.answer["frames"])
        assert later.answer["count"] >= found.answer["count"]

    def test_frames_can_be_had_of_a_connection_that_is_down(self, running: Field) -> None:
        running.switch_off()
        until(lambda: Connection.objects.get().state == LinkState.DOWN)
        assert answered(question(FRAMES, {})).answer["count"] > 0
        assert "down" in answered(question(READ, {"address": {"register": POWER, "type": "float32"}})).error

    def test_a_protocol_without_a_list_says_so(self, running: Field) -> None:
        assert "cannot list" in answered(question(BROWSE, {})).error

    def test_a_register_that_became_a_set_point_meanwhile_is_not_written(self, running: Field) -> None:
        # The row stands as if it had been asked before the point was configured.
        now = datetime.now(UTC)
        form = {"question": {"address": {"register": P_SET, "type": "float32"}, "value": 1}, "asked_at": now, "kind": WRITE}
        form |= {"expires_at": now + timedelta(seconds=20), "connection": Connection.objects.get(), "asked_by": "eva"}
        row = FieldRequest.objects.create(device=Device.objects.get(code="bg-STO01"), **form)
        assert "use a set-point" in answered(row).error
        assert running.writes == []

    def test_a_question_of_long_ago_is_never_carried_out(self, running: Field) -> None:
        old = datetime.now(UTC) - timedelta(seconds=30)
        late = question(WRITE, {"address": {"register": FREE, "type": "uint16"}, "value": 1}, now=old)
        prompt = question(READ, {"address": {"register": FREE, "type": "uint16"}})
        answered(prompt)
        assert field_requests.answer_of(late.pk).claimed_at is None
        assert running.writes == []


@pytest.mark.wire
@pytest.mark.django_db(transaction=True)
def test_a_claimed_question_of_an_earlier_gateway_is_unknown(start: Start, pilot: Pilot, field: Field) -> None:
    left = question(WRITE, {"address": {"register": FREE, "type": "uint16"}, "value": 1})
    FieldRequest.objects.update(claimed_at=datetime.now(UTC))
    start()
    assert answered(left).error.startswith("unknown")
    assert field.writes == []


# Asking


@pytest.fixture
def unit(db: None) -> Device:
    pilot = make_pilot("bg")
    line = make_connection(pilot, "bg-rtu01", protocol="modbus_tcp", port=502)
    device = make_device(pilot, "bg-STO01", connection=line, address={"unit": 1})
    address = {"register": P_SET, "type": "float32", "enable": {"register": 47}, "reversion_register": 56}
    make_point(device, "p_set", address=address)
    return device


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({}, "address"),
        ({"address": "40001"}, "address"),
        ({"address": {"register": 1}, "kind": "thing"}, "kind"),
        ({"address": {"register": 1}, "kind": "measurement"}, "kind"),
        ({"address": {"register": 1}, "scale": 0}, "scale"),
        ({"address": {"register": 1}, "scale": "much"}, "scale"),
        ({"address": {"register": 1}, "sign": 2}, "sign"),
        ({"address": {"register": 1}}, "value"),
        ({"address": {"register": 1}, "value": True}, "value"),
        ({"address": {"register": 1}, "value": float("nan")}, "value"),
        ({"address": {"type": "float32"}, "value": 1}, "address"),
    ],
)
def test_what_is_wrong_with_a_question_is_named(unit: Device, form: dict[str, Any], field: str) -> None:
    assert refusal(WRITE, form).field == field


@pytest.mark.parametrize(
    "address",
    [
        {"register": P_SET, "type": "float32"},
        {"register": P_SET + 1, "type": "uint16"},
        {"register": P_SET - 1, "type": "uint32"},
        {"register": 47, "type": "uint16"},
        {"register": 57, "type": "uint16"},
        {"register": FREE, "type": "uint16", "enable": {"register": P_SET}},
    ],
)
def test_no_register_of_a_set_point_is_written_past_its_door(unit: Device, address: dict[str, Any]) -> None:
    error = refusal(WRITE, {"address": address, "value": 1})
    assert error.field == "address"
    assert "bg-STO01/p_set: use a set-point" in str(error)


def test_the_same_register_by_another_connection_or_device_is_the_same_register(unit: Device) -> None:
    twin = make_connection(unit.pilot, "bg-twin", protocol="modbus_tcp", port=502)
    other = make_device(unit.pilot, "bg-STO02", connection=twin, address={"unit": 1})
    spec = field_requests.spec_of(WRITE, {"address": {"register": P_SET, "type": "uint16"}})
    with pytest.raises(CatalogueError, match="bg-STO01/p_set"):
        field_requests.check_free(twin, other, spec)
    other.address = {"unit": 2}
    other.save()
    field_requests.check_free(twin, other, spec)


def test_an_rtus_set_point_is_found_by_its_object_address(battery: Battery) -> None:
    Device.objects.update(address={"ca": 7, "ioa": 100})
    Point.objects.filter(name="p_set").update(address={"ioa": 50, "command_type": 50})
    other = make_device(battery.pilot, "es-STO02", connection=battery.connection, address={"ca": 7})
    for ioa, free in ((150, False), (151, True)):
        spec = field_requests.spec_of(WRITE, {"address": {"ioa": ioa, "command_type": 50}})
        if free:
            field_requests.check_free(battery.connection, other, spec)
            continue
        with pytest.raises(CatalogueError, match="es-STO01/p_set"):
            field_requests.check_free(battery.connection, other, spec)


def test_a_sunspec_set_point_and_a_register_cannot_be_told_apart_here(unit: Device) -> None:
    Point.objects.filter(name="p_set").update(address={"model": 704, "offset": 10, "type": "int32", "enable": {"offset": 8}})
    assert "give model and offset" in str(refusal(WRITE, {"address": {"register": FREE, "type": "uint16"}, "value": 1}))
    for offset in (8, 11):
        address = {"model": 704, "offset": offset, "type": "uint16"}
        assert "bg-STO01/p_set: use a set-point" in str(refusal(WRITE, {"address": address, "value": 1}))
    question(WRITE, {"address": {"model": 704, "offset": 12, "type": "uint16"}, "value": 1})
    question(WRITE, {"address": {"model": 705, "offset": 10, "type": "uint16"}, "value": 1})


def test_a_control_of_an_ied_is_its_data_object_whatever_part_is_written(unit: Device) -> None:
    Connection.objects.update(protocol="iec61850")
    Point.objects.filter(name="p_set").update(address={"ref": "LD0/DRCC1.OutWSet"})
    for reference in ("LD0/DRCC1.OutWSet", "LD0/DRCC1.OutWSet.Oper.ctlVal"):
        assert "use a set-point" in str(refusal(WRITE, {"address": {"ref": reference}, "value": 1}))
    question(WRITE, {"address": {"ref": "LD0/DRCC1.OutVarSet"}, "value": 1})


@dataclass(frozen=True)
class Offer:
    ref: str


class Catalogued(StationLine):
    async def browse(self, device_id: str) -> list[Offer]:
        return [Offer(f"{device_id}/LLN0.Mod")]


async def test_what_a_device_offers_is_told_as_plain_rows() -> None:
    request = FieldRequest(kind=BROWSE, device=Device(code="bg-IED01"), question={})
    target = Target(name="line", host="", port=0, devices=())
    plan = Plan(resource="", connections={}, simulated=False, ways=(), targets=(target,), fingerprint="")
    told = await carry_out(request, plan, Catalogued(target, _nowhere), Traffic())
    assert told == ([{"ref": "bg-IED01/LLN0.Mod"}], "")


async def _nowhere(device: str, readings: object) -> None:
    return None


def test_pushed_devices_and_others_devices_cannot_be_asked(battery: Battery) -> None:
    pushed = make_connection(battery.pilot)
    now = datetime.now(UTC)
    form = {"kind": READ, "question": {"address": {"ioa": 1}}, "asked_by": "eva", "now": now, "patience_s": 5}
    with pytest.raises(CatalogueError, match="push to us"):
        ask(connection=pushed, device=battery.device, **form)  # type: ignore[arg-type]
    line = make_connection(battery.pilot, "es-other", protocol="iec104")
    with pytest.raises(CatalogueError, match="name a device of connection es-other"):
        ask(connection=line, device=battery.device, **form)  # type: ignore[arg-type]


def test_a_question_is_claimed_once_and_by_the_holder_of_the_lease(unit: Device) -> None:
    now = datetime.now(UTC)
    request = question(READ, {"address": {"register": 1}}, now=now)
    assert field_requests.waiting_requests(now) == {request.connection_id}
    stranger = HeldLease("connection:bg-rtu01", "nobody", 1, 1e9)
    assert not field_requests.claim(request, stranger, now=now)
    lease = take_lease("connection:bg-rtu01", "gateway", ttl_s=12, now=now)
    assert lease is not None
    assert [field_requests.claim(request, lease, now=now) for _ in range(2)] == [True, False]
    assert field_requests.waiting_requests(now) == set()


def test_a_tagged_device_is_read_but_not_written_from_the_commissioning_page_either(unit: Device) -> None:
    now, write = datetime.now(UTC), {"address": {"register": FREE, "type": "uint16"}, "value": 1}
    waiting = question(WRITE, write, now=now)
    guards.set_tag(unit, owner="ana", reason="crew at work", now=now)
    lease = take_lease("connection:bg-rtu01", "gateway", ttl_s=12, now=now)
    assert lease is not None
    assert not field_requests.claim(waiting, lease, now=now)
    assert field_requests.answer_of(waiting.pk).error == "Do not operate: tagged by ana, crew at work."
    with pytest.raises(CatalogueError, match="tagged by ana"):
        question(WRITE, write, now=now)
    assert field_requests.claim(question(READ, {"address": {"register": 1}}, now=now), lease, now=now)


def test_old_questions_are_forgotten(unit: Device) -> None:
    now = datetime.now(UTC)
    question(READ, {"address": {"register": 1}}, now=now - timedelta(minutes=61))
    kept = question(READ, {"address": {"register": 1}}, now=now - timedelta(minutes=59))
    assert field_requests.forget_old_requests(now) == 1
    assert FieldRequest.objects.get() == kept
