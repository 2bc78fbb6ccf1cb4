"""Every end that a set-point can have, asked for at the faceplate and read on its page, on four wires side by side."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.db import connection
from django.test import override_settings
from playwright.sync_api import Browser, Locator, TimeoutError

from invade_scada.ports import read_ports
from pilots.acquisition.ingest import Ingest
from pilots.control import dispatch
from tests.acquisition.ends import WIRES, Scene, Wire, side_by_side, wanted
from tests.acquisition.field import Start, quick_gateways
from tests.acquisition.ground import Ground, proving_ground
from tests.journeys.browser import Visitor
from tests.journeys.installation import PASSWORD, ROOT, START_S, Child, wait_for
from tests.simulators.peers import free_port

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser, pytest.mark.wire]

#: What the page says of each state.
SAID = {
    "received": "received",
    "validated": "validated, waiting to be sent",
    "dispatched": "dispatched, not proved yet",
    "executed": "executed",
    "rejected": "refused",
    "expired": "expired",
    "failed": "failed",
    "cancelled": "cancelled",
    "unknown": "We do not know whether the device took it. Reading it back; do not send again.",
}


class Operator:
    """An asker at the page: one tab, which goes from faceplate to faceplate."""

    def __init__(self, visitor: Visitor, story: Callable[[], str]) -> None:
        self.visitor, self.page, self.story = visitor, visitor.page, story

    def ask(self, wire: Wire, value: float, *, valid_s: float = 300.0, before_sent: Callable[[], object] = str) -> str:
        page = self.visitor.open_faceplate("zz", wire.device)
        form = page.locator(f'form[data-setpoint][data-device="{wire.device}"][data-point="{wire.point}"]')
        if wire.mode == "absolute":
            form.locator(f'input[name=direction][value="{1 if value > 0 else -1}"]').check()
        form.locator("[name=value]").fill(f"{abs(value) / 1000:g}")
        choose(form.locator("[name=minutes]"), valid_s / 60)
        before_sent()
        try:
            form.locator("[data-send]:enabled").wait_for()
        except TimeoutError as error:
            band = page.locator("[data-lost], [data-state-line], [data-lag]").all_inner_texts()
            raise AssertionError(f"{band} {self.visitor.faults}\n{self.story()}") from error
        with page.expect_response(lambda answer: answer.request.method == "POST") as answered:
            form.locator("[data-send]").click()
        body = answered.value.json()
        if answered.value.status == 202:
            form.locator("[data-progress] a").wait_for()
            return str(body["id"])
        form.locator("[data-refused]", has_text=body["reason"]).wait_for()
        return str(body["record"]["id"])

    def cancel(self, number: str) -> None:
        self.visitor.go(f"/setpoints/{number}/")
        with self.page.expect_response(lambda answer: answer.request.method == "POST"):
            self.page.locator("[data-cancel]:enabled").click()

    def see(self, record: dict[str, Any]) -> None:
        self.visitor.go(f"/setpoints/{record['id']}/")
        head = self.page.locator(f'[data-part=head][data-state="{record["state"]}"]')
        told, code = head.locator(".became b").inner_text(), record["code"]
        assert told.startswith(SAID[record["state"]]), told
        assert record["reason"] in head.inner_text()
        lines = self.page.locator("tr[data-event] .said").all_inner_texts()
        assert lines[:-1] == [SAID[event["state"]] for event in record["events"][:-1]]
        assert lines[-1] == f"{SAID[record['state']]} {code}".strip()


def choose(minutes: Locator, wish: float) -> None:
    """Of the page's choices; nobody here waits five minutes for an end, so a shorter one is put among them."""
    minutes.evaluate("(select, minutes) => { select[0].value = minutes }", f"{wish:g}")
    minutes.select_option(index=0)


@pytest.fixture
def ground(transactional_db: None, tmp_path: Path) -> Iterator[Ground]:
    """Simulated devices of three protocols, whose changes every process hears."""
    redis = os.environ["TEST_REDIS_URL"].removesuffix("/0") + "/2"
    with override_settings(REDIS_URL=redis), proving_ground(tmp_path) as ground:
        yield ground


@pytest.fixture
def start(ground: Ground, door: Ingest) -> Iterator[Start]:
    with quick_gateways(door) as start:
        yield start


@pytest.fixture
def web(ground: Ground, tmp_path: Path) -> Iterator[Child]:
    """A web process of the product, on the ground's database."""
    parts = urlsplit(os.environ["TEST_DATABASE_URL"])
    environment = os.environ | {
        "DATABASE_URL": urlunsplit(parts._replace(path=f"/{connection.settings_dict['NAME']}")),
        "REDIS_URL": os.environ["TEST_REDIS_URL"].removesuffix("/0") + "/2",
        "INVADE_DATA_DIR": str(tmp_path),
        "INVADE_PORT": str(free_port()),
        "INVADE_ADMIN_PASSWORD": PASSWORD,
    }
    log = tmp_path / "web.log"
    with log.open("ab") as output:
        command = [sys.executable, "manage.py", "run_scada", "--role", "web"]
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    child = Child("web", process, log)
    try:
        wait_for(lambda: "web" in read_ports(tmp_path), START_S, "a port", story=child.tail)
        yield child
    finally:
        child.kill()


@pytest.fixture
def operator(chrome: Browser, web: Child, tmp_path: Path) -> Iterator[Operator]:
    visitor = Visitor(chrome, lambda: f"http://127.0.0.1:{read_ports(tmp_path)['web']}")
    visitor.sign_in()
    yield Operator(visitor, lambda: f"{web.process.poll()} {web.tail()}")
    visitor.leave()


def test_s16_every_end_state_is_reached_and_told_at_the_page(
    ground: Ground, start: Start, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "UNKNOWN_PATIENCE", timedelta(seconds=2))
    ground.gateway = start()
    told = side_by_side({name: Scene(ground, wire, operator) for name, wire in WIRES.items()})
    assert told == {name: wanted(wire) for name, wire in WIRES.items()}
    assert all("422" in fault for fault in operator.visitor.faults), operator.visitor.faults
