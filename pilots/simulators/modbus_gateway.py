"""A Modbus TCP gateway with many simulated units behind it. [zone: station, simulated] [D7.1 3.1.1 a-b, 3.1.5]

Unit 255 is the gateway itself, as at an EGX100; a unit that is not there answers exception 11.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from pilots.catalogue.points import resolve_points
from pilots.domain.profile import Profile
from pilots.domain.topology import ConnectionSpec, PilotSpec
from pilots.simulators.ledger import Ledger
from pilots.simulators.plant import Plant
from pilots.simulators.registers import IllegalAddress, IllegalValue, UnitImage
from pilots.simulators.sunspec import add_chain

GATEWAY_UNIT = 255
NOBODY = 0  # pymodbus: requests for units that are not listed come here
WRITES = (5, 6, 15, 16)


class ModbusGateway:
    """The server side of one modbus_tcp connection: all its devices by their unit ids."""

    def __init__(
        self, plant: Plant, connection: ConnectionSpec, pilot: PilotSpec, profiles: Mapping[str, Profile], ledger: Ledger
    ) -> None:
        self.name = connection.name
        self.images: dict[int, UnitImage] = {}
        for device in pilot.devices:
            if device.connection != connection.name or device.profile not in profiles:
                continue
            profile = profiles[device.profile]
            unit = int(device.address.get("unit", 1))
            image = self.images.setdefault(unit, UnitImage(plant, ledger, connection.name))
            image.add(device.id, resolve_points(device, profile, connection), profile.options, device.nameplate)
            add_chain(image, profile.name, device.id)
        if GATEWAY_UNIT not in self.images:
            gateway = UnitImage(plant, ledger, connection.name)
            gateway.words = dict.fromkeys(range(10), 0)
            self.images[GATEWAY_UNIT] = gateway
        self._server: ModbusTcpServer | None = None

    async def start(self, host: str, port: int) -> None:
        """Listening. Raises RuntimeError when the port is taken."""
        # The library logs every request that fails; a probing client would flood the disk.
        logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
        devices = [_device(unit, image) for unit, image in self.images.items()]
        devices.append(SimDevice(NOBODY, _everywhere(), action=_no_answer))
        self._server = ModbusTcpServer(devices, address=(host, port))
        await self._server.serve_forever(background=True)

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.shutdown()  # type: ignore[no-untyped-call]
            self._server = None


def _everywhere() -> list[SimData]:
    return [SimData(0, count=65535, values=0, datatype=DataType.REGISTERS)]


def _device(unit: int, image: UnitImage) -> SimDevice:
    """The library's view of a unit: which registers exist; their values come from the image at each request."""
    registers = sorted(image.words)
    blocks, start = [], registers[0]
    for here, following in zip(registers, [*registers[1:], None], strict=True):
        if following != here + 1:
            blocks.append(SimData(start, values=[0] * (here - start + 1), datatype=DataType.REGISTERS))
            start = following if following is not None else start
    return SimDevice(unit, blocks, action=functools.partial(_answer, image))


async def _answer(
    image: UnitImage,
    _function_code: int,
    start_address: int,
    address: int,
    count: int,
    current_registers: list[int],
    set_values: list[int] | list[bool] | None,
) -> ExcCodes | None:
    try:
        if set_values is not None:
            image.write(address, [int(word) for word in set_values])
        offset = address - start_address
        current_registers[offset : offset + count] = image.refresh(address, count)
    except IllegalAddress:
        return ExcCodes.ILLEGAL_ADDRESS
    except IllegalValue:
        return ExcCodes.ILLEGAL_VALUE
    return None


async def _no_answer(*_request: object) -> ExcCodes | None:
    return ExcCodes.GATEWAY_NO_RESPONSE
