"""The options of a connection, read into frozen dataclasses with an error that names the wrong one. [zone: field]"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from pilots.domain.errors import CatalogueError
from pilots.drivers.iec61850.blocks import ReportOptions
from pilots.drivers.iec61850.controls import ControlOptions
from pilots.drivers.iec61850.link import LinkParameters
from pilots.drivers.iec61850.osi import Selectors

_Form = TypeVar("_Form")


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What Target.options may say; seconds.

    `idle_read_s`: how often points without a period are read where no report brings them. `retry_s`: how often a report
    control block that somebody else held is tried again.
    """

    link: LinkParameters
    control: ControlOptions
    idle_read_s: float = 60.0
    retry_s: float = 10.0

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Options:
        """Raises CatalogueError."""
        link = _of(LinkParameters, options, selectors=_selectors(options))
        intervals = {name: _positive(options[name], name) for name in ("idle_read_s", "retry_s") if name in options}
        return cls(link=link, control=_of(ControlOptions, options), **intervals)


def report_options(options: Mapping[str, Any]) -> list[ReportOptions] | None:
    """The report control blocks a profile or connection names; None when it leaves the choice to us. Raises CatalogueError."""
    declared = options.get("reports")
    if declared is None:
        return None
    if not isinstance(declared, Sequence) or isinstance(declared, str):
        raise CatalogueError("a list of report control blocks", field="options.reports")
    return [ReportOptions.of(each) for each in declared]


def _of(kind: type[_Form], options: Mapping[str, Any], **known: Any) -> _Form:
    """The dataclass filled with those options that are its own, each of the type of its default."""
    values = dict(known)
    for each in fields(kind):  # type: ignore[arg-type]
        if each.name in options and each.name not in known:
            values[each.name] = _converted(options[each.name], each.default, each.name)
    try:
        return kind(**values)
    except ValueError as error:
        raise CatalogueError(str(error), field="options") from error


def _converted(value: Any, default: Any, name: str) -> Any:
    if isinstance(default, float):
        return _positive(value, name)
    if not isinstance(value, type(default)):
        raise CatalogueError(f"{value!r} is no {type(default).__name__}", field=f"options.{name}")
    return value


def _positive(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise CatalogueError(f"{value!r} is no number of seconds above 0", field=f"options.{name}")
    return float(value)


def _selectors(options: Mapping[str, Any]) -> Selectors:
    """The far end's addresses above TCP, in the spelling of an SCL file: "0001", "1,1,1,999,1"."""
    readers: dict[str, tuple[str, Callable[[Any], Any]]] = {
        "tsel": ("transport", _octets),
        "ssel": ("session", _octets),
        "psel": ("presentation", _octets),
        "ap_title": ("ap_title", _arcs),
        "ae_qualifier": ("ae_qualifier", int),
    }
    chosen = {}
    for option, (part, read) in readers.items():
        if option in options:
            try:
                chosen[part] = read(options[option])
            except (TypeError, ValueError) as error:
                raise CatalogueError(f"{options[option]!r}: {error}", field=f"options.{option}") from error
    return Selectors(**chosen)


def _octets(value: Any) -> bytes:
    octets = bytes.fromhex(str(value))
    if not 0 < len(octets) <= 16:
        raise ValueError("1 to 16 octets in hexadecimal, quoted")
    return octets


def _arcs(value: Any) -> tuple[int, ...]:
    arcs: Iterable[Any] = re.split(r"[.,\s]+", value.strip()) if isinstance(value, str) else value
    numbers = tuple(int(arc) for arc in arcs)
    if len(numbers) < 2 or min(numbers) < 0 or numbers[0] > 2 or numbers[1] > 39:
        raise ValueError("an object identifier like 1.1.1.999.1")
    return numbers
