"""`commission FILE...`: pilot files become rows, all or nothing, twice is once."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from pilots.catalogue.loader import load_pilot, profiles_of
from pilots.catalogue.services import commission_pilot
from pilots.domain.errors import CatalogueError


class Command(BaseCommand):
    help = "Turns pilot files (YAML) into devices, links, connections and points. All or nothing; twice is once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="+", metavar="FILE")

    def handle(self, *args: Any, files: list[str], **options: Any) -> None:
        try:
            specs = [load_pilot(file) for file in files]
            with transaction.atomic():
                for spec in specs:
                    done = commission_pilot(spec, profiles_of(spec))
                    self.stderr.write(f"{spec.code}: {done.created} created, {done.changed} changed, {done.removed} removed")
        except (CatalogueError, ValidationError) as error:
            raise CommandError(f"nothing was changed: {error}") from error
