"""A DSO's control centre reads our points and sends set-points through the one door. The peer is hat-drivers' client."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hat.drivers import iec104

from pilots.acquisition.ingest import Ingest
from pilots.catalogue.services import note_change
from pilots.control_centres.host import CentreHost
from pilots.control_centres.listener import check_centre, check_centre_point, default_type, plan_of
from pilots.domain.errors import CatalogueError
from pilots.domain.measurement import RawReading
from pilots.domain.quality import Flag, Quality, Validity
from pilots.models import AuditEvent, ControlCentre, ControlCentrePoint, LatestValue, Point, Setpoint
from tests.builders import make_latest, make_point
from tests.conftest import Battery
from tests.control_centres.peers import connected, free_port
from tests.waiting import until

pytestmark = pytest.mark.wire


@dataclass
class Served:
    centre: ControlCentre
    host: CentreHost
    soc: Point

    @property
    def port(self) -> int:
        return self.centre.port


@pytest.fixture
def served(battery: Battery, door: Ingest) -> Iterator[Served]:
    """The battery's power at address 1, state of charge at 2, its set-point at 11; loopback may connect and control."""
    soc = make_point(battery.device, "soc", unit="%")
    make_latest(battery.power, 4500.0, at=datetime(2026, 11, 22, 7, 0, 0, 250_000, tzinfo=UTC))
    LatestValue.objects.update(received_time=datetime.now(UTC))
    form = {"enabled": True, "port": free_port(), "allowed_addresses": ["127.0.0.1"], "may_control": True}
    centre = ControlCentre.objects.create(name="dso", options={"t2": 1}, **form)
    for address, point, type_id in ((1, battery.power, 36), (2, soc, None), (11, battery.p_set, None)):
        ControlCentrePoint.objects.create(centre=centre, point=point, object_address=address, type_id=type_id)
    note_change(battery.pilot)
    door.directory.refresh(force=True)
    host = CentreHost()
    host.tend()
    yield Served(centre, host, soc)
    ControlCentre.objects.update(enabled=False)
    host.tend()


def test_an_interrogation_tells_every_point_with_quality_and_its_own_time(served: Served) -> None:
    with connected(served.port) as centre:
        centre.interrogate()
        until(lambda: centre.data(1) and centre.data(2))
        power, soc = centre.data(1)[0], centre.data(2)[0]
    assert power.data.value.value == 4500.0 and not power.data.quality.invalid
    assert iec104.time_to_datetime(power.time) == datetime(2026, 11, 22, 7, 0, 0, 250_000, tzinfo=UTC)
    assert soc.data.quality.invalid


def test_what_is_stored_is_reported_at_once_and_with_its_quality(served: Served, battery: Battery, door: Ingest) -> None:
    with connected(served.port) as centre:
        until(lambda: served.host.tend() or ControlCentre.objects.get().state == "up")
        now = datetime.now(UTC)
        door.put("es-STO01", [RawReading("active_power", -20_000.0)], now).result(10)
        bad = Quality(Validity.QUESTIONABLE, flags=Flag.OVERFLOW)
        door.put("es-STO01", [RawReading("soc", 55.0, bad)], now).result(10)
        until(lambda: centre.data(1) and centre.data(2))
        power, soc = centre.data(1)[-1], centre.data(2)[-1]
    assert (power.data.value.value, power.cause) == (-20_000.0, iec104.DataResCause.SPONTANEOUS)
    assert (soc.data.quality.not_topical, soc.data.quality.overflow, soc.data.quality.invalid) == (True, True, False)


def test_a_set_point_goes_through_the_one_door_with_an_end(served: Served) -> None:
    with connected(served.port) as centre:
        centre.set_point(11, -15_000.0)
        answer = until(lambda: centre.answers(11))[0]
    assert not answer.is_negative_confirm, Setpoint.objects.values("state", "code", "explanation")
    setpoint = Setpoint.objects.get()
    assert (setpoint.value, setpoint.issuer, setpoint.requested_by) == (-15_000.0, "control_centre", "control centre dso")
    assert (setpoint.state, setpoint.priority) == ("validated", 4)
    assert timedelta(seconds=890) < setpoint.valid_until - setpoint.received_at <= timedelta(seconds=900)


def test_a_set_point_that_is_refused_is_confirmed_negatively_and_explained_here(served: Served) -> None:
    with connected(served.port) as centre:
        centre.set_point(11, 500_000.0)
        answer = until(lambda: centre.answers(11))[0]
    assert answer.is_negative_confirm
    assert (Setpoint.objects.get().state, Setpoint.objects.get().code) == ("rejected", "out_of_range")


