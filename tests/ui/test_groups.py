"""Group set-points on pages: who sends them, what the form reads, the preview, the page of one, its abort, the list."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from pilots.control.guards import set_tag
from pilots.models import AuditEvent, Device, Role, Setpoint, SetpointGroup
from pilots.ui.setpoint_list_views import csv_lines
from pilots.ui.step_up import STEPPED_UP_AT
from tests.builders import make_device, make_latest, make_pilot, make_point
from tests.ui.conftest import Plant, client_of


@pytest.fixture
def second(plant: Plant) -> Device:
    """Another battery beside the plant's."""
    device = make_device(plant.pilot, "es-STO02", name="Battery 2", connection=plant.connection)
    make_latest(make_point(device), 0.0)
    make_point(device, "p_set")
    return device


def form(**fields: Any) -> dict[str, Any]:
    given = {"point": "p_set", "member": ["es-STO01", "es-STO02"], "direction": "-1", "value": "30", "minutes": "15"}
    return given | {"reason": "peak", **fields}


def previewed(client: Client, **fields: Any) -> Any:
    answer = client.post("/pilots/es/groups/preview", form(**fields))
    assert answer.status_code == 200, answer.content
    return answer


def confirmed(client: Client, **fields: Any) -> Any:
    """As the preview's page sends it."""
    page = previewed(client, **fields)
    more = {"preview": page.context["token"], "id": str(page.context["id"])}
    return client.post("/pilots/es/groups/create", form(**fields) | more)


def made(client: Client, **fields: Any) -> SetpointGroup:
    answer = confirmed(client, **fields)
    assert answer.status_code == 201, answer.content
    group = SetpointGroup.objects.get()
    assert answer.json() == {"id": str(group.pk), "url": f"/setpoints/groups/{group.pk}/"}
    return group


def words(answer: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


def test_the_form_tells_what_each_can_do_now_and_why_one_cannot(operator: Client, second: Device) -> None:
    set_tag(second, owner="olaf", reason="people on site", now=datetime.now(UTC))
    page = operator.get("/pilots/es/groups/new/?member=es-STO01")
    rows = page.context["members"]
    assert [(row["part"].device, row["range"], row["chosen"]) for row in rows] == [
        ("es-STO01", "−100 kW … 100 kW", True), ("es-STO02", "−100 kW … 100 kW", False),
    ]  # fmt: skip
    assert "Do not operate: tagged by olaf, people on site." in words(page)
    assert re.search(r'value="es-STO02"[^>]* data-cannot', page.content.decode())
    assert "Charge" in words(page) and "Discharge" in words(page)


def test_a_preview_shows_each_share_and_sends_nothing(operator: Client, second: Device) -> None:
    page = previewed(operator)
    told = words(page)
    assert "20 kW → −15 kW" in told and "0 kW → −15 kW" in told
    assert "Together 20 kW → −30 kW" in told
    assert "Discharge 30 kW with 2 devices until" in told
    assert "no protection system" in told.lower()
    assert not SetpointGroup.objects.exists() and not AuditEvent.objects.exists()


def test_a_preview_of_what_cannot_be_done_has_no_button_to_send(operator: Client, second: Device) -> None:
    page = previewed(operator, value="250", direction="1")
    assert "All that can take part can do 200000 W together now, not 250000 W." in words(page)
    assert "data-send" not in page.content.decode()
    back = operator.post("/pilots/es/groups/preview", form(value="250", change="1"))
    assert back.context["given"]["value"] == "250"
    assert [row["chosen"] for row in back.context["members"]] == [True, True]


def test_what_was_confirmed_is_what_each_gets(operator: Client, second: Device) -> None:
    group = made(operator)
    assert (group.target, group.requested_by, group.reason, group.issuer) == (-30_000.0, "olaf", "peak", "operator")
    assert {each.value for each in group.setpoints.all()} == {-15_000.0}
    page = operator.get(f"/setpoints/groups/{group.pk}/")
    told = words(page)
    assert "under way" in told and "0 of 2 shares hold their device" in told and "Target −30 kW" in told
    html = page.content.decode()
    assert html.count('data-ref="es-STO0') == 2
    assert 'data-sum="es-STO01/active_power es-STO02/active_power"' in html
    for setpoint in group.setpoints.all():
        assert f"/setpoints/{setpoint.pk}/" in html
        assert f"/setpoints/groups/{group.pk}/" in operator.get(f"/setpoints/{setpoint.pk}/").content.decode()


def test_an_answer_that_was_lost_is_given_again_and_makes_no_second_group(operator: Client, second: Device) -> None:
    page = previewed(operator)
    body = form(preview=page.context["token"], id=str(page.context["id"]))
    first, again = (operator.post("/pilots/es/groups/create", body) for _ in range(2))
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    assert (SetpointGroup.objects.count(), Setpoint.objects.count()) == (1, 2)


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"member": []}, "members", "Choose the devices"),
        ({"member": ["es-STO01"]}, "members", "2 to 100 devices, not 1"),
        ({"member": ["es-STO01", "es-NONE"]}, "members", "es-NONE is no device here"),
        ({"point": "soc"}, "members", "Choose the devices"),
        ({"value": ""}, "value", "as a number"),
        ({"value": "nan"}, "value", "as a number"),
        ({"value": "1e400"}, "value", "as a number"),
        ({"value": "-5"}, "value", "without a sign"),
        ({"minutes": "soon"}, "minutes", "24 h at most"),
        ({"minutes": "1441"}, "minutes", "24 h at most"),
    ],
)
def test_what_cannot_be_read_is_told_at_its_field(
    operator: Client, second: Device, fields: dict[str, Any], field: str, said: str
) -> None:
    answer = operator.post("/pilots/es/groups/preview", form(**fields))
    assert answer.status_code == 422
    assert answer.context["field"] == field
    assert said in words(answer)
    assert 'aria-invalid="true"' in answer.content.decode()


