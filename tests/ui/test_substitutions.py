"""Values by hand from the faceplate: who may, what is said, how people type."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from pilots.control.substitutions import substitute
from pilots.models import Role, Substitution
from tests.builders import make_point
from tests.ui.conftest import Plant, client_of

FORM = {"device": "es-STO01", "point": "active_power", "value": "−12,5", "minutes": "15", "reason": "read at the meter"}


def post(client: Client, path: str = "/pilots/es/substitutions/", **form: Any) -> Any:
    return client.post(path, FORM | form, headers={"Accept": "application/json"})


def test_an_operator_substitutes_in_the_shown_unit_and_withdraws(operator: Client, plant: Plant) -> None:
    assert post(operator).status_code == 204
    made = Substitution.objects.get()
    assert (made.value, made.owner, made.reason, made.removed_at) == (-12_500.0, "olaf", "read at the meter", None)
    html = operator.get("/pilots/es/faceplate/es-STO01/").content.decode()
    assert "Active power substituted: −12.5 kW until" in html and "read at the meter" in html
    assert post(operator, f"/pilots/es/substitutions/{made.pk}/end").status_code == 204
    made.refresh_from_db()
    assert made.removed_by == "olaf"
    assert post(operator, f"/pilots/es/substitutions/{made.pk}/end").status_code == 409


def test_a_state_is_given_by_its_word(operator: Client, plant: Plant) -> None:
    make_point(plant.storage, "position", kind="status", unit="", labels={"1": "open", "2": "closed"})
    assert post(operator, point="position", value="Closed").status_code == 204
    assert Substitution.objects.get().value == 2.0
    refused = post(operator, point="position", value="3").json()
    assert (refused["field"], refused["reason"]) == ("value", "position takes 1 (open), 2 (closed).")


@pytest.mark.parametrize("change", [{"value": "much"}, {"value": "nan"}, {"reason": ""}, {"minutes": ""}, {"minutes": "99999"}])
def test_what_is_missing_is_said(operator: Client, plant: Plant, change: dict[str, str]) -> None:
    answer = post(operator, **change)
    assert (answer.status_code, answer.json()["field"]) == (409, next(iter(change)))


def test_viewers_and_other_pilots_may_not(viewer: Client, plant: Plant) -> None:
    now = datetime.now(UTC)
    substitute(plant.power, 1.0, owner="ana", reason="test", until=now + timedelta(minutes=5), now=now)
    assert post(viewer).status_code == 403
    assert "Substitute a value" not in viewer.get("/pilots/es/faceplate/es-STO01/").content.decode()
    elsewhere = client_of(Role.OPERATOR, "nils")
    assert post(elsewhere, device="nl-STO01").status_code == 404
