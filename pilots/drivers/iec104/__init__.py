"""IEC 60870-5-104, controlling station: codec (`asdu`), link (`apci`), driver (`driver`). [zone: field]"""

from __future__ import annotations

from pilots.drivers.iec104.driver import Iec104Driver

__all__ = ["Iec104Driver"]
