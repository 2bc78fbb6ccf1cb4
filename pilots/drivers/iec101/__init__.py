"""IEC 60870-5-101, controlling station: FT1.2 link over serial lines and TCP; the rest is iec60870's. [zone: field]"""

from __future__ import annotations

from pilots.drivers.iec101.driver import Iec101Driver

__all__ = ["Iec101Driver"]
