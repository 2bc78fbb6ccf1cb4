"""Who gets in, to what, and how often."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from pilots.api.permissions import RateLimit
from pilots.models import Scope, ServiceToken
from tests.api.conftest import BASE, Api, Plant, api, problem
from tests.builders import make_token, make_user

READABLE = ["/pilots", "/pilots/es", "/pilots/es/topology", "/devices", "/devices/es-STO01", "/devices/es-STO01/capabilities"]
READABLE += ["/points", "/devices/es-STO01/points", "/measurements/latest", "/setpoints", "/schema/"]
READABLE += ["/measurements?point=es/es-STO01/active_power&from=2024-05-01T00:00:00Z&to=2024-05-02T00:00:00Z"]
FOR_ANYBODY = ["/capabilities", "/clock", "/health"]
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"
POSTS = {"/setpoints": "control", f"/setpoints/{UNKNOWN_ID}/cancel": "control", "/measurements": "ingest"}
POSTS |= {"/selections": "switch"} | {f"/selections/{UNKNOWN_ID}/{step}": "switch" for step in ("operate", "cancel", "approval")}
POSTS |= {f"/approvals/{UNKNOWN_ID}/{word}": "approve" for word in ("approve", "refuse")}
SCOPES = list(Scope.values)


@pytest.mark.parametrize("path", READABLE + FOR_ANYBODY)
def test_without_a_token_nothing_is_told(plant: Plant, path: str) -> None:
    answer = Api().get(path)
    problem(answer, 401, "not_authenticated")
    assert answer["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("header", ["Bearer wrong", "Bearer", "Bearer a b", "Basic YTpi", "Bearer ÿ"])
def test_a_wrong_token_is_refused(plant: Plant, header: str) -> None:
    client = Api()
    client.headers = {"Authorization": header}
    problem(client.get("/pilots"), 401, "not_authenticated")


def test_an_expired_or_revoked_token_is_refused(plant: Plant) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    problem(api("read", expires_at=past).get("/pilots"), 401, "not_authenticated")
    problem(api("read", revoked_at=past).get("/pilots"), 401, "not_authenticated")


@pytest.mark.parametrize(("path", "scope"), list(product(READABLE, SCOPES)))
def test_reading_needs_the_scope_read(plant: Plant, path: str, scope: str) -> None:
    answer = api(scope).get(path)
    if scope == "read":
        assert answer.status_code == 200, answer.content
    else:
        problem(answer, 403, "not_authorised")


@pytest.mark.parametrize(("path", "scope"), list(product(FOR_ANYBODY, SCOPES)))
def test_every_token_may_ask_for_capabilities_clock_and_health(plant: Plant, path: str, scope: str) -> None:
    assert api(scope).get(path).status_code == 200


@pytest.mark.parametrize(("path", "scope"), list(product(POSTS, SCOPES)))
def test_posting_needs_its_own_scope(plant: Plant, path: str, scope: str) -> None:
    answer = api(scope).post(path, {}, key="k")
    if scope == POSTS[path]:
        assert answer.status_code in (400, 404)
    else:
        problem(answer, 403, "not_authorised")


@pytest.mark.parametrize("path", ["/devices/nl-EVSE01", "/devices/nl-EVSE01/points", "/pilots/nl", "/pilots/nl/topology"])
def test_another_pilots_things_do_not_exist(plant: Plant, path: str) -> None:
    client = api(pilots=[plant.es])
    hidden = problem(client.get(path), 404, client.get(path).json()["code"])
    missing = client.get(path.replace("nl-EVSE01", "nl-EVSE99").replace("/nl", "/xx")).json()
    assert hidden == missing


@pytest.mark.parametrize("path", ["/pilots", "/devices", "/points", "/measurements/latest", "/setpoints"])
def test_lists_show_only_the_tokens_pilots(plant: Plant, path: str) -> None:
    assert "nl" not in {row.get("pilot", row.get("code")) for row in api(pilots=[plant.es]).get(path).json()["results"]}


@pytest.mark.parametrize(
    "path", ["/devices?pilot=nl", "/points?device=nl-EVSE01", "/setpoints?pilot=nl", "/measurements/latest?pilot=nl"]
)
def test_filters_do_not_tell_what_is_hidden(plant: Plant, path: str) -> None:
    assert api(pilots=[plant.es]).get(path).status_code == 404


def test_a_token_for_one_device_sees_only_that_device(plant: Plant) -> None:
    client = api(devices=[plant.charger])
    assert [row["id"] for row in client.get("/devices").json()["results"]] == ["nl-EVSE01"]
    problem(client.get("/devices/es-STO01"), 404, "unknown_device")


def test_a_login_reads_its_pilots_and_never_posts(plant: Plant) -> None:
    client = Api()
    client.client.force_login(make_user(pilot=plant.es))
    assert [row["code"] for row in client.get("/pilots").json()["results"]] == ["es"]
    problem(client.get("/pilots/nl"), 404, "unknown_pilot")
    problem(client.post("/setpoints", {}, key="k"), 403, "token_required")


def test_a_login_without_a_role_sees_nothing(plant: Plant) -> None:
    client = Api()
    client.client.force_login(make_user(role=None))
    assert client.get("/devices").json()["results"] == []


def test_the_use_of_a_token_is_noted_at_most_once_a_minute(plant: Plant) -> None:
    client = api(name="poller")
    client.get("/clock")
    first = ServiceToken.objects.get(name="poller").last_used_at
    client.get("/clock")
    assert first is not None
    assert ServiceToken.objects.get(name="poller").last_used_at == first


def test_the_twenty_first_request_at_once_must_wait(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pilots.api.permissions.RATE_LIMIT", RateLimit(clock=lambda: 100.0))
    client = api()
    assert {client.get("/clock").status_code for _ in range(20)} == {200}
    answer = client.get("/clock")
    problem(answer, 429, "rate_limited")
    assert answer["Retry-After"] == "1"
    assert api().get("/clock").status_code == 200


def test_a_rate_limit_lets_twenty_a_second_pass_for_ever() -> None:
    now = [0.0]
    limit = RateLimit(clock=lambda: now[0])
    assert [limit.take("a", 20) for _ in range(20)] == [0.0] * 20
    assert limit.take("a", 20) == pytest.approx(0.05)
    for _ in range(100):
        now[0] += 0.0501
        assert limit.take("a", 20) == 0.0
        assert limit.take("a", 20) > 0.0


def test_a_rate_limit_forgets_clients_that_are_gone() -> None:
    now = [0.0]
    limit = RateLimit(clock=lambda: now[0], most_clients=10)
    for number in range(50):
        now[0] += 10
        limit.take(str(number), 20)
    assert len(limit._full_at) <= 10


@pytest.mark.parametrize("path", [*READABLE[:11], *FOR_ANYBODY, "/nothing"])
def test_a_slash_at_the_end_is_another_place_and_never_a_redirect(plant: Plant, path: str) -> None:
    if not path.endswith("/"):
        problem(api().get(path + "/"), 404, "not_found")


@pytest.mark.parametrize("path", ["/setpoints/", "/measurements/", "/nothing"])
def test_a_post_to_a_wrong_path_is_not_found(plant: Plant, path: str) -> None:
    problem(api("control").post(path, {}), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path"), [("put", "/setpoints"), ("delete", "/devices"), ("options", "/pilots"), ("post", "/clock")]
)
def test_a_wrong_method_is_405_with_the_right_ones(plant: Plant, method: str, path: str) -> None:
    answer: Any = getattr(Api().client, method)(BASE + path, headers={"Authorization": f"Bearer {make_token()}"})
    problem(answer, 405, "method_not_allowed")
    assert "GET" in answer["Allow"]


def test_an_error_of_ours_shows_no_traceback(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pilots.api.system_views.rfc3339", lambda moment: 1 / 0)
    body = problem(api().get("/clock"), 500, "internal_error")
    assert "division" not in str(body)
