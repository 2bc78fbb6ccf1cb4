"""`includes`: the points of other profiles become a profile's own, before anything is checked. [zone: none, configuration]

A SunSpec device is a chain of models, so its profile is a list of model profiles. An included point may be left out, renamed,
and changed field by field under `points`. Two includes that bring one name are refused: silence would choose for the reader.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pilots.catalogue.schema_check import check_schema
from pilots.catalogue.yaml_lines import Document, read_document
from pilots.domain.topology import Protocol

#: Protocols whose points have one form of address: a profile of one serves a connection of the other.
FAMILIES: tuple[frozenset[Protocol], ...] = (
    frozenset({Protocol.MODBUS_TCP, Protocol.MODBUS_RTU}),
    frozenset({Protocol.IEC104, Protocol.IEC101}),
)

#: Finds the file of an included profile, given its name and the folder of who includes it. Raises CatalogueError.
Finder = Callable[[str, Path], Path]


def serves(profile: Protocol, connection: Protocol) -> bool:
    """Whether a profile's points can be reached over a connection: the same application data over another medium.

    >>> serves(Protocol.IEC104, Protocol.IEC101), serves(Protocol.IEC104, Protocol.MODBUS_TCP)
    (True, False)
    """
    return profile is connection or any({profile, connection} <= family for family in FAMILIES)


def read_profile_document(path: Path, find: Finder, trail: tuple[Path, ...] = ()) -> Document:
    """The profile file with every included point in it and `includes` gone. Raises CatalogueError.

    Only the form of `includes` is checked here; what comes out is still to be checked against the schema.
    """
    document = read_document(path)
    if not isinstance(document.data, dict) or "includes" not in document.data:
        return document
    return _Merge(document, find, (*trail, path.resolve())).result()


class _Merge:
    """One file and what it includes, on the way to one document."""

    def __init__(self, document: Document, find: Finder, trail: tuple[Path, ...]) -> None:
        self.document = document
        self.find = find
        self.trail = trail
        self.points: dict[str, Any] = {}
        self.options: dict[str, Any] = {}
        self.origin: dict[str, str] = {}
        self.lines = dict(document.lines)

    def result(self) -> Document:
        data = self.document.data
        for index, name, include in self._includes():
            self._take(index, name, include)
        own = data.get("points", {})
        if not isinstance(own, dict) or not isinstance(data.get("options", {}), dict):
            raise self.document.error("is no mapping", "points" if not isinstance(own, dict) else "options")
        points = dict(self.points)
        for name, fields in own.items():
            points[name] = {**points[name], **fields} if name in points and isinstance(fields, dict) else fields
        merged = {key: value for key, value in data.items() if key != "includes"}
        merged |= {"points": points, "options": {**self.options, **data.get("options", {})}}
        return Document(self.document.file, merged, self.lines)

    def _includes(self) -> Iterator[tuple[int, str, dict[str, Any]]]:
        includes = self.document.data["includes"]
        if not isinstance(includes, list) or not includes:
            raise self.document.error("is a list of profiles", "includes")
        for index, entry in enumerate(includes):
            include = {"profile": entry} if isinstance(entry, str) else entry
            if not isinstance(include, dict) or not isinstance(include.get("profile"), str):
                raise self.document.error("names no profile", "includes", index)
            unknown = [key for key in include if key not in ("profile", "only", "omit", "rename")]
            if unknown:
                raise self.document.error("this field is not known here", "includes", index, unknown[0])
            if "only" in include and "omit" in include:
                raise self.document.error("say either only or omit", "includes", index, "omit")
            yield index, include["profile"], include

    def _take(self, index: int, name: str, include: Mapping[str, Any]) -> None:
        included = self._read(index, name)
        points = self._chosen(index, name, include, included.data["points"])
        renamed = self._renames(index, include, points)
        for point, fields in points.items():
            self._put(index, name, renamed.get(point, point), _feedback_renamed(fields, renamed))
        own = self.document.data.get("options", {})
        for option, value in included.data.get("options", {}).items():
            if self.options.setdefault(option, value) != value and option not in own:
                raise self.document.error(f"the includes differ in {option}: say it in options", "includes", index)

    def _read(self, index: int, name: str) -> Document:
        path = self.find(name, Path(self.document.file).parent)
        if not path.is_file():
            raise self.document.error(f"there is no profile {name!r}", "includes", index)
        if path.resolve() in self.trail:
            raise self.document.error(f"{name} includes itself", "includes", index)
        included = read_profile_document(path, self.find, self.trail)
        check_schema(included, "profile")
        ours, theirs = (document.data.get("protocol") for document in (self.document, included))
        if ours not in list(Protocol) or not serves(Protocol(theirs), Protocol(ours)):
            raise self.document.error(f"{name} speaks {theirs}, this profile {ours}", "includes", index)
        return included

    def _chosen(self, index: int, name: str, include: Mapping[str, Any], points: Mapping[str, Any]) -> dict[str, Any]:
        for key in ("only", "omit"):
            for place, point in enumerate(self._words(index, include, key)):
                if point not in points:
                    raise self.document.error(f"{name} has no point {point!r}", "includes", index, key, place)
        return {point: points[point] for point in include.get("only", points) if point not in include.get("omit", ())}

    def _words(self, index: int, include: Mapping[str, Any], key: str) -> list[str]:
        words = include.get(key, [])
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise self.document.error("is a list of point names", "includes", index, key)
        return words

    def _renames(self, index: int, include: Mapping[str, Any], points: Mapping[str, Any]) -> dict[str, str]:
        rename = include.get("rename", {})
        if not isinstance(rename, dict) or not all(isinstance(new, str) for new in rename.values()):
            raise self.document.error("goes from point to point", "includes", index, "rename")
        for old in rename:
            if old not in points:
                raise self.document.error(f"{old!r} is not included", "includes", index, "rename", old)
        return rename

    def _put(self, index: int, name: str, point: str, fields: Mapping[str, Any]) -> None:
        if point in self.points:
            sentence = f"{point} comes from {self.origin[point]} too: omit it at one of them"
            raise self.document.error(sentence, "includes", index)
        self.points[point], self.origin[point] = fields, name
        # A refusal of what was included names the line of the include.
        self.lines.setdefault(("points", point), self.document.line(("includes", index)))


def _feedback_renamed(fields: Mapping[str, Any], renamed: Mapping[str, str]) -> Mapping[str, Any]:
    if fields.get("feedback") not in renamed:
        return fields
    return {**fields, "feedback": renamed[fields["feedback"]]}
