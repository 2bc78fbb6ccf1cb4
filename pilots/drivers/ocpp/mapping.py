"""From OCPP messages to raw readings in W, Wh, V, A, degC and %. [zone: field]

OCPP 1.6 edition 2, 7.28 (MeterValue), 7.43 (SampledValue) and errata 4. Units are normalised here and not by the point's
scale, because each sampled value names its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pilots.domain.measurement import RawReading
from pilots.domain.point import PointKind, PointSpec
from pilots.domain.quality import GOOD, Flag, Quality, Validity
from pilots.drivers.base import DeviceTarget

ENERGY_REGISTER = "Energy.Active.Import.Register"
MISSING = Quality(Validity.INVALID, flags=Flag.NOT_AVAILABLE)
#: Stations without a set clock stamp 1970 or their firmware's date; nothing older than OCPP 1.6 itself can be true.
EARLIEST = datetime(2015, 1, 1, tzinfo=UTC)
SIGNED_PAIRS = {"Power.Active.Import": "Power.Active.Export", "Power.Reactive.Import": "Power.Reactive.Export"}
THOUSANDS = {"kW", "kWh", "kVA", "kvar", "kvarh"}

#: (measurand, phase or "") -> value
Sample = dict[tuple[str, str], float | None]


class UnreadableMeterValue(ValueError):
    """The MeterValues payload has not the shape the schema asks for; `words` say where."""


@dataclass(slots=True)
class PointMap:
    """Which points of a device take which part of a message."""

    measurands: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    statuses: dict[str, list[PointSpec]] = field(default_factory=dict)
    transactions: dict[str, list[PointSpec]] = field(default_factory=dict)

    @classmethod
    def of(cls, device: DeviceTarget) -> PointMap:
        found = cls()
        for spec in device.points.values():
            address = spec.address
            if "measurand" in address:
                key = str(address["measurand"]), phase_of(address.get("phase"))
                found.measurands.setdefault(key, []).append(spec.name)
            elif "status" in address:
                found.statuses.setdefault(str(address["status"]), []).append(spec)
            elif "transaction" in address:
                found.transactions.setdefault(str(address["transaction"]), []).append(spec)
        return found

    def meter_readings(self, meter_value: Mapping[str, Any]) -> list[RawReading]:
        """The readings of one element of `meterValue`. Raises UnreadableMeterValue."""
        stamp = moment(meter_value.get("timestamp"))
        sample = read_sample(meter_value)
        return [
            RawReading(name, value, GOOD if value is not None else MISSING, stamp)
            for key, names in self.measurands.items()
            for present, value in [pick(sample, key)]
            if present
            for name in names
        ]

    def status_readings(self, payload: Mapping[str, Any]) -> list[RawReading]:
        """The readings of a StatusNotification."""
        stamp = moment(payload.get("timestamp"))
        status = str(payload["status"])
        words = {"connector_state": status, "error_code": str(payload["errorCode"])}
        words["availability"] = "disabled" if status == "Unavailable" else "enabled"
        return [status_reading(spec, word, stamp) for name, word in words.items() for spec in self.statuses.get(name, [])]

    def transaction_readings(self, facts: Mapping[str, float | str], stamp: datetime | None) -> list[RawReading]:
        """Readings of the points that show these facts of a transaction (session_id, auth_id, session_energy ...)."""
        return [
            RawReading(spec.name, value, GOOD, stamp) for name, value in facts.items() for spec in self.transactions.get(name, [])
        ]

    def register_readings(self, energy_wh: float, stamp: datetime | None) -> list[RawReading]:
        """The energy register as meterStart and meterStop tell it, in Wh."""
        return [RawReading(name, energy_wh, GOOD, stamp) for name in self.measurands.get((ENERGY_REGISTER, ""), [])]


def status_reading(spec: PointSpec, word: str, stamp: datetime | None) -> RawReading:
    """A word as text, or as the number that the point's labels give it; a word without a number is no value."""
    if spec.kind is PointKind.TEXT:
        return RawReading(spec.name, word, GOOD, stamp)
    code = next((number for number, label in spec.labels.items() if label == word), None)
    return RawReading(spec.name, code, GOOD if code is not None else MISSING, stamp)


def read_sample(meter_value: Mapping[str, Any]) -> Sample:
    """All sampled values of one moment, in base units. Signed meter data is left out: it is not a number."""
    sampled = meter_value.get("sampledValue")
    if not isinstance(sampled, list) or not all(isinstance(one, dict) and "value" in one for one in sampled):
        raise UnreadableMeterValue("sampledValue is a list of objects with a value")
    sample: Sample = {}
    for one in sampled:
        if one.get("format") == "SignedData":
            continue
        measurand = str(one.get("measurand", ENERGY_REGISTER))
        key = measurand, phase_of(one.get("phase"))
        sample[key] = in_base_unit(str(one["value"]), str(one.get("unit", "")))
    return sample


def pick(sample: Sample, key: tuple[str, str]) -> tuple[bool, float | None]:
    """Whether the sample says anything about this measurand and phase, and what.

    Power is import minus export (IEC load convention). A total that is not sent is the sum of the phases that are;
    currents are never summed.
    """
    measurand, phase = key
    export = SIGNED_PAIRS.get(measurand)
    if export is None:
        return key in sample, sample.get(key)
    parts = [one for one in ((measurand, phase), (export, phase)) if one in sample]
    if not parts and not phase:
        parts = [one for one in sample if one[0] in (measurand, export) and one[1] in ("L1", "L2", "L3")]
    total = 0.0
    for part in parts:
        value = sample[part]
        if value is None:
            return True, None
        total += value if part[0] == measurand else -value
    return bool(parts), total if parts else None


def in_base_unit(text: str, unit: str) -> float | None:
    """The number in W, Wh, var, VA, V, A, degC, % or Hz; no unit means the base unit (W for power, Wh for energy).

    >>> in_base_unit("7.2", "kW"), in_base_unit("230", ""), in_base_unit("NaN", "V"), in_base_unit("300.15", "K")
    (7200.0, 230.0, None, 27.0)
    """
    try:
        value = float(text)
    except ValueError:
        return None
    if not math.isfinite(value):
        return None
    if unit in THOUSANDS:
        return value * 1000
    if unit == "Fahrenheit":
        return round((value - 32) / 1.8, 6)
    return round(value - 273.15, 6) if unit == "K" else value


def phase_of(phase: object) -> str:
    """L1-N and L1 are one phase to us: stations use either for a line-to-neutral voltage.

    >>> phase_of("L1-N"), phase_of("L1-L2"), phase_of(None)
    ('L1', 'L1-L2', '')
    """
    return str(phase).removesuffix("-N") if phase else ""


def moment(text: object) -> datetime | None:
    """The station's time stamp in UTC; None when it has none, no zone (local time of nobody knows where) or one before 2015."""
    if not isinstance(text, str):
        return None
    try:
        stamp = datetime.fromisoformat(text)
    except ValueError:
        return None
    if stamp.tzinfo is None or stamp < EARLIEST:
        return None
    return stamp.astimezone(UTC)


def meter_values(payload: Mapping[str, Any], name: str) -> Iterable[Mapping[str, Any]]:
    """The elements of `meterValue` or `transactionData`. Raises UnreadableMeterValue."""
    elements = payload.get(name)
    if not isinstance(elements, list) or not all(isinstance(one, dict) and "timestamp" in one for one in elements):
        raise UnreadableMeterValue(f"{name} is a list of objects with a timestamp")
    return elements
