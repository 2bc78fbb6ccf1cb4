"""Modbus TCP client driver: block reads, register codec, one request in flight. [zone: field]"""

from pilots.drivers.modbus.driver import ModbusTcpDriver

__all__ = ["ModbusTcpDriver"]
