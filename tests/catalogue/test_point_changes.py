"""A table of points is compared before anything changes, applied whole or not at all, and never over somebody else's change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pilots.catalogue.loader import load_pilots, load_profiles
from pilots.catalogue.point_changes import Changes, apply_changes, plan_changes, table_of
from pilots.catalogue.point_table import read_table, write_table
from pilots.catalogue.services import commission_pilot
from pilots.catalogue.table_files import write_csv, write_xlsx
from pilots.control.services import request_setpoint
from pilots.domain.errors import CatalogueError
from pilots.domain.setpoint import Issuer
from pilots.models import AuditEvent, Device, Pilot, Point, PointTest, PointTestList
from tests.builders import make_connection, make_device, make_pilot, make_point

pytestmark = pytest.mark.django_db
NOW = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)
HEAD = "device,point,kind,unit,register,address.type,scale,low,high,feedback,labels,delete\n"


@pytest.fixture
def meter() -> Device:
    """A Modbus meter with one point at registers 10 and 11."""
    pilot = make_pilot("xx")
    connection = make_connection(pilot, "xx-gw", protocol="modbus_tcp", port=502)
    device = make_device(pilot, "xx-PM01", kind="meter", connection=connection, address={"unit": 1})
    make_point(device, address={"register": 10, "type": "float32"}, scale=1000.0)
    return device


def plan(device: Device, *lines: str) -> Changes:
    return plan_changes(device.pilot, read_table((HEAD + "\n".join(lines)).encode(), "points.csv"))


def told(changes: Changes) -> list[tuple[int, str]]:
    return [(fault.row, fault.column) for fault in changes.errors]


def test_a_new_point_is_added_and_audited(meter: Device) -> None:
    changes = plan(meter, "xx-PM01,voltage,measurement,V,20,float32,,0,300,,,")
    assert (told(changes), [change.reference for change in changes.added]) == ([], ["xx-PM01/voltage"])
    assert not meter.points.filter(name="voltage").exists()
    apply_changes(changes, by="ana", now=NOW, source="points.csv")
    point = meter.points.get(name="voltage")
    assert (point.unit, point.address, point.scale, point.low, point.high) == (
        "V",
        {"register": 20, "type": "float32"},
        1,
        0,
        300,
    )
    event = AuditEvent.objects.get()
    assert (event.actor, event.action, event.pilot, event.subject, event.at) == ("ana", "import points", "xx", "points.csv", NOW)
    assert event.details["added"] == ["xx-PM01/voltage"]


def test_a_change_is_shown_field_by_field_and_leaves_other_columns(meter: Device) -> None:
    changes = plan_changes(
        meter.pilot, read_table(b"device;point;scale;register;address.type\nxx-PM01;active_power;0,5;12;float32\n", "p.csv")
    )
    (change,) = changes.changed
    assert [(field.field, field.old, field.new) for field in change.fields] == [
        ("address.register", 10, 12),
        ("scale", 1000.0, 0.5),
    ]
    before = Pilot.objects.get().revision
    apply_changes(changes, by="ana", now=NOW)
    point = meter.points.get()
    assert (point.scale, point.address, point.unit, point.kind) == (0.5, {"register": 12, "type": "float32"}, "W", "measurement")
    assert Pilot.objects.get().revision == before + 1
    assert AuditEvent.objects.get().details["changed"] == {
        "xx-PM01/active_power": {"address.register": [10, 12], "scale": [1000.0, 0.5]}
    }


def test_what_the_table_does_not_name_stays_and_only_a_mark_removes(meter: Device) -> None:
    make_point(meter, "frequency", unit="Hz", address={"register": 30, "type": "float32"})
    apply_changes(plan(meter, "xx-PM01,voltage,measurement,V,20,float32,,,,,,"), by="ana", now=NOW)
    assert set(meter.points.values_list("name", flat=True)) == {"active_power", "frequency", "voltage"}
    changes = plan(meter, "xx-PM01,frequency,measurement,Hz,30,float32,,,,,,yes")
    assert [change.reference for change in changes.removed] == ["xx-PM01/frequency"]
    apply_changes(changes, by="ana", now=NOW)
    assert set(meter.points.values_list("name", flat=True)) == {"active_power", "voltage"}


def test_the_same_table_again_changes_nothing(meter: Device) -> None:
    line = "xx-PM01,voltage,measurement,V,20,float32,,0,300,,,"
    apply_changes(plan(meter, line), by="ana", now=NOW)
    changes = plan(meter, line)
    assert (changes.any, len(changes.unchanged)) == (False, 1)
    apply_changes(changes, by="ana", now=NOW)
    assert AuditEvent.objects.count() == 1


#: a line, the column its fault is told of
WRONG = [
    ("xx-PM09,voltage,measurement,V,20,float32,,,,,,", "device"),
    ("yy-PM01,voltage,measurement,V,20,float32,,,,,,", "device"),
    ("xx-PM01,Voltage L1,measurement,V,20,float32,,,,,,", "point"),
    ("xx-PM01,voltage,measurement,kV,20,float32,,,,,,", "unit"),
    ("xx-PM01,voltage,measurement,V,,,,,,,,", "address"),
    ("xx-PM01,voltage,measurement,V,70000,float32,,,,,,", "address.register"),
    ("xx-PM01,voltage,measurement,V,20,float31,,,,,,", "address.type"),
    ("xx-PM01,voltage,measurement,V,20,float32,0,,,,,", "scale"),
    ("xx-PM01,voltage,measurement,V,20,float32,,300,0,,,", "low"),
    ("xx-PM01,voltage,measurement,V,11,uint16,,,,,,", "address"),
    ("xx-PM01,p_set,setpoint,W,20,float32,,,,active_power,,", "capability"),
    ("xx-PM01,position_cmd,command,,20,uint16,,,,position,1=open,", "feedback"),
    ("xx-PM01,voltage,measurement,V,20,float32,,,,,,yes", "delete"),
]


@pytest.mark.parametrize(("line", "column"), WRONG, ids=lambda value: value[:50])
def test_a_wrong_row_is_named_and_nothing_is_applied(meter: Device, line: str, column: str) -> None:
    changes = plan(meter, "xx-PM01,frequency,measurement,Hz,40,float32,,,,,,", line)
    assert told(changes) == [(3, column)]
    with pytest.raises(CatalogueError, match="nothing was changed: 1 errors, the first is row 3"):
        apply_changes(changes, by="ana", now=NOW)
    assert meter.points.count() == 1
    assert not AuditEvent.objects.exists()


def test_a_feedback_point_may_come_with_the_same_table(meter: Device) -> None:
    rows = (
        "xx-PM01,position_cmd,command,,20,uint16,,,,position,1=open|2=closed,",
        "xx-PM01,position,status,,21,uint16,,,,,1=open|2=closed,",
    )
    changes = plan(meter, *rows)
    assert told(changes) == []
    apply_changes(changes, by="ana", now=NOW)
    assert meter.points.get(name="position_cmd").feedback == "position"


def test_a_proof_is_not_removed_under_its_set_point(meter: Device) -> None:
    make_point(meter, "p_set", address={"register": 50, "type": "float32"})
    assert told(plan(meter, "xx-PM01,active_power,measurement,W,10,float32,,,,,,yes")) == [(2, "feedback")]


def test_two_devices_at_one_address_are_refused(meter: Device) -> None:
    make_device(meter.pilot, "xx-PM02", kind="meter", connection=meter.connection, address={"unit": 1})
    changes = plan(meter, "xx-PM02,voltage,measurement,V,10,float32,,,,,,")
    assert [str(fault) for fault in changes.errors] == [
        "row 2, address: xx-PM02/voltage stands at the same address as xx-PM01/active_power"
    ]


def test_points_may_swap_their_addresses_in_one_table(meter: Device) -> None:
    make_point(meter, "voltage", unit="V", address={"register": 20, "type": "float32"})
    changes = plan(
        meter,
        "xx-PM01,voltage,measurement,V,10,float32,,,,,,",
        "xx-PM01,active_power,measurement,W,20,float32,1000,,,,,",
    )
    assert told(changes) == []
    apply_changes(changes, by="ana", now=NOW)
    assert meter.points.get(name="voltage").address["register"] == 10


def test_a_point_with_set_points_is_kept(meter: Device) -> None:
    point = make_point(meter, "p_set", address={"register": 50, "type": "float32"})
    moment = datetime.now(UTC)
    request_setpoint(
        point=point,
        value=0.0,
        unit="W",
        mode="absolute",
        issuer=Issuer.OPERATOR,
        requested_by="ana",
        valid_until=moment + timedelta(minutes=5),
        now=moment,
    )
    assert told(plan(meter, "xx-PM01,p_set,setpoint,W,50,float32,,,,,,yes")) == [(2, "delete")]
    assert told(plan(meter, "xx-PM01,p_set,measurement,W,50,float32,,,,,,")) == [(2, "kind")]


def test_a_tested_point_is_kept(meter: Device) -> None:
    tests = PointTestList.objects.create(pilot=meter.pilot, started_at=NOW, started_by="ana")
    PointTest.objects.create(test_list=tests, point=meter.points.get())
    changes = plan(meter, "xx-PM01,active_power,measurement,W,10,float32,,,,,,yes")
    assert "Point tests refer to xx-PM01/active_power" in str(changes.errors[0])


def test_points_of_links_are_left_alone(meter: Device) -> None:
    make_point(meter, "comm_state", kind="status", unit="", address={"link": "a"})
    assert [row.point for row in table_of(meter.pilot)] == ["active_power"]
    assert told(plan(meter, "xx-PM01,comm_state,status,,1,uint16,,,,,,")) == [(2, "point")]


@pytest.mark.parametrize("meanwhile", ["changed", "added", "removed", "moved"])
def test_a_change_meanwhile_calls_for_another_comparison(meter: Device, meanwhile: str) -> None:
    changes = plan(meter, "xx-PM01,voltage,measurement,V,20,float32,,0,300,,,")
    if meanwhile == "changed":
        meter.points.update(deadband=5)
    elif meanwhile == "added":
        make_point(meter, "current", unit="A", address={"register": 60})
    elif meanwhile == "removed":
        meter.points.all().delete()
    else:
        Device.objects.update(address={"unit": 2})
    with pytest.raises(CatalogueError, match="changed since the comparison"):
        apply_changes(changes, by="ana", now=NOW)
    assert not meter.points.filter(name="voltage").exists()


@pytest.mark.parametrize(("write", "name"), [(write_csv, "es.csv"), (write_xlsx, "es.xlsx")], ids=["csv", "xlsx"])
@pytest.mark.parametrize("code", ["bg", "es", "nl", "de"])
def test_a_pilots_own_table_changes_nothing(code: str, write: object, name: str) -> None:
    """Every point of every protocol goes out and comes back the same."""
    commission_pilot(load_pilots()[code], load_profiles())
    pilot = Pilot.objects.get()
    rows = table_of(pilot)
    file = write_table(rows, write)  # type: ignore[arg-type]
    changes = plan_changes(pilot, read_table(file, name))
    assert [str(fault) for fault in changes.errors] == []
    assert [change.fields for change in changes.changed] == []
    assert (changes.any, len(changes.unchanged)) == (False, len(rows))
    assert len(rows) == Point.objects.exclude(address__has_key="link").count()
