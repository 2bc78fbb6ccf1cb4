"""`verify_audit`: is the audit trail what was written? Names the first broken row; exit code 1 when there is one."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from pilots.audit.verification import read_anchors, verify_trail
from pilots.ui.audit_export import verify_export


class Command(BaseCommand):
    help = "Walks the whole audit trail, compares it with its anchors, and anchors its newest row; or checks a signed export."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--export", type=Path, metavar="FILE", help="check this CSV or JSON lines export instead")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["export"]:
            self._check_export(options["export"])
            return
        verdict = verify_trail(now=datetime.now(UTC))
        if verdict.fault:
            raise CommandError(f"The audit trail is broken. {verdict.fault}")
        anchors = len(read_anchors())
        self.stdout.write(f"The audit trail is intact: {verdict.number} rows, {anchors} anchors agree, head {verdict.hash}")

    def _check_export(self, path: Path) -> None:
        try:
            manifest = verify_export(path.read_bytes())
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror}") from error
        if manifest is None:
            raise CommandError(f"{path.name} is not what this installation signed.")
        rows, head = manifest["rows"], manifest["head"]
        self.stdout.write(f"{path.name} is as signed {manifest['made_at']} for {manifest['made_by']}: {rows} rows, head {head}")
