"""What a pilot consists of: devices, links, connections. [zones: process to operation]

Links carry the letters of D7.1 3.1.1-3.1.5; SGAM addresses are layer.domain.zone (`E.4.a`) as in D7.1 2.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class DeviceKind(StrEnum):
    GRID_INFEED = "grid_infeed"
    TRANSFORMER = "transformer"
    SWITCH = "switch"
    METER = "meter"  # power, production meters and network analysers
    SMART_METER = "smart_meter"
    RTU = "rtu"
    SCADA = "scada"
    STORAGE_UNIT = "storage_unit"
    BATTERY_MANAGEMENT_SYSTEM = "battery_management_system"
    POWER_ELECTRONICS = "power_electronics"
    INVERTER = "inverter"
    GENERATING_UNIT = "generating_unit"
    CHARGE_POINT = "charge_point"
    HOUSEHOLD = "household"
    HOTEL = "hotel"
    BOILER = "boiler"
    LOCAL_CONTROLLER = "local_controller"
    GATEWAY = "gateway"
    HEAD_END_SYSTEM = "head_end_system"
    WEATHER_SOURCE = "weather_source"
    PLATFORM = "platform"


#: What stands upright between the grid and the busbars; nodes of the communication column; what stands beside what it serves.
HEAD_KINDS = frozenset({DeviceKind.GRID_INFEED, DeviceKind.SWITCH, DeviceKind.TRANSFORMER})
NODE_KINDS = frozenset(
    {
        DeviceKind.PLATFORM,
        DeviceKind.SCADA,
        DeviceKind.HEAD_END_SYSTEM,
        DeviceKind.WEATHER_SOURCE,
        DeviceKind.RTU,
    }
)
GUEST_KINDS = frozenset({DeviceKind.GATEWAY, DeviceKind.LOCAL_CONTROLLER, DeviceKind.BATTERY_MANAGEMENT_SYSTEM})


class LinkRole(StrEnum):
    OURS = "ours"  # we hold its connection
    OBSERVED = "observed"  # behind a device of ours: judged by the points that cross it


class LinkState(StrEnum):
    UNKNOWN = "unknown"
    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"


class Protocol(StrEnum):
    """Protocols a connection can speak. `push` is a head-end system posting to our API."""

    MODBUS_TCP = "modbus_tcp"  # with `tls` among the options: Modbus/TCP Security
    MODBUS_RTU = "modbus_rtu"  # on a serial line, or carried by TCP to a serial device server
    IEC104 = "iec104"
    IEC101 = "iec101"  # on a serial line, or carried by TCP
    IEC61850 = "iec61850"  # MMS
    OCPP16 = "ocpp16"
    PUSH = "push"


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """One way to the far end of a connection: a TCP endpoint, or a serial line by its device file.

    Without `port` and `serial_line` a simulated connection goes to our own simulator, looked up at run time by name.
    """

    protocol: Protocol
    host: str = "127.0.0.1"
    port: int | None = None
    serial_line: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionSpec(Way):
    """One TCP connection, serial line or listener.

    `backups` are other ways to the same equipment, tried in order while the ways before them fail: a second address of
    an RTU, or IEC 101 by GSM behind IEC 104 (D7.1 2.2.1.1).
    """

    name: str
    simulated: bool = False
    backups: tuple[Way, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceSpec:
    """One device. `parent` is the next device towards the grid; `measured_by` names the meter whose active power
    and current stand for it where it has no own measurement; `address` is where the connection finds it (unit id,
    IOA base, charge point identity); `position` orders it in the diagram."""

    id: str
    kind: DeviceKind
    sgam: str
    name: str = ""
    parent: str = ""
    profile: str = ""
    connection: str = ""
    address: Mapping[str, Any] = field(default_factory=dict)
    measured_by: str = ""
    position: int = 0
    operator: str = ""
    nameplate: Mapping[str, Any] = field(default_factory=dict)
    nudge: tuple[int, int] = (0, 0)  # pixels to the right and down, on the picture only
    fallback: Mapping[str, Any] = field(default_factory=dict)  # as `domain.fallback.plan_of` reads it


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkSpec:
    """One edge of the communication graph under its D7.1 letter; many edges share a letter.

    `protocol` is what runs over it in words ("Modbus RTU"); `connection` names the connection of ours that carries it.
    """

    letter: str
    ends: tuple[str, str]
    protocol: str
    medium: str
    sgam: str
    role: LinkRole
    connection: str = ""
    alternatives: str = ""
    source: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class PilotSpec:
    """A pilot as its file declares it."""

    code: str
    name: str
    country: str
    time_zone: str
    latitude: float
    longitude: float
    summary: str = ""
    operator: str = ""
    source: str = ""
    heartbeat_s: float | None = None  # of the platform; silent for longer, the fallback plans come into force
    connections: tuple[ConnectionSpec, ...] = ()
    devices: tuple[DeviceSpec, ...] = ()
    links: tuple[LinkSpec, ...] = ()

    def device(self, device_id: str) -> DeviceSpec:
        """The device of that id. Raises KeyError."""
        for device in self.devices:
            if device.id == device_id:
                return device
        raise KeyError(device_id)
