"""F24: peers that send every kind of bad frame beside a good device of the same gateway. [zones: field, station]

The parsers alone meet a million spoiled frames in tests/drivers; here the whole gateway meets each kind on a socket or line.
"""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from pilots.acquisition.gateway import Gateway
from pilots.catalogue.services import note_change
from pilots.drivers.iec60870 import asdu
from pilots.drivers.iec60870.asdu import Asdu, InformationObject
from pilots.models import Connection, LatestValue, Pilot
from tests.builders import make_pilot
from tests.drivers.modbus_benches import rtu_peer
from tests.drivers.raw_modbus import Request
from tests.faults.far_side import FarSide
from tests.faults.peers import Meters, Station, Stations
from tests.faults.plant import drifts, iec104_line, modbus_line, quantile, statistics, wait
from tests.waiting import Stalls, stalls, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.wire]
PERIOD_S, DRIFT, CPU_S = 0.5, 0.10, 0.010
SHOWN = ("violations", "refused", "timeouts", "kinds")
#: A type we do not know is no offence (IEC 60870-5-101 7.2.1.1: private ranges): it is passed over, the link goes on.
ALLOWED = {"104-type"}
CHANCE = random.Random(24)
FALSE = struct.pack(">f", 666.0)

#: What a Modbus device sends for a proper answer (MBAP of 7 bytes, function, count of bytes, four bytes).
MODBUS: dict[str, Callable[[Request, bytes], bytes]] = {
    "garbage": lambda request, answer: CHANCE.randbytes(len(answer)),
    "short": lambda request, answer: request.frame(bytes((3, 2)) + FALSE[:2]),
    "long": lambda request, answer: request.frame(bytes((3, 8)) + 2 * FALSE),
    "count": lambda request, answer: request.frame(bytes((3, 200)) + FALSE),
    "truncated": lambda request, answer: answer[:-3],
    "lying": lambda request, answer: answer[:4] + b"\0\x0c" + answer[6:],
    "huge": lambda request, answer: answer[:4] + b"\x7f\xff" + answer[6:],
    "tiny": lambda request, answer: answer[:4] + b"\0\1" + answer[6:],
    "protocol": lambda request, answer: request.frame(bytes((3, 4)) + FALSE, protocol=7),
    "unit": lambda request, answer: request.frame(bytes((3, 4)) + FALSE, unit=request.unit + 1),
    "number": lambda request, answer: request.frame(bytes((3, 4)) + FALSE, transaction=(request.transaction + 9) % 65536),
    "function": lambda request, answer: request.frame(bytes((4, 4)) + FALSE),
    "exception": lambda request, answer: request.exception(4),
    "strange": lambda request, answer: request.exception(0xFF),
    "bare": lambda request, answer: request.frame(b"\x83"),
    "bytewise": lambda request, answer: answer[:2],
}
RTU: dict[str, Callable[[bytes], bytes]] = {
    "crc": lambda answer: answer[:-1] + bytes((answer[-1] ^ 0x55,)),
    "half": lambda answer: answer[:4],
    "noise": lambda answer: CHANCE.randbytes(30),
}


def float_asdu(*, count: int = 1, sequence: bool = False, type_id: int = 13) -> bytes:
    good = bytearray(asdu.encode(Asdu(13, 3, 1, (InformationObject(1, 666.0),))))
    good[0], good[1] = type_id, count | (0x80 if sequence else 0)
    return bytes(good)


#: What a station sends once data transfer is started.
IEC104: dict[str, Callable[[Station], bytes]] = {
    "garbage": lambda station: CHANCE.randbytes(30),
    "oversized": lambda station: station.frame(float_asdu() + bytes(236)),
    "number": lambda station: station.frame(float_asdu(count=5)),
    "sequence": lambda station: station.frame(float_asdu(count=20, sequence=True)),
    "none": lambda station: station.frame(float_asdu(count=0)),
    "type": lambda station: station.next_frame(float_asdu(type_id=200)),
    "half": lambda station: station.frame(float_asdu()[:4]),
    "order": lambda station: b"\x68\x12\x40\0\0\0" + float_asdu(),
    "acknowledged": lambda station: station.frame(float_asdu())[:4] + b"\xfe\x7f" + float_asdu(),
}


