"""The rules of set-points that the platform meets: how often, in which order, how long ago, with which ramp (docs/rules.md)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pilots.api import idempotency
from pilots.models import AuditEvent, IdempotencyKey, ServiceToken, Setpoint
from tests.api.conftest import Plant, api, problem
from tests.api.test_setpoints import wish
from tests.builders import make_latest


def test_s2_an_increment_is_refused_and_nothing_is_stored(plant: Plant) -> None:
    body = problem(api("control").post("/setpoints", wish(mode="delta"), key="k"), 422, "not_capable")
    assert (body["field"], Setpoint.objects.count()) == ("mode", 0)


def test_s4_a_source_that_asks_too_often_waits_and_nothing_is_stored(
    plant: Plant, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = datetime.now(UTC)
    monkeypatch.setattr("django.utils.timezone.now", lambda: moment)
    settings.SETPOINT_RATE, settings.SETPOINT_BURST = 1, 2
    client, other = api("control", name="platform"), api("control")
    assert [client.post("/setpoints", wish(), key=str(n)).status_code for n in range(2)] == [202, 202]
    answer = client.post("/setpoints", wish(), key="third")
    body = problem(answer, 429, "rate_limited")
    assert body["detail"].startswith("platform asks too often: 2 set-points at once and 1 a second are taken.")
    assert answer["Retry-After"] == "1"
    assert Setpoint.objects.count() == 2 and not IdempotencyKey.objects.filter(key="third").exists()
    assert other.post("/setpoints", wish(), key="1").status_code == 202


@pytest.mark.parametrize(("sequence", "state"), [(8, "validated"), (7, "rejected"), (6, "rejected"), (None, "validated")])
def test_s8_only_a_newer_sequence_is_taken(plant: Plant, sequence: int | None, state: str) -> None:
    client = api("control", name="platform")
    assert client.post("/setpoints", wish(sequence=7), key="a").json()["sequence"] == 7
    record = client.post("/setpoints", wish(sequence=sequence, value=-10_000), key="b").json()
    assert record["state"] == state
    if state == "rejected":
        sentence = f"Sequence {sequence} is not newer than 7, the last taken from this source here."
        assert (record["code"], record["reason"]) == ("superseded", sentence)
        assert Setpoint.objects.get(value=-20_000).state == "validated"


def test_s8_sequences_are_counted_by_source_and_only_of_what_was_taken(plant: Plant) -> None:
    mine, other = api("control", name="platform"), api("control", name="aggregator")
    assert mine.post("/setpoints", wish(sequence=9, value=200_000), key="a").json()["code"] == "out_of_range"
    assert mine.post("/setpoints", wish(sequence=8), key="b").json()["state"] == "validated"
    assert other.post("/setpoints", wish(sequence=1), key="c").json()["state"] == "validated"


def test_s8_a_source_that_counts_anew_is_heard_after_two_days(plant: Plant) -> None:
    client = api("control", name="platform")
    client.post("/setpoints", wish(sequence=9), key="a")
    Setpoint.objects.update(received_at=datetime.now(UTC) - timedelta(hours=48, minutes=1))
    assert client.post("/setpoints", wish(sequence=1), key="b").json()["state"] == "validated"


def test_s9_a_recorded_post_sent_again_changes_nothing(plant: Plant) -> None:
    client, body = api("control"), wish()
    first, replayed = (client.post("/setpoints", body, key="k") for _ in range(2))
    assert Setpoint.objects.count() == 1
    assert "Idempotency-Replayed" not in first and replayed["Idempotency-Replayed"] == "true"


def test_s9_a_recorded_post_is_refused_once_its_key_is_forgotten(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest that a body can be of use: it begins 24 h from now and is valid for 24 h. Its key is remembered as long."""
    client, now = api("control"), datetime.now(UTC)
    edges = {"valid_from": (now + timedelta(hours=24)).isoformat(), "valid_until": (now + timedelta(hours=48)).isoformat()}
    assert client.post("/setpoints", wish(**edges), key="k").json()["state"] == "validated"
    later = now + timedelta(hours=48, seconds=2)
    monkeypatch.setattr("django.utils.timezone.now", lambda: later)
    idempotency.forget_old_keys()
    replayed = client.post("/setpoints", wish(**edges), key="k").json()
    assert (replayed["state"], replayed["code"]) == ("rejected", "stale_request")


def test_s9_nothing_begins_so_late_that_its_key_is_forgotten_before(plant: Plant) -> None:
    now = datetime.now(UTC)
    late = {"valid_from": (now + timedelta(hours=25)).isoformat(), "valid_until": (now + timedelta(hours=26)).isoformat()}
    record = api("control").post("/setpoints", wish(**late), key="k").json()
    assert (record["code"], record["reason"]) == ("out_of_range", "A set-point begins within 24 h.")


