"""The physics behind all simulated devices of one pilot. [zone: process, simulated] [D7.1 3.1, 4.1-4.4]

Everything is in SI units and IEC load convention. `step` moves the plant, `read` and `write` are what a device's own
electronics would see; the peers (Modbus, IEC 104, OCPP, HTTP) only translate. Pure: no clock, no I/O, seeded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from pilots.domain.point import PointKind, PointSpec
from pilots.domain.profile import Profile
from pilots.domain.topology import DeviceKind, PilotSpec
from pilots.simulators.ev import Charger
from pilots.simulators.faults import Fault, FaultKind, Faults
from pilots.simulators.loads import Household, Refused, Unit
from pilots.simulators.mishaps import Mishaps
from pilots.simulators.network import CLOSED, OPEN, Network, Node
from pilots.simulators.storage import Photovoltaic, weather_point
from pilots.simulators.units import build_units
from pilots.simulators.weather import Weather

__all__ = ["Plant", "Refused"]

#: Codes of status words where the profile declares no labels.
WORDS: dict[str, tuple[str, ...]] = {
    "comm_state": ("up", "degraded", "down"),
    "device_health": ("ok", "warning", "alarm"),
    "control_mode": ("local", "remote", "auto"),
    "storage_state": ("off", "empty", "discharging", "charging", "full", "holding", "testing"),
    "grid_mode": ("following", "forming", "island"),
    "inverter_state": ("off", "sleeping", "starting", "mppt", "throttled", "shutting_down", "fault", "standby"),
    "connector_state": (
        "Available", "Preparing", "Charging", "SuspendedEVSE", "SuspendedEV", "Finishing", "Reserved", "Unavailable", "Faulted",
    ),
}  # fmt: skip
#: A word a profile may use instead of ours.
SYNONYMS = {
    "running": ("mppt", "on"), "mppt": ("running", "on"), "up": ("ok", "good"), "ok": ("up", "normal", "good"),
    "remote": ("auto",), "following": ("grid_following",), "forming": ("grid_forming",), "island": ("grid_forming", "forming"),
    "holding": ("standby",), "standby": ("sleeping", "off"), "throttled": ("mppt", "running"),
}  # fmt: skip


class Plant:
    """One pilot's devices. Call `step(now)` with rising aware times; between two steps every answer stays the same."""

    def __init__(
        self,
        pilot: PilotSpec,
        profiles: Mapping[str, Profile],
        *,
        seed: int,
        start: datetime,
        day_type: int | None = None,
        mishaps: Mishaps | None = None,
    ) -> None:
        self.pilot = pilot
        self.mishaps = mishaps or Mishaps(Faults(), {device.id: (device.id,) for device in pilot.devices})
        self.mishaps.faults.watch(self._on_fault)
        self.now = start
        self.weather = Weather(pilot, seed=seed, day_type=day_type)
        self.units = build_units(pilot, profiles, seed=seed, start=start)
        self.network = Network(pilot, self.units, seed=seed)
        self.nodes = self.network.nodes
        self._points: dict[str, Mapping[str, PointSpec]] = {
            device.id: profiles[device.profile].points for device in pilot.devices if device.profile in profiles
        }
        self._relatives = {device.id: _relatives(self.nodes[device.id], self.nodes) for device in pilot.devices}
        self._deadlines: dict[tuple[str, str], datetime] = {}
        self._settings: dict[tuple[str, str], float] = {}
        self._local: set[str] = set()
        hours = (start - start.replace(month=1, day=1, hour=0, minute=0, second=0, microsecond=0)).total_seconds() / 3600
        self.network.begin(hours)
        self.step(start)

    # -- time

    def step(self, now: datetime) -> None:
        """The plant is where it would be at `now`."""
        dt_s = max(0.0, (now - self.now).total_seconds())
        self.now = now
        self._let_go(now)
        self.weather.step(now, dt_s)
        self.network.energise()
        for device_id, unit in self.units.items():
            unit.step(self.weather, dt_s, live=self.nodes[device_id].live)
        self.network.step(self.weather, dt_s, minute=now.minute)

    def _let_go(self, now: datetime) -> None:
        for (device_id, point), deadline in list(self._deadlines.items()):
            if now >= deadline:
                del self._deadlines[device_id, point]
                for unit in self._relatives[device_id]:
                    unit.release(point)

    # -- reading

    def read(self, device_id: str, point: str) -> float | str | None:
        """The value of a point now: a number (status points: their code), words of a text point, None where unknown.

        Raises KeyError for an unknown device.
        """
        value = self.word(device_id, point)
        if isinstance(value, str):
            spec = self._points.get(device_id, {}).get(point)
            if spec is None or spec.kind is not PointKind.TEXT:
                value = _code(point, value, spec)
        return self.mishaps.value(device_id, point, value)

    def word(self, device_id: str, point: str) -> float | str | None:
        """As `read`, but status points in our own words ("Charging")."""
        node = self.nodes[device_id]
        if point.endswith("_feedback"):  # a set-point as the device holds it
            return self.word(device_id, point.removesuffix("_feedback"))
        if point in _ELECTRICAL and _carries(node):
            return _ELECTRICAL[point](node) if point != "frequency" else self._frequency(node)
        for unit in self._relatives[device_id]:
            value = unit.read(point)
            if value is not None:
                return value
        return self._own(node, point)

    def _own(self, node: Node, point: str) -> float | str | None:
        device_id = node.spec.id
        transformer = self.network.transformers.get(device_id)
        value = transformer.read(point) if transformer is not None else None
        if value is not None:
            return value
        if point in ("position", "position_cmd"):
            return float(node.position) if node.spec.kind is DeviceKind.SWITCH else None
        if point in ("comm_state", "device_health", "control_mode"):
            return {"comm_state": "up", "device_health": "ok"}.get(point) or ("local" if device_id in self._local else "remote")
        if point in ("trip", "protection_start", "generation_headroom"):
            return 0.0
        if (device_id, point) in self._settings:
            return self._settings[device_id, point]
        air = weather_point(self.weather, point)
        if air is not None:
            return air
        if point in _ELECTRICAL and node.parent is not None:
            return self.word(node.parent.spec.id, point)
        return self._from_plate(node, point)

    def _from_plate(self, node: Node, point: str) -> float | str | None:
        value: Any = node.spec.nameplate.get(point)
        if isinstance(value, int | float | str):
            return value
        spec = self._points.get(node.spec.id, {}).get(point)
        if spec is None:
            return None
        if point in {"rated_power", "p_limit"}:
            return node.rated_w or None
        if spec.kind is PointKind.TEXT:
            return node.spec.id
        return 0.0 if spec.kind in (PointKind.COMMAND, PointKind.SETPOINT) else None

    def _frequency(self, node: Node) -> float | None:
        return self.network.frequency_at(node) if node.live else None

    # -- writing

    def write(self, device_id: str, point: str, value: float, valid_for_s: float | None = None) -> None:
        """The device has taken the value; `valid_for_s` arms its watchdog. Raises Refused, KeyError (device)."""
        node = self.nodes[device_id]
        if device_id in self._local:
            raise Refused(f"{device_id} is in local mode")
        if not math.isfinite(value):
            raise Refused(f"{value} is no number")
        refusal = self.mishaps.refusal(device_id, point)
        if refusal is not None:
            raise Refused(refusal)
        if point == "position_cmd" and node.spec.kind is DeviceKind.SWITCH:
            if value not in (OPEN, CLOSED):
                raise Refused(f"a switch knows 1 open and 2 closed, not {value}")
            node.position = int(value)
            return
        self._to_unit(device_id, point, value)
        self._deadlines.pop((device_id, point), None)
        if valid_for_s:
            self._deadlines[device_id, point] = self.now + timedelta(seconds=valid_for_s)

    def _to_unit(self, device_id: str, point: str, value: float) -> None:
        refusal: Refused | None = None
        taken = False
        for unit in self._relatives[device_id]:
            try:
                unit.write(point, value)
            except Refused as no:
                refusal = refusal or no
                continue
            taken = True
            if self.nodes[device_id].spec.kind is not DeviceKind.LOCAL_CONTROLLER:
                return  # only a home's controller speaks to several of its devices at once
        if taken:
            return
        spec = self._points.get(device_id, {}).get(point)
        if refusal is not None or spec is None or not spec.kind.writable:
            raise refusal or Refused(f"{device_id} has no {point} to write")
        self._settings[device_id, point] = value

    def release(self, device_id: str, point: str) -> None:
        """The set-point is taken away: the device does what it does by itself."""
        self._deadlines.pop((device_id, point), None)
        for unit in self._relatives[device_id]:
            unit.release(point)

    def is_armed(self, device_id: str, point: str) -> bool:
        """Whether the point's watchdog is running."""
        return (device_id, point) in self._deadlines

    def set_local(self, device_id: str, local: bool) -> None:
        """Somebody stands at the device and turned the key: remote writes are refused while `local`."""
        (self._local.add if local else self._local.discard)(device_id)

    # -- faults

    def own_time(self, device_id: str, now: datetime) -> datetime:
        """What the device's own clock shows at `now`."""
        return self.mishaps.own_time(device_id, now)

    def _on_fault(self, fault: Fault) -> None:
        runs = self.mishaps.faults.runs(fault)
        for device_id in self.mishaps.devices(fault.target):
            node = self.nodes[device_id]
            if fault.kind is FaultKind.COUNTER_RESET and runs:
                node.energy_import = node.energy_export = 0.0
            elif fault.kind is FaultKind.BREAKER_TRIP and runs:
                node.position = OPEN
            elif fault.kind is FaultKind.OUT_OF_ORDER and isinstance(node.unit, Charger):
                node.unit.out_of_order = runs

    # -- for peers and tests

    def charger(self, device_id: str) -> Charger:
        """The charge point's own model. Raises KeyError when the device is none."""
        unit = self.units[device_id]
        if not isinstance(unit, Charger):
            raise KeyError(device_id)
        return unit

    def points_of(self, device_id: str) -> list[str]:
        """The points of a device's profile; none for an unknown device."""
        return list(self._points.get(device_id, ()))

    def balance(self) -> dict[str, tuple[float, float]]:
        """Per node with children: its P, and what its children and losses add up to (W)."""
        result = {}
        for device_id, node in self.nodes.items():
            parts = [child.p for child in node.children if not child.measures]
            if parts and _carries(node) and not node.measures:
                own = node.unit.p if node.unit is not None else 0.0
                result[device_id] = (node.p, sum(parts) + own + node.loss)
        return result


