"""Every word a reader sees is there in every language, and what is compiled is what was written."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

ROOT = settings.BASE_DIR
CODES = [code for code, _ in settings.LANGUAGES if code != "en"]


def words(root: Path, code: str) -> Path:
    return Path(root / "pilots" / "locale" / code / "LC_MESSAGES" / "django.po")


def compiled(source: Path, target: Path) -> str:
    """What msgfmt says of the file: it checks placeholders and plurals, and counts what is missing or doubtful."""
    command = ["msgfmt", "--check", "--statistics", "--output-file", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"}, check=True)
    return done.stderr


def told(compiled_file: Path) -> str:
    return subprocess.run(["msgunfmt", str(compiled_file)], capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project whose words were collected anew."""
    root = tmp_path_factory.mktemp("words")
    for folder in ("pilots", "templates", "invade_scada"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__", "*.mo"))
    for name in ("manage.py", "pyproject.toml", "CHANGELOG.md"):
        shutil.copy(ROOT / name, root / name)
    command = [sys.executable, "manage.py", "makemessages", "--all", "--no-location", "--no-wrap", "--verbosity", "0"]
    subprocess.run(command, cwd=root, check=True)
    return root


@pytest.mark.parametrize("code", CODES)
def test_no_word_is_missing_or_doubtful(collected: Path, code: str, tmp_path: Path) -> None:
    assert re.fullmatch(r"\d+ translated messages\.\n", compiled(words(collected, code), tmp_path / "django.mo"))


@pytest.mark.parametrize("code", CODES)
def test_what_is_compiled_is_what_was_written(code: str, tmp_path: Path) -> None:
    compiled(words(ROOT, code), tmp_path / "django.mo")
    assert told(words(ROOT, code).with_suffix(".mo")) == told(tmp_path / "django.mo")
