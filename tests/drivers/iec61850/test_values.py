"""Quality, stamps and reports to readings, without any peer."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from pilots.domain.errors import CatalogueError, DeviceRefused, ProtocolViolation
from pilots.domain.point import PointKind
from pilots.domain.quality import Flag, Source, Validity
from pilots.drivers.iec61850.blocks import ReportOptions
from pilots.drivers.iec61850.controls import ADD_CAUSES, add_cause_words
from pilots.drivers.iec61850.data import Bits, DataFailure, EntryTime, Kind, Type, UtcTime
from pilots.drivers.iec61850.mms import Name
from pilots.drivers.iec61850.names import Place, mms_name, place_of
from pilots.drivers.iec61850.options import Options, report_options
from pilots.drivers.iec61850.reports import Entry, Subscription, decode_report
from pilots.drivers.iec61850.sources import Extract, Role, source_of
from pilots.drivers.iec61850.values import quality_of, reading_of, wire_of
from tests.drivers.builders import make_device, make_point

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
GOOD = Bits(13, 0)


@pytest.mark.parametrize(
    ("bits", "validity", "source", "flags"),
    [
        ((), Validity.GOOD, Source.PROCESS, Flag.NONE),
        ((1,), Validity.INVALID, Source.PROCESS, Flag.NONE),
        ((0,), Validity.INVALID, Source.PROCESS, Flag.NONE),  # reserved
        ((0, 1), Validity.QUESTIONABLE, Source.PROCESS, Flag.NONE),
        ((2,), Validity.QUESTIONABLE, Source.PROCESS, Flag.OVERFLOW),
        ((3,), Validity.QUESTIONABLE, Source.PROCESS, Flag.OUT_OF_RANGE),
        ((4,), Validity.INVALID, Source.PROCESS, Flag.FAILURE),
        ((5,), Validity.QUESTIONABLE, Source.PROCESS, Flag.NONE),
        ((6,), Validity.INVALID, Source.PROCESS, Flag.FAILURE),
        ((7,), Validity.QUESTIONABLE, Source.PROCESS, Flag.OLD),
        ((8,), Validity.QUESTIONABLE, Source.PROCESS, Flag.INCONSISTENT),
        ((9,), Validity.QUESTIONABLE, Source.PROCESS, Flag.NONE),
        ((10,), Validity.GOOD, Source.SUBSTITUTED, Flag.NONE),
        ((12,), Validity.QUESTIONABLE, Source.PROCESS, Flag.BLOCKED),
        ((0, 1, 7, 10), Validity.QUESTIONABLE, Source.SUBSTITUTED, Flag.OLD),
    ],
)
def test_every_quality_bit_has_its_word(bits: tuple[int, ...], validity: Validity, source: Source, flags: Flag) -> None:
    quality = quality_of(Bits.of(13, *bits))
    assert (quality.validity, quality.source, quality.flags) == (validity, source, flags)


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        (True, 1.0), (-3, -3.0), (50.5, 50.5), (Bits(2, 0b01), 1.0), (Bits(2, 0b10), 2.0), ("ok", "ok"), (b"\x01\xff", "01ff"),
        (UtcTime(NOW), "2026-11-23T03:00:00Z"), ((1.0,), None),
    ],
)  # fmt: skip
def test_values_become_numbers_or_words(value: Any, wire: Any) -> None:
    assert wire_of(value) == wire


def test_a_good_stamp_is_the_source_time() -> None:
    reading = reading_of("p", 1.0, GOOD, UtcTime(NOW, True))
    assert reading is not None and (reading.value, reading.source_time, reading.quality.flags) == (1.0, NOW, Flag.NONE)


@pytest.mark.parametrize(
    "stamp",
    [
        UtcTime(NOW, clock_failure=True),
        UtcTime(NOW, not_synchronised=True),
        UtcTime(datetime.fromtimestamp(0, UTC)),
        UtcTime(datetime(1995, 1, 1, tzinfo=UTC)),
        UtcTime(None),
    ],
)
def test_a_stamp_of_a_doubtful_clock_is_not_used_and_flagged(stamp: UtcTime) -> None:
    reading = reading_of("p", 1.0, GOOD, stamp)
    assert reading is not None and reading.source_time is None
    assert reading.quality.flags == Flag.CLOCK_UNSYNCED and reading.quality.validity is Validity.GOOD


def test_a_value_under_test_is_no_reading() -> None:
    assert reading_of("p", 1.0, Bits.of(13, 11), UtcTime(NOW)) is None


@pytest.mark.parametrize("value", [None, DataFailure(3), (1.0,)])
def test_a_missing_value_is_invalid_and_never_zero(value: Any) -> None:
    reading = reading_of("p", value, GOOD, UtcTime(NOW))
    assert reading is not None and reading.value is None and reading.quality.validity is Validity.INVALID


# ---------------------------------------------------------------- reports

OPTIONS = range(1, 9)  # sequence number ... configuration revision


def report(*options: int, segment: tuple[Any, ...] = ()) -> list[Any]:
    """A report of the second of three members, its fields as the standard orders them."""
    entered = EntryTime(bytes.fromhex("00a88f3c3d21"))
    told: dict[int, Any] = {1: 7, 2: entered, 4: "ES1LD0/LLN0$ds", 6: True, 7: bytes(range(8)), 8: 1}
    head = [told[option] for option in options if option in told]
    fields: list[Any] = ["id", Bits.of(10, *options), *head, *segment, Bits(3, 0b010)]
    fields += ["ES1LD0/MMXU1$MX$TotW"] if 5 in options else []
    return [*fields, 1.0, *([Bits.of(6, 1)] if 3 in options else [])]


@pytest.mark.parametrize("options", [(), (1,), (1, 4), (1, 2, 3, 4, 6, 7, 8), tuple(OPTIONS), (7,), (5,)])
def test_a_reports_fields_are_those_its_options_name(options: tuple[int, ...]) -> None:
    entry = decode_report(report(*options))
    assert entry.report_id == "id" and entry.values == {1: 1.0}
    assert entry.number == (7 if 1 in options else None)
    assert entry.data_set == ("ES1LD0/LLN0$ds" if 4 in options else "")
    assert entry.entry_id == (bytes(range(8)) if 7 in options else b"")
    assert entry.overflow is (6 in options)
    assert (entry.entered is not None) is (2 in options)


def test_segments_say_whether_more_follows() -> None:
    assert decode_report(report(1, 9, segment=(0, True))).more_follows
    assert not decode_report(report(1, 9, segment=(1, False))).more_follows


@pytest.mark.parametrize(
    "values", [[], ["id"], [1, Bits(10, 0)], ["id", Bits(10, 0)], ["id", Bits(10, 0), Bits(3, 7), 1.0], ["id", Bits(10, 0), "x"]]
)
def test_reports_that_do_not_follow_their_options_are_violations(values: list[Any]) -> None:
    with pytest.raises(ProtocolViolation):
        decode_report(values)


def subscription(extracts: dict[int, list[Extract]], *, buffered: bool = True) -> Subscription:
    name = Name("ES1LD0", "LLN0$BR$brcb01")
    return Subscription(name, buffered, "ES1LD0/LLN0$ds", frozenset({"id"}), 3, extracts, Counter())


def test_a_value_whose_quality_came_earlier_keeps_it() -> None:
    """A data set of single attributes sends only what changed."""
    key = ("es-SW04", "trip")
    held = subscription({0: [Extract(key, Role.VALUE, ())], 1: [Extract(key, Role.QUALITY, ())]})
    assert held.readings(Entry(report_id="id", values={1: Bits.of(13, 7)})) == {}
    (reading,) = held.readings(Entry(report_id="id", values={0: True}))["es-SW04"]
    assert (reading.value, reading.quality.flags) == (1.0, Flag.OLD)
    (reading,) = held.readings(Entry(report_id="id", values={1: GOOD}))["es-SW04"]
    assert (reading.value, reading.quality.validity) == (1.0, Validity.GOOD)


def test_an_event_without_stamp_of_its_own_has_its_entrys() -> None:
    held = subscription({0: [Extract(("d", "trip"), Role.VALUE, ())]})
    (reading,) = held.readings(Entry(report_id="id", values={0: True}, entered=NOW))["d"]
    assert reading.source_time == NOW


def test_a_number_left_out_is_a_gap_and_a_new_count_is_none() -> None:
    held = subscription({})
    numbers = [4, 5, 7, 8, 0, 1, 255, 0]
    gapless = [held.is_gapless(Entry(report_id="id", number=number)) for number in numbers]
    assert gapless == [True, True, False, True, True, True, False, True]


# ---------------------------------------------------------------- names and sources

MV = Type(
    Kind.STRUCTURE,
    parts={
        "mag": Type(Kind.STRUCTURE, parts={"f": Type(Kind.FLOAT, 32)}),
        "q": Type(Kind.BIT_STRING, 13),
        "t": Type(Kind.UTC_TIME),
    },
)
WYE = Type(Kind.STRUCTURE, parts={"phsA": Type(Kind.STRUCTURE, parts={"cVal": MV, "q": MV.parts["q"], "t": MV.parts["t"]})})


def place(ref: str, fc: str = "MX") -> Place:
    return place_of(make_device(address={"ied": "ES1"}), make_point("p", ref=ref, fc=fc))


def test_quality_and_stamp_are_those_nearest_to_the_value() -> None:
    single = source_of(place("LD0/MMXU1.TotW.mag.f"), MV)
    assert (single.container.item, single.steps) == ("MMXU1$MX$TotW", {Role.VALUE: (0, 0), Role.QUALITY: (1,), Role.STAMP: (2,)})
    bare = Type(Kind.STRUCTURE, parts={"setMag": Type(Kind.STRUCTURE, parts={"f": Type(Kind.FLOAT, 32)})})
    setting = source_of(place("LD0/MMXU1.TotW.setMag.f", "SP"), bare)
    assert (setting.container.item, setting.steps) == ("MMXU1$SP$TotW$setMag$f", {Role.VALUE: ()})


def test_a_phase_has_its_own_quality() -> None:
    phase = Type(Kind.STRUCTURE, parts={"cVal": Type(Kind.STRUCTURE, parts={"mag": MV.parts["mag"]}), "q": MV.parts["q"]})
    source = source_of(place("LD0/MMXU1.PhV.phsA.cVal.mag.f"), Type(Kind.STRUCTURE, parts={"phsA": phase}))
    assert (source.container.item, source.steps) == ("MMXU1$MX$PhV$phsA", {Role.VALUE: (0, 0, 0), Role.QUALITY: (1,)})


@pytest.mark.parametrize("ref", ["LD0/MMXU1.TotW.mag.i", "LD0/MMXU1.TotW.mag"])
def test_an_attribute_the_object_does_not_have_is_refused(ref: str) -> None:
    with pytest.raises(DeviceRefused):
        source_of(place(ref), MV)


@pytest.mark.parametrize("ref", ["", "MMXU1.TotW", "LD0/MMXU1", "LD0/MMXU1.A(1).x", None])
def test_a_reference_that_is_none_is_named(ref: Any) -> None:
    with pytest.raises(CatalogueError, match="reference"):
        place(ref)


def test_the_constraint_follows_the_kind_where_none_is_named() -> None:
    device = make_device(address={"ied": "ES1"})
    for kind, fc in (
        (PointKind.MEASUREMENT, "MX"),
        (PointKind.STATUS, "ST"),
        (PointKind.COMMAND, "CO"),
        (PointKind.COUNTER, "ST"),
    ):
        assert place_of(device, make_point("p", kind, ref="LD0/A1.B.c")).constraint == fc
    with pytest.raises(CatalogueError, match="functional constraint"):
        place("LD0/A1.B.c", "XX")
    assert mms_name("", "LD0/A1.B", "CO") == Name("LD0", "A1$CO$B")


# ---------------------------------------------------------------- options and words


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"timeout_s": 0}, "timeout_s"),
        ({"keep_alive_s": "20"}, "keep_alive_s"),
        ({"tsel": "xyz"}, "tsel"),
        ({"ap_title": "1"}, "ap_title"),
        ({"originator_category": "boss"}, "originator_category"),
        ({"interlock_check": 1}, "interlock_check"),
        ({"retry_s": -1}, "retry_s"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], field: str) -> None:
    with pytest.raises(CatalogueError, match=field):
        Options.of(options)


def test_selectors_are_spelt_as_in_an_scl_file() -> None:
    options = Options.of({"tsel": "0002", "psel": "00000003", "ap_title": "1,3,9999,23", "ae_qualifier": "23"})
    selectors = options.link.selectors
    assert (selectors.transport, selectors.presentation, selectors.ap_title, selectors.ae_qualifier) == (
        b"\x00\x02", b"\x00\x00\x00\x03", (1, 3, 9999, 23), 23,
    )  # fmt: skip


@pytest.mark.parametrize("reports", ["brcb", [{}], [{"rcb": "LLN0.brcb"}], [{"rcb": "LD0/LLN0.b", "interval": 3}]])
def test_a_wrong_report_option_is_named(reports: Any) -> None:
    with pytest.raises(CatalogueError, match="report"):
        report_options({"reports": reports})


def test_report_options_are_read() -> None:
    assert report_options({}) is None and report_options({"reports": []}) == []
    assert report_options({"reports": [{"rcb": "LD0/LLN0.u", "buffered": False, "integrity_s": 5}]}) == [
        ReportOptions(rcb="LD0/LLN0.u", buffered=False, integrity_s=5)
    ]


def test_every_add_cause_has_its_word() -> None:
    assert len(ADD_CAUSES) == 28 and len(set(ADD_CAUSES)) == 28
    assert add_cause_words(27) == "locked-by-other-client (AddCause 27)"
