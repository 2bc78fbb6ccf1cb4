"""What leaves for a device is short (S23): a long originator has made relays start anew."""

from __future__ import annotations

import inspect

import pytest

from pilots.drivers.base import Driver
from pilots.drivers.iec61850.controls import ControlOptions
from pilots.drivers.registry import DRIVERS


@pytest.mark.parametrize("originator", ["", "INVADE", "a" * 64, "\u00e9" * 32])
def test_s23_an_originator_of_up_to_64_octets_is_sent(originator: str) -> None:
    assert ControlOptions(originator=originator).originator == originator


@pytest.mark.parametrize("originator", ["a" * 65, "\u00e9" * 33])
def test_s23_a_longer_originator_stops_the_connection_before_it_is_made(originator: str) -> None:
    with pytest.raises(ValueError, match="originator at most 64 octets"):
        ControlOptions(originator=originator)


@pytest.mark.parametrize("driver", DRIVERS.values(), ids=lambda driver: driver.__name__)
def test_s23_no_persons_words_travel_to_a_device(driver: type[Driver]) -> None:
    """Neither names nor reasons: a write has a value and how long it is good for."""
    assert list(inspect.signature(driver.write_spec).parameters)[1:] == ["device_id", "spec", "value", "valid_for_s"]
