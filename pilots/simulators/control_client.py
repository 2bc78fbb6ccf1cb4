"""How the command line and the training page reach a running simulation's control endpoint. [zone: none, demo]"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from pilots.simulators.faults import FaultRefused

CONTROL_FILE = "simulator_control.json"
TIMEOUT_S = 3.0


class SimulatorAway(Exception):
    """No simulation runs on this installation, or it does not answer."""


class SimulatorControl:
    """The simulation of one data folder. Every call raises SimulatorAway when it cannot be reached."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / CONTROL_FILE

    @property
    def is_there(self) -> bool:
        """Whether a simulation has said that it runs; cheap, it asks nobody."""
        return self._path.exists()

    def connections(self) -> list[dict[str, Any]]:
        """Simulated connections with their devices, as `desk.Desk.connections` tells them."""
        found: list[dict[str, Any]] = self._call("GET", "/connections")["connections"]
        return found

    def faults(self) -> list[dict[str, Any]]:
        """Running faults, the oldest first."""
        found: list[dict[str, Any]] = self._call("GET", "/faults")["faults"]
        return found

    def start(
        self, kind: str, target: str, *, lasts_s: float | None = None, options: Mapping[str, float] | None = None, point: str = ""
    ) -> dict[str, Any]:
        """The fault that runs now. Raises FaultRefused with a sentence."""
        form = {"kind": kind, "target": target, "lasts_s": lasts_s, "options": dict(options or {}), "point": point}
        return self._call("POST", "/faults", form)

    def end(self, fault_id: str = "") -> list[dict[str, Any]]:
        """The faults that ran until now; without an id all. Raises KeyError for one that does not run."""
        ended: list[dict[str, Any]] = self._call("DELETE", f"/faults/{quote(fault_id, safe='')}" if fault_id else "/faults")[
            "faults"
        ]
        return ended

    def set_media(self, connection: str, on: bool) -> None:
        """The connection's medium acts from now on, or does not. Raises KeyError, FaultRefused."""
        self._call("PUT", f"/connections/{quote(connection, safe='')}", {"media": on})

    def _call(self, method: str, path: str, form: Mapping[str, Any] | None = None) -> dict[str, Any]:
        try:
            place = json.loads(self._path.read_text())
            headers = {"Authorization": f"Bearer {place['token']}"}
            url = f"http://127.0.0.1:{place['port']}{path}"
            with httpx.Client(timeout=TIMEOUT_S, trust_env=False) as client:
                answer = client.request(method, url, headers=headers, json=form)
            body: dict[str, Any] = answer.json()
        except FileNotFoundError:
            raise SimulatorAway("no simulation runs on this installation") from None
        except (OSError, ValueError, KeyError, httpx.HTTPError) as error:
            raise SimulatorAway(f"the simulation does not answer: {error}") from error
        if answer.status_code == 400:
            raise FaultRefused(body.get("detail", ""))
        if answer.status_code == 404:
            raise KeyError(body.get("detail", path))
        if answer.status_code >= 400:
            raise SimulatorAway(f"the simulation refused: {body.get('detail', answer.status_code)}")
        return body
