"""Five pilots live: what the issue promises of values, history, topology and the operators' endpoints."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.journeys.installation import CODES, Installation, wait_for

#: What a pilot shows changes so soon after the start, by the samples' own times; a busy machine may take longer to read them.
CHANGED_S, READ_S = 10.0, 20.0


@pytest.mark.parametrize("code", CODES)
def test_every_pilot_has_good_simulated_values_that_change_within_ten_seconds(scada: Installation, code: str) -> None:
    start = datetime.fromtimestamp(scada.ready_at, UTC)
    references = [f"{code}/{row['device']}/{row['point']}" for row in scada.api.all("points", pilot=code) if row["unit"] == "W"]

    def changing() -> bool:
        seen: dict[str, set[float]] = defaultdict(set)
        for row in scada.api.history(references[:100], start - timedelta(seconds=30), start + timedelta(seconds=CHANGED_S)):
            if row["quality"]["validity"] == "good" and row["quality"]["source"] == "simulated":
                seen[f"{row['device']}/{row['point']}"].add(row["value"])
        return any(len(values) > 1 for values in seen.values())

    scada.until(changing, CHANGED_S + READ_S, f"two good values of one point of {code}")


@pytest.mark.parametrize("code", CODES)
def test_all_that_a_pilot_shows_is_simulated_and_most_of_it_good(scada: Installation, code: str) -> None:
    rows = scada.until(lambda: scada.api.latest(pilot=code), 10, f"values of {code}")
    assert {row["quality"]["source"] for row in rows.values()} == {"simulated"}

    def mostly_good() -> bool:
        shown = scada.api.latest(pilot=code).values()
        return sum(row["quality"]["validity"] == "good" for row in shown) > 0.9 * len(shown)

    scada.until(mostly_good, 30, f"good values of {code}")


@pytest.mark.parametrize("code", CODES)
def test_every_link_that_carries_simulated_values_is_up(scada: Installation, code: str) -> None:
    def some(*states: str) -> list[str]:
        links = scada.api.get(f"pilots/{code}/topology")["links"]
        return [f"{link['letter']} {link['ends']} {link['state']}" for link in links if link["state"] in states]

    wait_for(lambda: not some("down"), 45, f"no link of {code} down", story=lambda: str(some("down")))
    # A frame lost on a machine that was busy with the start weighs on its link for the five minutes of the loss.
    wait_for(lambda: not some("degraded"), 330, f"no link of {code} degraded", story=lambda: str(some("degraded")))


def test_the_topology_names_every_pilots_infeed_and_letters(scada: Installation) -> None:
    for code in CODES:
        topology = scada.api.get(f"pilots/{code}/topology")
        known = {node["id"] for node in topology["nodes"]}
        assert any(node["kind"] == "grid_infeed" and node["parent"] is None for node in topology["nodes"])
        assert all(set(link["ends"]) <= known for link in topology["links"])


def test_history_has_what_the_latest_value_had(scada: Installation) -> None:
    row = scada.api.value("de/de-STO90/active_power")
    reference = "de/de-STO90/active_power"

    def in_history() -> bool:
        now = datetime.now(UTC)
        found = scada.api.history([reference], now - timedelta(minutes=5), now)
        return bool(found) and all(sample["unit"] == "W" for sample in found)

    assert row["unit"] == "W"
    scada.until(in_history, 20, "samples of de-STO90")


@pytest.mark.parametrize("code", CODES)
def test_the_power_into_a_pilot_is_what_its_parts_take_within_two_percent(scada: Installation, code: str) -> None:
    """Time-weighted means of half a minute, because the parts are read at different moments."""
    nodes = {node["id"]: node for node in scada.api.get(f"pilots/{code}/topology")["nodes"]}
    measured = {row["device"] for row in scada.api.latest(pilot=code, point="active_power").values()}
    children: dict[str, list[str]] = defaultdict(list)
    for node in nodes.values():
        children[node["parent"] or ""].append(node["id"])

    def parts(device: str) -> list[str]:
        """The nearest measured devices below."""
        return [leaf for child in children[device] for leaf in ([child] if child in measured else parts(child))]

    infeed = next(node["id"] for node in nodes.values() if node["kind"] == "grid_infeed")
    below = parts(infeed)
    assert below

    def closes() -> bool:
        end = datetime.now(UTC)
        means = {}
        for first in range(0, len(below) + 1, 100):
            query = {
                "point": [f"{code}/{device}/active_power" for device in [infeed, *below][first : first + 100]],
                "from": (end - timedelta(seconds=60)).isoformat(),
                "to": end.isoformat(),
                "resolution": "PT30S",
                "agg": "mean",
            }
            for row in scada.api.all("measurements", **query):
                means.setdefault(row["t"], {})[row["device"]] = row["mean"]
        whole = [each for each in means.values() if all(value is not None for value in each.values())]
        return any(
            abs(each[infeed] - sum(each[part] for part in below))
            <= 0.02 * max(abs(each[infeed]), sum(abs(each[part]) for part in below))
            for each in whole
        )

    scada.until(closes, 75, f"the balance of {code} over {len(below)} parts")


def test_the_endpoints_for_supervisors_answer_on_loopback(scada: Installation) -> None:
    with httpx.Client(base_url=scada.url, trust_env=False) as client:
        assert client.get("/healthz").json() == {"status": "up"}
        assert client.get("/readyz").status_code == 200
        metrics = client.get("/metrics")
    assert metrics.status_code == 200
    assert 'invade_connection_up{connection="es-rtu01"} 1' in metrics.text
    assert "invade_outbox_messages" in metrics.text


def test_the_platform_receives_what_is_measured(scada: Installation) -> None:
    scada.until(lambda: {entry["pilot"] for entry in scada.ledger("platform")} == set(CODES), 20, "all pilots at the platform")
