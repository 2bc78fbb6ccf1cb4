"""A device laid out by pysunspec2, its models in an order of its own, is read and written through the generated profiles."""

from __future__ import annotations

from typing import Any

import pytest
from sunspec2.device import Model

from pilots.catalogue.loader import load_profile, resolve_points
from pilots.domain.point import PointSpec
from pilots.domain.topology import ConnectionSpec, DeviceKind, DeviceSpec, Protocol
from pilots.drivers.base import DeviceTarget
from tests.drivers.modbus_benches import opened
from tests.drivers.raw_modbus import RawModbus, raw_modbus

pytestmark = pytest.mark.wire
BASE = 50_000
#: Model -> its points as pysunspec2 sets them: scale factors as they are, the rest in physical units.
BATTERY: list[tuple[int, dict[str, Any], dict[str, Any]]] = [
    (802, {"SoC_SF": -1, "V_SF": -1, "A_SF": -1, "W_SF": 1, "SoH_SF": 0}, {"V": 710.5, "A": 14.0, "NCyc": 321, "ChaSt": 3}),
    (1, {}, {"Mn": "Example", "Md": "Box 50", "SN": "0815"}),
    (713, {"WH_SF": 2, "Pct_SF": -1}, {"SoC": 63.5, "SoH": 97.0, "WHRtg": 100_000, "WHAvail": 63_500, "Sta": 1}),
    (704, {"WSet_SF": 0, "VarSet_SF": 0}, {"WSetEna": 0, "WSet": 0, "WSetRvrtTms": 0, "VarSet": 0, "VarSetEna": 0}),
    (
        701,
        {"W_SF": 1, "A_SF": -1, "V_SF": -1, "Hz_SF": -3, "TotWh_SF": 0},
        {"W": 10_000, "LNV": 231.4, "Hz": 50.012, "TotWhInj": 7_000_000_001},
    ),
]


def image(peer: RawModbus) -> dict[int, int]:
    """The battery stands in the registers; model -> where it begins."""
    starts, register = {}, BASE + 2
    peer.load(BASE, b"SunS")
    for number, factors, values in BATTERY:
        model = Model(number)
        for name, value in factors.items():
            model.points[name].value = value
        for name, value in values.items():
            model.points[name].cvalue = value
        raw = bytes(model.get_mb())
        words = 2 + int.from_bytes(raw[2:4], "big")
        starts[number] = register
        peer.load(register, raw[: 2 * words].ljust(2 * words, b"\xff"))
        register += words
    peer.load(register, b"\xff\xff\x00\x00")
    return starts


@pytest.fixture
def points() -> dict[str, PointSpec]:
    device = DeviceSpec(id="xx-STO01", kind=DeviceKind.STORAGE_UNIT, sgam="E.4.a", nameplate={"rated_power_w": 50_000})
    connection = ConnectionSpec(name="xx-gw", protocol=Protocol.MODBUS_TCP)
    return resolve_points(device, load_profile("sunspec-battery-gateway"), connection)


def target(points: dict[str, PointSpec]) -> DeviceTarget:
    return DeviceTarget(
        id="xx-STO01", address={"unit": 1}, points=points, options=load_profile("sunspec-battery-gateway").options
    )


async def test_a_chain_in_its_own_order_is_read(points: dict[str, PointSpec]) -> None:
    readable = [name for name, spec in points.items() if not spec.kind.writable]
    async with raw_modbus() as peer:
        image(peer)
        async with opened(peer.port, target(points), timeout_s=2) as driver:
            readings = {reading.point: reading for reading in await driver.read("xx-STO01", readable)}
    values = {
        n: r.value if isinstance(r.value, str) or r.value is None else points[n].from_wire(r.value) for n, r in readings.items()
    }
    assert {name: values[name] for name in ("maker", "model", "serial_number")} == {
        "maker": "Example",
        "model": "Box 50",
        "serial_number": "0815",
    }
    expected = {
        "active_power": -10_000,  # generating, as a discharging battery does
        "voltage": 231.4,
        "frequency": 50.012,
        "energy_export": 7_000_000_001,
        "soc": 63.5,
        "soh": 97,
        "capacity_real": 100_000,
        "energy_available": 63_500,
        "device_health": 1,
        "dc_voltage": 710.5,
        "dc_current": -14,
        "cycles": 321,
        "storage_state": 3,
    }
    assert {name: values[name] for name in expected} == pytest.approx(expected)
    # What the device does not fill in, and the model it does not have (702), has no value.
    assert values["reactive_power"] is None
    assert values["temp_ambient"] is None
    assert values["rated_power"] is None


async def test_a_set_point_lands_where_pysunspec2_reads_it(points: dict[str, PointSpec]) -> None:
    async with raw_modbus() as peer:
        start = image(peer)[704]
        async with opened(peer.port, target(points), timeout_s=2) as driver:
            await driver.write("xx-STO01", "p_set", -20_000.0, valid_for_s=90)
        length = peer.registers[start + 1]
        raw = b"".join(peer.registers[register].to_bytes(2, "big") for register in range(start, start + length + 2))
    model = Model(704, data=raw, model_len=length)
    shown = {name: model.points[name].cvalue for name in ("WSet", "WSetEna", "WSetRvrtTms")}
    # A minute, which the gateway winds up while the set-point is valid.
    assert shown == {"WSet": 20_000, "WSetEna": 1, "WSetRvrtTms": 60}