def test_without_its_preview_or_its_id_nothing_is_sent(operator: Client, second: Device) -> None:
    bare = operator.post("/pilots/es/groups/create", form(id=str(uuid4())))
    assert (bare.status_code, bare.json()["code"]) == (409, "preview_over")
    page = previewed(operator)
    other = operator.post("/pilots/es/groups/create", form(value="20", preview=page.context["token"], id=str(uuid4())))
    assert (other.status_code, other.json()["reason"]) == (409, "The preview is of another wish: look at this one.")
    assert operator.post("/pilots/es/groups/create", form(preview=page.context["token"], id="x")).json()["field"] == "id"
    assert not SetpointGroup.objects.exists()
    told = AuditEvent.objects.filter(action="refuse group").order_by("id").last()
    assert told is not None and (told.actor, told.pilot, told.details["field"]) == ("olaf", "es", "id")


def test_stopping_needs_no_figure(operator: Client, second: Device) -> None:
    page = previewed(operator, direction="0", value="")
    assert "Stop 2 devices at 0 until" in words(page)
    assert {each.value for each in made(operator, direction="0", value="").setpoints.all()} == {0.0}


def test_s20_more_than_fifty_devices_want_the_password_again_on_the_page_too(operator: Client, plant: Plant) -> None:
    codes = [f"es-X{number:02}" for number in range(51)]
    for code in codes:
        make_point(make_device(plant.pilot, code, connection=plant.connection), "p_set")
    answer = confirmed(operator, member=codes)
    assert (answer.status_code, answer.json()["code"]) == (403, "step_up_required")
    session = operator.session
    session[STEPPED_UP_AT] = datetime.now(UTC).timestamp()
    session.save()
    assert "your password again" in words(previewed(operator, member=codes))
    assert made(operator, member=codes).setpoints.count() == 51


