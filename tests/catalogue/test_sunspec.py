"""The SunSpec profiles are those that the generator makes, and its offsets are pysunspec2's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sunspec2 import mb
from sunspec2.device import Model

from pilots.catalogue.loader import PROFILES, load_profile
from pilots.catalogue.sunspec import __main__ as command
from pilots.catalogue.sunspec.generate import MAPPING, profiles
from pilots.catalogue.sunspec.models import model_folder, read_model
from pilots.catalogue.yaml_lines import read_document
from pilots.domain.errors import CatalogueError
from pilots.drivers.modbus.codec import codec_of

WANTED = [
    1,
    *range(101, 104),
    *range(111, 114),
    *range(120, 125),
    160,
    *range(201, 205),
    213,
    502,
    *range(701, 715),
    802,
    803,
    804,
]
GENERATED = dict(profiles(model_folder()))
OPTIONS = {"sunspec": True, "word_order": "big"}


def test_every_model_asked_for_is_there() -> None:
    assert set(GENERATED) == {f"sunspec-{number}.yaml" for number in WANTED}


@pytest.mark.parametrize("name", GENERATED)
def test_the_committed_profile_is_what_the_generator_makes(name: str) -> None:
    assert (PROFILES / name).read_text(encoding="utf-8") == GENERATED[name], "run python -m pilots.catalogue.sunspec"


def instances(number: int) -> tuple[Model, dict[str, Any]]:
    """The model as pysunspec2 lays it out with four instances of each group, and its JSON."""
    form = json.loads((model_folder() / f"model_{number}.json").read_text())
    groups = form["group"].get("groups", [])
    repeating = any(group.get("count") not in (None, 1) for group in groups)
    length = sum(point["size"] for point in form["group"]["points"]) - 2
    length += sum((4 if repeating else 1) * sum(point["size"] for point in group["points"]) for group in groups)
    counts = {group["count"]: 4 for group in groups if isinstance(group.get("count"), str)}
    data = bytearray(2 * (length + 2))
    data[0:2], data[2:4] = number.to_bytes(2, "big"), length.to_bytes(2, "big")
    offset = 0
    for point in form["group"]["points"]:
        if point["name"] in counts:
            data[2 * offset : 2 * offset + 2] = (4).to_bytes(2, "big")
        offset += point["size"]
    return Model(number, data=bytes(data), model_len=length), form


def laid_out(number: int) -> dict[str, list[Any]]:
    """Name of each point (`group.point` inside groups) -> its instances in pysunspec2's own layout."""
    model, _ = instances(number)
    places: dict[str, list[Any]] = {name: [point] for name, point in model.points.items()}
    for group_name, groups in model.groups.items():
        for group in groups if isinstance(groups, list) else [groups]:
            for name, point in group.points.items():
                places.setdefault(f"{group_name}.{name}", []).append(point)
    return places


FLAT = [number for number in WANTED if number not in (705, 706, 707, 708, 709, 710, 712)]


@pytest.mark.parametrize("number", FLAT)
def test_offsets_and_sizes_are_those_of_pysunspec2(number: int) -> None:
    places, model = laid_out(number), read_model(number, model_folder())
    for name, point in model.points.items():
        first = places[name][0]
        assert (point.offset, point.registers) == (first.offset, first.len), name
        if len(places[name]) > 1:
            assert [place.offset for place in places[name]] == [
                point.offset + n * model.strides[name.partition(".")[0]] for n in range(len(places[name]))
            ]


@pytest.mark.parametrize("number", FLAT)
def test_every_point_of_a_profile_stands_at_its_point_of_the_model(number: int) -> None:
    """The name in the comment, the offset, the scale factor's offset and the type agree with pysunspec2."""
    places = laid_out(number)
    for line in GENERATED[f"sunspec-{number}.yaml"].splitlines():
        ours, _, comment = line.partition("  # ")
        if "address:" not in ours:
            continue
        point = load_profile(f"sunspec-{number}").points[ours.strip().partition(":")[0]]
        place = next(p for p in places[comment.split(",")[0].split(";")[0]] if p.offset == point.address["offset"])
        factor = place.pdef.get("sf")
        assert point.address.get("scale_offset") == (places[factor][0].offset if factor else None), ours
        codec = codec_of(point.address, OPTIONS)
        assert codec.registers == place.len
        if point.address["type"] != "string" and not point.address["type"].startswith("float"):
            assert not mb.point_type_info[place.pdef["type"]].is_impl(codec.missing), ours


@pytest.mark.parametrize("number", [705, 706, 707, 708, 709, 710, 712])
def test_models_of_curves_offer_their_switch_only(number: int) -> None:
    assert {point.address["offset"] for point in load_profile(f"sunspec-{number}").points.values()} == {2}


@pytest.mark.parametrize(
    ("built", "chain", "generated"),
    [
        ("sunspec-inverter-103", {103: 40070, 123: 40150}, "sunspec-pv-inverter"),
        ("sunspec-inverter-701", {701: 40070, 704: 40225}, "sunspec-hybrid-inverter"),
        ("sunspec-storage", {701: 40070, 704: 40225, 713: 40292, 802: 40301}, "sunspec-battery-gateway"),
    ],
)
def test_the_simulated_devices_registers_are_the_generated_ones(built: str, chain: dict[int, int], generated: str) -> None:
    """Hand-written at fixed registers, and made from the models: two ways to the same numbers."""
    fixed, found = load_profile(built).points, load_profile(generated).points
    for name in fixed.keys() & found.keys():
        address, other = fixed[name].address, found[name].address
        start = chain[other["model"]]
        if (built, name) in {("sunspec-storage", "temperature")}:
            continue  # wired to another of the model's temperatures there
        assert address["register"] == start + other["offset"], name
        assert address.get("scale_register") == (start + other["scale_offset"] if "scale_offset" in other else None), name
        assert fixed[name].sign == found[name].sign, name
        if "enable" in address:
            assert address["enable"]["register"] == start + other["enable"]["offset"], name
            assert address["reversion_register"] == start + other["reversion_offset"], name


def test_a_mapping_that_does_not_fit_the_model_names_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = MAPPING.read_text().replace("frequency: Hz\n", "frequency: Hertz\n", 1)
    (tmp_path / "mapping.yaml").write_text(text)
    monkeypatch.setattr("pilots.catalogue.sunspec.generate.MAPPING", tmp_path / "mapping.yaml")
    with pytest.raises(CatalogueError, match=r"model 101 has no point Hertz") as caught:
        dict(profiles(model_folder()))
    document = read_document(tmp_path / "mapping.yaml")
    assert caught.value.line == document.line(("families", 1, "points", "frequency"))


def test_the_module_writes_them_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "PROFILES", tmp_path)
    assert command.main() == 0
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == GENERATED


def test_without_pysunspec2_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert command.main() == 1
    assert "requirements-dev.txt" in capsys.readouterr().err


def test_a_model_that_is_not_published_is_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="there is no model 4711"):
        read_model(4711, tmp_path)
