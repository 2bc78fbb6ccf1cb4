"""Modbus client drivers: block reads, register codec, one request in flight. [zone: field]"""

from pilots.drivers.modbus.driver import ModbusRtuDriver, ModbusTcpDriver

__all__ = ["ModbusRtuDriver", "ModbusTcpDriver"]
