"""Every end that a set-point can have, over real sockets: Modbus, IEC 104 direct and with select, OCPP 1.6; asked by the API."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pilots.acquisition.gateway import Gateway
from pilots.control import dispatch, feedback
from pilots.domain.quality import Validity
from pilots.domain.topology import LinkState
from pilots.models import Connection, LatestValue, Setpoint
from pilots.simulators.faults import FaultKind
from tests.acquisition.conftest import Start
from tests.acquisition.ground import Ground, rule
from tests.waiting import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.wire]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wire:
    """A device behind one protocol: `wanted` shows when it is done, `beyond` is more than the device can do."""

    device: str
    connection: str
    point: str = "p_set"
    mode: str = "absolute"
    wanted: float = -10_000.0
    other: float = -15_000.0
    beyond: float = -90_000.0

    def ask(self, ground: Ground, value: float, *, valid_s: float = 60.0, in_s: float = 0.0) -> str:
        now = datetime.now(UTC)
        body = {"device": self.device, "point": self.point, "value": value, "unit": "W", "mode": self.mode}
        body["valid_until"] = (now + timedelta(seconds=valid_s + in_s)).isoformat()
        body |= {"valid_from": (now + timedelta(seconds=in_s)).isoformat()} if in_s else {}
        answer = ground.post("/setpoints", body)
        assert answer.status_code == 202, answer.content
        return str(answer.json()["id"])


WIRES = {
    "modbus": Wire(device="zz-STO01", connection="zz-modbus"),
    "iec104": Wire(device="zz-STO02", connection="zz-104"),
    "iec104-select": Wire(device="zz-STO03", connection="zz-104"),
    "ocpp16": Wire(
        device="zz-EVSE01",
        connection="zz-ocpp",
        point="p_limit",
        mode="limit",
        wanted=0.0,
        other=11_000.0,
    ),
}


def executed(ground: Ground, wire: Wire) -> Any:
    return ground.ended(wire.ask(ground, wire.other), "executed", "failed")


def rejected_by_check(ground: Ground, wire: Wire) -> Any:
    return ground.ended(wire.ask(ground, 1e9), "rejected", "executed")


def rejected_by_device(ground: Ground, wire: Wire) -> Any:
    """Our idea of the device is too high, or (OCPP, where a limit is never too high) it refuses everything."""
    if wire.mode == "limit":
        ground.start(FaultKind.EXCEPTION, wire.device)
        return ground.ended(wire.ask(ground, wire.wanted), "rejected", "executed", "failed")
    rule(wire.device, wire.point, minimum=-100_000, maximum=100_000, minimum_from="", maximum_from="")
    return ground.ended(wire.ask(ground, wire.beyond), "rejected", "executed", "failed")


def expired(ground: Ground, wire: Wire) -> Any:
    """The point must rest for longer than the set-point is valid."""
    rule(wire.device, wire.point, min_interval_s=600)
    return ground.ended(wire.ask(ground, wire.wanted, valid_s=1.5), "expired", "executed")


def failed_link(ground: Ground, wire: Wire) -> Any:
    """The connection breaks between the claim and the write."""
    number = wire.ask(ground, wire.wanted, in_s=1.0)
    with pytest.MonkeyPatch.context() as patch:
        claim = dispatch.claim_setpoint

        def then_cut(*arguments: Any, **words: Any) -> bool:
            claimed = claim(*arguments, **words)
            if claimed:
                cut(ground, wire)
            return claimed

        patch.setattr(dispatch, "claim_setpoint", then_cut)
        return ground.ended(number, "failed", "executed", "unknown", "expired")


def failed_feedback(ground: Ground, wire: Wire) -> Any:
    """S16: the device says yes, and its measurement stays what it was."""
    stuck(ground, wire)
    return ground.ended(wire.ask(ground, wire.wanted), "failed", "executed")


def cancelled(ground: Ground, wire: Wire) -> Any:
    number = wire.ask(ground, wire.wanted, in_s=60.0)
    assert ground.post(f"/setpoints/{number}/cancel", {"reason": "not needed"}).status_code == 200
    return ground.ended(number, "cancelled")


def superseded(ground: Ground, wire: Wire) -> Any:
    rule(wire.device, wire.point, min_interval_s=600)
    number, newer = wire.ask(ground, wire.wanted), wire.ask(ground, wire.other)
    record = ground.ended(number, "cancelled", "executed")
    assert record["superseded_by"] == newer
    ground.post(f"/setpoints/{newer}/cancel", {})
    return record


def unknown_then_executed(ground: Ground, wire: Wire) -> Any:
    """The device obeys, and its answer is lost."""
    ground.on_next_write(ground.mute(wire.connection), obeys=True)
    return _read_later(ground, wire)


def unknown_then_failed(ground: Ground, wire: Wire) -> Any:
    """Nothing is heard of it, and when it is read it has not followed: refused, or (OCPP) kept and not acted on."""
    obeys = wire.mode == "limit"
    if obeys:
        stuck(ground, wire)
    ground.on_next_write(ground.mute(wire.connection), obeys=obeys)
    return _read_later(ground, wire)


def _read_later(ground: Ground, wire: Wire) -> Any:
    number = wire.ask(ground, wire.wanted)
    ground.ended(number, "unknown", "executed", "failed", "rejected")
    ground.unmute(wire.connection)
    return ground.ended(number, "executed", "failed")


#: What is done, what its story is after `received`, its code, and how often the device was written to.
Case = Callable[[Ground, Wire], Any]
IF_LIMIT = -1
TABLE: list[tuple[Case, list[str], str, int]] = [
    (executed, ["validated", "dispatched", "executed"], "", 1),
    (rejected_by_check, ["rejected"], "out_of_range", 0),
    (rejected_by_device, ["validated", "rejected"], "device_rejected", 0),
    (expired, ["validated", "expired"], "", 0),
    (failed_link, ["validated", "failed"], "link_down", 0),
    (cancelled, ["validated", "cancelled"], "", 0),
    (superseded, ["validated", "cancelled"], "superseded", 0),
    (unknown_then_failed, ["validated", "unknown", "failed"], "", IF_LIMIT),
    (executed, ["validated", "dispatched", "executed"], "", 1),
    (failed_feedback, ["validated", "dispatched", "failed"], "", 1),
    (executed, ["validated", "dispatched", "executed"], "", 1),
    (unknown_then_executed, ["validated", "unknown", "executed"], "", 1),
]


@pytest.fixture
def running(ground: Ground, start: Start, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    """A gateway in front of the ground, with a device's patience of a few seconds."""
    monkeypatch.setattr(dispatch, "UNKNOWN_PATIENCE", timedelta(seconds=2))
    gateway = start()
    ground.gateway = gateway
    return gateway


@pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES.keys())
def test_s16_every_end_state_is_reached(ground: Ground, running: Gateway, wire: Wire) -> None:
    told, wanted = [], []
    for case, states, code, writes in TABLE:
        ready(ground, wire)
        before = len(ground.writes(wire.device))
        record = case(ground, wire)
        happened = [event["state"] for event in record["events"]][1:]
        told.append((case.__name__, happened, record["code"], len(ground.writes(wire.device)) - before))
        wanted.append((case.__name__, states, code, int(wire.mode == "limit") if writes == IF_LIMIT else writes))
        assert record["code"] or record["state"] in ("executed", "failed", "expired", "cancelled"), record
        assert record["reason"] or record["state"] == "executed", record
    assert told == wanted


def ready(ground: Ground, wire: Wire) -> None:
    """Nothing is wrong, and the device is heard: what is asked now is decided by what the case does."""
    ground.quiet()
    plain = {"minimum": 0 if wire.mode == "limit" else -50_000, "maximum": 11_000 if wire.mode == "limit" else 50_000}
    rule(wire.device, wire.point, min_interval_s=0.0, response_time_s=1.0, **plain)
    began = datetime.now(UTC)
    until(lambda: Connection.objects.get(name=wire.connection).state == LinkState.UP)
    until(lambda: ground.hears(wire.connection, wire.device) and heard(wire, began), within_s=60)


def heard(wire: Wire, since: datetime) -> bool:
    row = LatestValue.objects.filter(point__device__code=wire.device, point__name="active_power").first()
    if row is None or feedback.shown_quality(row, datetime.now(UTC)).validity is not Validity.GOOD:
        return False
    charging = wire.mode != "limit" or (row.value or 0.0) > 1000.0 or Setpoint.objects.exists()
    return charging and (row.received_time > since or wire.connection == "zz-104")


def stuck(ground: Ground, wire: Wire) -> None:
    """The device tells the power that it has now; a charge point that of a charging car."""
    if wire.mode == "limit":
        until(lambda: float(ground.plant.read(wire.device, "active_power") or 0.0) > 1000.0)
    ground.freeze(wire.device, "active_power")


def cut(ground: Ground, wire: Wire) -> None:
    """The equipment hangs up, and its gateway has noticed."""
    ground.start(FaultKind.REFUSE, wire.connection)
    until(lambda: not ground.hears(wire.connection, wire.device))
