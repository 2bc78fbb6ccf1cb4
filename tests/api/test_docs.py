"""The examples of docs/api.md work as they are printed."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pilots.models import Alarm
from tests.api.conftest import BASE, Api, build_plant
from tests.builders import make_connection, make_device, make_pilot, make_point, make_token

DOCS = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", DOCS, re.DOTALL)
#: The alarm that the examples answer.
ALARM = "5d1f3a52-0c9e-4b7e-9d43-2f1c60a1e7b4"
CURLS = [f"curl{rest}".strip() for block in BLOCKS for rest in re.split(r"^curl", block, flags=re.MULTILINE)[1:]]


def run(curl: str, token: str) -> Any:
    """The answer to a printed curl command, sent by the test client."""
    line = curl.replace("$SCADA", BASE).replace("$TOKEN", token).replace("$(uuidgen)", "key-1").replace("\\\n", " ")
    line = re.sub(r"'\$\(date -u \+([^)]+)\)'", lambda found: f"{datetime.now(UTC):{found[1]}}", line)
    words = iter(shlex.split(line)[1:])
    headers, bodies, path, as_query = {}, [], "", False
    for word in words:
        if word == "-H":
            name, value = next(words).split(": ", 1)
            headers[name] = value
        elif word == "-d":
            bodies.append(next(words))
        elif word == "-X":
            assert next(words) == "POST"
        elif word == "-G":
            as_query = True
        elif word != "-s":
            path = word
    client = Api().client
    if bodies and not as_query:
        return client.post(path, bodies[0], content_type=headers.pop("Content-Type"), headers=headers)
    query = {name: value for name, _, value in (pair.partition("=") for pair in bodies)}
    return client.get(path, query_params=query or None, headers=headers)


def test_the_docs_have_examples() -> None:
    assert len(CURLS) >= 6


@pytest.mark.parametrize("curl", CURLS)
def test_a_printed_example_works(transactional_db: None, ingesting: None, curl: str) -> None:
    plant = build_plant()
    breaker = make_device(plant.es, "es-SW04", kind="switch", connection=plant.battery.connection)
    capability = {"minimum": 1, "maximum": 2, "step": 1, "tolerance": 0}
    make_point(breaker, "position_cmd", kind="command", unit="", labels={"1": "open", "2": "closed"}, capability=capability)
    germany = make_pilot("de", name="Freiamt", country="DE")
    for code in ("de-STO01", "de-STO02"):
        make_point(make_device(germany, code, connection=make_connection(germany, f"{code}-push")), "p_set")
    moment, watched = datetime.now(UTC), {"subject": "es-STO01/active_power", "kind": "high", "priority": 3, "what": "Power high"}
    moments = {"raised_at": moment, "recent_since": moment, "changed_at": moment}
    Alarm.objects.create(id=ALARM, pilot=plant.es, device=plant.battery, state="unacknowledged", **watched, **moments)
    answer = run(curl, make_token("read", "control", "ingest", "switch", "switch_critical"))
    assert answer.status_code in (200, 201, 202), answer.content
    assert not answer.json().get("refused")


@pytest.mark.parametrize("code", ["malformed_json", "unknown_device", "idempotency_conflict", "clock_skew", "rate_limited"])
def test_a_code_is_documented(code: str) -> None:
    assert f"`{code}`" in DOCS


def test_every_code_in_the_source_is_documented() -> None:
    source = "".join(path.read_text() for path in (Path(__file__).parents[2] / "pilots" / "api").glob("*.py"))
    codes = set(re.findall(r'Problem\(\s*\d{3},\s*"([a-z_]+)"', source)) | set(
        re.findall(r'_Refused\("?\w*"?, "([a-z_]+)"\)', source)
    )
    assert codes
    assert {code for code in codes if f"`{code}`" not in DOCS} == set()
