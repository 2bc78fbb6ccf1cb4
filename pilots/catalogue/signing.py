"""Signatures of what leaves the installation: HMAC-SHA256 over canonical JSON under a key derived from the secret key.

Canonical is RFC 8785's idea: sorted keys, no spaces, UTF-8. Only this installation can sign and tell what it signed.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.utils.crypto import salted_hmac

_PREFIX = "hmac-sha256:"


def signature_of(content: Mapping[str, Any], salt: str) -> str:
    """The signature; `salt` keeps one kind of document from passing for another."""
    return _signature(content, salt, settings.SECRET_KEY)


def is_signed(content: Mapping[str, Any], salt: str, signature: str) -> bool:
    """Whether this installation signed it, also under an earlier secret key, as long as settings name it."""
    secrets = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return any(hmac.compare_digest(_signature(content, salt, secret).encode(), signature.encode()) for secret in secrets)


def _signature(content: Mapping[str, Any], salt: str, secret: str | bytes) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    return _PREFIX + salted_hmac(salt, canonical, secret=secret, algorithm="sha256").hexdigest()
