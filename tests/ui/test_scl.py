"""An SCL file on the page: proposals by our names, a profile that the schema accepts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from pilots.catalogue.loader import load_profile
from tests.ui.conftest import Plant

HERE = "/pilots/es/commissioning/scl/"
FIXTURES = Path(__file__).parent.parent / "fixtures" / "iec61850"


def upload(client: Client, path: Path, what: str = "proposals", **fields: Any) -> Any:
    return client.post(HERE + what, {"file": SimpleUploadedFile(path.name, path.read_bytes()), **fields})


@pytest.fixture
def scl() -> Path:
    return sorted(FIXTURES.glob("*.[ic][cdi]d"))[0]


def test_only_engineers_read_scl_files(operator: Client, engineer: Client, plant: Plant, scl: Path) -> None:
    assert engineer.get(HERE).status_code == 200
    assert (operator.get(HERE).status_code, upload(operator, scl).status_code) == (403, 403)


def test_a_file_is_proposed_by_our_names_and_becomes_a_profile(engineer: Client, plant: Plant, scl: Path, tmp_path: Path) -> None:
    form = upload(engineer, scl).json()
    known = [each["point"] for each in form["proposals"] if each["known"]]
    assert known and form["ied"] in form["ieds"]
    answer = upload(engineer, scl, "profile", name="own-ied", point=known)
    path = tmp_path / "own-ied.yaml"
    path.write_bytes(answer.content)
    assert set(load_profile(str(path)).points) == set(known)


def test_what_is_no_scl_file_is_refused_with_a_sentence(engineer: Client, plant: Plant, scl: Path, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.icd"
    bomb.write_text('<!DOCTYPE a [<!ENTITY b "c">]><SCL>&b;</SCL>')
    assert upload(engineer, bomb).status_code == 422
    assert engineer.post(f"{HERE}proposals").json()["field"] == "file"
    assert upload(engineer, scl, "profile", name="Not A Name").json()["field"] == "name"
    assert upload(engineer, scl, "profile", name="own-ied").json()["field"] == "point"