async def rtu_device(path: Path, spoil: Callable[[bytes], bytes]) -> AsyncExitStack:
    """A serial device whose answers are spoiled, until the stack is closed."""
    stack = AsyncExitStack()
    _, line = await stack.enter_async_context(rtu_peer(path, registers=dict(enumerate(struct.unpack(">2H", FALSE)))))
    line.spoil = spoil
    return stack


def bad_lines(far: FarSide, pilot: Pilot, folder: Path) -> list[str]:
    """The names of the connections to bad peers."""
    names, options = [], {"timeout_s": 0.2}
    for kind, spoil in MODBUS.items():
        meters = Meters(reply=lambda request, answer, spoil=spoil: [(0.0, spoil(request, answer))])  # type: ignore[misc]
        names.append(modbus_line(pilot, f"tcp-{kind}", far.serve(meters.protocol), period_s=0.2, options=options).name)
    for kind, spoiled in RTU.items():
        far.at_the_end(far.run(rtu_device(folder / kind, spoiled)).aclose)
        serial = {"protocol": "modbus_rtu", "serial_line": str(folder / kind)}
        speed = options | {"baudrate": 115200, "parity": "N"}
        names.append(modbus_line(pilot, f"rtu-{kind}", None, period_s=0.2, options=speed, **serial).name)
    for kind, bad in IEC104.items():
        stations = Stations(every_s=0.2, bad=bad)
        names.append(iec104_line(pilot, f"104-{kind}", far.serve(stations.protocol)).name)
    return names


def figures_of(name: str) -> dict[str, Any]:
    """What the connection's row tells of bad frames."""
    return {key: value for key, value in statistics(name).items() if key in SHOWN and value}


@pytest.mark.parametrize("lasts_s", [5.0, pytest.param(600.0, marks=pytest.mark.rig)], ids=["short", "rig"])
def test_f24_bad_peers_store_nothing_are_counted_and_cost_the_good_one_nothing(
    far: FarSide, start: Callable[[], Gateway], tmp_path: Path, lasts_s: float
) -> None:
    pilot, good = make_pilot("bg"), Meters()
    modbus_line(pilot, "good", far.serve(good.protocol), period_s=PERIOD_S)
    gateway = start()
    until(lambda: len(good.told) >= 3)
    _, calm = watched(far, good, lasts_s)  # what the machine is up to just now
    names = bad_lines(far, pilot, tmp_path)
    note_change(pilot)
    until(lambda: all(figures_of(name) for name in set(names) - ALLOWED), within_s=60)
    before, spent = heard(gateway), time.process_time()
    machine, found = watched(far, good, lasts_s)
    spent, frames = time.process_time() - spent, heard(gateway) - before
    counted = {name: figures_of(name) for name in names}
    # Whoever looks at the connection reads what was wrong, not only that it ended.
    until(lambda: "was due" in Connection.objects.get(name="104-order").last_error)
    stored = LatestValue.objects.filter(point__device__connection__name__in=names, value__isnull=False).count()
    for name, figures in counted.items():
        print(f"F24: {name}: {figures}")
    print(
        f"F24: {len(names)} bad peers, {frames} frames in {lasts_s:g} s: {stored} bad values stored, at most "
        f"{1000 * spent / frames:.1f} ms CPU a frame (peers and database included), p95 drift of the good device "
        f"{quantile(found, 0.95):.1%} beside {quantile(calm, 0.95):.1%} when alone; the machine stood still for "
        f"{machine.seconds:.2f} s"
    )
    assert stored == 0
    assert not any(supervisor.ended for supervisor in gateway.supervisors.values())
    assert {name for name, figures in counted.items() if not figures} <= ALLOWED
    assert spent / frames <= CPU_S
    assert quantile(found, 0.95) <= (DRIFT if lasts_s > 60 else max(DRIFT, quantile(calm, 0.95) + DRIFT / 2))


def heard(gateway: Gateway) -> int:
    """Frames of all connections so far."""
    return sum(supervisor.traffic.received for supervisor in list(gateway.supervisors.values()))


def watched(far: FarSide, good: Meters, lasts_s: float) -> tuple[Stalls, list[float]]:
    """For so long: when the machine stood still, and the drifts of the good device."""
    since, wanted = time.monotonic(), lasts_s / PERIOD_S - 2
    with stalls() as machine:
        wait(lasts_s)
        until(lambda: len(far.call(drifts, good.asked, PERIOD_S, since, machine)) >= wanted, within_s=20 * lasts_s)
        return machine, far.call(drifts, good.asked, PERIOD_S, since, machine)
