"""plotly.min.js out of the installed package: never copied into this project, never out of step with it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import plotly
from django.contrib.staticfiles.finders import BaseFinder
from django.core.files.storage import FileSystemStorage, Storage

PACKAGE_DATA = Path(plotly.__file__).parent / "package_data"
FILE = "plotly.min.js"
PREFIX = "plotly"


class PlotlyFinder(BaseFinder):
    """Offers exactly one file: `plotly/plotly.min.js`. The notebook bundle beside it is not published."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.storage = FileSystemStorage(location=PACKAGE_DATA)
        self.storage.prefix = PREFIX  # type: ignore[attr-defined]

    def check(self, **kwargs: Any) -> list[Any]:
        return []

    def find(self, path: str, find_all: bool = False, **kwargs: Any) -> Any:
        if path != f"{PREFIX}/{FILE}":
            return []
        found = str(PACKAGE_DATA / FILE)
        return [found] if find_all or kwargs.get("all") else found

    def list(self, ignore_patterns: Iterable[str] | None) -> Iterable[tuple[str, Storage]]:
        yield FILE, self.storage


def plotly_version() -> str:
    """The installed package's version: the query string that renews the browser's copy."""
    return version("plotly")


@cache
def style_hashes() -> tuple[str, ...]:
    """CSP sources for the styles plotly.js puts into the page: an empty element and its map's style sheet.

    Computed from the package, because the second changes with it.
    """
    text = (PACKAGE_DATA / FILE).read_text(encoding="utf-8")
    return tuple(_source(css) for css in ("", *_style_sheets(text)))


def _style_sheets(script: str) -> list[str]:
    """The style sheets in the bundle: single-quoted JavaScript strings given to an element's textContent."""
    return [_unescaped(body) for body in re.findall(r"\.textContent='((?:[^'\\]|\\.)*\{(?:[^'\\]|\\.)*)'", script)]


def _unescaped(body: str) -> str:
    r"""The text of a JavaScript string's inside; plotly's uses \n, \t, \\, \' and \" only."""
    return re.sub(r"\\(.)", lambda match: {"n": "\n", "t": "\t"}.get(match[1], match[1]), body)


def _source(css: str) -> str:
    digest = hashlib.sha256(css.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
