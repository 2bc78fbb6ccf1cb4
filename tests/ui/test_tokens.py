"""The tokens hold their contrast, and no other file names a colour."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CSS = (ROOT / "static/css/tokens.css").read_text()
TEXT = ["ink", "ink-2", "ink-3", "act", "p1", "p2", "p3", "p4", "c1", "c2", "c3", "c4"]
LINES = ["edge", "live", "dead", "wire", "bar"]
COLOUR = re.compile(r"#[0-9a-fA-F]{3,8}\b|\brgba?\(|\bhsla?\(")


def scheme(opening: str) -> dict[str, str]:
    block = CSS.split(opening, 1)[1].split("}", 1)[0]
    return dict(re.findall(r"--([a-z0-9-]+): (#[0-9A-Fa-f]{6});", block))


SCHEMES = {
    "light": scheme('[data-theme="light"] {'),
    "dark": scheme('\n[data-theme="dark"] {'),
    "dark by system": scheme(':root:not([data-theme="light"]) {'),
}


def luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2.x."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(("name", "token", "ground"), list(product(SCHEMES, TEXT, ["ground", "panel"])))
def test_text_stands_out_by_four_and_a_half(name: str, token: str, ground: str) -> None:
    assert contrast(SCHEMES[name][token], SCHEMES[name][ground]) >= 4.5


@pytest.mark.parametrize(("name", "token", "ground"), list(product(SCHEMES, LINES, ["ground", "panel"])))
def test_lines_stand_out_by_three(name: str, token: str, ground: str) -> None:
    assert contrast(SCHEMES[name][token], SCHEMES[name][ground]) >= 3


@pytest.mark.parametrize("name", SCHEMES)
def test_text_on_fills_can_be_read(name: str) -> None:
    tokens = SCHEMES[name]
    assert contrast(tokens["on-act"], tokens["act"]) >= 4.5
    for priority in ("p1", "p2", "p3", "p4"):
        assert contrast(tokens[f"{priority}-num"], tokens[f"{priority}-fill"]) >= 4.5
    assert contrast(tokens["ink"], tokens["field"]) >= 4.5


def test_the_dark_tokens_stand_twice_and_alike() -> None:
    assert SCHEMES["dark"] == SCHEMES["dark by system"]
    assert SCHEMES["dark"].keys() == SCHEMES["light"].keys()


def sources() -> list[Path]:
    # The API docs are a page of Swagger's own, which knows no tokens.
    found = [
        *ROOT.glob("static/css/*.css"),
        *ROOT.glob("static/js/*.js"),
        *ROOT.glob("templates/**/*.html"),
        *ROOT.glob("pilots/ui/*.py"),
    ]
    return sorted(path for path in found if path.name not in ("tokens.css", "api_docs.css"))


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.name)
def test_no_other_file_names_a_colour(path: Path) -> None:
    text = re.sub(r"&#x?[0-9a-fA-F]+;", "", path.read_text())
    assert COLOUR.findall(text) == []


def test_every_token_that_is_used_exists() -> None:
    declared = set(re.findall(r"--([a-z0-9-]+):", CSS))
    used = {name for path in sources() for name in re.findall(r"var\(--([a-z0-9-]+)\)", path.read_text())}
    assert used <= declared
