"""The rules of the house, checked where a machine can."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [path for folder in ("pilots", "invade_scada") for path in sorted((ROOT / folder).rglob("*.py"))]
WRITTEN = [path for path in SOURCES if "migrations" not in path.parts]
TESTS = sorted((ROOT / "tests").rglob("*.py"))


def texts(paths: list[Path]) -> list[tuple[str, str]]:
    return [(str(path.relative_to(ROOT)), path.read_text()) for path in paths if path != Path(__file__)]


def test_nothing_is_left_to_be_done() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    assert [name for name, text in texts(SOURCES + TESTS) if marks.search(text)] == []


def test_no_test_is_skipped() -> None:
    marks = re.compile(r"pytest\.(mark\.)?(skip|skipif|xfail|importorskip)\b")
    assert [name for name, text in texts(TESTS) if marks.search(text)] == []


def test_every_setting_of_the_environment_is_documented() -> None:
    names = {name for _, text in texts(SOURCES) for name in re.findall(r"\"(INVADE_[A-Z_]+|REDIS_URL|DATABASE_URL)\"", text)}
    described = (ROOT / "docs" / "configuration.md").read_text()
    assert sorted(name for name in names if name not in described) == []


def test_every_documented_setting_exists() -> None:
    code = "\n".join(text for _, text in texts(SOURCES))
    described = set(re.findall(r"\b(INVADE_[A-Z_]+)\b", (ROOT / "docs" / "configuration.md").read_text()))
    assert sorted(name for name in described if name not in code) == []


def test_everything_is_caught_only_where_a_comment_or_the_log_says_why() -> None:
    for name, text in texts(SOURCES):
        lines = [*text.splitlines(), ""]
        for number, line in enumerate(lines, 1):
            if re.match(r"\s*except(\s+Exception\b.*)?:", line):
                near = line + lines[number]
                assert "#" in near or ".exception(" in near, f"{name}:{number} catches everything and does not say why"


def test_no_module_is_longer_than_four_hundred_lines() -> None:
    assert [name for name, text in texts(WRITTEN) if len(text.splitlines()) > 400] == []


def test_the_audit_trail_has_one_writer() -> None:
    """Everybody else records through `pilots.audit.services` and only reads the rows."""
    writes = re.compile(r"\bAuditEvent\((?!models\.Model)|\bAuditEvent\.objects\.\w*create|pilots_auditevent")
    assert [name for name, text in texts(WRITTEN) if writes.search(text)] == [
        "pilots/audit/selectors.py",
        "pilots/audit/services.py",
    ]


def test_every_module_says_what_it_is() -> None:
    silent = [name for name, text in texts(WRITTEN) if text.strip() and not text.lstrip().startswith(('"""', 'r"""'))]
    assert silent == []


@pytest.mark.parametrize("code", [code for code, _ in settings.LANGUAGES if code != "en"])
def test_every_language_has_its_words(code: str) -> None:
    assert (ROOT / "pilots" / "locale" / code / "LC_MESSAGES" / "django.po").exists()
