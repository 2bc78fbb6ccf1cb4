"""`fault list|places|start|end|media`: faults on purpose in the simulated field, for training and tests."""

from __future__ import annotations

import getpass
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from pilots.simulators.control_client import SimulatorAway, SimulatorControl
from pilots.simulators.faults import OPTIONS, FaultKind, FaultRefused
from pilots.ui.training import note_deed


class Command(BaseCommand):
    help = "Starts, lists and ends faults of simulated connections and devices; switches their media on and off."

    def add_arguments(self, parser: ArgumentParser) -> None:
        deeds = parser.add_subparsers(dest="deed", required=True, metavar="list|places|start|end|media")
        deeds.add_parser("list", help="running faults")
        places = deeds.add_parser("places", help="where which fault is possible")
        places.add_argument("pilots", nargs="*", metavar="PILOT")
        start = deeds.add_parser("start", help="a fault begins")
        start.add_argument("kind", choices=[kind.value for kind in FaultKind], metavar="KIND", help=", ".join(FaultKind))
        start.add_argument("target", metavar="TARGET", help="a connection, one of its backup ways (name/1) or a device")
        start.add_argument("--for", dest="lasts_s", type=float, default=None, metavar="SECONDS", help="without: until ended")
        start.add_argument("--point", default="", help="stuck_value: this point alone")
        start.add_argument("--set", dest="options", action="append", default=[], metavar="NAME=NUMBER", help=_options_help())
        end = deeds.add_parser("end", help="a fault, or all, are over")
        end.add_argument("id", metavar="ID|all")
        media = deeds.add_parser("media", help="a connection's medium acts, or does not")
        media.add_argument("state", choices=["on", "off"])
        media.add_argument("connection")

    def handle(self, *args: Any, deed: str, **options: Any) -> None:
        control = SimulatorControl(settings.DATA_DIR)
        try:
            getattr(self, f"_{deed}")(control, options)
        except (SimulatorAway, FaultRefused, KeyError) as refusal:
            raise CommandError(str(refusal.args[0])) from refusal

    def _list(self, control: SimulatorControl, _options: dict[str, Any]) -> None:
        for fault in control.faults():
            self.stdout.write(_line(fault))

    def _places(self, control: SimulatorControl, options: dict[str, Any]) -> None:
        for connection in control.connections():
            if options["pilots"] and connection["pilot"] not in options["pilots"]:
                continue
            medium = f"{connection['medium'] or 'no medium'} {'on' if connection['media_on'] else 'off'}"
            self.stdout.write(f"{connection['name']} ({connection['protocol']}, {medium}): {', '.join(connection['kinds'])}")
            for place in (*connection["backups"], *connection["devices"]):
                self.stdout.write(f"  {place['name']}: {', '.join(place['kinds'])}")

    def _start(self, control: SimulatorControl, options: dict[str, Any]) -> None:
        figures = dict(_figure(given) for given in options["options"])
        fault = control.start(
            options["kind"], options["target"], lasts_s=options["lasts_s"], options=figures, point=options["point"]
        )
        note_deed("start fault", fault, actor=_operator(), now=timezone.now())
        self.stdout.write(_line(fault))

    def _end(self, control: SimulatorControl, options: dict[str, Any]) -> None:
        for fault in control.end("" if options["id"] == "all" else options["id"]):
            note_deed("end fault", fault, actor=_operator(), now=timezone.now())
            self.stdout.write(f"{fault['id']} is over: {fault['kind']} at {fault['target']}")

    def _media(self, control: SimulatorControl, options: dict[str, Any]) -> None:
        name, on = options["connection"], options["state"] == "on"
        control.set_media(name, on)
        pilot = next((each["pilot"] for each in control.connections() if each["name"] == name), "")
        deed = {"kind": "media", "target": name, "pilot": pilot}
        note_deed("media on" if on else "media off", deed, actor=_operator(), now=timezone.now())


def _line(fault: dict[str, Any]) -> str:
    figures = [f"{name}={value:g}" for name, value in fault["options"].items()]
    words = [*figures, *([f"point={fault['point']}"] if fault["point"] else [])]
    left = "until ended" if fault["left_s"] is None else f"{fault['left_s']:g} s left"
    return f"{fault['id']}  {fault['kind']} at {fault['target']}, {left}" + (f" ({', '.join(words)})" if words else "")


def _figure(given: str) -> tuple[str, float]:
    name, _, number = given.partition("=")
    try:
        return name, float(number)
    except ValueError:
        raise CommandError(f"--set {given}: write NAME=NUMBER") from None


def _options_help() -> str:
    kinds = (f"{kind}: " + ", ".join(f"{n}={o.default:g}" for n, o in known.items()) for kind, known in OPTIONS.items())
    return "; ".join(kinds)


def _operator() -> str:
    try:
        return f"console:{getpass.getuser()}"
    except (KeyError, OSError):
        return "console:unknown"
