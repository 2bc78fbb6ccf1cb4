"""What would become of rows, as a page shows it before anything is changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pilots.admin.row_edits import Outcome, refused

#: Rows of one kind that a page shows; all of them count.
MOST_SHOWN = 300
KINDS = ("refused", "changed", "new", "unchanged")


def preview_of(outcomes: Sequence[Outcome], *, title: str, confirm: str, back: str, hidden: Mapping[str, str]) -> dict[str, Any]:
    """The context of `admin/pilots/preview.html`; `confirm` is where a yes goes, with the `hidden` fields."""
    by_kind = {kind: [outcome for outcome in outcomes if outcome.kind == kind] for kind in KINDS}
    changing = len(by_kind["changed"]) + len(by_kind["new"])
    return {
        "title": title,
        "counts": {kind: len(found) for kind, found in by_kind.items()},
        "shown": {kind: found[:MOST_SHOWN] for kind, found in by_kind.items() if kind != "unchanged"},
        "most_shown": MOST_SHOWN,
        "changing": changing,
        "ready": changing > 0 and not refused(outcomes),
        "numbered": any(outcome.number for outcome in outcomes),
        "confirm": confirm,
        "back": back,
        "hidden": hidden,
    }
