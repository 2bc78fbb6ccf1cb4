"""Which driver speaks which protocol. [zone: field]"""

from __future__ import annotations

from pilots.domain.topology import Protocol
from pilots.drivers.base import Driver
from pilots.drivers.iec101 import Iec101Driver
from pilots.drivers.iec104.driver import Iec104Driver
from pilots.drivers.iec61850 import Iec61850Driver
from pilots.drivers.modbus import ModbusRtuDriver, ModbusTcpDriver
from pilots.drivers.ocpp import Ocpp16Driver

#: `push` is missing on purpose: those devices post to our API, there is nothing to open.
DRIVERS: dict[Protocol, type[Driver]] = {
    Protocol.MODBUS_TCP: ModbusTcpDriver,
    Protocol.MODBUS_RTU: ModbusRtuDriver,
    Protocol.IEC104: Iec104Driver,
    Protocol.IEC101: Iec101Driver,
    Protocol.IEC61850: Iec61850Driver,
    Protocol.OCPP16: Ocpp16Driver,
}


def driver_for(protocol: Protocol) -> type[Driver]:
    """The driver class of a protocol. Raises KeyError for `push`, which has none."""
    return DRIVERS[protocol]
