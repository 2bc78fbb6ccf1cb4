"""Interlock expressions: a condition on measured values that must hold before a point is commanded. [operation]

`es-SW01/position = 'closed' and soc > 5`: own tokens, own parser, no `eval` (IEC 61850-7-3, blocked by interlocking).

    or | and | not      =  !=  <  <=  >  >=      +  -  *  /      abs( )  ( )      12.5   'label'   point   device/point

A device id may hold `-`, `.` and `:`, so blanks stand around a minus or a division between points. A point compared with a
text is taken by its label. Everything is bounded: `MAX_LENGTH` characters, `MAX_TOKENS` tokens, `MAX_DEPTH` levels.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from pilots.domain.errors import PilotsError

MAX_LENGTH, MAX_TOKENS, MAX_DEPTH = 400, 100, 12

_TOKEN = re.compile(
    r"\s*(?:(?P<reference>[A-Za-z0-9][A-Za-z0-9_.:-]*/[a-z][a-z0-9_]*)"
    r"|(?P<number>[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<word>[a-z][a-z0-9_]*)"
    r"|'(?P<text>[^']{1,64})'"
    r"|(?P<sign><=|>=|!=|[-=<>+*/()]))",
    re.ASCII,
)
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
_WORDS = ("and", "or", "not", "abs")
_TRUTHS = ("and", "or", "not", *_COMPARE)


class InterlockError(PilotsError):
    """An expression cannot be read, or a value it needs is not there."""

    code = "interlock"


@dataclass(frozen=True, slots=True)
class Reading:
    """A point as an expression meets it. `fault` says in words why it cannot be used, and is empty when it can."""

    value: float | None
    label: str = ""
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """`kind` is `number`, `text`, `reference` or an operator with its `parts`."""

    kind: str
    parts: tuple[Node, ...] = ()
    value: float = 0.0
    name: str = ""

    @property
    def is_truth(self) -> bool:
        return self.kind in _TRUTHS


@lru_cache(maxsize=1024)
def parse(expression: str) -> Node:
    """The condition as a tree. Raises InterlockError with what is wrong and where.

    >>> parse("abs(p) < 100 and not es-SW01/position = 'open'").kind
    'and'
    >>> parse("p +")
    Traceback (most recent call last):
    pilots.domain.interlock.InterlockError: a value is missing at the end
    """
    if len(expression) > MAX_LENGTH:
        raise InterlockError(f"longer than {MAX_LENGTH} characters")
    reader = _Reader(_tokens(expression))
    tree = reader.any_of()
    if reader.peek != ("end", ""):
        raise InterlockError(f"{reader.peek[1]!r} is not expected here")
    if not tree.is_truth:
        raise InterlockError("this is a value, not a condition: compare it with something")
    return tree


def references(expression: str) -> frozenset[str]:
    """The points it needs, as written: `point` of the same device or `device/point`. Raises InterlockError.

    >>> sorted(references("soc > 5 or es-SW01/position = 2"))
    ['es-SW01/position', 'soc']
    """
    return frozenset(_names(parse(expression)))


def holds(expression: str, readings: Mapping[str, Reading]) -> bool:
    """Whether the condition is met. Raises InterlockError naming the first value that is missing or cannot be used.

    Every value must be usable, also one that the outcome does not hang on.

    >>> holds("soc > 5", {"soc": Reading(7.0)}), holds("position = 'closed'", {"position": Reading(1.0, "open")})
    (True, False)
    >>> holds("soc > 5", {"soc": Reading(7.0, fault="is 40 s old")})
    Traceback (most recent call last):
    pilots.domain.interlock.InterlockError: soc is 40 s old
    """
    tree = parse(expression)
    for name in sorted(_names(tree)):
        reading = readings.get(name, Reading(None))
        if reading.fault or reading.value is None or not math.isfinite(reading.value):
            raise InterlockError(f"{name} {reading.fault or 'was never received'}")
    return _truth(tree, readings)


def shown(expression: str, readings: Mapping[str, Reading]) -> str:
    """The values that decided, for the sentence of a refusal.

    >>> shown("soc > 5 and position = 'closed'", {"soc": Reading(4.0), "position": Reading(1.0, "open")})
    'position is open, soc is 4'
    """
    words = ((name, readings.get(name, Reading(None))) for name in sorted(references(expression)))
    return ", ".join(f"{name} is {reading.label or f'{reading.value:g}'}" for name, reading in words if reading.value is not None)


def _tokens(expression: str) -> list[tuple[str, str]]:
    found, place = [], 0
    text = expression.rstrip()
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None or match.lastgroup is None:
            raise InterlockError(f"{text[place:].strip()[:12]!r} cannot be read")
        found.append((match.lastgroup, match[match.lastgroup]))
        place = match.end()
        if len(found) > MAX_TOKENS:
            raise InterlockError(f"more than {MAX_TOKENS} parts")
    return found


class _Reader:
    """Recursive descent, one method a level of binding; the weakest, `or`, first."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens, self._place, self._depth = tokens, 0, 0

    @property
    def peek(self) -> tuple[str, str]:
        return self._tokens[self._place] if self._place < len(self._tokens) else ("end", "")

    def any_of(self) -> Node:
        return self._chain("or", self._all_of)

    def _all_of(self) -> Node:
        return self._chain("and", self._maybe_not)

    def _chain(self, word: str, part: Callable[[], Node]) -> Node:
        node = part()
        while self._take("word", word):
            node = Node(word, (_truth_of(node), _truth_of(part())))
        return node

    def _maybe_not(self) -> Node:
        if self._take("word", "not"):
            return Node("not", (_truth_of(self._deeper(self._maybe_not)),))
        return self._comparison()

    def _comparison(self) -> Node:
        left = self._sum()
        kind, sign = self.peek
        if kind != "sign" or sign not in _COMPARE:
            return left
        self._place += 1
        right = self._sum()
        texts = [node.kind == "text" for node in (left, right)]
        if any(texts):
            _check_labels(left, right, sign)
            return Node(sign, (left, right))
        return Node(sign, (_number_of(left), _number_of(right)))

    def _sum(self) -> Node:
        return self._series("+-", self._product)

    def _product(self) -> Node:
        return self._series("*/", self._signed)

    def _series(self, signs: str, part: Callable[[], Node]) -> Node:
        node = part()
        while self.peek[0] == "sign" and self.peek[1] in signs:
            sign = self.peek[1]
            self._place += 1
            node = Node(sign, (_number_of(node), _number_of(part())))
        return node

    def _signed(self) -> Node:
        if self._take("sign", "-"):
            return Node("-", (Node("number"), _number_of(self._deeper(self._signed))))
        return self._atom()

    def _atom(self) -> Node:
        kind, text = self.peek
        self._place += 1
        if kind == "number":
            return _number(text)
        if kind == "text":
            return Node("text", name=text)
        if kind == "reference" or (kind == "word" and text not in _WORDS):
            return Node("reference", name=text)
        if (kind, text) == ("word", "abs"):
            self._need("(")
            return Node("abs", (_number_of(self._bracket()),))
        if (kind, text) == ("sign", "("):
            return self._bracket()
        raise InterlockError("a value is missing at the end" if kind == "end" else f"a value is missing before {text!r}")

    def _bracket(self) -> Node:
        node = self._deeper(self.any_of)
        self._need(")")
        return node

    def _deeper(self, part: Callable[[], Node]) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise InterlockError(f"deeper than {MAX_DEPTH} levels")
        node = part()
        self._depth -= 1
        return node

    def _take(self, kind: str, text: str) -> bool:
        taken = self.peek == (kind, text)
        self._place += taken
        return taken

    def _need(self, sign: str) -> None:
        if not self._take("sign", sign):
            raise InterlockError(f"{sign!r} is missing")


