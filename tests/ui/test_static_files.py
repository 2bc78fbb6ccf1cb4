"""Our own files from memory: whole, small on the wire, kept by browsers, and named at once by the page that needs them."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.conf import settings
from django.template import Context, Template

from invade_scada.asgi import application
from pilots.ui.static_files import StaticFiles

SCRIPT = Path(settings.BASE_DIR, "static", "js", "pilot.js").read_bytes()


async def elsewhere(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 418, "headers": []})
    await send({"type": "http.response.body"})


async def asked(path: str, method: str = "GET", *, of: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body; of our files alone unless it is `of` another application."""
    told = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": told}
    talk = ApplicationCommunicator(of or StaticFiles(elsewhere, settings.STATICFILES_DIRS), scope)
    start, body = await talk.receive_output(5), await talk.receive_output(5)
    found = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], found, body.get("body", b"")


async def test_a_file_comes_whole_with_its_type_and_may_be_kept() -> None:
    status, headers, body = await asked("/static/js/pilot.js")
    assert (status, body) == (200, SCRIPT)
    assert headers["content-length"] == str(len(SCRIPT))
    assert headers["content-type"].startswith("text/javascript")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "max-age=300, public"
    assert (await asked("/static/icon.svg"))[1]["content-type"] == "image/svg+xml"


async def test_it_is_compressed_for_who_takes_it() -> None:
    _, headers, body = await asked("/static/js/pilot.js", accept_encoding="gzip, br")
    assert headers["content-encoding"] == "gzip"
    assert headers["vary"] == "Accept-Encoding"
    assert headers["content-length"] == str(len(body))
    assert len(body) < len(SCRIPT) / 2
    assert gzip.decompress(body) == SCRIPT


async def test_who_has_it_is_told_so() -> None:
    etag = (await asked("/static/js/pilot.js"))[1]["etag"]
    status, headers, body = await asked("/static/js/pilot.js", if_none_match=etag)
    assert (status, headers["etag"], body) == (304, etag, b"")
    assert (await asked("/static/js/pilot.js", if_none_match=f'"another", {etag}'))[0] == 304
    assert (await asked("/static/js/pilot.js", if_none_match='"another"'))[0] == 200


async def test_the_application_answers_with_them() -> None:
    _, headers, body = await asked("/static/css/app.css", of=application, accept_encoding="gzip")
    assert headers["content-encoding"] == "gzip"
    assert gzip.decompress(body) == Path(settings.BASE_DIR, "static", "css", "app.css").read_bytes()


async def test_its_head_has_no_body() -> None:
    status, headers, body = await asked("/static/js/pilot.js", "HEAD")
    assert (status, headers["content-length"], body) == (200, str(len(SCRIPT)), b"")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/static/js/pilot.js"),
        ("GET", "/static/js/../../manage.py"),
        ("GET", "/static/admin/css/base.css"),
        ("GET", "/pilots/es/"),
    ],
)
async def test_whatever_else_is_asked_for_goes_on(method: str, path: str) -> None:
    assert (await asked(path, method))[0] == 418


def test_a_page_names_what_its_scripts_import_and_no_script_twice() -> None:
    links = Template('{% load modules %}{% preload_modules "js/pilot.js" "js/live.js" %}').render(Context())
    named = [piece.split('"')[0] for piece in links.split('href="')[1:]]
    assert len(named) == len(set(named))
    assert not {"/static/js/pilot.js", "/static/js/live.js"} & set(named)
    assert {"/static/js/quantities.js", "/static/js/stepup.js"} <= set(named)  # the second by way of setpoint.js
