"""`manage.py scl FILE`: the points an SCL file (ICD, CID, SCD) offers, with our names; as a profile with --profile NAME."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from pilots.catalogue.scl import read_scl
from pilots.catalogue.scl_proposals import profile_text, propose
from pilots.domain.errors import CatalogueError


class Command(BaseCommand):
    help = "Show the points that an IEC 61850 SCL file offers."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--ied", default="", help="the device, where the file has several")
        parser.add_argument("--profile", default="", metavar="NAME", help="print a device profile of the known points instead")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            scl = read_scl(options["file"])
            proposals = propose(scl, options["ied"])
        except CatalogueError as error:
            raise CommandError(str(error)) from error
        if options["profile"]:
            known = [proposal for proposal in proposals if proposal.known]
            source = f"SCL file {options['file'].name}"
            self.stdout.write(profile_text(known, name=options["profile"], source=source), ending="")
            return
        for endpoint in scl.endpoints(scl.ied(options["ied"])):
            self.stdout.write(f"{endpoint.ied} at {endpoint.host}:{endpoint.port} {dict(endpoint.options) or ''}".rstrip())
        for each in proposals:
            name = each.point if each.known else f"({each.point})"
            self.stdout.write(f"{name:28} {each.kind:12} {each.unit:5} {each.ref} [{each.address['fc']}] {each.report}".rstrip())
