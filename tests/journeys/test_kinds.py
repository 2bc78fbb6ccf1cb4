"""Every kind of set-point there and back in the running installation: to the device, to executed, and back to its default."""

from __future__ import annotations

import pytest

from tests.journeys.installation import Installation
from tests.journeys.test_setpoints import executed, writes

pytestmark = pytest.mark.parametrize("scada", ["embedded"], indirect=True, scope="session")
#: Device, point, unit, value, and where the device stands afterwards; None: the device drops a limit by itself, to its rating.
KINDS = [
    ("es-STO01", "p_set", "W", -21_000.0, 0.0),
    ("es-STO01", "q_set", "var", 7_000.0, 0.0),
    ("es-STO01", "pf_set", "1", 0.95, 1.0),
    ("es-STO01", "u_set", "V", 232.0, 230.0),
    ("es-STO01", "f_droop_set", "%/Hz", 40.0, 0.0),
    ("es-STO01", "soc_min_set", "%", 15.0, 10.0),
    ("es-STO01", "soc_max_set", "%", 85.0, 90.0),
    ("bg-STO01", "soc_min_set", "%", 12.0, 10.0),
    ("nl-EVSE02", "p_limit", "W", 7_000.0, 11_000.0),
    ("no-LC01", "temp_room_set", "degC", 19.5, 21.0),
    ("no-LC01", "load_shed_level", "1", 1.0, 0.0),
    ("bg-LOAD11", "load_shed_level", "1", 1.0, 0.0),
]


@pytest.mark.parametrize(("device", "point", "unit", "value", "default"), KINDS)
def test_every_kind_is_executed_and_given_back(
    scada: Installation, device: str, point: str, unit: str, value: float, default: float
) -> None:
    before = len(writes(scada, device, point))
    answer = scada.api.ask(device, point, value, unit=unit, reason="journey of the kinds")
    assert answer.status_code == 202, answer.text
    record = executed(scada, answer.json()["id"])
    assert record["active"] and record["ends_in_s"] > 0
    assert [entry["value"] for entry in writes(scada, device, point, before)] == [pytest.approx(value)]
    assert scada.api.send("POST", f"setpoints/{record['id']}/cancel", json={"reason": "seen"}).status_code == 200

    def given_back() -> bool:
        return [entry["value"] for entry in writes(scada, device, point, before)] == [
            pytest.approx(value),
            pytest.approx(default),
        ]

    scada.until(given_back, 30, f"{device}/{point} is back at {default:g}")
