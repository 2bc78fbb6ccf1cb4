"""What stands in the file of each format: units, the zone's offset, quality and both times; and the zone's days."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import openpyxl
import pyarrow.parquet as pq
import pytest

from pilots.domain.quality import Flag, Quality, Source, Validity
from pilots.exports import tables, writers
from tests.builders import make_device, make_point
from tests.conftest import Battery
from tests.exports.conftest import ask, keep, lines, written

pytestmark = pytest.mark.django_db
#: Madrid's clock goes from 02:00 to 03:00, and in autumn from 03:00 back to 02:00.
SPRING, AUTUMN = datetime(2026, 3, 28, 23, tzinfo=UTC), datetime(2026, 10, 24, 22, tzinfo=UTC)
OLD = Quality(Validity.QUESTIONABLE, Source.SIMULATED, Flag.OLD | Flag.OUT_OF_RANGE).pack()
RAW = [
    [
        "2026-03-29T01:59:59.000+01:00",
        "es-STO01",
        "active_power",
        "1.5",
        "W",
        "good",
        "process",
        "",
        "2026-03-29T01:59:59.040+01:00",
    ],
    [
        *("2026-03-29T03:00:01.000+02:00", "es-STO01", "active_power", "", "W", "questionable", "simulated", "old out_of_range"),
        "2026-03-29T03:00:01.040+02:00",
    ],
]


@pytest.fixture
def turn(battery: Battery) -> tuple[datetime, datetime]:
    """Two samples around the change of the clock."""
    turn = SPRING + timedelta(hours=2)
    keep(battery.power, turn - timedelta(seconds=1), [1.5])
    keep(battery.power, turn + timedelta(seconds=1), [None], quality=OLD)
    return turn - timedelta(minutes=1), turn + timedelta(minutes=1)


def test_long_csv_has_unit_offset_quality_and_both_times(battery: Battery, turn: tuple[datetime, datetime]) -> None:
    found = lines(written(ask(battery, *turn)))
    assert found == [tables.HEADER, *RAW]


def test_xlsx_has_the_same_cells_and_says_what_it_is(battery: Battery, turn: tuple[datetime, datetime]) -> None:
    job = ask(battery, *turn, "xlsx")
    book = openpyxl.load_workbook(written(job))
    rows = [["" if cell is None else str(cell) for cell in row] for row in book["data 1"].values]
    assert rows == [tables.HEADER, *RAW]
    about = dict(book["about"].values)
    assert (about["export"], about["zone"]) == (str(job.pk), "Europe/Madrid")


def test_sheets_are_split_where_a_spreadsheet_ends(
    battery: Battery, turn: tuple[datetime, datetime], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writers, "ROWS_A_SHEET", 2)
    job = ask(battery, *turn, "xlsx")
    book = openpyxl.load_workbook(written(job))
    assert book.sheetnames == ["data 1", "data 2", "about"]
    assert [book[name].max_row for name in book.sheetnames[:2]] == [2, 2]
    assert job.rows == 2


def test_parquet_has_zoned_times_words_as_dictionaries_and_the_manifest(
    battery: Battery, turn: tuple[datetime, datetime]
) -> None:
    job = ask(battery, *turn, "parquet")
    path = written(job)
    table = pq.read_table(path)
    types = {field.name: str(field.type) for field in table.schema}
    assert types["time"] == types["received"] == "timestamp[us, tz=Europe/Madrid]"
    assert types["point"].startswith("dictionary")
    assert types["value"] == "double"
    rows = table.to_pylist()
    assert [row["time"].isoformat() for row in rows] == ["2026-03-29T01:59:59+01:00", "2026-03-29T03:00:01+02:00"]
    assert [row["value"] for row in rows] == [1.5, None]
    assert [row["flags"] for row in rows] == ["", "old out_of_range"]
    manifest = json.loads(pq.read_metadata(path).metadata[b"manifest"])
    assert manifest["points"] == [
        {"point": "es/es-STO01/active_power", "unit": "W", "kind": "measurement", "quantity": "active_power"}
    ]
    assert manifest["rows"] == 2


def test_wide_csv_has_a_line_an_instant_and_three_columns_a_point(battery: Battery) -> None:
    meter = make_point(make_device(battery.pilot, "es-PM01"), "voltage", unit="V")
    start = datetime(2026, 6, 1, tzinfo=UTC)
    keep(battery.power, start, [1, 2])
    keep(meter, start + timedelta(seconds=1), [230, 231])
    found = lines(written(ask(battery, start, start + timedelta(hours=1), "csv_wide", points=[battery.power, meter])))
    assert found[0] == [
        *("time", "es-STO01/active_power [W]", "es-STO01/active_power quality", "es-STO01/active_power received"),
        *("es-PM01/voltage [V]", "es-PM01/voltage quality", "es-PM01/voltage received"),
    ]
    assert [[row[0][11:19], row[1], row[2], row[4]] for row in found[1:]] == [
        ["02:00:00", "1.0", "good process", ""],
        ["02:00:01", "2.0", "good process", "230.0"],
        ["02:00:02", "", "", "231.0"],
    ]


def test_a_wide_block_never_splits_what_happened_at_one_instant(battery: Battery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "CELLS_A_BLOCK", 1)
    meter = make_point(make_device(battery.pilot, "es-PM01"), "voltage", unit="V")
    start = datetime(2026, 6, 1, tzinfo=UTC)
    for point in (battery.power, meter):
        keep(point, start, [1.0, 2.0, 3.0])
    found = lines(written(ask(battery, start, start + timedelta(hours=1), "csv_wide", points=[battery.power, meter])))
    assert [(row[1], row[4]) for row in found[1:]] == [("1.0", "1.0"), ("2.0", "2.0"), ("3.0", "3.0")]


@pytest.mark.parametrize(("midnight", "hours"), [(SPRING, 23), (AUTUMN, 25)])
@pytest.mark.parametrize("shape", ["csv_long", "csv_wide"])
def test_a_day_of_the_zone_has_as_many_hours_as_its_clock_shows(
    battery: Battery, midnight: datetime, hours: int, shape: str
) -> None:
    keep(battery.power, midnight, [float(hour) for hour in range(hours)], step_s=3600)
    end = midnight + timedelta(hours=hours)
    by_hour = lines(written(ask(battery, midnight, end, shape, "PT1H")))[1:]
    labels = [row[0][11:] for row in by_hour]
    assert len(labels) == len(set(labels)) == hours
    twice_or_never = [label[:5] for label in labels].count("02:00")
    assert twice_or_never == (0 if hours == 23 else 2)
    mean = 5 if shape == "csv_long" else 2
    assert [float(row[mean]) for row in by_hour] == list(range(hours))
    by_day = lines(written(ask(battery, midnight, end, shape, "P1D")))[1:]
    assert len(by_day) == 1
    start, stop = (datetime.fromisoformat(cell) for cell in by_day[0][:2])
    assert (stop - start).total_seconds() == 3600 * hours
    assert start.utcoffset() != stop.utcoffset()
    assert float(by_day[0][mean]) == pytest.approx((hours - 1) / 2)


def test_intervals_have_mean_min_max_last_count_and_the_share_of_good(battery: Battery) -> None:
    start = datetime(2026, 6, 1, tzinfo=UTC)
    keep(battery.power, start, [10.0, 20.0], step_s=30)
    keep(battery.power, start + timedelta(seconds=90), [None], quality=OLD)
    table = pq.read_table(written(ask(battery, start, start + timedelta(minutes=3), "parquet", "PT1M"))).to_pylist()
    figures = [[row[name] for name in ("mean", "min", "max", "last", "count", "good_share")] for row in table]
    assert figures == [[15, 10, 20, 20, 2, 1.0], [20, 20, 20, 20, 1, 0.5], [None, None, None, None, 0, 0.0]]


def test_nothing_is_rolled_up_before_the_oldest_sample_or_after_the_question(battery: Battery) -> None:
    now = datetime.now(UTC)
    keep(battery.power, now - timedelta(minutes=2), [1.0])
    window = now - timedelta(days=3000), now + timedelta(days=1)
    found = lines(written(ask(battery, *window, resolution="PT1M", now=now)))[1:]
    assert 3 <= len(found) <= 4


def test_a_repeat_at_one_instant_is_one_cell_of_a_wide_file(battery: Battery) -> None:
    """PostgreSQL keeps what came twice in two flushes that did not know of each other."""
    page = np.zeros(2, dtype=[("time", "i8"), ("received", "i8"), ("value", "f8"), ("point", "i8"), ("quality", "i8")])
    page["point"], page["value"] = battery.power.pk, [1.0, 2.0]
    content = tables.Content([battery.power], ZoneInfo("Europe/Madrid"), is_raw=True, about={})
    assert [line.split(",")[1] for line in list(tables.wide_lines(content, [page]))[1].splitlines()] == ["2.0"]
