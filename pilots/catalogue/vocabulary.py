"""The point names and units of docs/points.md: those that the built-in profiles use. [zone: none, configuration]

A name's phase (`_l1`) or number (`_2`, the second string or input) is not part of the word.
"""

from __future__ import annotations

import re
from functools import cache

from pilots.catalogue.loader import load_profiles

#: SI without prefixes, energy in watt hours; docs/points.md.
UNITS = frozenset(
    ("", "1", "W", "var", "VA", "V", "A", "Hz", "Wh", "varh", "VAh", "degC", "%", "s", "1/h", "W/m2", "m/s", "deg", "%/Hz")
)
_SUFFIX = re.compile(r"_(l[123]|n|12|23|31|[1-9][0-9]?)$")


def word_of(point: str) -> str:
    """The name without its phase or number.

    >>> word_of("voltage_ll_12"), word_of("soc_4"), word_of("active_power")
    ('voltage_ll', 'soc', 'active_power')
    """
    return _SUFFIX.sub("", point)


@cache
def vocabulary() -> dict[str, tuple[str, str]]:
    """Every known word with its unit and kind; they are the same wherever the word is used."""
    points = [point for profile in load_profiles().values() for point in profile.points.values()]
    return {word_of(point.name): (point.unit, point.kind.value) for point in points}
