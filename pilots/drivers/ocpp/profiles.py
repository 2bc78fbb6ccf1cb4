"""A limit as a charging profile. [zone: field]

OCPP 1.6 edition 2, 3.13 and 7.8: within a purpose the highest stack level that is valid now wins, an equal one is
replaced; TxProfile overrules TxDefaultProfile for its transaction. IEC 61851-1 lets no car charge with less than 6 A.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

#: Below the highest level every station has, above the standing fallback (0) and a forecast (1).
STACK_LEVEL = 2
#: So that a station whose clock is a little behind does not see a profile that only begins in the future.
HEAD_START = timedelta(seconds=60)
LOWEST_CURRENT_A = 6.0
NOMINAL_VOLTAGE_V = 230.0
DEFAULT_BASE, TRANSACTION_BASE = 1000, 2000


def default_profile_id(connector: int) -> int:
    """Fixed per connector, so that a new limit replaces the old one and a release finds it."""
    return DEFAULT_BASE + connector


def transaction_profile_id(connector: int) -> int:
    return TRANSACTION_BASE + connector


def limit_of(power_w: float, options: Mapping[str, Any]) -> tuple[float, str]:
    """The limit and its unit as the station takes it, floored to 0.1: W in total, or A per phase.

    A current between 0 and 6 A becomes 0, because a car cannot charge with it: the limit holds by pausing.

    >>> limit_of(7400, {}), limit_of(7400, {"rate_unit": "A"}), limit_of(2000, {"rate_unit": "A"})
    ((7400.0, 'W'), (10.7, 'A'), (0.0, 'A'))
    """
    power_w = max(power_w, 0.0)
    if str(options.get("rate_unit", "W")) != "A":
        return floored(power_w), "W"
    volts = float(options.get("voltage_v", NOMINAL_VOLTAGE_V)) * int(options.get("phases", 3))
    amperes = floored(power_w / volts)
    return (0.0 if amperes < LOWEST_CURRENT_A else amperes), "A"


def floored(limit: float) -> float:
    """One decimal, never above; a limit that has one decimal already stays what it is.

    >>> floored(7400.3), floored(7400.38), floored(0.7)
    (7400.3, 7400.3, 0.7)
    """
    return math.floor(limit * 10 + 1e-6) / 10


def build_profile(
    purpose: str,
    number: int,
    power_w: float,
    *,
    now: datetime,
    valid_for_s: float | None,
    options: Mapping[str, Any],
    transaction_id: int | None = None,
) -> dict[str, Any]:
    """`csChargingProfiles` of one constant limit from now on, dropped by the station itself after `valid_for_s`."""
    limit, unit = limit_of(power_w, options)
    start = now - HEAD_START
    period: dict[str, Any] = {"start_period": 0, "limit": limit}
    if "phases" in options:
        period["number_phases"] = int(options["phases"])
    schedule: dict[str, Any] = {
        "start_schedule": stamp(start),
        "charging_rate_unit": unit,
        "charging_schedule_period": [period],
    }
    profile: dict[str, Any] = {
        "charging_profile_id": number,
        "stack_level": min(STACK_LEVEL, int(options.get("stack_level", STACK_LEVEL))),
        "charging_profile_purpose": purpose,
        "charging_profile_kind": "Absolute",
        "charging_schedule": schedule,
    }
    if transaction_id is not None:
        profile["transaction_id"] = transaction_id
    if valid_for_s is not None:
        schedule["duration"] = math.ceil(valid_for_s + HEAD_START.total_seconds())
        profile["valid_to"] = stamp(now + timedelta(seconds=math.ceil(valid_for_s)))
    return profile


def stamp(moment: datetime) -> str:
    """ISO 8601 in whole seconds UTC: some stations do not read fractions."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