def test_s20_a_group_is_aborted_from_its_page_and_each_member_told(operator: Client, second: Device) -> None:
    group = made(operator)
    assert "data-abort" in operator.get(f"/setpoints/groups/{group.pk}/told").content.decode()
    assert operator.post(f"/pilots/es/groups/{group.pk}/abort", {"reason": "wrong feeder"}).status_code == 204
    page = operator.get(f"/setpoints/groups/{group.pk}/")
    told = words(page)
    assert "Aborted by olaf at" in told and "wrong feeder" in told
    assert told.count("Its group was aborted.") == 2
    assert "data-abort" not in page.content.decode()
    again = operator.post(f"/pilots/es/groups/{group.pk}/abort")
    assert (again.status_code, again.json()["code"]) == (409, "already_finished")
    assert operator.post(f"/pilots/es/groups/{uuid4()}/abort").status_code == 404


def test_a_viewer_sees_a_group_and_sends_and_aborts_none(operator: Client, viewer: Client, second: Device) -> None:
    group = made(operator)
    page = viewer.get(f"/setpoints/groups/{group.pk}/")
    assert page.status_code == 200
    assert "data-abort" not in page.content.decode()
    for deed in ("preview", "create", f"{group.pk}/abort"):
        assert viewer.post(f"/pilots/es/groups/{deed}", form()).status_code == 403
    assert viewer.get("/pilots/es/groups/new/").status_code == 403
    assert "groups/new" not in viewer.get("/pilots/es/").content.decode() + viewer.get("/setpoints/").content.decode()
    stranger = client_of(Role.OPERATOR, "nils", pilot=make_pilot("nl", name="Arnhem", country="NL"))
    assert stranger.get(f"/setpoints/groups/{group.pk}/").status_code == 404
    assert stranger.get(f"/setpoints/groups/{group.pk}/told").status_code == 404


def test_the_pilots_page_and_the_list_lead_to_the_form_where_there_is_something_to_group(operator: Client, plant: Plant) -> None:
    link = "/pilots/es/groups/new/"
    assert link not in operator.get("/pilots/es/").content.decode()
    assert "Nothing here can be a group" in words(operator.get(link))
    make_point(make_device(plant.pilot, "es-STO02", connection=plant.connection), "p_set")
    assert link in operator.get("/pilots/es/").content.decode()
    assert link in operator.get("/setpoints/").content.decode()


def test_the_list_shows_and_filters_by_group(operator: Client, second: Device, plant: Plant) -> None:
    group = made(operator)
    single = {"device": "es-STO01", "point": "p_set", "value": 5000, "unit": "W", "valid_for_s": 600, "reason": "alone"}
    assert operator.post("/pilots/es/setpoints/", single, content_type="application/json").status_code == 202
    page = operator.get("/setpoints/", {"group": str(group.pk)})
    assert {row["setpoint"].group_id for row in page.context["rows"]} == {group.pk}
    assert page.content.decode().count(f"/setpoints/groups/{group.pk}/") == 2
    assert f'name="group" value="{group.pk}"' in page.content.decode()
    assert len(operator.get("/setpoints/").context["rows"]) == 3
    assert operator.get("/setpoints/", {"group": "x"}).status_code == 400
    rows = list(csv.DictReader(io.StringIO("".join(csv_lines(Setpoint.objects.all())))))
    assert sorted(row["group"] for row in rows) == ["", str(group.pk), str(group.pk)]


def test_ceilings_of_charge_points_have_no_direction(operator: Client, plant: Plant, second: Device) -> None:
    limit = {"minimum": 0, "maximum": 11_000, "step": 100, "modes": ["limit"], "self_expiring": True}
    for number in (1, 2):
        device = make_device(plant.pilot, f"es-EVSE0{number}", kind="charge_point", connection=plant.connection)
        make_point(device, "p_limit", kind="setpoint", capability=limit)
    page = operator.get("/pilots/es/groups/new/?point=p_limit")
    assert (page.context["directed"], [name for name, _words, here in page.context["kinds"] if here]) == (False, ["p_limit"])
    answer = operator.post(
        "/pilots/es/groups/preview",
        {"point": "p_limit", "member": ["es-EVSE01", "es-EVSE02"], "value": "11,5", "minutes": "60", "reason": ""},
    )
    assert "Limit 2 devices to 11.5 kW together until" in words(answer)
    assert [row["share"] for row in answer.context["rows"]] == ["5.8 kW", "5.7 kW"]
