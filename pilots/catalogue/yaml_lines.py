"""YAML read with the line of every value kept, so that a refusal can name it. [zone: none, configuration]

Stricter than PyYAML's SafeLoader and without its YAML 1.1 surprises: only `true` and `false` are booleans (`no` is the code
of Norway), keys are always text, duplicate keys and aliases are refused.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pilots.domain.errors import CatalogueError

#: Where a value stands in its document: keys and list indices from the top.
FieldPath = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalar words of YAML 1.2 (core schema)."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"^(?:~|null|)$", ["~", "n", ""]),
    ("bool", r"^(?:true|false)$", list("tf")),
    ("int", r"^[-+]?(?:0|[1-9][0-9]*)$", list("-+0123456789")),
    ("float", r"^[-+]?(?:[0-9]+\.[0-9]*(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)$", list("-+0123456789")),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


def field_name(path: FieldPath) -> str:
    """The path as people write it.

    >>> field_name(("devices", 3, "parent"))
    'devices[3].parent'
    """
    words = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return words.removeprefix(".")


@dataclass(frozen=True, slots=True)
class Document:
    """One parsed file: plain data and the line (from 1) of every field."""

    file: str
    data: Any
    lines: dict[FieldPath, int] = field(default_factory=dict)

    def line(self, path: FieldPath) -> int:
        """The line of a field, or of the nearest thing around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def error(self, message: str, *path: str | int) -> CatalogueError:
        """The refusal of that field, ready to be raised."""
        return CatalogueError(message, file=self.file, line=self.line(path), field=field_name(path))


def read_document(path: Path) -> Document:
    """The file as data with lines. Raises CatalogueError when it cannot be read or is no YAML."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise CatalogueError("not UTF-8", file=str(path), line=line) from error
    except OSError as error:
        raise CatalogueError(f"cannot be read: {error.strerror}", file=str(path)) from error
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise CatalogueError(error.problem or "no YAML", file=str(path), line=mark.line + 1 if mark else None) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise CatalogueError(f"no YAML: {error.reason}", file=str(path), line=line) from error
    except RecursionError as error:
        raise CatalogueError("nested too deeply", file=str(path)) from error
    document = Document(str(path), None if node is None else {}, {})
    if node is None:
        raise document.error("the file is empty")
    data = _Converter(document, loader).convert(node, ())
    return Document(document.file, data, document.lines)


class _Converter:
    """Turns YAML nodes into plain data, noting lines."""

    def __init__(self, document: Document, loader: _Loader) -> None:
        self.document = document
        self.loader = loader
        self.seen: set[Hashable] = set()

    def convert(self, node: yaml.Node, path: FieldPath) -> Any:
        self.document.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if id(node) in self.seen:
            # An alias inside itself never ends, and aliases of aliases grow without bound.
            raise self.document.error("aliases (*name) are not allowed", *path)
        self.seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        return [self.convert(item, (*path, index)) for index, item in enumerate(node.value)]

    def _scalar(self, node: yaml.ScalarNode, path: FieldPath) -> Any:
        try:
            return self.loader.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            raise self.document.error(f"not understood: {node.value!r}", *path) from error

    def _mapping(self, node: yaml.MappingNode, path: FieldPath) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise CatalogueError("a key must be a word", file=self.document.file, line=line, field=field_name(path))
            key = str(key_node.value)
            if key in mapping:
                raise CatalogueError("stands here twice", file=self.document.file, line=line, field=field_name((*path, key)))
            self.document.lines[(*path, key)] = line
            mapping[key] = self.convert(value_node, (*path, key))
        return mapping
