"""Service tokens: made here, shown once, kept only as a digest."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from django.db import transaction

from pilots.api.authentication import digest
from pilots.audit.services import record_event
from pilots.domain.errors import PilotsError
from pilots.models import Device, Pilot, Scope, ServiceToken


class TokenError(PilotsError):
    """A token cannot be made as asked; the sentence says why."""

    code = "token"


def create_token(
    *,
    name: str,
    scopes: Collection[str],
    pilots: Sequence[str] | None,
    devices: Sequence[str] | None,
    days: int | None = None,
    replace: bool = False,
    actor: str,
    now: datetime,
    secret: str | None = None,
) -> str:
    """A token of that name is live; returns its secret, which is not kept. `pilots` or `devices` None: every one.

    `secret` is for an installation that shares it with its simulators beforehand. Raises TokenError.
    """
    found_pilots, found_devices = check_token(name=name, scopes=scopes, pilots=pilots, devices=devices, days=days)
    secret = secret or secrets.token_urlsafe(32)
    with transaction.atomic():
        existing = ServiceToken.objects.select_for_update().filter(name=name).first()
        if existing is not None and not replace:
            raise TokenError(f"A token named {name!r} exists; --replace gives it a new secret and new rights.")
        token = existing or ServiceToken(name=name)
        token.sha256, token.scopes, token.revoked_at = digest(secret), sorted(set(scopes)), None
        token.expires_at = None if days is None else now + timedelta(days=days)
        token.all_pilots, token.all_devices = pilots is None, devices is None
        token.save()
        token.pilots.set(found_pilots)
        token.devices.set(found_devices)
        details = {"scopes": token.scopes, "pilots": _told(pilots), "devices": _told(devices), "days": days}
        action = "create token" if existing is None else "replace token"
        record_event(at=now, actor=actor, action=action, subject=name, details=details)
    return secret


def check_token(
    *, name: str, scopes: Collection[str], pilots: Sequence[str] | None, devices: Sequence[str] | None, days: int | None
) -> tuple[list[Pilot], list[Device]]:
    """The pilots and devices a token of this form would be for. Raises TokenError when there can be no such token."""
    _check(name, scopes, days)
    for what, chosen in (("pilots", pilots), ("devices", devices)):
        if chosen is not None and not chosen:
            raise TokenError(f"Choose the {what}, or every one of them: what is not said is not allowed.")
    return _find_pilots(pilots or ()), _find_devices(devices or (), pilots)


@transaction.atomic
def revoke_token(token: ServiceToken, *, actor: str, now: datetime) -> bool:
    """The token opens nothing from now on. Returns whether it did until now."""
    if not ServiceToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=now):
        return False
    record_event(at=now, actor=actor, action="revoke token", subject=token.name)
    return True


def _check(name: str, scopes: Collection[str], days: int | None) -> None:
    if not name or len(name) > 80 or not name.isprintable():
        raise TokenError("A token's name has 1 to 80 printable characters.")
    wrong = set(scopes) - set(Scope.values)
    if wrong or not scopes:
        raise TokenError(f"Scopes are {', '.join(Scope.values)}, not {', '.join(sorted(wrong)) or 'none'}.")
    if days is not None and not 1 <= days <= 3650:
        raise TokenError("A token lives for 1 to 3650 days.")


def _find_pilots(codes: Sequence[str]) -> list[Pilot]:
    found = {pilot.code: pilot for pilot in Pilot.objects.filter(code__in=codes)}
    unknown = [code for code in codes if code not in found]
    if unknown:
        known = ", ".join(Pilot.objects.values_list("code", flat=True)) or "none yet"
        raise TokenError(f"No pilot {', '.join(unknown)}; commissioned: {known}.")
    return list(found.values())


def _told(chosen: Sequence[str] | None) -> list[str] | str:
    return "all" if chosen is None else list(chosen)


def _find_devices(codes: Sequence[str], pilots: Sequence[str] | None) -> list[Device]:
    rows = Device.objects.filter(code__in=codes)
    if pilots is not None:
        rows = rows.filter(pilot__code__in=pilots)
    found = {device.code: device for device in rows}
    unknown = [code for code in codes if code not in found]
    if unknown:
        raise TokenError(f"No device {', '.join(unknown)} in these pilots.")
    return list(found.values())
