"""What a fresh installation needs before anybody can use it: tables, pilots, a first user, the simulators' secrets."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import transaction

from invade_scada import env
from pilots.audit.services import record_event
from pilots.catalogue.alarm_rules import put_default_rules
from pilots.catalogue.loader import load_pilots, profiles_of
from pilots.catalogue.services import commission_pilot
from pilots.domain.topology import Protocol
from pilots.history.services import ensure_partitions
from pilots.models import Device, Pilot, Scope, ServiceToken, User

SECRETS_FILE = "simulator_secrets.json"


def prepare_database() -> None:
    """Tables and this week's partitions stand."""
    call_command("migrate", interactive=False, verbosity=0)
    ensure_partitions(datetime.now(UTC))
    for pilot in Pilot.objects.filter(alarm_rules=None):  # commissioned by a version without alarms
        put_default_rules(pilot)


def prepare_pilots() -> int:
    """The five built-in pilots stand, unless somebody has commissioned pilots already. Returns how many are new."""
    if Pilot.objects.exists():
        return 0
    pilots = load_pilots()
    for spec in pilots.values():
        commission_pilot(spec, profiles_of(spec))
    return len(pilots)


def prepare_admin() -> str | None:
    """A first user `admin` with every role, when there is no user yet; returns the password if it was made up here."""
    if User.objects.exists():
        return None
    given = env.text("INVADE_ADMIN_PASSWORD")
    password = given or secrets.token_urlsafe(12)
    User.objects.create_superuser("admin", password=password)
    record_event(at=datetime.now(UTC), actor="first run", action="create user", subject="admin")
    return None if given else password


@transaction.atomic
def prepare_simulators() -> None:
    """Every simulated charge point has a key and every simulated head-end a token, in a file only its owner reads."""
    path = settings.DATA_DIR / SECRETS_FILE
    known = json.loads(path.read_text()) if path.exists() else {}
    # Copies: what is added below must differ from what the file has.
    form: dict[str, Any] = {name: dict(known.get(name, {})) for name in ("tokens", "charge_points")}
    form["platform_push"] = known.get("platform_push") or secrets.token_urlsafe(32)
    form["platform_control"] = _token(
        "simulated INVADE platform", [Scope.READ, Scope.CONTROL, Scope.INGEST], known.get("platform_control")
    )
    for pilot in Pilot.objects.filter(connections__simulated=True).distinct():
        _prepare_charge_points(pilot, form["charge_points"])
        _prepare_head_ends(pilot, form["tokens"])
    if form != known:
        _write_secret(path, form)


def _prepare_charge_points(pilot: Pilot, keys: dict[str, str]) -> None:
    stations = Device.objects.filter(pilot=pilot, connection__protocol=Protocol.OCPP16, connection__simulated=True)
    for device in stations:
        identity = device.address.get("identity", device.code)
        key = keys.setdefault(identity, secrets.token_urlsafe(24))
        digest = hashlib.sha256(key.encode()).hexdigest()
        if device.key_sha256 != digest:
            Device.objects.filter(pk=device.pk).update(key_sha256=digest)


def _prepare_head_ends(pilot: Pilot, tokens: dict[str, str]) -> None:
    """A token for each device that pushes, good for the devices it speaks for and no others."""
    pushed = Device.objects.filter(pilot=pilot, connection__protocol=Protocol.PUSH, connection__simulated=True)
    carried: dict[str, list[Device]] = {}
    for device in pushed.select_related("connection"):
        carried.setdefault(_pusher(device), []).append(device)
    for pusher, devices in carried.items():
        tokens[pusher] = _token(f"simulated {pusher}", [Scope.INGEST], tokens.get(pusher), pilot, devices)


def _pusher(device: Device) -> str:
    known = device.connection.options.get("pushers", []) if device.connection is not None else []
    return str(device.address.get("pusher") or (known[0] if known and device.code not in known else device.code))


def _token(name: str, scopes: list[Scope], known: str | None, pilot: Pilot | None = None, devices: Sequence[Device] = ()) -> str:
    token = known or secrets.token_urlsafe(32)
    digest = hashlib.sha256(token.encode()).hexdigest()
    reach = {"all_pilots": pilot is None, "all_devices": not devices}
    form = {"sha256": digest, "scopes": [str(scope) for scope in scopes], **reach}
    row, _ = ServiceToken.objects.update_or_create(name=name, defaults=form)
    row.pilots.set([] if pilot is None else [pilot])
    row.devices.set(devices)
    return token


def _write_secret(path: Path, form: dict[str, object]) -> None:
    draft = path.with_suffix(".new")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(form, file, indent=1)
    os.replace(draft, path)
