"""A table of points is read from what spreadsheets write, faults named by row and column, and written so that it reads back."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import Workbook, load_workbook

from pilots.catalogue.point_table import TableRow, read_table, safe_cell, unsafe_text, write_table
from pilots.catalogue.table_files import MAX_BYTES, MAX_ROWS, write_csv, write_xlsx

HEAD = "device,point,kind,unit,address.register,address.type,scale,low,high\n"
GOOD = HEAD + "es-PM01,active_power,measurement,W,3059,float32,1000,-50000,50000\n"


def read(text: str, filename: str = "points.csv") -> Any:
    return read_table(text.encode(), filename)


def faults(text: str) -> list[tuple[int, str]]:
    return [(fault.row, fault.column) for fault in read(text).errors]


def sheet(*rows: list[Any]) -> bytes:
    book = Workbook()
    assert book.active is not None
    for row in rows:
        book.active.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def test_a_row_becomes_the_fields_of_a_point() -> None:
    table = read(GOOD)
    assert table.errors == ()
    (row,) = table.rows
    assert (row.number, row.device, row.point, row.delete) == (2, "es-PM01", "active_power", False)
    assert row.fields == {
        "kind": "measurement",
        "unit": "W",
        "address": {"register": 3059, "type": "float32"},
        "scale": 1000.0,
        "low": -50000.0,
        "high": 50000.0,
    }


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("code", ["utf-8", "utf-8-sig", "utf-16"])
def test_delimiters_line_ends_and_marks_do_not_matter(delimiter: str, ends: str, code: str) -> None:
    text = GOOD.replace(",", delimiter).replace("\n", ends)
    assert read_table(text.encode(code), "POINTS.CSV") == read(GOOD)


def test_a_decimal_comma_is_read() -> None:
    table = read("device;point;scale;low\nxx;p;0,5;-1,25\n")
    assert (table.errors, table.rows[0].fields) == ((), {"scale": 0.5, "low": -1.25})


def test_one_table_has_one_decimal_mark() -> None:
    """1.000 is one or a thousand: which, the rest of the table tells."""
    table = read("device;point;scale\nxx;p;0,5\nxx;q;1.000\n")
    assert [str(fault) for fault in table.errors] == ["row 3, scale: 1.000: the decimal mark of this table is ',' (row 2)"]
    assert faults("device;point;scale\nxx;p;1.000,5\n") == [(2, "scale")]


def test_parts_of_addresses_may_stand_without_their_prefix() -> None:
    fields = read("device,point,ioa,address.type,select,qualifier\nxx,p,100,36 13,yes,short\n").rows[0].fields
    assert fields == {"address": {"ioa": 100, "type": [36, 13], "select": True, "qualifier": "short"}}


def test_nested_parts_labels_and_capabilities() -> None:
    text = "device,point,labels,address.enable.register,address.enable.value,capability.minimum,capability.modes\n"
    fields = read(text + "xx,p,0=open|1=closed,9,1,-5,absolute limit\n").rows[0].fields
    assert fields == {
        "labels": {"0": "open", "1": "closed"},
        "address": {"enable": {"register": 9, "value": 1}},
        "capability": {"minimum": -5.0, "modes": ["absolute", "limit"]},
    }


def test_an_empty_cell_means_no_value_and_a_missing_column_says_nothing() -> None:
    fields = read("device,point,unit,low,scale,labels,address.register,capability.minimum\nxx,p,,,,,,\n").rows[0].fields
    assert fields == {"unit": "", "low": None, "scale": 1.0, "labels": {}, "address": {}, "capability": None}


def test_rows_are_counted_as_the_spreadsheet_counts() -> None:
    text = 'device,point,feedback,scale\nxx,p,"two\nlines",1\n\nxx,q,,one\n'
    assert faults(text) == [(5, "scale")]


#: table, faults as (row, column)
WRONG: list[tuple[str, list[tuple[int, str]]]] = [
    ("", [(1, "")]),
    ("\n", [(1, "")]),
    ("device\nxx\n", [(1, "point")]),
    ("device,point,colour\nxx,p,red\n", [(1, "colour")]),
    ("device,point,unit,Unit\nxx,p,W,W\n", [(1, "Unit")]),
    ("device,point\nxx,\n,p\n", [(2, "point"), (3, "device")]),
    ("device,point\nxx,p\nxx,p\n", [(3, "point")]),
    ("device,point,kind\nxx,p,gauge\n", [(2, "kind")]),
    ("device,point,kind\nxx,p,\n", [(2, "kind")]),
    ("device,point,scale\nxx,p,much\n", [(2, "scale")]),
    ("device,point,scale\nxx,p,nan\n", [(2, "scale")]),
    ("device,point,scale\nxx,p,inf\n", [(2, "scale")]),
    ("device,point,scale\nxx,p,1_000\n", [(2, "scale")]),
    ("device,point,scale\nxx,p,0x10\n", [(2, "scale")]),
    ("device,point,address.register\nxx,p,10.5\n", [(2, "address.register")]),
    ("device,point,address.register\nxx,p,ten\n", [(2, "address.register")]),
    ("device,point,address.select\nxx,p,perhaps\n", [(2, "address.select")]),
    ("device,point,labels\nxx,p,open\n", [(2, "labels")]),
    ('device,point,labels\nxx,p,"{""a"": 1}"\n', [(2, "labels")]),
    ("device,point,delete\nxx,p,perhaps\n", [(2, "delete")]),
    ("device,point\nxx,p,stray\n", [(2, "")]),
    ("device,point,scale,low\nxx,p,a,b\nxx,q,1,c\n", [(2, "scale"), (2, "low"), (3, "low")]),
    ('device,point\n"xx,p\n', [(2, "")]),
]


@pytest.mark.parametrize(("text", "expected"), WRONG, ids=lambda value: str(value)[:40])
def test_every_fault_names_its_row_and_column(text: str, expected: list[tuple[int, str]]) -> None:
    assert faults(text) == expected


def test_what_is_no_table_is_said_so() -> None:
    assert str(read("x", "points.pdf").errors[0]) == "'points.pdf' is neither .csv nor .xlsx"
    assert "is not UTF-8" in str(read_table(b"device,point\nxx,\xe9\n", "p.csv").errors[0])
    assert "is no XLSX file" in str(read("device,point", "p.xlsx").errors[0])
    assert "more than the 5 MB" in str(read_table(b" " * (MAX_BYTES + 1), "p.csv").errors[0])


def test_ten_thousand_rows_are_enough() -> None:
    body = "".join(f"xx,p{number}\n" for number in range(MAX_ROWS))
    assert len(read("device,point\n" + body).rows) == MAX_ROWS
    assert faults("device,point\n" + body + "xx,q\n") == [(MAX_ROWS + 2, "")]


def test_a_spreadsheet_is_read_with_its_own_numbers() -> None:
    file = sheet(["Device", "Point", "Kind", "register", "scale", "low"], ["xx", "p", "measurement", 3059, 0.5, None])
    table = read_table(file, "points.xlsx")
    assert table.errors == ()
    assert table.rows[0].fields == {"kind": "measurement", "address": {"register": 3059}, "scale": 0.5, "low": None}


def test_a_spreadsheet_names_its_faulty_rows() -> None:
    file = sheet(["device", "point", "scale"], ["xx", "p", 1], [None, None, None], ["xx", "q", "much"])
    assert [(fault.row, fault.column) for fault in read_table(file, "points.xlsx").errors] == [(4, "scale")]


def test_an_archive_that_would_unpack_too_far_is_not_opened() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", b" " * 101 * 1024 * 1024)
    assert "unpacks to 101 MB" in str(read_table(out.getvalue(), "points.xlsx").errors[0])


@given(st.binary(max_size=300))
def test_no_bytes_whatever_break_the_reader(data: bytes) -> None:
    for name in ("p.csv", "p.xlsx"):
        table = read_table(data, name)
        assert table.rows == () or table.errors == () or table.errors


@given(st.text(max_size=40))
def test_no_text_becomes_a_formula_and_every_text_comes_back(text: str) -> None:
    cell = safe_cell(text)
    assert unsafe_text(cell) == text
    number = cell.lstrip("+-").replace(".", "", 1).isdigit() or any(char.isdigit() for char in cell)
    assert not cell.startswith(tuple("=@\t\r")) and (number or not cell.startswith(("+", "-")))


ROWS = [
    TableRow(
        number=2,
        device="xx-PM01",
        point="active_power",
        fields={
            "kind": "measurement",
            "unit": "W",
            "address": {"register": 3059, "type": "float32", "enable": {"register": 4, "value": 1}},
            "scale": 0.1,
            "offset": -3.5,
            "sign": -1,
            "deadband": 1e-3,
            "period_s": 10.0,
            "max_interval_s": None,
            "low": -1e12,
            "high": 1.5e300,
            "labels": {"0": "=cmd|' /C calc'!A0", "1": "closed"},
            "feedback": "",
            "capability": {
                "minimum": -5.0,
                "maximum": 5.0,
                "step": 0.0,
                "modes": ["absolute", "limit"],
                "max_per_hour": 4.0,
                "minimum_from": "-p_discharge_max",
                "soc_min": 10.0,
                "soc_max": "soc_max_set_feedback",
                "interlock": "es-SW01/position = 'closed'",
            },
        },
    ),
    TableRow(
        number=3,
        device="xx-RTU1",
        point="position",
        fields={
            "kind": "status",
            "unit": "1",
            "address": {"ioa": 7, "type": [31], "select": False, "bits": [0, 3], "measurand": "+SUM(1)"},
            "scale": 1.0,
            "offset": 0.0,
            "sign": 1,
            "deadband": 0.0,
            "period_s": None,
            "max_interval_s": None,
            "low": None,
            "high": None,
            "labels": {},
            "feedback": "",
            "capability": None,
        },
    ),
]


@pytest.mark.parametrize(("write", "name"), [(write_csv, "p.csv"), (write_xlsx, "p.xlsx")], ids=["csv", "xlsx"])
def test_what_is_written_reads_back_the_same(write: Any, name: str) -> None:
    file = write_table(ROWS, write)
    table = read_table(file, name)
    assert table.errors == ()
    empty = {"max_interval_s": None, "feedback": ""}  # no row fills these columns, so they are not there
    for row, wanted in zip(table.rows, ROWS, strict=True):
        assert (row.device, row.point, empty | dict(row.fields)) == (wanted.device, wanted.point, wanted.fields)
    assert write_table(table.rows, write_csv) == write_table(ROWS, write_csv)


def test_nothing_written_is_a_formula() -> None:
    book = load_workbook(io.BytesIO(write_table(ROWS, write_xlsx)))
    cells = [cell for row in book.worksheets[0].iter_rows() for cell in row]
    assert all(cell.data_type != "f" for cell in cells)
    text = write_table(ROWS, write_csv).decode("utf-8-sig")
    assert "'+SUM(1)" in text
    assert ",+SUM" not in text
