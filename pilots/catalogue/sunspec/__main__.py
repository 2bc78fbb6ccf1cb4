"""`python -m pilots.catalogue.sunspec`: writes profiles/sunspec-<model>.yaml; needs pysunspec2 (requirements-dev.txt)."""

from __future__ import annotations

import sys

from pilots.catalogue.loader import PROFILES
from pilots.catalogue.sunspec.generate import profiles
from pilots.catalogue.sunspec.models import model_folder
from pilots.domain.errors import CatalogueError


def main() -> int:
    try:
        for name, text in profiles(model_folder()):
            (PROFILES / name).write_text(text, encoding="utf-8")
            print(name)
    except CatalogueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