def _carries(node: Node) -> bool:
    """Whether power goes through this device, so that it has electrical values of its own."""
    return node.unit is not None or bool(node.children) or bool(node.measures) or node.spec.kind in (
        DeviceKind.GRID_INFEED, DeviceKind.SWITCH, DeviceKind.TRANSFORMER,
    )  # fmt: skip


def _relatives(node: Node, nodes: Mapping[str, Node]) -> list[Unit]:
    """The units a device speaks for: its own, those below a converter or home controller, or those of its number."""
    if node.unit is not None:
        return [node.unit]
    kind = node.spec.kind
    if kind in (DeviceKind.INVERTER, DeviceKind.POWER_ELECTRONICS, DeviceKind.SMART_METER):
        below = [child.unit for child in _descendants(node) if child.unit is not None]
        return sorted(below, key=lambda unit: not isinstance(unit, Photovoltaic))
    if kind in (DeviceKind.BATTERY_MANAGEMENT_SYSTEM, DeviceKind.GATEWAY):
        number = node.spec.id[-2:]
        batteries = [other.unit for key, other in nodes.items() if key.endswith(f"STO{number}") and other.unit is not None]
        return batteries or ([node.parent.unit] if node.parent is not None and node.parent.unit is not None else [])
    if kind is DeviceKind.LOCAL_CONTROLLER:
        pilot, number = node.spec.id.split("-")[0], node.spec.id[-2:]
        home = node.parent or nodes.get(f"{pilot}-SM{number}")
        units = [child.unit for child in _descendants(home) if child.unit is not None] if home is not None else []
        # The house itself first: rooms and levels are its own, the rest follows.
        return sorted(units, key=lambda unit: not isinstance(unit, Household))
    return []


