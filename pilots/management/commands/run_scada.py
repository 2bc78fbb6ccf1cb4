"""`run_scada --role all|web|field|worker|beat`: the program, or one role of it."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from pilots.management.roles import ROLES, Installation


class Command(BaseCommand):
    help = "Runs every role in one process (default), or one of them; with --demo also the simulated pilots."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--role", choices=["all", *ROLES], default="all")
        parser.add_argument("--demo", action="store_true", help="five simulated pilots, made on the first start")

    def handle(self, *args: Any, role: str, demo: bool, **options: Any) -> None:
        if settings.EMBEDDED and role != "all":
            raise CommandError("one role alone needs REDIS_URL: without Redis the roles can only talk inside one process")
        Installation(roles=list(ROLES) if role == "all" else [role], demo=demo, say=self.say).run()

    def say(self, line: str) -> None:
        """At once, also into a file or a pipe: the password is said here and nowhere else."""
        self.stdout.write(line)
        self.stdout.flush()
