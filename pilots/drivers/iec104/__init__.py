"""IEC 60870-5-104, controlling station: link (`apci`) and driver; the rest is iec60870's. [zone: field]"""

from __future__ import annotations

from pilots.drivers.iec104.driver import Iec104Driver

__all__ = ["Iec104Driver"]
