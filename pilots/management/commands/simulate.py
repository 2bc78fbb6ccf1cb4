"""`simulate [PILOT...]`: the simulated field and platform, real peers on real sockets, in a process of their own."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from pilots.catalogue.loader import load_pilots
from pilots.management.first_run import prepare_simulators


class Command(BaseCommand):
    help = "Runs the simulated devices, charge points, head-end systems and the INVADE platform until stopped."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("pilots", nargs="*", metavar="PILOT")
        parser.add_argument("--seed", type=int, default=731148)
        parser.add_argument(
            "--media",
            choices=["on", "off"],
            default="on" if settings.SIM_MEDIA else "off",
            help="on: connections are as slow and lossy as the media of their links (default: INVADE_SIM_MEDIA)",
        )

    def handle(self, *args: Any, pilots: list[str], seed: int, media: str, **options: Any) -> None:
        from pilots.simulators.runner import run

        known = load_pilots()
        unknown = [code for code in pilots if code not in known]
        if unknown:
            raise CommandError(f"unknown pilot {', '.join(unknown)}; there are {', '.join(known)}")
        prepare_simulators()
        connections.close_all()
        chosen = [spec for code, spec in known.items() if not pilots or code in pilots]
        run(chosen, data_dir=settings.DATA_DIR, first_port=settings.SIM_PORT, seed=seed, media=media == "on")
