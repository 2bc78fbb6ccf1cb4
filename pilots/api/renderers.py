"""JSON in and out: strict where it enters (RFC 8259 only, bounded), and never NaN where it leaves."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import orjson
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer

from pilots.api.errors import Problem

MAX_BODY = 4 * 1024 * 1024
MAX_DEPTH = 20


class OrjsonRenderer(BaseRenderer):
    """JSON as UTF-8; NaN and infinities leave as null."""

    media_type = "application/json"
    format = "json"
    charset = None
    render_style = "binary"

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        return b"" if data is None else orjson.dumps(data)


class StrictJSONParser(BaseParser):
    """A JSON body of at most 4 MB and 20 levels without NaN, infinities or repeated keys. Raises Problem 400, 413, 415."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        request = (parser_context or {}).get("request")
        if request is not None and request.META.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
            raise Problem(415, "unsupported_media_type", "The body must not be compressed.")
        raw = stream.read(MAX_BODY + 1)
        if len(raw) > MAX_BODY:
            raise Problem(413, "too_large", "The body is larger than 4 MB.")
        return parse_json(raw)


def parse_json(raw: bytes) -> Any:
    """The document in `raw`. Raises Problem 400 `malformed_json`, naming the field where one is at fault."""
    constants: list[_Constant] = []

    def keep(word: str) -> _Constant:
        constants.append(_Constant(word))
        return constants[-1]

    def finite(word: str) -> float | _Constant:
        value = float(word)
        return value if math.isfinite(value) else keep(word)

    try:
        document = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=keep, parse_float=finite)
        if b"\\ud" in raw.lower():
            json.dumps(document, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError) as error:
        raise _malformed(f"The body is not JSON: {error}"[:200]) from None
    if _too_deep(document):
        raise _malformed(f"The body is nested deeper than {MAX_DEPTH} levels.")
    if constants:
        raise _malformed(f"{constants[0][:40]} is not a JSON value.", _path_of_constant(document) or "")
    return document


class _Constant(str):
    """NaN or an infinity where JSON allows none, kept until its place in the document is known."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    form = dict(pairs)
    if len(form) != len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise _malformed(f"The key {repeated!r} stands twice in one object."[:200], repeated[:100])
    return form


def _too_deep(document: Any) -> bool:
    level = [document] if isinstance(document, dict | list) else []
    for _ in range(MAX_DEPTH):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True


def _path_of_constant(node: Any, path: str = "") -> str | None:
    if isinstance(node, _Constant):
        return path
    if isinstance(node, dict):
        children = [(f"{path}.{key}" if path else str(key), child) for key, child in node.items()]
    elif isinstance(node, list):
        children = [(f"{path}[{index}]", child) for index, child in enumerate(node)]
    else:
        return None
    return next((found for name, child in children if (found := _path_of_constant(child, name)) is not None), None)


def _malformed(sentence: str, field: str = "") -> Problem:
    return Problem(400, "malformed_json", sentence, field=field.encode(errors="replace").decode())
