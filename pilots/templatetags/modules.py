"""`{% load modules %}`: a page names what its scripts import, which a browser would find one behind the other. [operation]"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from django import template
from django.contrib.staticfiles import finders
from django.templatetags.static import static
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

register = template.Library()
_IMPORT = re.compile(r'^(?:import|export)\b.*?\bfrom "\./([\w.-]+)";', re.MULTILINE)


@register.simple_tag
def preload_modules(*scripts: str) -> SafeString:
    """Links for everything that these scripts (paths as of `static`) import, themselves left out."""
    return format_html_join("", '<link rel="modulepreload" href="{}">', ((static(path),) for path in _imports(scripts)))


@lru_cache(maxsize=64)
def _imports(scripts: tuple[str, ...]) -> tuple[str, ...]:
    found = list(scripts)
    for path in found:
        found += [each for each in _imported(path) if each not in found]
    return tuple(found[len(scripts) :])


def _imported(path: str) -> Iterator[str]:
    file = finders.find(path)
    for name in _IMPORT.findall(Path(file).read_text(encoding="utf-8")) if isinstance(file, str) else ():
        yield str(Path(path).with_name(name))
