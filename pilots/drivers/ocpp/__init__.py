"""OCPP 1.6J central system: charge points connect to us. [zone: field]"""

from pilots.drivers.ocpp.driver import Ocpp16Driver

__all__ = ["Ocpp16Driver"]
