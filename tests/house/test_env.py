"""Settings from the environment: a wrong one stops the start with a sentence that names it."""

from __future__ import annotations

from typing import Any

import pytest

from invade_scada import env


@pytest.mark.parametrize("raw", ["abc", "1.5", "--5", "²", "0", "65536", "-1"])
def test_a_wrong_number_names_its_variable(monkeypatch: pytest.MonkeyPatch, raw: str) -> None:
    monkeypatch.setenv("INVADE_PORT", raw)
    with pytest.raises(env.SettingError, match="INVADE_PORT"):
        env.integer("INVADE_PORT", 8000, low=1, high=65535)


def test_a_number_has_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INVADE_PORT", "  ")
    assert env.integer("INVADE_PORT", 8000, low=1, high=65535) == 8000


@pytest.mark.parametrize(("raw", "value"), [("1", True), ("Yes", True), ("off", False), ("", True)])
def test_a_flag_has_plain_words(monkeypatch: pytest.MonkeyPatch, raw: str, value: bool) -> None:
    monkeypatch.setenv("INVADE_HTTPS", raw)
    assert env.flag("INVADE_HTTPS", True) is value


def test_a_wrong_flag_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INVADE_HTTPS", "perhaps")
    with pytest.raises(env.SettingError, match="INVADE_HTTPS"):
        env.flag("INVADE_HTTPS", False)


@pytest.mark.parametrize("url", ["mysql://a/b", "postgres://host", "postgres://host:port/name", "postgres://host:99999/name"])
def test_a_wrong_database_names_its_variable(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    with pytest.raises(env.SettingError, match="DATABASE_URL"):
        env.database("DATABASE_URL", "scada.sqlite3")


def test_a_postgresql_url_is_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://us%40er:p%3Aw@db:5433/scada?sslmode=require")
    entry: dict[str, Any] = env.database("DATABASE_URL", "scada.sqlite3")
    found = [entry[name] for name in ("USER", "PASSWORD", "HOST", "PORT", "NAME")]
    assert found == ["us@er", "p:w", "db", "5433", "scada"]
    assert entry["OPTIONS"]["sslmode"] == "require"


def test_without_a_url_it_is_sqlite_that_survives_a_power_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    entry: dict[str, Any] = env.database("DATABASE_URL", "scada.sqlite3")
    assert entry["NAME"] == "scada.sqlite3"
    assert "synchronous=FULL" in entry["OPTIONS"]["init_command"]
