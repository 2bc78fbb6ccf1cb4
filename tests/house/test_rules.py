"""Each rule of set-points has its line in docs/rules.md, with tests that exist or the reason why there is none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.house.test_docs import table

ROOT = Path(__file__).parents[2]
ROWS = {row[0]: row[1:] for row in table((ROOT / "docs" / "rules.md").read_text())}
NAMES = {name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())}
RULES = [f"S{number}" for number in range(1, 27)]


def of_rule(rule: str) -> set[str]:
    """Tests named after the rule, alone or beside others: test_s7_..., test_s17_s22_..."""
    return {name for name in NAMES if re.match(rf"test_(s\d+_)*{rule.lower()}_", name)}


def test_every_rule_has_its_line() -> None:
    assert list(ROWS) == RULES


@pytest.mark.parametrize("rule", RULES)
def test_a_rules_tests_exist_or_the_line_says_why_not(rule: str) -> None:
    _, where, tests = ROWS[rule]
    named = re.findall(r"`(test_\w+)`", tests)
    assert named[0] == f"test_{rule.lower()}_"
    assert [name for name in named[1:] if name not in NAMES] == []
    assert of_rule(rule) or len(named) > 1 or "not offered" in where


def test_s26_dialog_and_manual_say_that_this_is_no_protection_system() -> None:
    for page in ("templates/pilots/control_form.html", "docs/operators.md", "docs/points.md"):
        assert re.search(r"no protection system|none of this is a protection system", (ROOT / page).read_text(), re.IGNORECASE), (
            page
        )
