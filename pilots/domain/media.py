"""What carries a link: bandwidth, latency, loss and what may be asked of it. [zones: field to enterprise]

D7.1 2.2.2-2.2.4 names the media and their limits; the working figures are assumptions of typical installations, by the
sources named with each: they feed the link model of the simulators and the rule by which a link counts as up.
"""

from __future__ import annotations

from dataclasses import dataclass

#: One question and one answer of a usual poll, in bytes: what a round trip has to carry.
USUAL_EXCHANGE = 300
#: What a device may take to answer, whatever lies between.
DEVICE_S = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class Medium:
    """Bit/s, seconds one way (median and 95th percentile), share of messages lost, per cent of a month that it should work.

    `bad_spell_s`: losses come in bad spells so long in the mean (radio, power line), 0: one by one. `setup_s`: a dialled call
    stands only then.
    """

    name: str
    bandwidth_bps: float
    latency_p50_s: float
    latency_p95_s: float
    loss: float
    availability: float
    bad_spell_s: float = 0.0
    setup_s: float = 0.0
    half_duplex: bool = False
    source: str = "assumed"

    @property
    def round_trip_p95_s(self) -> float:
        """What 95 of 100 exchanges should stay below.

        >>> round(MEDIA["RS-485"].round_trip_p95_s, 3)
        0.445
        """
        return DEVICE_S + 2 * self.latency_p95_s + 8 * USUAL_EXCHANGE / self.bandwidth_bps


_ALL = (
    Medium(
        name="RS-485",
        bandwidth_bps=19_200,
        latency_p50_s=0.02,
        latency_p95_s=0.06,
        loss=1e-5,
        availability=99.5,
        half_duplex=True,
        source="D7.1 2.2.4.1 (1 200 m); turnaround assumed",
    ),
    Medium(
        name="fibre",
        bandwidth_bps=1e9,
        latency_p50_s=0.0005,
        latency_p95_s=0.001,
        loss=1e-9,
        availability=99.9,
        source="D7.1 2.2.4.2, single mode",
    ),
    Medium(
        name="multi-mode fibre",
        bandwidth_bps=100e6,
        latency_p50_s=0.0005,
        latency_p95_s=0.001,
        loss=1e-9,
        availability=99.9,
        source="D7.1 2.2.4.2",
    ),
    Medium(
        name="Ethernet",
        bandwidth_bps=100e6,
        latency_p50_s=0.0003,
        latency_p95_s=0.002,
        loss=1e-7,
        availability=99.9,
        source="D7.1 2.2.4.3",
    ),
    Medium(
        name="GSM",
        bandwidth_bps=9_600,
        latency_p50_s=0.6,
        latency_p95_s=1.2,
        loss=1e-2,
        availability=97.0,
        bad_spell_s=4.0,
        setup_s=15.0,
        source="D7.1 2.2.3.1; circuit-switched data at 9.6 kbit/s",
    ),
    Medium(
        name="GPRS",
        bandwidth_bps=40_000,
        latency_p50_s=0.5,
        latency_p95_s=1.5,
        loss=2e-2,
        availability=98.0,
        bad_spell_s=4.0,
        source="D7.1 2.2.3.2; Implementation of Telecontrol Applications over GPRS Networks, PAC World 2010",
    ),
    Medium(
        name="WiMAX",
        bandwidth_bps=10e6,
        latency_p50_s=0.03,
        latency_p95_s=0.08,
        loss=1e-3,
        availability=99.0,
        bad_spell_s=0.5,
        source="D7.1 2.2.3.3; WiMAX for smart-grid WAN, Springer 2015",
    ),
    Medium(
        name="PLC",
        bandwidth_bps=20_000,
        latency_p50_s=0.3,
        latency_p95_s=2.0,
        loss=3e-2,
        availability=95.0,
        bad_spell_s=2.0,
        half_duplex=True,
        source="D7.1 2.2.2.2; rates of G3 and PRIME narrow band",
    ),
    Medium(
        name="Wi-Fi",
        bandwidth_bps=20e6,
        latency_p50_s=0.005,
        latency_p95_s=0.04,
        loss=1e-2,
        availability=98.0,
        bad_spell_s=0.5,
        source="D7.1 2.2.2.1",
    ),
    Medium(
        name="Zigbee",
        bandwidth_bps=40_000,
        latency_p50_s=0.03,
        latency_p95_s=0.15,
        loss=1e-2,
        availability=97.0,
        bad_spell_s=0.5,
        half_duplex=True,
        source="D7.1 2.2.2.3; 250 kbit/s gross of IEEE 802.15.4",
    ),
    Medium(
        name="internet",
        bandwidth_bps=20e6,
        latency_p50_s=0.025,
        latency_p95_s=0.12,
        loss=1e-3,
        availability=99.5,
        source="D7.1 2.3",
    ),
)

MEDIA: dict[str, Medium] = {medium.name: medium for medium in _ALL}
#: Longer names first, so that "multi-mode fibre" is not taken for "fibre".
_BY_LENGTH = sorted(MEDIA.values(), key=lambda medium: -len(medium.name))
_ALIASES = {"serial": "RS-485"}


def medium_of(words: str) -> Medium | None:
    """The medium that a link's words name; None for what is no communication medium (a DC bus).

    >>> medium_of("RS-485 19 200 8E1").name, medium_of("GPRS, PLC").name, medium_of("DC wiring")
    ('RS-485', 'GPRS', None)
    """
    lowered = words.lower()
    for word, name in _ALIASES.items():
        if lowered.startswith(word):
            return MEDIA[name]
    found = [medium for medium in _BY_LENGTH if medium.name.lower() in lowered]
    return min(found, key=lambda medium: lowered.index(medium.name.lower())) if found else None
