"""Who may open which configuration page."""

from __future__ import annotations

import pytest
from django.urls import reverse

from pilots.models import Role, ServiceToken, User
from tests.admin.conftest import LogIn, read_form, staff
from tests.builders import make_connection, make_device, make_pilot, make_point, make_token, make_user

PLANT = ["pilot", "device", "connection", "link", "point", "setpoint", "outboxmessage"]
EVERY_LIST = [*PLANT, "lease", "user", "rolegrant", "servicetoken", "auditevent"]

OPEN_TO = {
    Role.VIEWER: set(),
    Role.OPERATOR: set(),
    Role.INSTALLER: set(),
    Role.ENGINEER: {*PLANT, "lease"},
    Role.SECADM: {"user", "servicetoken", "auditevent"},
    Role.SECAUD: {"auditevent"},
    Role.RBACMNT: {"user", "rolegrant"},
}


@pytest.mark.django_db
@pytest.mark.parametrize("role", list(OPEN_TO))
def test_each_role_opens_its_lists_and_no_others(role: Role, log_in: LogIn) -> None:
    client = staff(log_in, role)
    opened = {name for name in EVERY_LIST if client.get(reverse(f"admin:pilots_{name}_changelist")).status_code == 200}
    assert opened == OPEN_TO[role]


@pytest.mark.django_db
def test_a_superuser_opens_every_list_and_the_schedule(superuser: object) -> None:
    names = [f"pilots_{name}" for name in EVERY_LIST] + ["django_celery_beat_periodictask"]
    assert [superuser.get(reverse(f"admin:{name}_changelist")).status_code for name in names] == [200] * len(names)


@pytest.mark.django_db
@pytest.mark.parametrize("role", list(OPEN_TO))
def test_the_schedule_is_the_superusers_only(role: Role, log_in: LogIn) -> None:
    client = staff(log_in, role)
    for name in ("periodictask", "intervalschedule", "crontabschedule"):
        assert client.get(reverse(f"admin:django_celery_beat_{name}_changelist")).status_code == 403


@pytest.mark.django_db
def test_an_engineer_who_is_not_staff_stays_outside(log_in: LogIn) -> None:
    client = log_in(make_user("eva", role=Role.ENGINEER))
    assert client.get(reverse("admin:pilots_device_changelist")).status_code == 403


@pytest.mark.django_db
def test_an_engineer_of_one_pilot_neither_sees_nor_changes_another(log_in: LogIn) -> None:
    own, other = make_pilot("es"), make_pilot("nl", name="Arnhem")
    mine, theirs = make_device(own), make_device(other)
    client = staff(log_in, Role.ENGINEER, own)
    page = client.get(reverse("admin:pilots_device_changelist")).content.decode()
    assert mine.code in page
    assert theirs.code not in page
    assert "Arnhem" not in page
    assert client.get(reverse("admin:pilots_device_change", args=[theirs.pk])).status_code == 302
    form = read_form(client, reverse("admin:pilots_device_change", args=[mine.pk]))
    refused = client.post(reverse("admin:pilots_device_change", args=[mine.pk]), form | {"parent": theirs.pk})
    assert "parent" in refused.context["errors"].as_data().__repr__() or refused.context["adminform"].form.errors["parent"]
    mine.refresh_from_db()
    assert mine.parent is None
    found = client.get(
        "/admin/autocomplete/", {"app_label": "pilots", "model_name": "device", "field_name": "parent", "term": "STO"}
    ).json()
    assert [row["text"] for row in found["results"]] == [mine.code]


@pytest.mark.django_db
def test_an_engineer_of_one_pilot_makes_nothing_at_another(log_in: LogIn) -> None:
    own, other = make_pilot("es"), make_pilot("nl", name="Arnhem")
    client = staff(log_in, Role.ENGINEER, own)
    form = read_form(client, reverse("admin:pilots_connection_add"))
    form |= {"pilot": other.pk, "name": "nl-gw01", "protocol": "modbus_tcp", "host": "10.0.0.1", "port": "502", "options": "{}"}
    assert client.post(reverse("admin:pilots_connection_add"), form).status_code == 200
    assert not other.connections.exists()
    assert client.get(reverse("admin:pilots_pilot_add")).status_code == 403


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["setpoint", "outboxmessage", "auditevent", "lease"])
def test_records_are_never_added_or_deleted(name: str, superuser: object) -> None:
    assert superuser.get(reverse(f"admin:pilots_{name}_add")).status_code == 403


@pytest.mark.django_db
def test_a_security_administrator_makes_no_superuser_and_touches_none(log_in: LogIn) -> None:
    root = make_user("root", role=None, is_staff=True, is_superuser=True)
    clerk = make_user("clerk")
    client = staff(log_in, Role.SECADM)
    url = reverse("admin:pilots_user_change", args=[clerk.pk])
    client.post(url, read_form(client, url) | {"is_superuser": "on", "first_name": "Carla"})
    clerk.refresh_from_db()
    assert (clerk.is_superuser, clerk.first_name) == (False, "Carla")
    assert client.post(reverse("admin:pilots_user_change", args=[root.pk]), {"username": "x"}).status_code == 403
    assert client.get(f"/admin/pilots/user/{root.pk}/password/").status_code == 403


@pytest.mark.django_db
def test_a_role_administrator_grants_to_others_at_the_own_pilot_only(log_in: LogIn) -> None:
    own, other = make_pilot("es"), make_pilot("nl")
    ana = make_user("ana", role=None)
    client = staff(log_in, Role.RBACMNT, own)
    me = User.objects.get(username="rbacmnt-es")
    add = reverse("admin:pilots_rolegrant_add")
    for form in ({"user": ana.pk, "role": "operator", "pilot": other.pk}, {"user": ana.pk, "role": "operator", "pilot": ""}):
        assert client.post(add, form).status_code == 200
    assert client.post(add, {"user": me.pk, "role": "engineer", "pilot": own.pk}).status_code == 200
    assert not ana.grants.exists()
    assert client.post(add, {"user": ana.pk, "role": "operator", "pilot": own.pk}).status_code == 302
    assert ana.has_role(Role.OPERATOR, own)
    assert not me.has_role(Role.ENGINEER, own)


@pytest.mark.django_db
def test_a_token_that_exists_is_never_edited(superuser: object) -> None:
    make_token("read", name="reader")
    token = ServiceToken.objects.get()
    url = reverse("admin:pilots_servicetoken_change", args=[token.pk])
    page = superuser.get(url)
    assert page.status_code == 200
    assert token.sha256 not in page.content.decode()
    assert superuser.post(url, {"name": "other"}).status_code == 403


@pytest.mark.django_db
def test_lists_search_and_filter_for_an_engineer(log_in: LogIn) -> None:
    pilot = make_pilot()
    line = make_connection(pilot, "es-rtu01", protocol="iec104")
    meter = make_device(pilot, "es-MET01", kind="meter", connection=line)
    battery = make_device(pilot, "es-STO01")
    make_point(meter)
    client = staff(log_in, Role.ENGINEER, pilot)
    devices = reverse("admin:pilots_device_changelist")
    for query in ({"q": "MET"}, {"kind__exact": "meter"}, {"connection__protocol": "iec104"}, {"q": "es-rtu01"}):
        page = client.get(devices, query).content.decode()
        assert meter.code in page
        assert battery.code not in page
    points = reverse("admin:pilots_point_changelist")
    assert "es-MET01/active_power" in client.get(points, {"unit": "W", "poll": "event"}).content.decode()
    assert "es-MET01/active_power" not in client.get(points, {"poll": "polled"}).content.decode()
