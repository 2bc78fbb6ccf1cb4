"""On whose behalf a deed is audited: role, session or token, the client's address. [operation]

A context variable, so that no service has to hand it on: doors (middleware, API) say it, `record_event` writes it down.
Sessions and tokens are told by a fingerprint; the key itself would let in whoever reads the trail.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, replace
from hashlib import sha256


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """What is known of who asks; what is empty is not known or does not apply."""

    role: str = ""
    session: str = ""
    token: str = ""
    address: str = ""


NOBODY = Origin()
_origin: ContextVar[Origin] = ContextVar("audit_origin", default=NOBODY)


@contextmanager
def asked_from(origin: Origin) -> Iterator[None]:
    """Inside, deeds are of this origin."""
    before = _origin.get()
    _origin.set(origin)
    try:
        yield
    finally:
        # Not by the variable's token: under ASGI the inner layers run in copies of this context.
        _origin.set(before)


def add_to_origin(*, role: str | None = None, token: str | None = None) -> None:
    """The rest of the request is known to be of this role or token as well."""
    known = {name: value for name, value in (("role", role), ("token", token)) if value is not None}
    _origin.set(replace(_origin.get(), **known))


def origin_words() -> dict[str, str]:
    """What the trail keeps of the origin: nothing where nobody asked."""
    return {name: value for name, value in asdict(_origin.get()).items() if value}


def fingerprint(secret: str) -> str:
    """The first 64 bits of its SHA-256: tells two apart and opens nothing.

    >>> fingerprint("a session key")
    'a24bc50c24bed3d5'
    """
    return sha256(secret.encode()).hexdigest()[:16]
