"""IEC 61850 as client: reports, reads, controls over MMS. docs/protocols/iec61850.md [zone: field]"""

from pilots.drivers.iec61850.driver import Iec61850Driver

__all__ = ["Iec61850Driver"]
