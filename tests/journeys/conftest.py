"""Each mode of the product is started once and serves every journey of its mode."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.journeys.browser import Visitor, chromium
from tests.journeys.installation import MODES, Installation
from tests.journeys.peers import ForeignIed, ForeignMeter, dead_port


@pytest.fixture(scope="session", params=MODES)
def scada(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A running installation in each mode."""
    yield from running(tmp_path_factory, request.param)


def running(folders: pytest.TempPathFactory, mode: str) -> Iterator[Installation]:
    installation = Installation(folders.mktemp(mode), mode)
    try:
        installation.start()
        yield installation
    finally:
        installation.stop()


FOREIGN = """\
code: xx
name: Foreign equipment
country: XX
time_zone: UTC
latitude: 1
longitude: 2
connections:
  - {name: xx-gw, protocol: modbus_tcp, host: 127.0.0.1, port: METER, options: {timeout_s: 1, periods: {F: 1, N: 1, S: 1, E: 1}}}
  - {name: xx-gone, protocol: modbus_tcp, host: 127.0.0.1, port: GONE, options: {timeout_s: 1, periods: {F: 1, N: 1, S: 1, E: 1}}}
  - {name: xx-ocpp, protocol: ocpp16, simulated: true, options: {security_profile: 1, periods: {F: 5, N: 5, S: 5, E: 15}}}
  - {name: xx-push, protocol: push, simulated: true, options: {pushers: [xx-WX], periods: {F: 5, N: 5, S: 5, E: 15}}}
devices:
  - {id: xx-GRID, kind: grid_infeed, sgam: E.3.a}
  - {id: xx-PM01, kind: meter, sgam: E.3.b, parent: xx-GRID, profile: schneider-pm5xxx, connection: xx-gw, address: {unit: 1}}
  - {id: xx-PM02, kind: meter, sgam: E.3.b, parent: xx-GRID, profile: schneider-pm5xxx, connection: xx-gone, address: {unit: 1}}
  - id: xx-EVSE01
    kind: charge_point
    sgam: E.4.b
    parent: xx-GRID
    profile: ocpp16-charge-point
    connection: xx-ocpp
    address: {identity: xx-EVSE01, connector: 1}
    nameplate: {rated_power_w: 22000}
  - {id: xx-WX, kind: weather_source, sgam: E.3.e, profile: push-weather, connection: xx-push, address: {pusher: xx-WX}}
  - {id: xx-INVADE, kind: platform, sgam: E.3.e}
  - {id: xx-RTU01, kind: rtu, sgam: E.3.c}
links:
  - {letter: a, from: xx-RTU01, to: xx-PM01, protocol: Modbus TCP, medium: none, sgam: D.3.c-3.b, role: ours, connection: xx-gw}
  - {letter: b, from: xx-RTU01, to: xx-PM02, protocol: Modbus TCP, medium: none, sgam: D.3.c-3.b, role: ours, connection: xx-gone}
"""


@pytest.fixture(scope="session")
def foreign(scada: Installation) -> Iterator[ForeignMeter]:
    """Equipment of others, commissioned from a file while the installation runs."""
    meter = ForeignMeter()
    with dead_port() as gone:
        try:
            path = scada.folder / "foreign.yaml"
            path.write_text(FOREIGN.replace("METER", str(meter.start())).replace("GONE", str(gone)))
            scada.manage("commission", str(path))
            scada.manage("shell", "-c", "from pilots.management.first_run import prepare_simulators; prepare_simulators()")
            yield meter
        finally:
            meter.stop()


@pytest.fixture
def foreign_file(scada: Installation, foreign: ForeignMeter) -> Path:
    """The file that `foreign` was commissioned from."""
    return scada.folder / "foreign.yaml"


FOREIGN_IED = """\
code: xm
name: Foreign substation
country: XM
time_zone: UTC
latitude: 1
longitude: 2
connections:
  - {name: xm-ied, protocol: iec61850, host: 127.0.0.1, port: PORT}
devices:
  - {id: xm-GRID, kind: grid_infeed, sgam: E.3.a}
  - id: xm-SW01
    kind: switch
    sgam: E.3.a
    parent: xm-GRID
    profile: iec61850-protection-ied
    connection: xm-ied
    address: {ied: ES1}
"""


@pytest.fixture(scope="session")
def ied() -> Iterator[ForeignIed]:
    """Started once, and stopped when no installation is left that would connect to it in its last moment."""
    ied = ForeignIed()
    ied.start()
    yield ied
    ied.stop()


@pytest.fixture(scope="session")
def foreign_ied(ied: ForeignIed, scada: Installation) -> ForeignIed:
    """The IED commissioned from a file while the installation runs; values arrive from it."""
    path = scada.folder / "foreign-ied.yaml"
    path.write_text(FOREIGN_IED.replace("PORT", str(ied.port)))
    scada.manage("commission", str(path))
    return ied


@pytest.fixture(scope="session")
def chrome() -> Iterator[Browser]:
    """Chromium, started once."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def visitor(chrome: Browser, scada: Installation) -> Iterator[Visitor]:
    """The administrator at a desktop window, signed in."""
    found = Visitor(chrome, lambda: scada.url)
    found.sign_in()
    yield found
    found.leave()


VIEWER = """
from pilots.models import RoleGrant, User
user, _ = User.objects.get_or_create(username="viewer")
user.set_password("viewer-of-the-journeys")
user.save()
RoleGrant.objects.get_or_create(user=user, pilot=None, role="viewer")
"""


@pytest.fixture
def viewer(chrome: Browser, scada: Installation) -> Iterator[Visitor]:
    """A person who may look and not switch, signed in."""
    scada.manage("shell", "-c", VIEWER)
    found = Visitor(chrome, lambda: scada.url)
    found.sign_in("viewer", "viewer-of-the-journeys")
    yield found
    found.leave()
