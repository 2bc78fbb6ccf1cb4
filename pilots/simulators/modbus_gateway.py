"""A Modbus gateway with many simulated units behind it, or those units on a serial line. [zone: station, simulated]

D7.1 3.1.1 a-b, 3.1.5. Unit 255 is the gateway itself, as at an EGX100; for a unit that is not there a gateway answers
exception 11, a serial line nothing.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from pymodbus.constants import ExcCodes
from pymodbus.exceptions import NoSuchIdException
from pymodbus.framer import FramerType
from pymodbus.server import ModbusSerialServer, ModbusTcpServer, ModbusTlsServer
from pymodbus.server.requesthandler import ServerRequestHandler
from pymodbus.simulator import DataType, SimData, SimDevice

from pilots.catalogue.points import resolve_points
from pilots.domain.point import PointSpec
from pilots.domain.profile import Profile
from pilots.domain.topology import ConnectionSpec, DeviceSpec, PilotSpec, Protocol
from pilots.drivers.modbus.sunspec import Chain, is_relative, resolve
from pilots.drivers.tls import server_context
from pilots.simulators.ledger import Ledger
from pilots.simulators.plant import Plant
from pilots.simulators.registers import IllegalAddress, IllegalValue, UnitImage
from pilots.simulators.serial_server import SerialServer
from pilots.simulators.sunspec import add_chain, lay_out, write_chain

GATEWAY_UNIT = 255
NOBODY = 0  # pymodbus: requests for units that are not listed come here
#: Ends a frame; a busy machine makes pauses far longer than the standard's t3.5.
SILENCE_S = 0.05


class ModbusGateway:
    """The server side of one modbus_tcp or modbus_rtu connection: all its devices by their unit ids.

    With an option `simulator_tls` ({ca, certificate, key}: the equipment's own) it speaks Modbus/TCP Security.
    """

    def __init__(
        self, plant: Plant, connection: ConnectionSpec, pilot: PilotSpec, profiles: Mapping[str, Profile], ledger: Ledger
    ) -> None:
        self.name = connection.name
        self.images: dict[int, UnitImage] = {}
        for unit, members in _units(pilot, connection, profiles).items():
            image = self.images[unit] = UnitImage(plant, ledger, connection.name)
            # Devices of one unit id share its registers, so they share its chain of SunSpec models.
            chain = lay_out(spec for device in members for spec in device.points.values())
            for device in members:
                image.add(device.spec.id, _placed(device.points, chain), device.profile.options, device.spec.nameplate)
                add_chain(image, device.profile.name, device.spec.id)
                if chain is not None:
                    write_chain(image, chain, device.spec.id)
        if GATEWAY_UNIT not in self.images:
            gateway = UnitImage(plant, ledger, connection.name)
            gateway.words = dict.fromkeys(range(10), 0)
            self.images[GATEWAY_UNIT] = gateway
        self._connection = connection
        self._server: ModbusTcpServer | ModbusSerialServer | None = None
        self._carrier: SerialServer | None = None

    async def start(self, host: str, port: int) -> None:
        """Listening on TCP: as a gateway, or for modbus_rtu as a serial device server. Raises RuntimeError or OSError when
        the port is taken, CatalogueError for unusable certificates."""
        if self._connection.protocol is Protocol.MODBUS_RTU:
            self._carrier = SerialServer()
            await self._carrier.start(host, port)
            await self.start_serial(self._carrier.path)
            return
        context = server_context({"tls": self._connection.options.get("simulator_tls")})
        devices = [*self._devices(), SimDevice(NOBODY, _everywhere(), action=_no_answer)]
        if context is None:
            self._server = ModbusTcpServer(devices, address=(host, port))
        else:
            self._server = ModbusTlsServer(devices, address=(host, port), sslctx=context)
        await self._server.serve_forever(background=True)

    async def start_serial(self, path: str) -> None:
        """The units listen at a serial device file. Raises OSError."""
        # The line itself knows its speed and parity; a pseudo terminal has neither.
        self._server = _LineServer(
            [*self._devices(), SimDevice(NOBODY, _everywhere(), action=_nobody_there)],
            port=path,
            framer=FramerType.RTU,
            baudrate=115200,
            ignore_missing_devices=True,
        )
        await self._server.serve_forever(background=True)

    async def stop(self) -> None:
        """Nothing of it runs on; twice is once."""
        server, self._server = self._server, None
        if server is not None:
            await server.shutdown()  # type: ignore[no-untyped-call]
        carrier, self._carrier = self._carrier, None
        if carrier is not None:
            await carrier.stop()

    def _devices(self) -> list[SimDevice]:
        # The library logs every request that fails; a probing client would flood the disk.
        logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
        return [_device(unit, image) for unit, image in self.images.items()]


class _LineListener(ServerRequestHandler):
    """Forgets in silence what has become no frame, as units do (Modbus over Serial Line V1.02, 2.5.1.1); the library waits for
    the rest of what noise seemed to announce, request after request."""

    heard_at = 0.0

    def data_received(self, data: bytes) -> None:
        now = self.loop.time()
        if now - self.heard_at > SILENCE_S:
            self.recv_buffer = b""
        self.heard_at = now
        super().data_received(data)


class _LineServer(ModbusSerialServer):
    def callback_new_connection(self) -> ServerRequestHandler:
        return _LineListener(self, self.trace_packet, self.trace_pdu, self.trace_connect)  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class _Member:
    """A device of a unit, with the points that its profile gives it."""

    spec: DeviceSpec
    profile: Profile
    points: Mapping[str, PointSpec]


def _units(pilot: PilotSpec, connection: ConnectionSpec, profiles: Mapping[str, Profile]) -> dict[int, list[_Member]]:
    units: dict[int, list[_Member]] = {}
    for device in pilot.devices:
        if device.connection == connection.name and device.profile in profiles:
            profile = profiles[device.profile]
            member = _Member(device, profile, resolve_points(device, profile, connection))
            units.setdefault(int(device.address.get("unit", 1)), []).append(member)
    return units


def _placed(points: Mapping[str, PointSpec], chain: Chain | None) -> dict[str, PointSpec]:
    """The points with registers; those that name models where the chain has these."""
    found = {name: resolve(spec, chain) if chain and is_relative(spec) else spec for name, spec in points.items()}
    return {name: spec for name, spec in found.items() if spec is not None}


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


async def _nobody_there(*_request: object) -> ExcCodes | None:
    raise NoSuchIdException("nobody has this unit id")
