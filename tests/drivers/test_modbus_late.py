"""Which old answers may still come on a line, and how a new one is told from them: pure, with a clock of the test's."""

from __future__ import annotations

import pytest

from pilots.drivers.modbus.frames import read_request, write_registers_request
from pilots.drivers.modbus.late import FORGET_S, Unanswered

HUNDRED = read_request(1, "holding", 0, 100)
OTHER = read_request(1, "holding", 200, 100)
ANSWER = b"\x03\xc8" + bytes(200)


def test_a_unit_is_left_alone_until_its_late_answer_has_come_or_can_no_more_come() -> None:
    old = Unanswered()
    old.note(HUNDRED, now=10.0, until=12.0)
    assert old.wait_s(1, 10.5) == 1.5 and old.wait_s(2, 10.5) == 0.0
    assert old.hear(1, ANSWER)
    assert old.wait_s(1, 10.5) == 0.0 and old.telling(OTHER) is None


def test_a_question_whose_answer_would_look_like_an_old_one_is_preceded_by_another() -> None:
    old = Unanswered()
    old.note(HUNDRED, now=10.0, until=12.0)
    telling = old.telling(OTHER)
    assert telling == read_request(1, "holding", 200, 1)
    assert old.telling(read_request(1, "holding", 200, 99)) is None
    assert old.telling(read_request(1, "input", 200, 100)) is None
    assert old.telling(read_request(2, "holding", 200, 100)) is None
    old.note(telling, now=13.0, until=15.0)
    assert old.telling(OTHER) == read_request(1, "holding", 200, 2)
    assert old.telling(telling) == read_request(1, "holding", 200, 2)
    old.clear(1)
    assert old.telling(OTHER) is None


def test_bits_differ_by_whole_bytes() -> None:
    old, eight = Unanswered(), read_request(1, "coil", 65535, 1)
    old.note(eight, now=0.0, until=1.0)
    telling = old.telling(eight)
    assert telling is not None and telling == read_request(1, "coil", 65527, 9)


def test_an_answer_settles_the_questions_before_its_own_because_units_answer_in_order() -> None:
    old = Unanswered()
    for number, request in enumerate((HUNDRED, read_request(1, "holding", 0, 1))):
        old.note(request, now=float(number), until=number + 2.0)
    assert old.hear(1, b"\x03\x02\x00\x00")
    assert old.telling(OTHER) is None
    assert not old.hear(1, ANSWER)


@pytest.mark.parametrize("pdu", [b"\x83\x02", ANSWER])
def test_a_late_refusal_is_an_answer_too(pdu: bytes) -> None:
    old = Unanswered()
    old.note(HUNDRED, now=0.0, until=2.0)
    assert old.hear(1, pdu) and not old.hear(1, pdu)


def test_a_dead_units_old_questions_are_forgotten_in_time() -> None:
    old = Unanswered()
    for minute in range(1000):
        old.note(HUNDRED, now=minute * FORGET_S, until=minute * FORGET_S + 1)
        assert old.telling(HUNDRED) == read_request(1, "holding", 0, 1)
    assert len(old._old[1]) == 1


def test_a_write_needs_no_question_before_it_because_it_is_read_back() -> None:
    old, write = Unanswered(), write_registers_request(1, 40, b"\0\1")
    old.note(write, now=0.0, until=1.0)
    assert old.telling(write) is None
