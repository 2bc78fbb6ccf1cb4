"""Proves that the audit trail is what was written: walks its chain, and compares it with anchors outside the database.

The chain shows what was changed, removed or moved; only an anchor shows that the newest rows were cut off, or that somebody
wrote the chain anew. An anchor is a line of `audit-anchors.jsonl` in the data folder: number and hash of the newest row.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.conf import settings

from pilots.audit.selectors import head, in_order
from pilots.domain.chain import GENESIS, digest, link
from pilots.models import AuditEvent, AuditVerification

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Anchor:
    """The newest row at some time, kept where the database's owner does not write."""

    at: datetime
    number: int
    hash: str


def verify_trail(*, now: datetime, full: bool = True) -> AuditVerification:
    """The verdict on the whole trail, or on what came after the newest anchor; it is kept, and an intact head is anchored.

    `fault` names the first broken row in words and is empty when all is well.
    """
    anchors = read_anchors()
    verdict = examine(anchors, now=now, start=None if full else _trusted(anchors))
    verdict.pk = 1
    verdict.save()
    if verdict.fault:
        log.error("audit trail broken: %s", verdict.fault)
    elif verdict.number and (not anchors or anchors[-1].number < verdict.number):
        append_anchor(Anchor(now, verdict.number, verdict.hash))
    return verdict


def examine(anchors: Sequence[Anchor], *, now: datetime, start: Anchor | None = None) -> AuditVerification:
    """The verdict, in constant memory; nothing is written. `start` is a row that needs no proof any more."""
    number, before = (0, GENESIS) if start is None else (start.number, start.hash)
    anchored = {anchor.number: anchor for anchor in anchors}
    last, _ = head()
    fault = ""
    for event in in_order(AuditEvent.objects.all(), after=number, up_to=last):
        fault = _fault_of(event, number + 1, before) or _written_anew(event, anchored.get(number + 1))
        if fault:
            break
        number, before = number + 1, event.hash
    fault = fault or _outside_the_chain() or _cut_off(number, anchors)
    return AuditVerification(at=now, number=number, hash=before, fault=fault[:300])


def _fault_of(event: AuditEvent, number: int, before: str) -> str:
    if event.number == number and event.hash == link(before, number, digest(vars(event))):
        return ""
    written = event.hash if event.number == number else ""
    for other in in_order(AuditEvent.objects.all(), after=number - 1):
        expected = link(before, number, digest(vars(other)))
        if other.number != number and expected in (other.hash, written):
            return f"Row {number} was moved: what was written there stands at row {other.number} ({other})."
    if event.number != number:
        gone = f"Row {number} is" if event.number == number + 1 else f"Rows {number} to {(event.number or 0) - 1} are"
        return f"{gone} missing: row {event.number} ({event}) comes next."
    return f"Row {number} ({event}) is not what was written: it was changed, or rows before it were removed."


def _written_anew(event: AuditEvent, anchor: Anchor | None) -> str:
    if anchor is None or anchor.hash == event.hash:
        return ""
    return f"Row {event.number} ({event}) is not the row anchored at {anchor.at:%Y-%m-%d %H:%M} UTC: the chain was written anew."


def _outside_the_chain() -> str:
    loose = AuditEvent.objects.filter(number=None).order_by("pk").first()
    return "" if loose is None else f"A row without a number ({loose}) stands outside the chain."


def _cut_off(number: int, anchors: Sequence[Anchor]) -> str:
    beyond = [anchor for anchor in anchors if anchor.number > number]
    if not beyond:
        return ""
    last = max(beyond, key=lambda anchor: anchor.number)
    gone = f"Row {last.number} is" if last.number == number + 1 else f"Rows {number + 1} to {last.number} are"
    return f"{gone} missing at the end: row {last.number} was there at {last.at:%Y-%m-%d %H:%M} UTC, by its anchor."


def _trusted(anchors: Sequence[Anchor]) -> Anchor | None:
    """The newest anchor, if its row is still there; else everything is looked at."""
    newest = anchors[-1] if anchors else None
    if newest is not None and AuditEvent.objects.filter(number=newest.number, hash=newest.hash).exists():
        return newest
    return None


def anchors_file() -> Path:
    return Path(settings.DATA_DIR) / "audit-anchors.jsonl"


def read_anchors() -> list[Anchor]:
    """Every anchor that this machine has kept; a line that was torn by a power cut is none."""
    try:
        lines = anchors_file().read_text().splitlines()
    except FileNotFoundError:
        return []
    anchors = []
    for line in lines:
        try:
            form = json.loads(line)
            anchors.append(Anchor(datetime.fromisoformat(form["at"]), int(form["number"]), str(form["hash"])))
        except (ValueError, KeyError, TypeError):
            log.warning("%s: a line is no anchor: %.80r", anchors_file().name, line)
    return anchors


def append_anchor(anchor: Anchor) -> None:
    """The anchor stands in the file, safe from a power cut, and in the log."""
    line = json.dumps({"at": anchor.at.isoformat(), "number": anchor.number, "hash": anchor.hash}) + "\n"
    file = os.open(anchors_file(), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(file, line.encode())
        os.fsync(file)
    finally:
        os.close(file)
    log.info("audit trail intact up to row %d, hash %s", anchor.number, anchor.hash)
