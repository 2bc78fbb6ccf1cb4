"""Equipment that is not ours: read from a file, and bad input from it disturbs nothing else."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from tests.journeys.api import moment
from tests.journeys.installation import CODES, Installation
from tests.journeys.peers import ForeignMeter, ocpp_socket

POWER = "xx/xx-PM01/active_power"


def metric(scada: Installation, name: str, connection: str) -> float:
    text = httpx.get(f"{scada.url}/metrics", trust_env=False).text
    found = re.search(rf'^invade_connection_{name}{{connection="{connection}"}} (\S+)$', text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def all_others_fresh(scada: Installation) -> bool:
    """Every built-in pilot has received something since this was asked first."""
    now = datetime.now(UTC)
    newest = {code: max(moment(row["received"]) for row in scada.api.latest(pilot=code).values()) for code in CODES}
    return all((now - received).total_seconds() < 8 for received in newest.values())


def test_a_foreign_modbus_server_is_read_from_its_file_while_the_product_runs(scada: Installation, foreign: ForeignMeter) -> None:
    def shows(power_w: float) -> bool:
        rows = [row for row in scada.api.latest(pilot="xx", device="xx-PM01").values() if row["point"] == "active_power"]
        return [row["value"] for row in rows] == [power_w] and rows[0]["quality"]["validity"] == "good"

    foreign.show(12.5)
    scada.until(lambda: shows(12_500), 15, "12.5 kW of the foreign meter")
    foreign.show(-3.25)
    scada.until(lambda: shows(-3_250), 10, "-3.25 kW of the foreign meter")
    assert scada.api.value(POWER)["quality"]["source"] == "process"
    assert scada.api.value("xx/xx-PM01/voltage")["value"] == pytest.approx(231.5)


def test_an_unreachable_device_is_down_in_words_and_disturbs_nothing(scada: Installation, foreign: ForeignMeter) -> None:
    def states() -> dict[str, str]:
        return {link["letter"]: link["state"] for link in scada.api.get("pilots/xx/topology")["links"]}

    scada.until(lambda: states() == {"a": "up", "b": "down"} or None, 15, "link b down, a up")
    assert "xx-gone: down: " in scada.children[scada.field].log.read_text()
    # A connection counts as read once its first figures are written, a moment after the first answer.
    scada.until(lambda: scada.readiness() == 200 or None, 10, "ready although one device is unreachable")
    scada.until(lambda: all_others_fresh(scada), 15, "fresh values of all pilots")


def test_a_meter_that_answers_garbage_is_counted_and_comes_back(scada: Installation, foreign: ForeignMeter) -> None:
    before = metric(scada, "failed", "xx-gw") + metric(scada, "violations", "xx-gw")
    foreign.garbage = True
    try:
        scada.until(lambda: scada.api.value(POWER)["quality"]["validity"] != "good", 20, "the meter's values are no longer good")
        scada.until(lambda: all_others_fresh(scada), 15, "fresh values of all pilots")
    finally:
        foreign.garbage = False
    scada.until(lambda: scada.api.value(POWER)["quality"]["validity"] == "good", 45, "the meter's values are good again")
    log = scada.children[scada.field].log.read_text()
    assert metric(scada, "failed", "xx-gw") + metric(scada, "violations", "xx-gw") > before or "xx-gw: down: " in log


@pytest.mark.parametrize(
    ("identity", "key", "status"), [("xx-NOBODY", "x" * 20, 404), ("xx-EVSE01", "wrong-key-of-station", 401)]
)
def test_an_unknown_charge_point_and_a_wrong_key_are_turned_away_and_counted(
    scada: Installation, foreign: ForeignMeter, identity: str, key: str, status: int
) -> None:
    before = metric(scada, "refused", "nl-ocpp")
    with pytest.raises(InvalidStatus) as refusal:
        ocpp_socket(scada.ports["ocpp"], identity, key)
    assert refusal.value.response.status_code == status
    scada.until(lambda: metric(scada, "refused", "nl-ocpp") > before, 15, "the refusal is counted")


def test_a_charge_point_that_talks_nonsense_disturbs_no_other(scada: Installation, foreign: ForeignMeter) -> None:
    before = metric(scada, "violations", "nl-ocpp")
    with socket.create_connection(("127.0.0.1", scada.ports["ocpp"]), 5) as raw:
        raw.sendall(b"\x00\xff no http at all\r\n\r\n")
    with ocpp_socket(scada.ports["ocpp"], "xx-EVSE01", scada.secrets()["charge_points"]["xx-EVSE01"]) as station:
        for nonsense in ("no json", "[]", json.dumps([2, "1", "NoSuchAction", {}]), json.dumps({"a": 1})):
            station.send(nonsense)
        scada.until(lambda: metric(scada, "violations", "nl-ocpp") > before, 15, "the nonsense is counted")
    scada.until(lambda: all_others_fresh(scada), 15, "fresh values of all pilots")


@pytest.mark.parametrize(
    ("right", "wrong", "field"),
    [
        ("profile: push-weather", "profile: no-such-profile", "profile"),
        ("latitude: 1", "latitude: north", "latitude"),
        ("connection: xx-gw, address", "connection: nowhere, address", "connection"),
    ],
)
def test_a_wrong_file_is_refused_with_file_line_and_field_and_nothing_changes(
    scada: Installation, foreign_file: Path, right: str, wrong: str, field: str
) -> None:
    before = scada.api.get("pilots/xx")
    text = foreign_file.read_text().replace("name: Foreign equipment", "name: Changed")
    assert right in text
    broken = foreign_file.with_name("broken.yaml")
    broken.write_text(text.replace(right, wrong))
    line = next(number for number, words in enumerate(broken.read_text().splitlines(), 1) if wrong in words)
    said = scada.manage("commission", str(broken), fails=True).stderr
    assert f"broken.yaml:{line}" in said
    assert field in said
    assert scada.api.get("pilots/xx") == before


def test_bulgarias_meters_are_read_at_the_simulator_by_an_independent_client(scada: Installation) -> None:
    shown = scada.api.value("bg/bg-PM01/frequency")["value"]
    command = ["mbpoll", "-m", "tcp", "-p", str(scada.ports["bg-rtu01"]), "-a", "1", "-t", "4:float", "-B", "-0", "-r", "3109"]
    done = subprocess.run([*command, "-c", "1", "-1", "127.0.0.1"], capture_output=True, text=True, timeout=20, check=True)
    found = re.search(r"\[3109\]:\s+([\d.]+)", done.stdout)
    assert found, done.stdout
    assert float(found[1]) == pytest.approx(shown, abs=0.5)
