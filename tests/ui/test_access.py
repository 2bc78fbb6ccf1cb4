"""Nobody gets in by accident: every route declares who may use it, and the declarations hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver

from pilots.models import Pilot, Role, RoleGrant, User
from pilots.ui.access import Door, declared_access
from tests.builders import make_pilot
from tests.ui.conftest import Plant, client_of

PUBLIC = {"accounts/login/", "accounts/inactive/", "healthz", "readyz", "metrics", "favicon.ico"}
#: Of kiosks: without a session they say so, and nothing else.
PUBLIC |= {"kiosk/", "kiosk/told", "kiosk/<str:token>/"}
PAGES = [
    "/",
    "/pilots/es/",
    "/pilots/es/trends/",
    "/pilots/es/links/",
    "/pilots/es/links/quality/",
    "/pilots/es/faceplate/es-STO01/",
    "/accounts/password/change/",
]


def routes(resolver: URLResolver, prefix: str = "", namespaces: tuple[str, ...] = ()) -> Iterator[tuple[str, object, list[str]]]:
    for entry in resolver.url_patterns:
        path = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            inner = (*namespaces, entry.namespace) if entry.namespace else namespaces
            yield from routes(entry, path, inner)
        elif isinstance(entry, URLPattern):
            yield path, entry.callback, list(namespaces)


def test_every_route_declares_who_may_use_it() -> None:
    undeclared = [path for path, view, names in routes(get_resolver()) if declared_access(view, names) is None]  # type: ignore[arg-type]
    assert undeclared == []


def test_only_login_health_and_the_doors_of_kiosks_are_public() -> None:
    found = {}
    for path, view, names in routes(get_resolver()):
        access = declared_access(view, names)  # type: ignore[arg-type]
        found[path] = access.door if access else None
    assert {path for path, door in found.items() if door is Door.PUBLIC} == PUBLIC


def test_a_view_without_a_declaration_is_refused_even_to_an_administrator(plant: Plant, rf: object) -> None:
    from django.core.exceptions import PermissionDenied
    from django.test import RequestFactory

    from pilots.ui.middleware import DenyByDefaultMiddleware

    request = RequestFactory().get("/")
    request.resolver_match = None
    with pytest.raises(PermissionDenied):
        DenyByDefaultMiddleware(lambda _: None).process_view(request, lambda _: None, (), {})  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize("path", [*PAGES, "/admin/"])
def test_without_a_session_every_page_leads_to_the_one_login(db: None, path: str) -> None:
    answer = Client().get(path)
    assert answer.status_code == 302
    assert answer["Location"].startswith("/accounts/login/?next=")


def test_a_script_without_a_session_gets_json_instead_of_a_page(plant: Plant) -> None:
    answer = Client().get("/pilots/es/trends/data", headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (401, "not_logged_in")


def test_the_admins_own_login_leads_to_the_one_login(db: None) -> None:
    assert Client().get("/admin/login/?next=/admin/pilots/").headers["Location"] == "/accounts/login/?next=/admin/pilots/"


def test_there_is_no_sign_up(db: None) -> None:
    assert Client().get("/accounts/signup/").status_code == 404


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("who", ["viewer", "operator", "engineer"])
def test_who_sees_values_opens_every_page(request: pytest.FixtureRequest, plant: Plant, who: str, path: str) -> None:
    assert request.getfixturevalue(who).get(path).status_code == 200


def test_a_pilot_that_may_not_be_seen_does_not_exist(viewer: Client) -> None:
    make_pilot("nl", name="Arnhem")
    for path in ("/pilots/nl/", "/pilots/nl/trends/", "/pilots/nl/trends/data", "/pilots/nl/faceplate/x/", "/pilots/zz/"):
        assert viewer.get(path).status_code == 404
    assert b"Arnhem" not in viewer.get("/").content


def test_a_role_that_sees_nothing_opens_no_pilot(plant: Plant) -> None:
    assert client_of(Role.SECAUD, "sam").get("/pilots/es/").status_code == 404


def test_what_was_taken_away_is_gone_with_the_next_request(plant: Plant, operator: Client) -> None:
    assert "data-off-form" in operator.get("/pilots/es/").content.decode()
    RoleGrant.objects.filter(user__username="olaf").update(role=Role.VIEWER)
    assert "data-off-form" not in operator.get("/pilots/es/").content.decode()
    RoleGrant.objects.filter(user__username="olaf").delete()
    assert operator.get("/pilots/es/").status_code == 404


#: role, where it is held, at the own pilot, at another, everywhere, sees the own, sees another
HELD = [
    (Role.VIEWER, "own", [True, False, False], "own"),
    (Role.OPERATOR, "every", [True, True, True], "both"),
    (Role.SECAUD, "every", [True, True, True], ""),
    (Role.APPROVER, "other", [False, True, False], "other"),
]


@pytest.mark.parametrize(("role", "where", "acts", "sees"), HELD)
def test_a_role_holds_where_it_is_granted(db: None, role: Role, where: str, acts: list[bool], sees: str) -> None:
    own, other = make_pilot("es"), make_pilot("nl")
    user = User.objects.create(username="uma")
    RoleGrant.objects.create(user=user, role=role, pilot={"own": own, "other": other, "every": None}[where])
    rights = user.rights()
    assert [rights.has_role(role, pilot) for pilot in (own, other, None)] == acts
    assert rights.somewhere(Role.INSTALLER, role) and not rights.somewhere(Role.INSTALLER)
    everywhere = set(Pilot.objects.all())
    assert set(rights.pilots_where(role)) == {"own": {own}, "other": {other}, "every": everywhere}[where]
    assert not rights.pilots_where(Role.INSTALLER)
    assert set(rights.visible_pilots()) == {"own": {own}, "other": {other}, "both": {own, other}, "": set()}[sees]


def test_an_account_that_is_closed_may_nothing_and_the_first_one_everything(db: None) -> None:
    pilot = make_pilot("es")
    user = User.objects.create(username="uma", is_superuser=True)
    assert user.rights().has_role(Role.OPERATOR) and user.rights().somewhere(Role.SECADM)
    assert list(user.rights().visible_pilots()) == [pilot]
    user.is_active = False
    assert not (user.rights().has_role(Role.OPERATOR) or user.rights().somewhere(Role.SECADM))
    assert list(user.rights().visible_pilots()) == []


def test_a_pilots_page_asks_the_database_ten_questions(
    plant: Plant, operator: Client, django_assert_max_num_queries: Callable[[int], CaptureQueriesContext]
) -> None:
    operator.get("/pilots/es/")
    with django_assert_max_num_queries(10):
        operator.get("/pilots/es/")


def test_only_staff_opens_the_configuration(operator: Client) -> None:
    assert operator.get("/admin/").status_code == 403


def test_the_page_speaks_the_readers_language(plant: Plant) -> None:
    answer = client_of(Role.VIEWER, "dora", language="de").get("/")
    assert answer["Content-Language"] == "de"
