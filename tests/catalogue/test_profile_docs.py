"""docs/profiles.md is a complete reference: every key of the schema, one example a protocol, and each example is right."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pilots.catalogue.loader import load_pilot
from pilots.catalogue.profile_check import check_profile
from pilots.catalogue.schema_check import schema_of
from pilots.catalogue.vocabulary import UNITS
from pilots.domain.topology import Protocol
from pilots.drivers.modbus.codec import TYPES

PAGE = (Path(__file__).parents[2] / "docs" / "profiles.md").read_text(encoding="utf-8")
EXAMPLES = {yaml.safe_load(block).get("name", ""): block for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)}
PROFILES = {name: block for name, block in EXAMPLES.items() if "protocol:" in block and "code:" not in block}


def keys_of(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        for part in schema.values():
            yield from keys_of(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from keys_of(part)


def test_every_key_is_explained() -> None:
    prose = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
    words = set(re.findall(r"[a-z_0-9]+", " ".join(re.findall(r"`([^`\n]+)`", prose))))
    assert set(keys_of(schema_of("profile"))) - words == set()


def test_every_unit_is_named() -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith("| `unit` |"))
    assert {unit for unit in UNITS if unit} <= set(re.findall(r"[^ ,;`\"|]+", row))


def test_every_protocol_has_an_example() -> None:
    assert {yaml.safe_load(block)["protocol"] for block in PROFILES.values()} == {protocol.value for protocol in Protocol}


@pytest.mark.parametrize("name", PROFILES)
def test_an_example_is_right(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.yaml"
    path.write_text(PROFILES[name], encoding="utf-8")
    findings = check_profile(str(path))
    assert [str(error) for error in findings.errors + findings.warnings] == []


def test_the_pilot_file_loads_with_its_backups(tmp_path: Path) -> None:
    for name, block in PROFILES.items():
        (tmp_path / f"{name}.yaml").write_text(block, encoding="utf-8")
    (tmp_path / "my.yaml").write_text(EXAMPLES["My site"], encoding="utf-8")
    pilot = load_pilot(tmp_path / "my.yaml")
    rtu = next(connection for connection in pilot.connections if connection.name == "my-rtu")
    assert [way.protocol for way in rtu.backups] == [Protocol.IEC104, Protocol.IEC101]


def test_the_schema_knows_the_types_of_the_driver() -> None:
    """Two lists, because the catalogue knows no driver."""
    form = schema_of("profile")["$defs"]["modbus_fixed"]["properties"]["type"]["enum"]
    assert set(form) == set(TYPES)
