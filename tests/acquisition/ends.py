"""Every end that a set-point can have, walked on four wires side by side; who asks is handed in: the API, or a page."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from pilots.control import expiry
from pilots.domain.quality import Validity
from pilots.domain.topology import LinkState
from pilots.models import Connection, LatestValue, Setpoint
from pilots.models.values import shown_quality
from pilots.simulators.faults import FaultKind
from tests.acquisition.ground import Ground, rule
from tests.waiting import until

#: What a case waits for, while the other wires go on.
Look = Callable[[], Any]
Steps = Generator[Look, Any, Any]


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


WIRES = {
    "modbus": Wire(device="zz-STO01", connection="zz-modbus"),
    "iec104": Wire(device="zz-STO02", connection="zz-104"),
    "iec104-select": Wire(device="zz-STO03", connection="zz-select"),
    "ocpp16": Wire(
        device="zz-EVSE01",
        connection="zz-ocpp",
        point="p_limit",
        mode="limit",
        wanted=0.0,
        other=11_000.0,
    ),
}


class Asker(Protocol):
    """Somebody who may command, and is told what became of it."""

    def ask(self, wire: Wire, value: float, *, valid_s: float = 300.0, before_sent: Callable[[], object] = str) -> str:
        """The set-point's id; `before_sent` happens when all is filled in."""

    def cancel(self, number: str) -> None: ...

    def see(self, record: dict[str, Any]) -> None:
        """It is told the same as the record says."""


