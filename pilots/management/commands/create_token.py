"""`manage.py create_token NAME --scope read,control --pilot all`: a machine's key, alone on the last line of stdout."""

from __future__ import annotations

import getpass
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from pilots.api.services import TokenError, create_token
from pilots.models import Scope


class Command(BaseCommand):
    help = "Makes a service token and prints it once, alone on the last line of standard output."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="whose token it is; shown in the audit trail")
        parser.add_argument("--scope", required=True, help=f"comma-separated: {', '.join(Scope.values)}")
        parser.add_argument("--pilot", required=True, help="comma-separated codes, or all")
        parser.add_argument("--device", action="append", default=[], help="limit to this device; may be repeated")
        parser.add_argument("--days", type=int, default=None, help="how long it lives; without: until revoked")
        parser.add_argument("--replace", action="store_true", help="give an existing token a new secret and new rights")

    def handle(self, *args: Any, **options: Any) -> None:
        pilots = None if options["pilot"].strip() == "all" else _words(options["pilot"])
        try:
            secret = create_token(
                name=options["name"],
                scopes=_words(options["scope"]),
                pilots=pilots,
                devices=[device for given in options["device"] for device in _words(given)] or None,
                days=options["days"],
                replace=options["replace"],
                actor=f"console:{_operator()}",
                now=timezone.now(),
            )
        except TokenError as error:
            raise CommandError(str(error)) from error
        self.stderr.write(f"Token {options['name']} made. It is shown only now:")
        self.stdout.write(secret)


def _words(given: str) -> list[str]:
    words = [word.strip() for word in given.split(",") if word.strip()]
    if not words:
        raise CommandError("An empty list: name at least one.")
    return words


def _operator() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
