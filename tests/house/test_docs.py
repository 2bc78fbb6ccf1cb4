"""What the paper says is so: settings, packages, commands, links and pilot tables are compared with the code."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import get_commands

from pilots.catalogue.loader import load_pilot, load_pilots, load_profiles, profiles_of
from pilots.catalogue.vocabulary import word_of
from pilots.domain.quality import Flag, Source, Validity
from pilots.domain.setpoint import RejectCode, SetpointState
from pilots.domain.topology import DeviceKind, PilotSpec
from pilots.models import Role, Scope

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
PILOT_PAGES = {"bg": "bulgaria", "es": "spain", "nl": "netherlands", "no": "norway", "de": "germany"}

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
each_pilot = pytest.mark.parametrize("code", PILOT_PAGES)

# Settings

READS = re.compile(r'env\.(?:text|integer|flag|words|choice|networks|database)\(\s*"([A-Z_]+)"')
WHOLE_NUMBERS = re.compile(r'env\.integer\(\s*"([A-Z_]+)", (\d+), low=(\d+), high=(\d+)\)')


def sources() -> str:
    return "\n".join(path.read_text() for folder in ("invade_scada", "pilots") for path in sorted((ROOT / folder).rglob("*.py")))


def table(text: str, heading: str = "") -> list[list[str]]:
    """The cells of the first table after a heading (of the page without one), without its head."""
    lines = text.partition(f"\n{heading}\n")[2].splitlines() if heading else text.splitlines()
    start = next((number for number, line in enumerate(lines) if line.startswith("|")), len(lines))
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))])
    return rows[2:]


def first_words(text: str) -> dict[str, str]:
    """Every table row of a page by the words in backticks in its first cell."""
    rows: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("|"):
            for word in re.findall(r"`([^`]+)`", line.split("|")[1]):
                rows[word] = line
    return rows


def test_every_setting_is_documented_and_nothing_else() -> None:
    documented = {word for word in first_words((DOCS / "configuration.md").read_text()) if re.fullmatch(r"[A-Z_]+", word)}
    assert documented == set(READS.findall(sources()))


def test_whole_number_settings_show_their_default_and_range() -> None:
    rows = first_words((DOCS / "configuration.md").read_text())
    for name, default, low, high in WHOLE_NUMBERS.findall(sources()):
        assert f"| {default} | {low} to {high} |" in rows[name], name


# Packages


def test_every_direct_package_has_its_line() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    named = {re.split(r"[^A-Za-z0-9-]", requirement)[0].lower() for requirement in wanted}
    text = (DOCS / "architecture.md").read_text().partition("\n## Packages\n")[2]
    assert {word.lower() for word in first_words(text)} == named


# Commands, targets, links


@each_page
def test_every_command_exists(page: Path) -> None:
    named = set(re.findall(r"manage\.py ([a-z_]+)", page.read_text()))
    assert named <= get_commands().keys()


@each_page
def test_every_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(), re.MULTILINE))
    assert named <= targets


def slug(heading: str) -> str:
    """A heading's anchor as code hosts make it."""
    return re.sub(r"[^\w -]", "", heading.strip().lower()).replace(" ", "-")


@each_page
def test_every_relative_link_resolves(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE) if anchor and target.is_file() else []
        if not target.exists() or (anchor and anchor not in map(slug, headings)):
            broken.append(link)
    assert broken == []


def test_every_picture_is_shown_by_a_page_and_made_by_the_script() -> None:
    shown = {Path(name).stem for page in PAGES for name in re.findall(r"!\[[^\]]+\]\(([^)\s]+\.png)\)", page.read_text())}
    there = {path.stem for path in (DOCS / "pictures").iterdir()}
    script = (ROOT / "tests" / "pictures.py").read_text()
    made = set(re.findall(r'(?:take|keep)\(\w+.*?, "([a-z-]+)"', script)) | set(PILOT_PAGES)
    assert shown == there == made


@each_page
def test_every_path_in_words_exists(page: Path) -> None:
    named = re.findall(r"`((?:docs|pilots|invade_scada|tests|static|templates)/[\w./*-]+)`", page.read_text())
    assert [path for path in named if not list(ROOT.glob(path.rstrip("/")))] == []


def test_every_page_the_code_names_exists() -> None:
    named = set(re.findall(r"docs/[a-z0-9_/-]+\.md", sources() + (ROOT / "CONTRIBUTING.md").read_text()))
    assert {path for path in named if not (ROOT / path).exists()} == set()


@each_page
def test_shell_examples_can_be_read_by_a_shell(page: Path) -> None:
    for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL):
        read = subprocess.run(["sh", "-n"], input=block, text=True, capture_output=True, check=False)
        assert read.returncode == 0, read.stderr


@each_page
def test_yaml_examples_are_what_they_say(page: Path, tmp_path: Path) -> None:
    """Pilot files and profiles load; a profile may be the one that a pilot file beside it names."""
    pilots = []
    for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)):
        form = yaml.safe_load(block)
        assert isinstance(form, dict)
        path = tmp_path / (f"{form['name']}.yaml" if "points" in form else f"pilot-{number}.yaml")
        path.write_text(block)
        if "code" in form:
            pilots.append(path)
    for path in pilots:
        assert profiles_of(load_pilot(path)) is not None


