"""The hash chain of the audit trail: each row's hash covers its content, its number and the hash before it. [all zones]

hash = SHA-256(hash before ‖ number ‖ SHA-256(canonical JSON of the row)), hexadecimal; canonical as in RFC 8785's idea:
sorted keys, no spaces. Whoever changes, removes, moves or inserts a row has to write every later row anew, and meets the
anchors kept outside the database. PostgreSQL links rows by the same formula as they commit (migration 0005).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

#: What stands before the first row.
GENESIS = "0" * 64
#: What a row's hash covers, besides its number.
CONTENT = ("at", "actor", "action", "pilot", "subject", "reason", "details")


def digest(content: Mapping[str, Any]) -> str:
    """SHA-256 of a row's content in canonical JSON, whatever else the mapping holds."""
    form = {name: plain(content[name]) for name in CONTENT}
    return sha256(json.dumps(form, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def link(before: str, number: int, content_digest: str) -> str:
    """The hash of row `number`, after a row whose hash is `before`."""
    return sha256(f"{before}{number}{content_digest}".encode()).hexdigest()


def plain(value: Any) -> Any:
    """The value as JSON that every database gives back the same: jsonb turns 1e20 into an integer and refuses NUL and NaN.

    >>> plain({"limit": 4.0, "share": 0.25, 1: (math.inf, "a\\0b")})
    {'limit': 4, 'share': 0.25, '1': ['inf', 'ab']}
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return int(value) if value.is_integer() else float(value)
    if isinstance(value, Mapping):
        return {clean(str(key)): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return clean(str(value))


def clean(text: str) -> str:
    """The text without what a database cannot keep: NUL and halves of surrogate pairs."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()
