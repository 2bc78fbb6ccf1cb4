"""SCL files: what they offer, in our words; and what must not be read."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from pilots.catalogue import scl as scl_module
from pilots.catalogue.loader import load_profile
from pilots.catalogue.profile_check import check_profile
from pilots.catalogue.scl import Scl, parse_scl, read_scl
from pilots.catalogue.scl_proposals import Proposal, profile_text, propose
from pilots.domain.errors import CatalogueError
from pilots.domain.point import PointKind

FILES = Path(__file__).parents[1] / "fixtures" / "iec61850"
PROTECTION, BATTERY = FILES / "protection-ied.icd", FILES / "battery-gateway.cid"


def proposals(path: Path) -> dict[str, Proposal]:
    return {each.point: each for each in propose(read_scl(path))}


@pytest.mark.parametrize(("path", "name"), [(PROTECTION, "iec61850-protection-ied"), (BATTERY, "iec61850-battery-gateway")])
def test_a_devices_file_proposes_what_our_profile_of_it_has(path: Path, name: str) -> None:
    """The files describe the same devices as the built-in profiles, so every point must come out by itself."""
    profile, found = load_profile(name), proposals(path)
    blocks = {(options["rcb"], options["buffered"]) for options in profile.options["reports"]}
    for point in profile.points.values():
        proposal = found[point.name]
        assert (proposal.known, dict(proposal.address), proposal.kind) == (True, dict(point.address), point.kind)
        assert (proposal.unit, proposal.feedback) == (point.unit, point.feedback)
        if point.labels:
            assert dict(proposal.labels) == dict(point.labels)
        if not point.kind.writable:
            assert (proposal.report, proposal.buffered) in blocks


def test_units_of_the_file_become_a_scale_in_ours() -> None:
    found = proposals(PROTECTION)
    assert (found["active_power"].unit, found["active_power"].scale) == ("W", 1000.0)
    assert (found["frequency"].unit, found["frequency"].scale) == ("Hz", 1.0)


def test_ranges_of_the_file_become_the_set_points() -> None:
    found = proposals(BATTERY)
    assert found["p_set"].limits == ("-50000", "50000")
    assert found["q_set"].limits == ("-100%", "100%")


def test_names_of_its_own_are_marked_and_never_collide() -> None:
    found = proposals(PROTECTION)
    unknown = {name: each for name, each in found.items() if not each.known}
    assert unknown["ggio3_ind1"].labels == {0: "off", 1: "on"}
    assert unknown["ggio3_an_in1"].kind is PointKind.MEASUREMENT
    # The second overcurrent stage claims protection_start too; the first keeps it.
    assert found["protection_start"].ref == "TEMPLATELD0/PTOC1.Str.general"
    assert unknown["back_ptoc2_str_general"].ref == "TEMPLATELD0/BackPTOC2.Str.general"
    assert {"Mod", "Beh", "NamPlt"}.isdisjoint(each.ref.split(".")[1] for each in found.values())


def test_names_that_depend_on_the_edition_say_so() -> None:
    found = proposals(BATTERY)
    assert "edition" in found["soc"].remark and found["active_power"].remark == ""


def test_the_access_point_tells_where_and_to_whom_to_connect() -> None:
    (endpoint,) = read_scl(PROTECTION).endpoints(read_scl(PROTECTION).ied())
    assert (endpoint.host, endpoint.port) == ("192.0.2.61", 102)
    assert endpoint.options == {"ap_title": "1,3,9999,23", "ae_qualifier": "23"}
    (endpoint,) = read_scl(BATTERY).endpoints(read_scl(BATTERY).ied())
    assert (endpoint.host, endpoint.port, endpoint.options) == ("192.0.2.90", 10102, {})


@pytest.mark.parametrize("path", [PROTECTION, BATTERY])
@pytest.mark.parametrize("only_known", [True, False])
def test_chosen_proposals_become_a_profile_that_loads(path: Path, only_known: bool, tmp_path: Path) -> None:
    chosen = [each for each in propose(read_scl(path)) if each.known or not only_known]
    file = tmp_path / "my-ied.yaml"
    file.write_text(profile_text(chosen, name="my-ied", source="SCL file", maker='A "maker"\nname: x'))
    assert [str(error) for error in check_profile(str(file)).errors] == []
    profile = load_profile(str(file))
    assert {point.name for point in profile.points.values()} == {each.point for each in chosen}


def test_a_set_point_without_a_range_is_left_to_the_reader(tmp_path: Path) -> None:
    text = changed(BATTERY, "WSpt", "SetX")
    chosen = list(propose(text))
    (unknown,) = (each for each in chosen if each.kind is PointKind.SETPOINT and not each.known)
    assert unknown.point == "dagc1_set_x_set"
    file = tmp_path / "my-ied.yaml"
    bare = [each for each in chosen if each is not unknown]
    file.write_text(profile_text([*bare, replace(unknown, limits=None)], name="my-ied", source="SCL file"))
    assert "# dagc1_set_x_set: a set-point needs a capability" in file.read_text()
    assert "dagc1_set_x_set" not in load_profile(str(file)).points


def changed(path: Path, *pairs: str) -> Scl:
    """The file with words replaced."""
    text = path.read_text()
    for old, new in zip(pairs[::2], pairs[1::2], strict=True):
        assert old in text
        text = text.replace(old, new)
    return parse_scl(text.encode(), path.name)


def test_a_device_whose_domains_have_names_of_their_own_has_no_prefix() -> None:
    scl = changed(PROTECTION, '<LDevice inst="LD0">', '<LDevice inst="LD0" ldName="BAY7">')
    (position,) = (each for each in propose(scl) if each.point == "position")
    assert (position.address["ref"], position.ref, scl.prefix(scl.ied())) == ("BAY7/XCBR1.Pos.stVal", "BAY7/XCBR1.Pos.stVal", "")
    same = changed(PROTECTION, '<LDevice inst="LD0">', '<LDevice inst="LD0" ldName="TEMPLATELD0">')
    assert same.prefix(same.ied()) == "TEMPLATE"


# ---------------------------------------------------------------- what is refused


def refused(octets: bytes) -> CatalogueError:
    with pytest.raises(CatalogueError) as caught:
        propose(parse_scl(octets, "station.scd"))
    return caught.value


def test_a_missing_type_names_line_and_element() -> None:
    with pytest.raises(CatalogueError) as caught:
        propose(changed(PROTECTION, '<DOType id="WYE_1"', '<DOType id="WYE_2"'))
    assert (caught.value.file, caught.value.field) == (PROTECTION.name, "DO PhV")
    assert caught.value.line == next(
        number for number, line in enumerate(PROTECTION.read_text().splitlines(), 1) if 'name="PhV" type' in line
    )
    assert "'WYE_1'" in str(caught.value)


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (b"", "no XML"),
        (b"<SCL>", "no XML"),
        (b"\xff\xfe\x00", "no XML"),
        (b"<html/>", "not an SCL file"),
        (b'<!DOCTYPE SCL [<!ENTITY a "b">]><SCL>&a;</SCL>', "not allowed"),
        (b'<!DOCTYPE SCL SYSTEM "http://127.0.0.1:1/x.dtd"><SCL/>', "not allowed"),
        (b"<SCL>" + b"<A>" * 60 + b"</A>" * 60 + b"</SCL>", "deeper"),
        (b"<SCL/>", "name one of the IEDs: the file has none"),
    ],
)
def test_what_is_no_scl_is_refused_in_words(octets: bytes, words: str) -> None:
    error = refused(octets)
    assert words in str(error) and str(error).startswith("station.scd")


def test_bombs_are_refused_before_they_go_off() -> None:
    entities = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    bomb = f'<?xml version="1.0"?><!DOCTYPE SCL [<!ENTITY a0 "ha">{entities}]><SCL>&a9;</SCL>'
    assert "not allowed" in str(refused(bomb.encode()))


def test_too_large_a_file_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scl_module, "LARGEST_FILE", 1000)
    with pytest.raises(CatalogueError, match="larger"):
        read_scl(PROTECTION)
    with pytest.raises(CatalogueError, match="larger"):
        parse_scl(bytes(1001), "upload")
    monkeypatch.undo()
    monkeypatch.setattr(scl_module, "MOST_ELEMENTS", 100)
    with pytest.raises(CatalogueError, match="more than 100 elements"):
        read_scl(PROTECTION)


def test_types_that_contain_themselves_or_unfold_without_end_are_refused() -> None:
    circle = changed(PROTECTION, '<BDA name="f" bType="FLOAT32"/>', '<BDA name="f" bType="Struct" type="AnalogueValue"/>')
    with pytest.raises(CatalogueError, match="contains itself"):
        propose(circle)
    parts = ["".join(f'<BDA name="a{k}" bType="Struct" type="L{n + 1}"/>' for k in range(9)) for n in range(9)]
    layers = "".join(f'<DAType id="L{n}">{inside}</DAType>' for n, inside in enumerate(parts))
    laughing = changed(
        PROTECTION, '<BDA name="f" bType="FLOAT32"/>', '<BDA name="f" bType="Struct" type="L0"/>',
        "<DAType id=\"Vector\">", f'{layers}<DAType id="L9"/><DAType id="Vector">',
    )  # fmt: skip
    with pytest.raises(CatalogueError, match="parts"):
        propose(laughing)


@pytest.mark.parametrize("name", ["Ind1}, x: {", "Ind1&#10;", "1nd", "Ind.1", "Ind1 "])
def test_names_that_are_no_identifiers_reach_no_profile(name: str) -> None:
    with pytest.raises(CatalogueError, match="no reference"):
        propose(changed(PROTECTION, '<DO name="Ind1"', f'<DO name="{name}"'))


def test_makers_own_content_is_left_out() -> None:
    scl = changed(PROTECTION, "<Header", "<Private><IED name='X'><AccessPoint/></IED></Private><Header")
    assert scl.ieds == ["TEMPLATE"]


# ---------------------------------------------------------------- several devices, the command


def station() -> bytes:
    """Two devices in one file, as a station's SCD has them."""
    text = PROTECTION.read_text()
    ied = text[text.index("  <IED ") : text.index("  <DataTypeTemplates>")]
    return text.replace(ied, ied + ied.replace("TEMPLATE", "SECOND")).encode()


def test_of_several_devices_one_is_named() -> None:
    scl = parse_scl(station(), "station.scd")
    assert scl.ieds == ["TEMPLATE", "SECOND"]
    assert propose(scl, "SECOND")[0].ref.startswith("SECONDLD0/")
    for name in ("", "THIRD"):
        with pytest.raises(CatalogueError, match="TEMPLATE, SECOND"):
            propose(scl, name)


def test_the_command_shows_points_or_a_profile(tmp_path: Path) -> None:
    shown = StringIO()
    call_command("scl", str(PROTECTION), stdout=shown)
    lines = shown.getvalue().splitlines()
    assert lines[0].startswith("TEMPLATE at 192.0.2.61:102")
    assert any(line.split()[:3] == ["active_power", "measurement", "W"] for line in lines)
    assert any(line.startswith("(ggio3_ind1)") for line in lines)
    profile = StringIO()
    call_command("scl", str(BATTERY), profile="my-battery", stdout=profile)
    file = tmp_path / "my-battery.yaml"
    file.write_text(profile.getvalue())
    assert "p_set" in load_profile(str(file)).points
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("scl", str(tmp_path / "absent.icd"))