class Platform:
    """An asker by the API."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def ask(self, wire: Wire, value: float, *, valid_s: float = 300.0, before_sent: Callable[[], object] = str) -> str:
        body = {"device": wire.device, "point": wire.point, "value": value, "unit": "W", "mode": wire.mode}
        before_sent()
        answer = self._ground.post("/setpoints", body | {"valid_until": in_s(valid_s)})
        assert answer.status_code == 202, answer.content
        return str(answer.json()["id"])

    def cancel(self, number: str) -> None:
        answer = self._ground.post(f"/setpoints/{number}/cancel", {"reason": "not needed"})
        assert answer.status_code == 200, answer.content

    def see(self, record: dict[str, Any]) -> None:
        """The record is what it is told."""


def in_s(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


@dataclass(slots=True)
class Scene:
    """One wire with who commands it."""

    ground: Ground
    wire: Wire
    asker: Asker
    case: str = ""

    def ask(self, value: float, **words: Any) -> str:
        return self.asker.ask(self.wire, value, **words)

    def rule(self, **rules: Any) -> None:
        rule(self.wire.device, self.wire.point, **rules)

    def standing(self) -> str:
        """Where its newest set-point is, for whoever waits in vain."""
        newest = Setpoint.objects.filter(point__device__code=self.wire.device).order_by("received_at").last()
        events = [] if newest is None else newest.events.values_list("state", "at", "reason")
        return f"link {self.ground.hears(self.wire.connection, self.wire.device)}, {[*events]}"

    def ended(self, number: str, *states: str) -> Look:
        """The record once it is in one of the states."""

        def look() -> dict[str, Any] | None:
            over = Setpoint.objects.filter(pk=number, state__in=states).exists()
            return self.ground.record(number) if over else None

        return look


def executed(scene: Scene) -> Steps:
    return (yield scene.ended(scene.ask(scene.wire.other), "executed", "failed"))


def rejected_by_check(scene: Scene) -> Steps:
    """The limits are narrowed while it is being filled in."""
    narrowed = {"minimum": 0 if scene.wire.mode == "limit" else -5_000, "maximum": 5_000}
    number = scene.ask(scene.wire.other, before_sent=lambda: scene.rule(**narrowed))
    return (yield scene.ended(number, "rejected", "executed"))


def rejected_by_device(scene: Scene) -> Steps:
    """Our idea of the device is too high, or (OCPP, where a limit is never too high) it refuses everything."""
    wire = scene.wire
    if wire.mode == "limit":
        scene.ground.start(FaultKind.EXCEPTION, wire.device)
        return (yield scene.ended(scene.ask(wire.wanted), "rejected", "executed", "failed"))
    scene.rule(minimum=-100_000, maximum=100_000, minimum_from="", maximum_from="")
    return (yield scene.ended(scene.ask(wire.beyond), "rejected", "executed", "failed"))


def expired(scene: Scene) -> Steps:
    """The point must rest for longer than the set-point is valid."""
    scene.rule(min_interval_s=600)
    return (yield scene.ended(scene.ask(scene.wire.wanted, valid_s=1.5), "expired", "executed"))


def failed_link(scene: Scene) -> Steps:
    """The connection breaks between the claim and the write."""
    scene.ground.after_claim[scene.wire.device] = lambda: scene.ground.cut(scene.wire.connection, scene.wire.device)
    return (yield scene.ended(scene.ask(scene.wire.wanted), "failed", "executed", "unknown", "expired"))


def failed_feedback(scene: Scene) -> Steps:
    """S16: the device says yes, and its measurement stays what it was."""
    yield from stuck(scene)
    return (yield scene.ended(scene.ask(scene.wire.wanted), "failed", "executed"))


def cancelled(scene: Scene) -> Steps:
    """While its point rests, nothing has been sent yet."""
    scene.rule(min_interval_s=600)
    number = scene.ask(scene.wire.wanted)
    scene.asker.cancel(number)
    return (yield scene.ended(number, "cancelled", "executed"))


def superseded(scene: Scene) -> Steps:
    scene.rule(min_interval_s=600)
    number, newer = scene.ask(scene.wire.wanted), scene.ask(scene.wire.other)
    record = yield scene.ended(number, "cancelled", "executed")
    assert record["superseded_by"] == newer
    scene.asker.cancel(newer)
    return record


def unknown_then_executed(scene: Scene) -> Steps:
    """The device obeys, and its answer is lost."""
    scene.ground.on_next_write(scene.wire.device, scene.ground.mute(scene.wire.connection), obeys=True)
    return (yield from _read_later(scene))


def unknown_then_failed(scene: Scene) -> Steps:
    """Nothing is heard of it, and when it is read it has not followed: refused, or (OCPP) kept and not acted on."""
    obeys = scene.wire.mode == "limit"
    if obeys:
        yield from stuck(scene)
    scene.ground.on_next_write(scene.wire.device, scene.ground.mute(scene.wire.connection), obeys=obeys)
    return (yield from _read_later(scene))


def _read_later(scene: Scene) -> Steps:
    number = scene.ask(scene.wire.wanted)
    scene.asker.see((yield scene.ended(number, "unknown", "executed", "failed", "rejected")))
    scene.ground.unmute(scene.wire.connection)
    return (yield scene.ended(number, "executed", "failed"))


#: What is done, what its story is after `received`, its code, and how often the device was written to.
Case = Callable[[Scene], Steps]
IF_LIMIT = -1
TABLE: list[tuple[Case, list[str], str, int]] = [
    (executed, ["validated", "dispatched", "executed"], "", 1),
    (rejected_by_check, ["rejected"], "out_of_range", 0),
    (rejected_by_device, ["validated", "rejected"], "device_rejected", 0),
    (expired, ["validated", "expired"], "", 0),
    (cancelled, ["validated", "cancelled"], "", 0),
    (superseded, ["validated", "cancelled"], "superseded", 0),
    (failed_link, ["validated", "failed"], "link_down", 0),
    (unknown_then_failed, ["validated", "unknown", "failed"], "", IF_LIMIT),
    (executed, ["validated", "dispatched", "executed"], "", 1),
    (failed_feedback, ["validated", "dispatched", "failed"], "", 1),
    (executed, ["validated", "dispatched", "executed"], "", 1),
    (unknown_then_executed, ["validated", "unknown", "executed"], "", 1),
]


def wanted(wire: Wire) -> list[tuple[str, list[str], str, int]]:
    once = int(wire.mode == "limit")
    return [(case.__name__, states, code, once if writes == IF_LIMIT else writes) for case, states, code, writes in TABLE]


def walk(scene: Scene) -> Steps:
    """Every case, one after the other; returns what was told of each."""
    told = []
    for case, *_ in TABLE:
        scene.case = f"before {case.__name__}"
        yield from ready(scene.ground, scene.wire)
        scene.case = case.__name__
        before = len(scene.ground.writes(scene.wire.device))
        record = yield from case(scene)
        happened = [event["state"] for event in record["events"]][1:]
        told.append((case.__name__, happened, record["code"], len(scene.ground.writes(scene.wire.device)) - before))
        assert record["code"] or record["state"] in ("executed", "failed", "expired", "cancelled"), record
        assert record["reason"] or record["state"] == "executed", record
        scene.asker.see(record)
    return told


def side_by_side(scenes: Mapping[str, Scene], *, patience_s: float = 90.0) -> dict[str, Any]:
    """What the walk of every wire told, or why and where it stopped."""
    walks = {name: walk(scene) for name, scene in scenes.items()}
    waits = {name: (next(walked), time.monotonic() + patience_s) for name, walked in walks.items()}
    told: dict[str, Any] = {}
    while waits:
        expiry.expire_setpoints(now=datetime.now(UTC))
        for name, (look, end) in list(waits.items()):
            try:
                found = look()
                if found:
                    waits[name] = (walks[name].send(found), time.monotonic() + patience_s)
                elif time.monotonic() > end:
                    told[name] = f"{scenes[name].case}: nothing within {patience_s:g} s, {scenes[name].standing()}"
            except StopIteration as over:
                told[name] = over.value
            except AssertionError as error:
                told[name] = f"{scenes[name].case}: {error}"
            if name in told:
                del waits[name]
        time.sleep(0.05)
    return told


def alone(steps: Steps) -> None:
    """These steps of one wire are done."""
    with contextlib.suppress(StopIteration):
        look = next(steps)
        while True:
            look = steps.send(until(look))


def ready(ground: Ground, wire: Wire) -> Steps:
    """Nothing is wrong, and the device is heard: what is asked now is decided by what the case does."""
    ground.quiet(wire.connection, wire.device)
    plain = {"minimum": 0 if wire.mode == "limit" else -50_000, "maximum": 11_000 if wire.mode == "limit" else 50_000}
    rule(wire.device, wire.point, min_interval_s=0.0, response_time_s=2.0, **plain)
    began = datetime.now(UTC)
    yield lambda: Connection.objects.get(name=wire.connection).state == LinkState.UP
    yield lambda: ground.hears(wire.connection, wire.device) and heard(wire, began)


def heard(wire: Wire, since: datetime) -> bool:
    row = LatestValue.objects.filter(point__device__code=wire.device, point__name="active_power").first()
    if row is None or shown_quality(row, datetime.now(UTC)).validity is not Validity.GOOD:
        return False
    charging = wire.mode != "limit" or (row.value or 0.0) > 1000.0 or Setpoint.objects.exists()
    # A station of IEC 104 tells changes: what it told before still stands.
    return charging and (row.received_time > since or wire.connection in ("zz-104", "zz-select"))


def stuck(scene: Scene) -> Steps:
    """The device tells the power that it has now; a charge point that of a charging car."""
    device = scene.wire.device
    if scene.wire.mode == "limit":
        yield lambda: float(scene.ground.plant.read(device, "active_power") or 0.0) > 1000.0
    scene.ground.freeze(device, "active_power")