def test_s9_a_recorded_post_under_another_key_is_refused_by_its_id_its_number_or_its_age(plant: Plant) -> None:
    client, now = api("control"), datetime.now(UTC)
    body = wish(id="6f1f7a5c-9d0e-4b8e-9d54-0a3a3b6f7c11")
    client.post("/setpoints", body, key="a")
    problem(client.post("/setpoints", body, key="b"), 409, "duplicate_id")
    assert client.post("/setpoints", wish(sequence=3), key="c").json()["state"] == "validated"
    assert client.post("/setpoints", wish(sequence=3), key="d").json()["code"] == "superseded"
    old = wish(issued_at=(now - timedelta(seconds=61)).isoformat())
    assert client.post("/setpoints", old, key="e").json()["code"] == "clock_skew"


def test_s9_a_recorded_post_of_a_revoked_token_is_refused(plant: Plant) -> None:
    client, body = api("control"), wish()
    client.post("/setpoints", body, key="k")
    ServiceToken.objects.update(revoked_at=datetime.now(UTC))
    problem(client.post("/setpoints", body, key="k"), 401, "not_authenticated")


def test_s24_the_trail_says_by_which_token_and_scope_from_where_and_within_which_limits(plant: Plant) -> None:
    make_latest(plant.power, 4_200.0)
    plant.p_set.operating_maximum = 60_000
    plant.p_set.save()
    api("control", name="platform").post("/setpoints", wish(reason="peak"), key="k")
    asked = AuditEvent.objects.get(action="request set-point")
    token = ServiceToken.objects.get()
    assert asked.details["by"] == {"role": "scope control", "token": token.sha256[:16], "address": "127.0.0.1"}
    told = {name: asked.details[name] for name in ("before", "value", "unit", "limits")}
    assert told == {"before": 4_200, "value": -20_000, "unit": "W", "limits": [-100_000, 60_000]}
    assert (asked.actor, asked.reason) == ("platform", "peak")


def test_a_ramp_is_taken_and_shown(plant: Plant) -> None:
    make_latest(plant.power, 0.0)
    record = api("control").post("/setpoints", wish(ramp=500), key="k").json()
    assert (record["state"], record["ramp"]) == ("validated", 500.0)
    assert api("control").post("/setpoints", wish(ramp=-1), key="k").json()["reason"] == "The ramp is not a number above 0."


# What a token may do: said, or not allowed


@pytest.mark.parametrize(
    ("rights", "status", "code"),
    [
        ({"scopes": ["read", "ingest", "admin"]}, 403, "not_authorised"),
        ({"pilots": ["nl"]}, 404, "unknown_device"),
        ({"devices": ["nl-EVSE01"]}, 404, "unknown_device"),
        ({"pilots": ["nl"], "devices": ["es-STO01"]}, 404, "unknown_device"),
        ({"all_pilots": False}, 404, "unknown_device"),
        ({"all_devices": False}, 404, "unknown_device"),
        ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, 401, "not_authenticated"),
        ({"revoked_at": datetime(2020, 1, 1, tzinfo=UTC)}, 401, "not_authenticated"),
    ],
    ids=str,
)
def test_what_a_token_is_not_given_is_refused(plant: Plant, rights: dict[str, Any], status: int, code: str) -> None:
    chosen: dict[str, Any] = dict(rights)
    scopes = chosen.pop("scopes", ["control"])
    if "pilots" in chosen:
        chosen["pilots"] = [plant.nl]
    if "devices" in chosen:
        chosen["devices"] = [{"es-STO01": plant.battery, "nl-EVSE01": plant.charger}[name] for name in chosen["devices"]]
    made = api("control").post("/setpoints", wish(), key="k").json()
    client = api(*scopes, **chosen)
    problem(client.post("/setpoints", wish(), key="k"), status, code)
    problem(client.post(f"/setpoints/{made['id']}/cancel", {}), status, "not_found" if status == 404 else code)
    assert Setpoint.objects.get().state == "validated"


def test_a_token_of_one_device_commands_that_one(plant: Plant) -> None:
    client = api("control", pilots=[plant.es], devices=[plant.battery])
    assert client.post("/setpoints", wish(), key="k").status_code == 202


def test_a_token_whose_last_device_or_pilot_is_gone_reaches_nothing(plant: Plant) -> None:
    of_device, of_pilot = api("control", devices=[plant.charger]), api("control", pilots=[plant.nl])
    plant.nl.delete()
    for client in (of_device, of_pilot):
        problem(client.post("/setpoints", wish(), key="k"), 404, "unknown_device")
