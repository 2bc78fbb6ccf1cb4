"""What a medium does to messages: the figures of the table come out of many draws."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from statistics import mean, quantiles

import pytest

from pilots.domain.media import MEDIA
from pilots.simulators.media import BAD_LOSS, Channel

DRAWS = 100_000
each_medium = pytest.mark.parametrize("medium", MEDIA.values(), ids=lambda medium: medium.name)


@each_medium
def test_half_of_the_latencies_lie_below_the_median_and_95_of_100_below_the_other_figure(medium) -> None:
    channel = Channel(medium, "latency")
    shares = quantiles((channel.latency_s() for _ in range(DRAWS)), n=100)
    assert shares[49] == pytest.approx(medium.latency_p50_s, rel=0.03)
    assert shares[94] == pytest.approx(medium.latency_p95_s, rel=0.05)


@pytest.mark.parametrize("medium", [replace(MEDIA["Ethernet"], loss=0.01), *MEDIA.values()], ids=lambda m: f"{m.name} {m.loss}")
def test_losses_are_as_frequent_as_the_table_says(medium) -> None:
    channel = Channel(medium, "loss")
    lost = mean(channel.is_lost(float(second)) for second in range(DRAWS))
    # Bad spells make the count spread as if fewer messages had been sent.
    spread = 4 * (medium.loss * (1 + 2 * medium.bad_spell_s) / DRAWS) ** 0.5
    assert lost == pytest.approx(medium.loss, abs=max(spread, 2 / DRAWS))


def test_radio_loses_in_spells_and_wire_does_not() -> None:
    def near_a_loss(spell_s: float, later_s: float) -> float:
        """The share of messages lost of those sent `later_s` after a lost one."""
        channel = Channel(replace(MEDIA["GPRS"], bad_spell_s=spell_s), "spells")
        lost = [channel.is_lost(index * later_s) for index in range(DRAWS)]
        return mean(after for before, after in pairwise(lost) if before)

    assert near_a_loss(4.0, 0.1) == pytest.approx(BAD_LOSS, abs=0.06)
    assert near_a_loss(4.0, 2.0) == pytest.approx(BAD_LOSS * math.exp(-0.5), abs=0.06)
    for unrelated in (near_a_loss(4.0, 60.0), near_a_loss(0.0, 0.1)):
        assert unrelated == pytest.approx(0.02, abs=0.015)


def test_a_spell_ends_by_time_however_little_is_sent() -> None:
    medium = replace(MEDIA["GPRS"], loss=0.3)
    stalls = [Channel(medium, str(seed)).repeat_s(0.0) for seed in range(5000)]
    in_a_spell = [stall for stall in stalls if stall]
    # 1.5 s, 3 s, 6 s ... of repeats: two in three end before 5 s, none outlasts several spells.
    assert sorted(in_a_spell)[2 * len(in_a_spell) // 3] < 5.0
    assert mean(stall > 20.0 for stall in in_a_spell) < 0.08


def test_sending_takes_the_time_of_the_bits() -> None:
    assert Channel(MEDIA["GPRS"], "").sending_s(1000) == pytest.approx(0.2)
    assert Channel(MEDIA["fibre"], "").sending_s(1000) < 1e-4


def test_a_lost_segment_costs_a_repeat_and_several_cost_more_each() -> None:
    always = Channel(replace(MEDIA["Ethernet"], loss=1.0), "")
    assert always.repeat_s(0.0) == pytest.approx(0.2 * (2**6 - 1))
    assert Channel(replace(MEDIA["Ethernet"], loss=0.0), "").repeat_s(0.0) == 0.0
    repeats = [Channel(MEDIA["GPRS"], str(seed)).repeat_s(0.0) for seed in range(2000)]
    assert 0.005 < mean(repeat > 0 for repeat in repeats) < 0.06
    assert min(repeat for repeat in repeats if repeat) == pytest.approx(1.5)


def test_the_same_seed_repeats_and_another_does_not() -> None:
    first, again, other = (
        [channel.latency_s() for _ in range(5)] for channel in (Channel(MEDIA["PLC"], seed) for seed in ("a", "a", "b"))
    )
    assert first == again != other
