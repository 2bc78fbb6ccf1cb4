"""The documents of a device: titles and addresses on the web, nothing that a browser would run. [zone: none, configuration]"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from pilots.domain.errors import CatalogueError

MOST = 20


def check_documents(documents: Any) -> None:
    """Each has a title and an address of the web. Raises CatalogueError."""
    if not isinstance(documents, list) or len(documents) > MOST:
        raise CatalogueError(f"a list of at most {MOST} documents", field="documents")
    for number, document in enumerate(documents, start=1):
        if not isinstance(document, dict) or set(document) != {"title", "url"}:
            raise CatalogueError(f'document {number} has a "title" and a "url" and nothing else', field="documents")
        if not str(document["title"]).strip() or len(str(document["title"])) > 120:
            raise CatalogueError(f"document {number}: its title has 1 to 120 characters", field="documents")
        if not is_web(document["url"]):
            raise CatalogueError(f"document {number}: its url begins with https:// or http://", field="documents")


def web_documents(documents: Any) -> list[dict[str, str]]:
    """Those that lead to the web; whatever else a row holds is left out."""
    rows = documents if isinstance(documents, list) else []
    return [each for each in rows if isinstance(each, dict) and is_web(each.get("url")) and each.get("title")]


def is_web(url: Any) -> bool:
    """Whether it leads to a host of the web.

    >>> is_web("https://example.org/manual.pdf"), is_web("javascript:alert(1)"), is_web("https:///etc/passwd")
    (True, False, False)
    """
    try:
        parts = urlsplit(url) if isinstance(url, str) and len(url) <= 500 and url.isprintable() else urlsplit("")
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False
