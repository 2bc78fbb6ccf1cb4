"""The electrical tree of a pilot: who carries whose power, which voltage is where. [zone: process, simulated]

Power sums from the ends to the infeed (a transformer adds its losses), voltage falls from the infeed to the ends, so the
energy balance closes by construction. P and Q in load convention, per phase; voltages per unit of the nominal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from pilots.domain.topology import DeviceKind, DeviceSpec, PilotSpec
from pilots.simulators.loads import Unit
from pilots.simulators.noise import Drift, generator
from pilots.simulators.storage import Battery
from pilots.simulators.weather import Weather

FEEDER_OHM = (0.062, 0.024)  # 300 m of 150 mm2 aluminium
FEEDER_DROP = 0.03  # larger feeders are built for this drop at full load
OPEN, CLOSED = 1, 2


class Node:
    """One device as the network sees it: its own unit (if it has one), its children, power, voltage and counters."""

    def __init__(self, spec: DeviceSpec, unit: Unit | None) -> None:
        self.spec, self.unit = spec, unit
        self.parent: Node | None = None
        self.children: list[Node] = []
        self.p = self.q = self.loss = 0.0
        self.lines = [0.0, 0.0, 0.0]  # W per phase
        self.measures: list[Node] = []  # a meter beside the line: devices whose power it shows
        self.island: Battery | None = None  # what makes voltage and frequency here instead of the grid
        self.u, self.live, self.u_ln, self.u_ll = 1.0, True, 230.0, 400.0
        self.resistance = self.reactance = 0.0  # of the cable to here, ohm
        self.position = int(spec.nameplate.get("normal_position", CLOSED))
        self.export_power = 0.0
        self.energy_import = self.energy_export = 0.0

    @property
    def rated_w(self) -> float:
        return float(self.spec.nameplate.get("rated_power_w") or 0.0)

    def carry(self) -> None:
        """P, Q and phases are the sum of what hangs below, plus the own unit and losses."""
        unit = self.unit
        below = self.measures or self.children
        p, q, first, second, third = 0.0, 0.0, 0.0, 0.0, 0.0
        if unit is not None:
            p, q = unit.p, unit.q
            first, second, third = (p * share for share in unit.phases)
        for child in below:
            if child.measures:
                continue  # only looks on: its devices are counted themselves
            p += child.p
            q += child.q
            first += child.lines[0]
            second += child.lines[1]
            third += child.lines[2]
        self.p, self.q, self.lines = p, q, [first, second, third]

    def add_loss(self, loss_w: float, loss_var: float) -> None:
        self.loss = loss_w
        self.p += loss_w
        self.q += loss_var
        self.lines = [line + loss_w / 3 for line in self.lines]

    def count(self, dt_s: float) -> None:
        energy = self.p * dt_s / 3600.0
        if energy >= 0:
            self.energy_import += energy
        else:
            self.energy_export -= energy


class Transformer:
    """Losses and temperatures of a transformer by its load factor; the model needs only its rating in VA."""

    def __init__(self, rated_va: float) -> None:
        self.rated_va = rated_va
        self.no_load_w, self.load_loss_w = (1000.0, 6500.0) if rated_va > 400e3 else (500.0, 3900.0)
        self.oil_rise, self.factor, self.ambient = 20.0, 0.0, 20.0

    def step(self, node: Node, ambient: float, dt_s: float) -> None:
        self.factor = math.hypot(node.p, node.q) / self.rated_va
        live = 1.0 if node.live else 0.0
        node.add_loss(
            live * (self.no_load_w + self.load_loss_w * self.factor**2),
            live * self.rated_va * (0.004 + 0.04 * self.factor**2),
        )
        settled = live * 55.0 * ((1 + 6 * self.factor**2) / 7) ** 0.8
        self.oil_rise += (settled - self.oil_rise) * (1 - math.exp(-dt_s / 10800.0))
        self.ambient = ambient

    def read(self, point: str) -> float | None:
        oil = self.ambient + self.oil_rise
        hotspot = oil + 23.0 * self.factor**1.6
        values = {"oil_temperature": oil, "hotspot_temperature": hotspot, "loading": 100.0 * self.factor, "tap_position": 3.0}
        return values.get(point)


class Network:
    """The tree of one pilot; `step` after the units have moved."""

    def __init__(self, pilot: PilotSpec, units: Mapping[str, Unit], *, seed: int) -> None:
        self.nodes = {device.id: Node(device, units.get(device.id)) for device in pilot.devices}
        self.transformers: dict[str, Transformer] = {}
        self.it_system = pilot.country == "NO"
        self._slow = Drift(generator(seed, pilot.code, "u0"), sigma=0.003, tau_s=600.0)
        self._frequency = Drift(generator(seed, pilot.code, "frequency"), sigma=0.020, tau_s=60.0)
        self.frequency = 50.0
        self._wire(pilot)
        self.downwards = self._in_order()
        self.onlookers = [node for node in self.downwards if node.measures]
        self.formers = [node for node in self.downwards if isinstance(node.unit, Battery) and node.unit.forming]
        for node in self.downwards:
            self._dimension(node)
        self._count_from(pilot)

    def _wire(self, pilot: PilotSpec) -> None:
        for device in pilot.devices:
            node, parent = self.nodes[device.id], self.nodes.get(device.parent)
            if parent is not None:
                node.parent = parent
                parent.children.append(node)
        for device in pilot.devices:
            meter = self.nodes.get(device.measured_by)
            if meter is not None and not self._is_above(meter, self.nodes[device.id]) and not meter.children:
                meter.measures.append(self.nodes[device.id])

    @staticmethod
    def _is_above(upper: Node, lower: Node) -> bool:
        parent: Node | None = lower
        while parent is not None:
            if parent is upper:
                return True
            parent = parent.parent
        return False

    def _in_order(self) -> list[Node]:
        order = [node for node in self.nodes.values() if node.parent is None]
        for node in order:
            order.extend(node.children)
        return order

    def _dimension(self, node: Node) -> None:
        """Voltage level and cable of a node: medium voltage down to the transformer, low voltage below it."""
        if node.spec.kind is DeviceKind.TRANSFORMER:
            rated = float(node.spec.nameplate.get("rated_apparent_power_va") or node.rated_w or 630e3)
            self.transformers[node.spec.id] = Transformer(rated)
        medium = node.spec.kind is not DeviceKind.TRANSFORMER and (
            node.parent is None or (node.parent.u_ll > 1000.0)
        ) and node.spec.kind in (DeviceKind.GRID_INFEED, DeviceKind.SWITCH, DeviceKind.METER)  # fmt: skip
        if medium:
            node.u_ll = float(node.spec.nameplate.get("nominal_voltage_v") or 20000.0)
            node.u_ll = node.u_ll if node.u_ll > 1000.0 else 20000.0
            node.u_ln = node.u_ll / math.sqrt(3)
            return
        node.u_ll, node.u_ln = (230.0, 230.0) if self.it_system else (400.0, 230.0)
        if node.parent is not None and node.parent.spec.kind in (DeviceKind.TRANSFORMER, DeviceKind.SWITCH):
            rated = max(_rating_below(node), 1.0)
            scale = min(1.0, FEEDER_DROP * node.u_ll**2 / rated / FEEDER_OHM[0])
            node.resistance, node.reactance = (scale * ohm for ohm in FEEDER_OHM)

    def _count_from(self, pilot: PilotSpec) -> None:
        """Mean powers summed upwards: what the registers are taken to have counted before the start."""
        for node in reversed(self.downwards):
            unit = node.unit
            node.p = (unit.mean_import_w if unit else 0.0) + sum(child.p for child in node.children)
            node.export_power = (unit.mean_export_w if unit else 0.0) + sum(child.export_power for child in node.children)
            if node.measures:
                node.p, node.export_power = (sum(m.p for m in node.measures), sum(m.export_power for m in node.measures))

    def begin(self, hours: float) -> None:
        """Registers as after `hours` of service: they grow with the calendar, so a restart never runs them backwards."""
        for node in self.downwards:
            node.energy_import, node.energy_export = node.p * hours, node.export_power * hours

    def step(self, weather: Weather, dt_s: float, *, minute: float) -> None:
        for node in reversed(self.downwards):
            node.carry()
            if not node.live or node.position == OPEN:
                node.p = node.q = 0.0
                node.lines = [0.0, 0.0, 0.0]
            node.loss = 0.0
            transformer = self.transformers.get(node.spec.id)
            if transformer is not None:
                transformer.step(node, weather.ambient, dt_s)
        for node in self.onlookers:
            node.carry()
        for node in self.downwards:
            node.count(dt_s)
        self._voltages(weather, dt_s)
        dip = -0.03 if minute < 5 else 0.0
        self.frequency = 50.0 + self._frequency.step(dt_s) + dip

    def _voltages(self, weather: Weather, dt_s: float) -> None:
        source = 1.02 + 0.008 * math.cos(2 * math.pi * (weather.hour - 4) / 24) + self._slow.step(dt_s)
        for node in self.downwards:
            upper = source if node.parent is None else node.parent.u
            transformer = self.transformers.get(node.spec.id)
            if transformer is not None:
                upper -= (0.0103 * node.p + 0.0386 * node.q) / transformer.rated_va
            node.u = upper - (node.resistance * node.p + node.reactance * node.q) / node.u_ll**2
            if node.island is not None:
                node.u = node.island.settings["u_set"] / node.u_ln
            if isinstance(node.unit, Battery):
                node.unit.terminal_v, node.unit.grid_hz = node.u * node.u_ln, self.frequency_at(node)

    def frequency_at(self, node: Node) -> float:
        """Hz of the grid, or of the island that the node is part of."""
        return self.frequency if node.island is None else node.island.island_hz

    def energise(self) -> None:
        """Live is what a closed way connects to the infeed or to an island's battery."""
        for node in self.downwards:
            parent, node.island = node.parent, None
            node.live = parent is None or (parent.live and parent.position != OPEN)
        for former in self.formers:
            self._form(former)

    def _form(self, former: Node) -> None:
        """Below an open switch a grid-forming battery carries everything, if it can."""
        battery = former.unit
        if not isinstance(battery, Battery):
            return
        switch = former.parent
        while switch is not None and switch.position != OPEN:
            switch = switch.parent
        battery.grid_mode, battery.balance_w = "following", 0.0
        if switch is None:
            return
        below = _below(switch)
        need = -sum(node.unit.p for node in below if node.unit is not None and node.unit is not battery)
        if -battery.discharge_max <= need <= battery.charge_max:
            battery.grid_mode, battery.balance_w = "island", need
            for node in below:
                node.live, node.island = True, battery


def _below(node: Node) -> list[Node]:
    found = list(node.children)
    for child in found:
        found.extend(child.children)
    return found


def _rating_below(node: Node) -> float:
    """W the cable to this node must carry: the larger of all consumption and all generation below it."""
    units = [part.unit for part in [node, *_below(node)] if part.unit is not None]
    largest = [float(getattr(unit, "rated_w", 0.0) or getattr(unit, "peak_w", 0.0) or unit.mean_import_w * 2.5) for unit in units]
    return sum(largest)