def test_who_may_only_read_cannot_control(served: Served) -> None:
    ControlCentre.objects.update(may_control=False)
    served.host.tend()
    with connected(served.port) as centre:
        centre.set_point(11, 1000.0)
        answer = until(lambda: centre.answers(11))[0]
    assert answer.is_negative_confirm and not Setpoint.objects.exists()
    assert "only read" in AuditEvent.objects.get(action="refuse set-point").reason


def test_an_address_that_is_not_listed_may_not_connect(served: Served) -> None:
    ControlCentre.objects.update(allowed_addresses=["192.0.2.7"])
    served.host.tend()
    with pytest.raises((ConnectionError, TimeoutError)), connected(served.port):
        pass


def test_a_disabled_centre_listens_no_more_and_a_second_host_waits_for_the_lease(served: Served) -> None:
    second = CentreHost()
    second.tend()
    assert not second._listeners
    ControlCentre.objects.update(enabled=False)
    served.host.tend()
    with pytest.raises((ConnectionError, TimeoutError)), connected(served.port):
        pass
    ControlCentre.objects.update(enabled=True)
    second.tend()
    assert list(second._listeners) == ["dso"]
    ControlCentre.objects.update(enabled=False)
    second.tend()


def test_a_point_that_iec_104_cannot_carry_stops_this_centre_and_says_why(served: Served, battery: Battery) -> None:
    text = make_point(battery.device, "serial_number", kind="text", unit="")
    ControlCentrePoint.objects.create(centre=served.centre, point=text, object_address=99)
    served.host.tend()
    served.centre.refresh_from_db()
    assert served.centre.state == "down" and "text" in served.centre.last_error
    ControlCentrePoint.objects.filter(object_address=99).delete()


def test_neighbouring_objects_without_time_tag_are_told_in_one_sequence(served: Served, battery: Battery) -> None:
    for number in range(20):
        point = make_point(battery.device, f"voltage_{number}", unit="V")
        make_latest(point, 230.0 + number)
        ControlCentrePoint.objects.create(centre=served.centre, point=point, object_address=100 + number)
    served.host.tend()
    with connected(served.port) as centre:
        centre.interrogate()
        until(lambda: centre.data(119))
        assert [centre.data(100 + number)[0].data.value.value for number in range(20)] == [230.0 + n for n in range(20)]


def test_neighbouring_time_tagged_objects_are_refused(served: Served) -> None:
    ControlCentrePoint.objects.filter(object_address=2).update(type_id=36)
    served.host.tend()
    served.centre.refresh_from_db()
    assert "need a free address between them" in served.centre.last_error
    ControlCentrePoint.objects.filter(object_address=2).update(type_id=None)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("kind", "labels", "expected"),
    [
        ("measurement", {}, 13),
        ("counter", {}, 15),
        ("status", {"0": "intermediate", "1": "open", "2": "closed", "3": "bad"}, 3),
        ("status", {"0": "off", "1": "on"}, 1),
        ("status", {"5": "charging"}, 13),
        ("setpoint", {}, 50),
        ("command", {"1": "open", "2": "closed"}, 46),
        ("command", {}, 45),
    ],
)
def test_each_kind_of_point_has_its_type(battery: Battery, kind: str, labels: dict[str, str], expected: int) -> None:
    assert default_type(make_point(battery.device, "x", kind=kind, labels=labels)) == expected


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"allowed_addresses": ["dso.example"]}, "allowed_addresses"),
        ({"allowed_addresses": "127.0.0.1"}, "allowed_addresses"),
        ({"options": {"t9": 1}}, "options"),
        ({"options": {"validity_s": -1}}, "options"),
        ({"options": {"tls": "on"}}, "options"),
    ],
)
def test_a_wrong_centre_is_refused_with_its_field(db: None, fields: dict[str, object], field: str) -> None:
    with pytest.raises(CatalogueError) as caught:
        check_centre(ControlCentre(name="dso", **fields))
    assert caught.value.field == field


@pytest.mark.django_db
def test_a_type_that_does_not_fit_its_point_is_refused(battery: Battery) -> None:
    centre = ControlCentre.objects.create(name="dso")
    with pytest.raises(CatalogueError) as caught:
        check_centre_point(ControlCentrePoint(centre=centre, point=battery.power, object_address=1, type_id=50))
    assert caught.value.field == "type_id"


@pytest.mark.django_db
def test_two_plans_of_one_configuration_are_equal(battery: Battery) -> None:
    centre = ControlCentre.objects.create(name="dso")
    ControlCentrePoint.objects.create(centre=centre, point=battery.power, object_address=1)
    assert plan_of(centre) == plan_of(centre)