# Words


def test_every_point_has_its_line_with_its_unit_and_kind() -> None:
    text = (DOCS / "points.md").read_text()
    rows = first_words(text.partition("\n## Names\n")[2].partition("\n## ")[0])
    found = {}
    for profile in load_profiles().values():
        for point in profile.points.values():
            name = word_of(point.name)
            found[name] = point
            cells = [cell.strip() for cell in rows.get(name, "").strip("|").split("|")]
            assert cells[1:3] == [point.unit or "-", point.kind.value], f"{profile.name}: {point.name}"
    # Links have points of their own, whatever the profiles say (catalogue/link_points.py).
    assert rows.keys() == found.keys() | {"comm_state", "round_trip"}


@pytest.mark.parametrize(
    "words",
    [
        [state.value for state in SetpointState],
        [code.value for code in RejectCode],
        [each.name.lower() for each in (*Validity, *Source, *Flag) if each.name and each is not Flag.NONE],
    ],
    ids=["states", "codes", "quality"],
)
def test_every_word_of_the_domain_is_explained(words: Sequence[str]) -> None:
    text = (DOCS / "points.md").read_text()
    assert [word for word in words if f"`{word}`" not in text] == []


def test_every_role_and_scope_is_explained() -> None:
    text = (DOCS / "admins.md").read_text()
    assert [word for word in (*Role.values, *Scope.values) if f"`{word}`" not in text] == []


# Pilots


def ranges(ids: Iterable[str]) -> str:
    """Device ids in the order of their numbers, runs drawn together.

    >>> ranges(["es-PV01", "es-PV02", "es-PV03", "es-GRID"])
    'es-GRID, es-PV01 to es-PV03'
    """
    numbered = sorted((stem, int(number or -1), each) for each in ids for stem, number in re.findall(r"^(.*?)(\d*)$", each))
    parts = []
    for _, run in groupby(enumerate(numbered), key=lambda item: (item[1][0], item[1][1] - item[0])):
        names = [name for _, (_, _, name) in run]
        parts += names if len(names) < 3 else [f"{names[0]} to {names[-1]}"]
    return ", ".join(parts)


def link_rows(spec: PilotSpec) -> list[list[str]]:
    """One row for all edges of a letter that are alike: letter, ends, role, protocol, medium, alternatives, source."""
    alike: dict[tuple[Any, ...], list[tuple[str, str]]] = {}
    for link in spec.links:
        how = "connection" if link.connection else "outbox" if link.role == "ours" else ""
        role = f"{link.role.value}: {how}" if how else link.role.value
        key = (link.letter, role, link.protocol, link.medium, link.alternatives or "-", link.source)
        alike.setdefault(key, []).append(link.ends)
    rows = []
    for (letter, *rest), edges in alike.items():
        ends = f"{ranges({edge[0] for edge in edges})} - {ranges({edge[1] for edge in edges})}"
        rows.append([letter.replace("'", "′"), ends, *rest])
    return sorted(rows, key=lambda row: (row[0][0], len(row[0]), row[1]))


def device_rows(spec: PilotSpec) -> list[list[str]]:
    """One row for all devices of a kind with one profile: kind, ids, profile, protocol, SGAM addresses, set-points."""
    protocols = {connection.name: connection.protocol.value for connection in spec.connections}
    profiles = load_profiles()
    alike: dict[tuple[str, str, str], list[Any]] = {}
    for device in spec.devices:
        alike.setdefault((device.kind.value, device.profile, protocols.get(device.connection, "-")), []).append(device)
    rows = []
    for (kind, profile, protocol), devices in alike.items():
        points = profiles[profile].points.values() if profile else []
        takes = ", ".join(sorted(point.name for point in points if point.kind.writable)) or "-"
        sgam = ", ".join(sorted({device.sgam for device in devices}))
        rows.append([kind, ranges(device.id for device in devices), profile or "-", protocol, sgam, takes])
    order = [kind.value for kind in DeviceKind]
    return sorted(rows, key=lambda row: (order.index(row[0]), row[1]))


def connection_rows(spec: PilotSpec) -> list[list[str]]:
    """One row a connection: name, protocol, whether its peer is simulated, devices behind it."""
    return [
        [
            connection.name,
            connection.protocol.value,
            "yes" if connection.simulated else "no",
            str(sum(device.connection == connection.name for device in spec.devices)),
        ]
        for connection in spec.connections
    ]


@each_pilot
@pytest.mark.parametrize(
    ("heading", "rows"),
    [("## Links", link_rows), ("## Devices", device_rows), ("## Connections", connection_rows)],
    ids=["links", "devices", "connections"],
)
def test_a_pilots_page_shows_its_file(code: str, heading: str, rows: Any) -> None:
    text = (DOCS / "pilots" / f"{PILOT_PAGES[code]}.md").read_text()
    assert table(text, heading) == rows(load_pilots()[code])


def test_every_pilot_has_a_page() -> None:
    assert load_pilots().keys() == PILOT_PAGES.keys()
