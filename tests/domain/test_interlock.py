"""The interlock language: what it means, what it refuses, and that nothing else ever leaves it."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilots.domain.interlock import MAX_DEPTH, MAX_LENGTH, MAX_TOKENS, InterlockError, Reading, holds, parse, references, shown

READINGS = {
    "soc": Reading(40.0),
    "p": Reading(-5000.0),
    "zero": Reading(0.0),
    "position": Reading(2.0, "closed"),
    "es-SW01/position": Reading(1.0, "open"),
}


@pytest.mark.parametrize(
    ("expression", "met"),
    [
        ("soc > 5", True),
        ("soc >= 40 and soc <= 40 and soc = 40 and not soc != 40", True),
        ("abs(p) < 5000.5", True),
        ("-p = 5e3", True),
        ("2 + 3 * 4 = 14 and (2 + 3) * 4 = 20", True),
        ("10 - 4 - 3 = 3 and 12 / 3 / 2 = 2", True),
        ("soc < 5 or position = 'closed'", True),
        ("soc < 5 or soc > 50 and soc < 60", False),
        ("position != 'open' and 'open' = es-SW01/position", True),
        ("not (soc > 5 and es-SW01/position = 'closed')", True),
        ("p - soc < 0", True),
        ("soc / 2 = 20", True),
    ],
)
def test_a_condition_means_what_it_says(expression: str, met: bool) -> None:
    assert holds(expression, READINGS) is met


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("", "missing at the end"),
        ("soc", "not a condition"),
        ("soc + 1", "not a condition"),
        ("soc > ", "missing at the end"),
        ("soc > 5 soc", "not expected"),
        ("(soc > 5", "')' is missing"),
        ("abs 5 > 3", "'(' is missing"),
        ("soc > 5)", "not expected"),
        ("soc and p > 3", "join conditions"),
        ("(soc > 5) + 1 > 2", "a number is wanted"),
        ("not soc", "join conditions"),
        ("soc > 'closed'", "by = or !="),
        ("'a' = 'a'", "by = or !="),
        ("soc = 5 = 5", "not expected"),
        ("__import__('os') = 1", "cannot be read"),
        ("soc > 1e999", "too large"),
        ("soc.real > 1", "cannot be read"),
        ("soc > 5; p < 1", "cannot be read"),
        ("1" * (MAX_LENGTH + 1), "longer"),
        ("+".join("1" for _ in range(MAX_TOKENS)), "more than"),
        ("(" * (MAX_DEPTH + 1) + "soc > 5" + ")" * (MAX_DEPTH + 1), "deeper"),
    ],
)
def test_what_is_no_condition_is_refused_with_what_is_wrong(expression: str, words: str) -> None:
    with pytest.raises(InterlockError, match=words.replace("(", r"\(").replace(")", r"\)")):
        parse(expression)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("gone > 5", "gone was never received"),
        ("soc > 5 or old > 5", "old is 40 s old"),
        ("nan > 5", "nan was never received"),
        ("soc / zero > 1", "divides by zero"),
        ("1e308 * 10 * soc > 1", "too large"),
    ],
)
def test_what_cannot_be_known_is_never_a_yes(expression: str, words: str) -> None:
    readings = READINGS | {"old": Reading(9.0, fault="is 40 s old"), "nan": Reading(float("nan"))}
    with pytest.raises(InterlockError, match=words):
        holds(expression, readings)


def test_the_points_it_needs_are_known_before_it_is_asked() -> None:
    assert references("soc > 5 and abs(p) < 3 or es-SW01/position = 'open'") == {"soc", "p", "es-SW01/position"}


def test_the_values_that_decided_are_told_with_their_words() -> None:
    assert shown("soc > 50 and es-SW01/position = 'closed'", READINGS) == "es-SW01/position is open, soc is 40"


_FRAGMENTS = ["soc", "p", "zero", "gone", "es-SW01/position", "position", "'open'", "''", "5", "0", "1e308", "1e999", "and", "or"]
_FRAGMENTS += ["not", "abs", "(", ")", "=", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", " ", ".", "'", "\0", "é", "__class__"]


@settings(max_examples=5000)
@given(st.one_of(st.lists(st.sampled_from(_FRAGMENTS), max_size=40).map(" ".join), st.text(max_size=60)))
def test_whatever_is_written_only_an_answer_or_an_interlock_error_comes_out(expression: str) -> None:
    with suppress(InterlockError):
        assert holds(expression, READINGS) in (True, False)
