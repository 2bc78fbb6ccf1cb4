"""A simulated IED on IEC 61850 MMS. docs/protocols/iec61850.md [zone: field, simulated]"""

from pilots.simulators.iec61850.ied import IntelligentDevice

__all__ = ["IntelligentDevice"]
