"""The audit trail as a signed file, CSV or JSON lines, oldest row first, made line by line.

The last line is the manifest: what was asked for, how many rows, the trail's head at that time, and the SHA-256 of every byte
before it; the installation's signature (catalogue/signing.py) is over the manifest, so it covers the file.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pilots.catalogue.point_table import safe_cell
from pilots.catalogue.signing import is_signed, signature_of
from pilots.domain.chain import plain
from pilots.models import AuditEvent

FORMAT = "invade-audit/1"
COLUMNS = ("number", "at", "actor", "action", "pilot", "subject", "reason", "details", "hash")
ROWS_A_CHUNK = 500
_SALT = "pilots.ui.audit_export"


def csv_line(cells: Iterable[Any]) -> str:
    out = io.StringIO(newline="")
    csv.writer(out).writerow([safe_cell(cell) for cell in cells])
    return out.getvalue()


def csv_row(event: AuditEvent) -> str:
    form = _form(event)
    form["details"] = json.dumps(form["details"], ensure_ascii=False, sort_keys=True)
    return csv_line(form.values())


def json_row(event: AuditEvent) -> str:
    return json.dumps(_form(event), ensure_ascii=False) + "\n"


#: Kind of file -> its first line, a row's line, the manifest's line, its content type.
KINDS: dict[str, tuple[str, Callable[[AuditEvent], str], Callable[[str], str], str]] = {
    "csv": ("\ufeff" + csv_line(COLUMNS), csv_row, lambda text: csv_line(["manifest", text]), "text/csv; charset=utf-8"),
    "jsonl": ("", json_row, lambda text: f'{{"manifest": {text}}}\n', "application/jsonl; charset=utf-8"),
}


def export_lines(events: Iterable[AuditEvent], kind: str, about: dict[str, Any]) -> Iterator[str]:
    """The file in chunks. `about` is what the manifest says besides rows and hash: who asked for what, and the head."""
    first, row, last, _ = KINDS[kind]
    body, rows, chunk = hashlib.sha256(), 0, [first]
    for event in events:
        chunk.append(row(event))
        rows += 1
        if len(chunk) >= ROWS_A_CHUNK:
            yield _hashed(chunk, body)
            chunk = []
    yield _hashed(chunk, body)
    manifest = {"format": FORMAT, **plain(about), "rows": rows, "sha256": body.hexdigest()}
    manifest["signature"] = signature_of(manifest, _SALT)
    yield last(json.dumps(manifest, ensure_ascii=False))


def verify_export(file: bytes) -> dict[str, Any] | None:
    """The manifest of a file that this installation signed and nobody changed; None for every other file."""
    body, _, last = file.rstrip(b"\r\n").rpartition(b"\n")
    body += b"\n" if body or file.startswith(b"\n") else b""
    try:
        text = last.decode()
        manifest = json.loads(text)["manifest"] if text.startswith("{") else json.loads(next(csv.reader([text]))[1])
        signature = manifest.pop("signature")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, StopIteration, csv.Error):
        return None
    if not isinstance(signature, str) or manifest.get("sha256") != hashlib.sha256(body).hexdigest():
        return None
    return manifest if is_signed(manifest, _SALT, signature) else None


def _form(event: AuditEvent) -> dict[str, Any]:
    return {name: plain(getattr(event, name)) for name in COLUMNS}


def _hashed(chunk: list[str], body: Any) -> str:
    text = "".join(chunk)
    body.update(text.encode())
    return text