def _number(text: str) -> Node:
    value = float(text)
    if not math.isfinite(value):
        raise InterlockError(f"{text} is too large")
    return Node("number", value=value)


def _truth_of(node: Node) -> Node:
    if not node.is_truth:
        raise InterlockError("and, or, not join conditions, not values")
    return node


def _number_of(node: Node) -> Node:
    if node.is_truth or node.kind == "text":
        raise InterlockError("a number is wanted where a condition or a text stands")
    return node


def _check_labels(left: Node, right: Node, sign: str) -> None:
    if sign not in ("=", "!=") or {left.kind, right.kind} != {"text", "reference"}:
        raise InterlockError("a text is compared with a point, by = or != only")


def _names(node: Node) -> set[str]:
    own = {node.name} if node.kind == "reference" else set()
    return own.union(*(_names(part) for part in node.parts))


def _truth(node: Node, readings: Mapping[str, Reading]) -> bool:
    if node.kind == "not":
        return not _truth(node.parts[0], readings)
    left, right = node.parts
    if node.kind in ("and", "or"):
        both = _truth(left, readings), _truth(right, readings)
        return all(both) if node.kind == "and" else any(both)
    if "text" in (left.kind, right.kind):
        labels = [part.name if part.kind == "text" else readings[part.name].label for part in node.parts]
        return (labels[0] == labels[1]) == (node.kind == "=")
    return _COMPARE[node.kind](_value(left, readings), _value(right, readings))


def _value(node: Node, readings: Mapping[str, Reading]) -> float:
    if node.kind == "number":
        return node.value
    if node.kind == "reference":
        return readings[node.name].value or 0.0
    parts = [_value(part, readings) for part in node.parts]
    if node.kind == "abs":
        return abs(parts[0])
    try:
        result = _ARITHMETIC[node.kind](*parts)
    except ZeroDivisionError as error:
        raise InterlockError("it divides by zero") from error
    if not math.isfinite(result):
        raise InterlockError("a result is too large")
    return result
