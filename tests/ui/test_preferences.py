"""What a person chooses for themselves."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from pilots.models import User
from tests.builders import make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def ana(client: Client) -> User:
    user = make_user("ana")
    client.force_login(user)
    return user


def test_language_zone_and_theme_are_kept_and_the_next_page_speaks_them(client: Client, ana: User) -> None:
    chosen = {"language": "de", "time_zone": "Europe/Sofia", "theme": "dark"}
    page = client.post(reverse("preferences"), chosen, follow=True)
    ana.refresh_from_db()
    assert (ana.language, ana.time_zone, ana.theme) == ("de", "Europe/Sofia", "dark")
    assert '<html lang="de" data-theme="dark">' in page.content.decode()


@pytest.mark.parametrize(("field", "value"), [("language", "xx"), ("time_zone", "Mars/Olympus"), ("theme", "neon")])
def test_what_there_is_not_is_refused_at_its_field_and_nothing_is_kept(client: Client, ana: User, field: str, value: str) -> None:
    page = client.post(reverse("preferences"), {"language": "de", "time_zone": "UTC", "theme": "dark"} | {field: value})
    assert list(page.context["form"].errors) == [field]
    ana.refresh_from_db()
    assert (ana.language, ana.time_zone, ana.theme) == ("en", "", "")


def test_nobody_changes_another_person_or_a_right(client: Client, ana: User) -> None:
    form = {"language": "de", "is_superuser": "on", "id": make_user("ben").pk}
    client.post(reverse("preferences"), form)
    ana.refresh_from_db()
    assert (ana.language, ana.is_superuser) == ("de", False)
    assert User.objects.get(username="ben").language == "en"