def _descendants(node: Node) -> list[Node]:
    found = list(node.children)
    for child in found:
        found.extend(child.children)
    return found


def _code(point: str, word: str, spec: PointSpec | None) -> float | None:
    """The code of a status word by the profile's labels, else by our own order."""
    wanted = [_plain(word), *(_plain(other) for other in SYNONYMS.get(word, ()))]
    if spec is not None and spec.labels:
        codes = {_plain(str(label)): code for code, label in spec.labels.items()}
        return next((float(codes[each]) for each in wanted if each in codes), None)
    known = [_plain(each) for each in WORDS.get(point, ())]
    return next((float(known.index(each)) for each in wanted if each in known), None)


def _plain(word: str) -> str:
    return "".join(letter for letter in word.lower() if letter.isalnum())


def _voltage(node: Node, nominal: float) -> float:
    return node.u * nominal if node.live else 0.0


def _power_factor(node: Node) -> float | None:
    apparent = math.hypot(node.p, node.q)
    return node.p / apparent if apparent > 1.0 else 1.0


def _current(node: Node, phase: int | None = None) -> float:
    """A; without a phase the mean of the three."""
    volts = _voltage(node, node.u_ll)
    if not volts:
        return 0.0
    mean = math.hypot(node.p, node.q) / (math.sqrt(3) * volts)
    if phase is None or abs(node.p) < 1.0:
        return mean
    return mean * 3.0 * abs(node.lines[phase] / node.p)


