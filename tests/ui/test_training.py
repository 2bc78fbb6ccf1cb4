"""The training page and the `fault` command, with a simulation that really runs beside them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client

from pilots.models import AuditEvent, Role
from pilots.simulators.control_client import SimulatorControl
from pilots.simulators.runner import simulating
from tests.builders import make_pilot
from tests.journeys.browser import Visitor, chromium
from tests.simulators.peers import free_port, pilot
from tests.ui.conftest import Plant, client_of

SIMULATED_TARGET = "es-rtu01"


class Running:
    """A simulation of Granollers in a thread of its own."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir, self.control = data_dir, SimulatorControl(data_dir)
        self._loop, self._stop, self._ready = asyncio.new_event_loop(), asyncio.Event(), threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=[self._run()])

    async def _run(self) -> None:
        async with simulating([pilot("es")], data_dir=self.data_dir, first_port=free_port(), platform=False):
            self._ready.set()
            await self._stop.wait()

    def __enter__(self) -> Running:
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with pytest.MonkeyPatch.context() as environment, Running(tmp_path_factory.mktemp("field")) as running:
        environment.setenv("TZ", "UTC")
        yield running
    time.tzset()


@pytest.fixture
def running(field: Running, plant: Plant, settings: object) -> Iterator[Running]:
    """The simulation of this installation, without any fault."""
    settings.DATA_DIR = field.data_dir  # type: ignore[attr-defined]
    field.control.end()
    yield field
    field.control.end()


@pytest.fixture
def nowhere(plant: Plant, settings: object, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path  # type: ignore[attr-defined]


def shown(client: Client, path: str = "/training/") -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_page_and_its_entry_are_for_engineers_and_installers(running: Running, engineer: Client) -> None:
    for person in (engineer, client_of(Role.INSTALLER, "ivan")):
        assert person.get("/training/").status_code == 200
        assert 'href="/training/"' in shown(person, "/")
    for person in (client_of(Role.OPERATOR, "olga"), client_of(Role.VIEWER, "viktor"), client_of(None, "nemo")):
        assert 'href="/training/"' not in shown(person, "/")
        for path in ("/training/", "/training/field"):
            assert person.get(path).status_code == 403
        for path in ("/training/start", "/training/end", "/training/media"):
            assert person.post(path, {"kind": "silence", "target": SIMULATED_TARGET}).status_code == 403
    assert running.control.faults() == []
    assert not AuditEvent.objects.exists()


def test_without_a_simulation_the_page_says_how_to_get_one_and_has_no_entry(nowhere: None, engineer: Client) -> None:
    assert "manage.py simulate" in shown(engineer)
    assert 'href="/training/"' not in shown(engineer, "/")
    assert engineer.get("/training/field").status_code == 503
    answer = engineer.post("/training/start", {"kind": "silence", "target": SIMULATED_TARGET})
    assert answer.status_code == 422 and "no simulation runs" in answer.content.decode()


def test_every_connection_stands_there_with_the_kinds_that_are_possible(running: Running, engineer: Client) -> None:
    page = shown(engineer, "/training/?at=es-rtu01")
    for words in ("es-rtu01", "es-ocpp", "es-wx", "IEC 60870-5-104", "fibre", "No fault runs", "Half-open connection"):
        assert words in page
    device = shown(engineer, "/training/?at=es-STO01")
    assert "Stuck value" in device and "Half-open connection" not in device


def test_a_fault_is_started_shown_audited_and_ended(running: Running, engineer: Client) -> None:
    form = {"kind": "slowness", "target": "es-rtu01", "lasts_s": "300", "slowness.answer_s": "2,5", "reason": "course of 12 June"}
    answer = engineer.post("/training/start", form)
    assert (answer.status_code, answer["Location"]) == (302, "/training/?at=es-rtu01")
    (fault,) = running.control.faults()
    assert (fault["kind"], fault["options"]["answer_s"], fault["left_s"] > 290) == ("slowness", 2.5, True)
    event = AuditEvent.objects.get()
    assert (event.actor, event.action, event.pilot, event.reason) == ("enza", "start fault", "es", "course of 12 June")
    assert event.subject == "slowness at es-rtu01" and event.details["options"]["answer_s"] == 2.5

    page = shown(engineer)
    assert "1 fault runs" in page and "Slowness" in page and "data-left=" in page
    assert engineer.post("/training/end", {"id": fault["id"], "at": "es-rtu01"}).status_code == 302
    assert running.control.faults() == []
    assert AuditEvent.objects.filter(action="end fault", actor="enza").count() == 1


def test_all_faults_end_with_one_button(running: Running, engineer: Client) -> None:
    for target in ("es-rtu01", "es-STO01"):
        engineer.post("/training/start", {"kind": "stuck_value", "target": target})
    assert "2 faults run" in shown(engineer) and "End all" in shown(engineer)
    engineer.post("/training/end")
    assert running.control.faults() == []


def test_one_point_is_stuck_alone(running: Running, plant: Plant, engineer: Client) -> None:
    assert "<option>soc</option>" in shown(engineer, "/training/?at=es-STO01")
    engineer.post("/training/start", {"kind": "stuck_value", "target": "es-STO01", "point": "soc"})
    assert running.control.faults()[0]["point"] == "soc"


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"target": "es-rtu01"}, "Choose what shall go wrong."),
        ({"kind": "half_open", "target": "es-STO01"}, "Choose what shall go wrong."),
        ({"kind": "silence", "target": "bg-rtu01"}, "Nothing simulated is called bg-rtu01."),
        ({"kind": "noise", "target": "es-rtu01", "noise.share": "many"}, "noise.share must be a number."),
        ({"kind": "noise", "target": "es-rtu01", "noise.share": "nan"}, "noise.share must be a number."),
        ({"kind": "noise", "target": "es-rtu01", "noise.share": "2"}, "must lie between 0 and 1"),
    ],
)
def test_what_is_impossible_is_refused_on_the_page(running: Running, engineer: Client, form: dict[str, str], words: str) -> None:
    answer = engineer.post("/training/start", form)
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert running.control.faults() == []
    assert not AuditEvent.objects.exists()


