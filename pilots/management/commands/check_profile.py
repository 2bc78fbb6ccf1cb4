"""`check_profile FILE...`: is a device profile right? Every fault with file, line and field; exit code 1 if there is one."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from pilots.catalogue.loader import load_use_cases
from pilots.catalogue.profile_check import Findings, check_profile
from pilots.catalogue.use_cases import Conformance, conformance
from pilots.domain.topology import DeviceKind


class Command(BaseCommand):
    help = "Checks device profiles (YAML files, or names of built-in ones): form, sense, words, and the use cases they serve."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="+", metavar="FILE")
        kinds = [kind.value for kind in DeviceKind]
        parser.add_argument("--kind", choices=kinds, help="judge the use cases of D7.1 for this kind of device only")

    def handle(self, *args: Any, files: list[str], kind: str | None, **options: Any) -> None:
        wrong = 0
        for file in files:
            findings = check_profile(file)
            for error in findings.errors:
                self.stdout.write(f"error: {error}")
            for warning in findings.warnings:
                self.stdout.write(f"warning: {warning}")
            self._describe(findings, kind)
            wrong += bool(findings.errors)
        if wrong:
            raise CommandError(f"{wrong} of {len(files)} profiles cannot be used")

    def _describe(self, findings: Findings, kind: str | None) -> None:
        profile = findings.profile
        counts = f"{_count(len(findings.errors), 'error')}, {_count(len(findings.warnings), 'warning')}"
        if profile is None:
            self.stdout.write(f"{findings.file}: {counts}")
            return
        self.stdout.write(f"{profile.name}: {profile.protocol}, {_count(len(profile.points), 'point')}; {counts}")
        served = conformance(load_use_cases().values(), profile.points, None if kind is None else DeviceKind(kind))
        for one in served:
            self.stdout.write(f"  as {one.kind} ({one.use_case}): {_in_short(one) if kind is None else _in_full(one)}")
        if not served:
            self.stdout.write("  serves no use case of D7.1 section 4 by itself")


def _in_short(one: Conformance) -> str:
    return "all that is required" if not one.lacking else f"lacks {', '.join(one.lacking)}"


def _in_full(one: Conformance) -> str:
    parts = {"offers": one.offered, "lacks": one.lacking, "does without (by capability)": one.optional}
    return "; ".join(f"{words} {', '.join(texts)}" for words, texts in parts.items() if texts)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
