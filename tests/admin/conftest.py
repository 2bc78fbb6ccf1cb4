"""Staff of several roles, and the pages' forms as a browser would send them back."""

from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from django.test import Client

from pilots.models import Pilot, Role, User
from tests.builders import make_user

LogIn = Callable[[User], Client]


@pytest.fixture
def log_in() -> LogIn:
    def enter(user: User) -> Client:
        client = Client()
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        return client

    return enter


@pytest.fixture
def superuser(log_in: LogIn, db: None) -> Client:
    return log_in(make_user("root", role=None, is_staff=True, is_superuser=True))


def staff(log_in: LogIn, role: Role, pilot: Pilot | None = None) -> Client:
    return log_in(make_user(f"{role}-{pilot.code if pilot else 'all'}", role=role, pilot=pilot, is_staff=True))


class FormReader(HTMLParser):
    """Collects what the change form would send if nobody touched it."""

    def __init__(self) -> None:
        super().__init__()
        self.fields: dict[str, Any] = {}
        self._select = self._area = ""
        self.inline_code: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name = given.get("name") or ""
        if "style" in given or (tag == "script" and not given.get("src") and given.get("type") != "application/json"):
            self.inline_code.append(f"{tag} {given}")
        if tag == "input" and name and not name.startswith("_") and given.get("type") not in ("submit", "file"):
            if given.get("type") != "checkbox" or "checked" in given:
                self.fields[name] = given.get("value") or ""
        elif tag == "select":
            self._select = name
            self.fields.setdefault(name, "")
        elif tag == "option" and "selected" in given and self._select:
            self.fields[self._select] = given.get("value") or ""
        elif tag == "textarea":
            self._area = name
            self.fields[name] = ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self._area = ""

    def handle_data(self, data: str) -> None:
        if self._area:
            self.fields[self._area] += data


def read_form(client: Client, url: str) -> dict[str, Any]:
    """The untouched fields of the form at `url`."""
    page = client.get(url)
    assert page.status_code == 200, page
    reader = FormReader()
    reader.feed(page.content.decode())
    return {name: value.strip() for name, value in reader.fields.items() if "__prefix__" not in name and name != "action"}


def said(response: Any) -> str:
    """The messages a page shows."""
    return " ".join(str(message) for message in response.context["messages"])