def test_an_engineer_of_another_pilot_neither_sees_nor_touches_this_one(running: Running) -> None:
    stranger = client_of(Role.ENGINEER, "stig", pilot=make_pilot("nl", name="Arnhem"))
    running.control.start("silence", "es-rtu01")
    page = shown(stranger)
    assert "Nothing is simulated here" in page and "es-rtu01" not in page
    assert stranger.post("/training/start", {"kind": "noise", "target": "es-rtu01"}).status_code == 422
    stranger.post("/training/end")
    assert stranger.post("/training/media", {"connection": "es-rtu01", "on": "1"}).status_code == 422
    assert [fault["kind"] for fault in running.control.faults()] == ["silence"]


def test_media_are_switched_and_audited(running: Running, engineer: Client) -> None:
    for on, action in (("1", "media on"), ("0", "media off")):
        engineer.post("/training/media", {"connection": "es-rtu01", "on": on})
        state = {each["name"]: each["media_on"] for each in running.control.connections()}
        assert state["es-rtu01"] is (on == "1") and not state["es-ocpp"]
        assert AuditEvent.objects.filter(action=action, subject="media at es-rtu01").count() == 1


def test_the_fresh_field_is_the_left_half_alone(running: Running, engineer: Client) -> None:
    running.control.start("silence", "es-rtu01")
    part = shown(engineer, "/training/field?at=es-rtu01")
    assert "<html" not in part and "1 fault runs" in part and 'class="on" data-connection="es-rtu01"' in part


def test_forms_without_their_token_are_refused(running: Running) -> None:
    engineer = client_of(Role.ENGINEER, "emil")
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = engineer.cookies
    assert strict.post("/training/start", {"kind": "silence", "target": "es-rtu01"}).status_code == 403
    assert running.control.faults() == []


# -- the command


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    call_command("fault", *words)
    return capsys.readouterr().out


def test_the_command_starts_lists_and_ends(running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    line = said(capsys, "start", "noise", "es-rtu01", "--for", "60", "--set", "share=0.1")
    assert "noise at es-rtu01" in line and "share=0.1" in line
    number = line.split()[0]
    assert said(capsys, "list").startswith(f"{number}  noise at es-rtu01, ")
    assert said(capsys, "end", number) == f"{number} is over: noise at es-rtu01\n"
    said(capsys, "start", "silence", "es-rtu01")
    assert "is over" in said(capsys, "end", "all")
    assert said(capsys, "list") == ""
    assert AuditEvent.objects.filter(action="start fault", actor__startswith="console:").count() == 2


def test_the_command_names_every_place(running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    told = said(capsys, "places", "es")
    assert "es-rtu01 (iec104, fibre off): silence, slowness" in told
    assert "  es-SW03: silence, exception, stuck_value, counter_reset, clock_skew, breaker_trip" in told


def test_the_command_switches_media(running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "media", "on", "es-ocpp")
    assert "es-ocpp (ocpp16, GPRS on)" in said(capsys, "places")
    said(capsys, "media", "off", "es-ocpp")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("start", "refuse", "es-STO01"), "refuse is not possible at es-STO01"),
        (("start", "noise", "es-rtu01", "--set", "share=much"), "write NAME=NUMBER"),
        (("end", "77"), "there is no 77"),
        (("media", "on", "es-none"), "there is no es-none"),
    ],
)
def test_the_command_says_why_not(running: Running, words: tuple[str, ...], reason: str) -> None:
    with pytest.raises(CommandError, match=reason):
        call_command("fault", *words)


def test_the_command_needs_a_simulation(nowhere: None) -> None:
    with pytest.raises(CommandError, match="no simulation runs"):
        call_command("fault", "list")


# -- in a browser


@pytest.mark.browser
def test_the_page_counts_down_keeps_itself_fresh_and_the_button_says_the_deed(
    transactional_db: None, live_server: object, running: Running, engineer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Playwright's synchronous form keeps a loop in this thread, which Django would take for a mistake.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    url = live_server.url  # type: ignore[attr-defined]
    with chromium() as browser:
        visitor = Visitor(browser, lambda: url)
        visitor.context.add_cookies([{"name": "sessionid", "value": engineer.cookies["sessionid"].value, "url": url}])
        # Django's own test server has no websockets; the strip of alarms would tell of that.
        visitor.context.route_web_socket("**/ws/alarms/", lambda socket: None)
        page = visitor.go("/training/?at=es-rtu01")
        button = page.locator("[data-deed]")
        assert button.is_disabled() and button.text_content() == "Choose what shall go wrong"
        page.check("input[value=slowness]")
        page.fill("[name='slowness.answer_s']", "1.5")
        page.select_option("[name=lasts_s]", "60")
        assert button.text_content() == "Slowness at es-rtu01, 1 min"
        button.click()
        left = page.locator("[data-fault] [data-left]")
        before = left.text_content()
        page.wait_for_function("(before) => document.querySelector('[data-left]').textContent !== before", arg=before)
        assert page.locator("[data-fault]").count() == 1

        running.control.start("stuck_value", "es-STO01")
        page.wait_for_selector("text=2 faults run")
        page.click("text=End all")
        page.wait_for_selector("text=No fault runs")
        page.select_option("#at", "es-STO01")
        page.wait_for_url("**at=es-STO01*")
        assert page.locator("input[value=half_open]").count() == 0
        assert visitor.faults == []
    assert running.control.faults() == []
