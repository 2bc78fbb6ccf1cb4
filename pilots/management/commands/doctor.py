"""`doctor`: is this installation well? Each check in a sentence; exit code 1 when something is broken."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from pilots.management.checkup import Verdict, check_up


class Command(BaseCommand):
    help = "Checks data folder, database, ports, roles, connections, outbox, clock and catalogue; changes nothing."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        findings = check_up()
        for finding in findings:
            self.stdout.write(f"{finding.verdict.value:7} {finding.what}: {finding.words}")
        broken = [finding.what for finding in findings if finding.verdict is Verdict.BROKEN]
        if broken:
            raise CommandError(f"needs repair: {', '.join(broken)}")
        self.stdout.write("Nothing is broken.")