_ELECTRICAL: dict[str, Callable[[Node], float | None]] = {
    "active_power": lambda n: n.p,
    "charging_power": lambda n: n.p,
    "reactive_power": lambda n: n.q,
    "apparent_power": lambda n: math.hypot(n.p, n.q),
    "power_factor": _power_factor,
    "frequency": lambda _: None,
    "voltage": lambda n: _voltage(n, n.u_ln),
    "voltage_ll": lambda n: _voltage(n, n.u_ll),
    "current": _current,
    "current_n": lambda n: abs(max(n.lines) - min(n.lines)) / 230.0,
    "energy_import": lambda n: n.energy_import,
    "energy_export": lambda n: n.energy_export,
}
for _index, _phase in enumerate(("l1", "l2", "l3")):
    _ELECTRICAL[f"active_power_{_phase}"] = lambda n, i=_index: n.lines[i]  # type: ignore[misc]
    _ELECTRICAL[f"reactive_power_{_phase}"] = lambda n: n.q / 3
    _ELECTRICAL[f"current_{_phase}"] = lambda n, i=_index: _current(n, i)  # type: ignore[misc]
    _ELECTRICAL[f"voltage_{_phase}"] = lambda n: _voltage(n, n.u_ln)
for _pair in ("12", "23", "31"):
    for _name in (f"voltage_ll_{_pair}", f"voltage_ll{_pair}", f"voltage_{_pair}", f"voltage_l{_pair}"):
        _ELECTRICAL[_name] = lambda n: _voltage(n, n.u_ll)
for _name in ("voltage_ll_l1", "voltage_ll_l2", "voltage_ll_l3", "voltage_l12", "voltage_l23", "voltage_l31"):
    _ELECTRICAL[_name] = lambda n: _voltage(n, n.u_ll)
