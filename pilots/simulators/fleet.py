"""Which simulated peers stand for a pilot's connections, each behind its relay or serial line.

[zones: field to operation, simulated]
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from invade_scada.ports import claim_port, serial_path
from pilots.domain.media import Medium, medium_of
from pilots.domain.profile import Profile
from pilots.domain.topology import ConnectionSpec, PilotSpec, Protocol, Way
from pilots.simulators.charge_point import ChargePoint
from pilots.simulators.faults import Faults
from pilots.simulators.head_end import HeadEnd, pushers_of
from pilots.simulators.iec101_rtu import RemoteTerminalUnit as LineTerminalUnit
from pilots.simulators.iec104_rtu import RemoteTerminalUnit
from pilots.simulators.ledger import Ledger
from pilots.simulators.modbus_gateway import ModbusGateway
from pilots.simulators.places import devices_of, medium_of_connection, units_of, way_name, ways_of
from pilots.simulators.plant import Plant
from pilots.simulators.relay import Endpoint, Relay
from pilots.simulators.secrets_file import PeerSecrets
from pilots.simulators.serial_line import LineSettings, SerialLine
from pilots.simulators.serial_way import SerialWay
from pilots.simulators.ways import HOST, LineWay, SimulatedWay, TcpWay


def _intelligent_device(*arguments: Any) -> Any:
    # Imported at need: hat-drivers reads the whole ASN.1 of MMS, and only few pilots have an IED.
    from pilots.simulators.iec61850 import IntelligentDevice

    return IntelligentDevice(*arguments)


Maker = Callable[[Plant, ConnectionSpec, PilotSpec, Mapping[str, Profile], Ledger], Any]
#: What listens for the protocols whose devices are servers.
SERVERS: dict[Protocol, Maker] = {
    Protocol.MODBUS_TCP: ModbusGateway,
    Protocol.IEC104: RemoteTerminalUnit,
    Protocol.IEC61850: _intelligent_device,
}
#: What stands at the far end of serial lines, and the speed of a line that names none.
LINES: dict[Protocol, Maker] = {Protocol.IEC101: LineTerminalUnit, Protocol.MODBUS_RTU: ModbusGateway}
USUAL_BAUDRATE = {Protocol.IEC101: 9600, Protocol.MODBUS_RTU: 19200}


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """What all peers of a simulation share. `ocpp` and `web` tell where the product listens just now."""

    data_dir: Path
    first_port: int
    seed: int
    faults: Faults
    ledger: Ledger
    secrets: PeerSecrets
    ocpp: Endpoint
    web: Callable[[], str | None]


class Fleet:
    """The peers of one pilot. `ways` must be started before the stations and head ends run."""

    def __init__(self, around: Surroundings, pilot: PilotSpec, profiles: Mapping[str, Profile], plant: Plant) -> None:
        self.around, self.pilot, self.profiles, self.plant = around, pilot, profiles, plant
        self.ways: list[SimulatedWay] = []
        self.charge_points: dict[str, ChargePoint] = {}
        self.head_ends: dict[str, HeadEnd] = {}
        for connection in pilot.connections:
            if not connection.simulated:
                continue
            if connection.protocol is Protocol.OCPP16:
                self._add_stations(connection)
            elif connection.protocol is Protocol.PUSH:
                self._add_head_ends(connection)
            else:
                self.ways += self._served(connection)

    def _served(self, connection: ConnectionSpec) -> Iterator[SimulatedWay]:
        """The first way and its backups: the same devices at the same addresses, each on a listener or line of its own."""
        for number, way in enumerate(ways_of(connection)):
            served = _as_connection(connection, way)
            name = way_name(connection, number)
            if served.protocol in SERVERS:
                yield self._listener(name, served)
            elif served.protocol in LINES:
                yield self._line(name, f"{connection.name}.{number}" if number else connection.name, served)

    def _listener(self, name: str, served: ConnectionSpec) -> TcpWay:
        around = self.around
        relay = Relay(
            lambda: way.equipment(),  # noqa: PLW0108  there is no way yet
            faults=around.faults,
            targets=(name,),
            protocol=served.protocol,
            units=units_of(self.pilot, served),
            seed=around.seed,
        )
        port = functools.partial(claim_port, around.data_dir, name, around.first_port)
        make = functools.partial(self._make, SERVERS[served.protocol], served)
        way = TcpWay(name, served.name, self._medium(served), relay, make=make, port=port)
        return way

    def _line(self, name: str, file_name: str, served: ConnectionSpec) -> LineWay:
        around = self.around
        settings = LineSettings.from_options({"baudrate": USUAL_BAUDRATE[served.protocol], **served.options})
        line = SerialLine(serial_path(around.data_dir, file_name), settings, equipment_file=True, seed=around.seed)
        way = SerialWay(
            line,
            faults=around.faults,
            targets=(name,),
            protocol=served.protocol,
            units=units_of(self.pilot, served),
            seed=around.seed,
        )
        make = functools.partial(self._make, LINES[served.protocol], served)
        return LineWay(name, served.name, self._medium(served), way, make)

    def _make(self, maker: Maker, served: ConnectionSpec) -> Any:
        return maker(self.plant, served, self.pilot, self.profiles, self.around.ledger)

    def _medium(self, served: ConnectionSpec) -> Medium | None:
        """What its options say (a backup has no link of its own), else what its link is made of."""
        return medium_of(str(served.options.get("medium", ""))) or medium_of_connection(self.pilot, served.name)

    def _add_stations(self, connection: ConnectionSpec) -> None:
        for device in devices_of(self.pilot, connection):
            identity = str(device.address.get("identity", device.id))
            relay = self._dialled(connection, device.id, self.around.ocpp)
            self.charge_points[identity] = ChargePoint(
                self.plant,
                device.id,
                identity,
                connector=int(device.address.get("connector", 1)),
                endpoint=functools.partial(_through, relay, self.around.ocpp),
                key=functools.partial(self.around.secrets.charge_point_key, identity),
                ledger=self.around.ledger,
                seed=self.around.seed,
            )

    def _add_head_ends(self, connection: ConnectionSpec) -> None:
        for name, devices in pushers_of(self.pilot).items():
            if devices[0].connection != connection.name:
                continue
            relay = self._dialled(connection, name, self._web)
            self.head_ends[name] = HeadEnd(
                self.plant,
                name,
                devices,
                self.profiles,
                base_url=functools.partial(self._push_url, relay),
                token=functools.partial(self.around.secrets.token, name),
                seed=self.around.seed,
            )

    def _dialled(self, connection: ConnectionSpec, name: str, far_end: Endpoint) -> Relay:
        """The relay through which one station or head-end system reaches the product."""
        relay = Relay(
            far_end,
            faults=self.around.faults,
            targets=(name, connection.name),
            protocol=connection.protocol,
            dials=True,
            seed=self.around.seed,
        )
        self.ways.append(TcpWay(name, connection.name, medium_of_connection(self.pilot, connection.name), relay))
        return relay

    def _web(self) -> tuple[str, int] | None:
        url = self.around.web()
        if url is None:
            return None
        place = urlsplit(url)
        return place.hostname or HOST, place.port or 80

    def _push_url(self, relay: Relay) -> str | None:
        url = self.around.web()
        return None if url is None or not relay.port else f"http://{HOST}:{relay.port}{urlsplit(url).path}"


def _through(relay: Relay, far_end: Endpoint) -> tuple[str, int] | None:
    """The relay, while the product behind it is known."""
    return None if far_end() is None or not relay.port else (HOST, relay.port)


def _as_connection(connection: ConnectionSpec, way: Way) -> ConnectionSpec:
    """A way in the form that peers take: under the connection's name, because that is what its devices name.

    A backup of the same protocol has the first way's options where it says nothing else.
    """
    inherited = connection.options if way.protocol is connection.protocol else {}
    return replace(connection, protocol=way.protocol, options={**inherited, **way.options}, backups=())
