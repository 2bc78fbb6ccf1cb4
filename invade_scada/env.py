"""Typed readers of the environment: a wrong value stops the start with a sentence that names the variable."""

from __future__ import annotations

import os
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit


class SettingError(Exception):
    """An environment variable cannot be used; the message names it."""


def text(name: str, default: str = "") -> str:
    return os.environ.get(name, default).strip()


def integer(name: str, default: int, *, low: int, high: int) -> int:
    """A whole number from `low` to `high`. Raises SettingError."""
    raw = text(name) or str(default)
    try:
        number = int(raw)
    except ValueError:
        number = low - 1
    if not low <= number <= high:
        raise SettingError(f"{name}={raw!r} must be a whole number from {low} to {high}")
    return number


def flag(name: str, default: bool) -> bool:
    """True for 1, true, yes, on; False for 0, false, no, off. Raises SettingError."""
    raw = text(name).lower()
    if raw in ("1", "true", "yes", "on"):
        return True
    if raw in ("0", "false", "no", "off"):
        return False
    if raw:
        raise SettingError(f"{name}={raw!r} must be 1 or 0")
    return default


def words(name: str, default: str = "") -> list[str]:
    """A comma-separated list."""
    return [word.strip() for word in text(name, default).split(",") if word.strip()]


def choice(name: str, default: str, among: Sequence[str]) -> str:
    """One of these words. Raises SettingError."""
    word = text(name, default).lower()
    if word not in among:
        raise SettingError(f"{name}={word!r} must be one of {', '.join(among)}")
    return word


def networks(name: str) -> list[IPv4Network | IPv6Network]:
    """A comma-separated list of networks, as 10.0.0.0/8. Raises SettingError."""
    try:
        return [ip_network(word) for word in words(name)]
    except ValueError as error:
        raise SettingError(f"{name} must be networks as 10.0.0.0/8, comma-separated: {error}") from error


def database(name: str, default_path: str) -> dict[str, Any]:
    """Django's database entry: SQLite at `default_path`, or PostgreSQL from a postgres:// URL. Raises SettingError."""
    url = text(name)
    if not url or url.startswith("sqlite:///"):
        return _sqlite(url.removeprefix("sqlite:///") or default_path)
    parts = urlsplit(url)
    if parts.scheme not in ("postgres", "postgresql") or not parts.path.strip("/") or not _port_is_good(parts):
        raise SettingError(f"{name} must be postgres://user:password@host:port/name or sqlite:///path")
    return _postgresql(parts)


def _port_is_good(parts: SplitResult) -> bool:
    try:
        return parts.port is None or parts.port > 0
    except ValueError:
        return False


def _sqlite(path: str) -> dict[str, Any]:
    # FULL, not NORMAL: an acknowledged measurement survives a power cut. IMMEDIATE: writers queue instead of failing.
    # A checkpoint each 64 MB: a flood of samples writes the same pages with every flush, and once is enough.
    pragmas = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY; PRAGMA wal_autocheckpoint=16000;"
    options = {"transaction_mode": "IMMEDIATE", "timeout": 30, "init_command": pragmas}
    # A connection per thread is kept: opening one runs all the pragmas again.
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "OPTIONS": options,
        "CONN_MAX_AGE": None,
        "TEST": {"NAME": path + ".test"},
    }


def _postgresql(parts: SplitResult) -> dict[str, Any]:
    options: dict[str, Any] = dict(parse_qsl(parts.query))
    options["pool"] = {"min_size": 1, "max_size": 12, "timeout": 10}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.strip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        "OPTIONS": options,
        "CONN_HEALTH_CHECKS": True,
    }
