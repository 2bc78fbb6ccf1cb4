"""Who may do what, and who did: users, role grants, service tokens, audit events.

Role names are those of IEC 62351-8, each granted for one pilot or all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils.translation import gettext_lazy as _

from pilots.models.plant import Device, Pilot

LANGUAGES = [("en", "English"), ("bg", "Български"), ("es", "Español"), ("ca", "Català"), ("nl", "Nederlands")]
LANGUAGES += [("nb", "Norsk bokmål"), ("de", "Deutsch")]


class Theme(models.TextChoices):
    """How pages look."""

    SYSTEM = "", _("as the system says")
    LIGHT = "light", _("light")
    DARK = "dark", _("dark")


class Clock(models.TextChoices):
    """Whose time the pages speak."""

    PILOT = "pilot", _("Pilot time")
    OWN = "own", _("Own time")
    UTC = "utc", "UTC"


class User(AbstractUser):
    """A person. Rights come from role grants, not from flags; `is_superuser` is for the first installation only."""

    language = models.CharField(_("language"), max_length=8, choices=LANGUAGES, default="en")
    time_zone = models.CharField(_("time zone"), max_length=64, blank=True, help_text=_("Own time"))
    clock = models.CharField(_("clock"), max_length=8, choices=Clock.choices, default=Clock.PILOT)
    theme = models.CharField(_("theme"), max_length=8, choices=Theme.choices, blank=True, default=Theme.SYSTEM)
    #: No person but a wall screen (`Kiosk`): it reads a few pages, whatever it is granted.
    is_kiosk = models.BooleanField(default=False, editable=False)
    #: When the tour of the pages was walked or declined; until then it is offered.
    tour_ended_at = models.DateTimeField(null=True, editable=False)

    def rights(self) -> Rights:
        """What this person may just now, by one question to the database."""
        if not self.is_active:
            return Rights(everything=False, grants=frozenset())
        grants = self.grants.filter(role=Role.VIEWER) if self.is_kiosk else self.grants.all()
        everything = self.is_superuser and not self.is_kiosk
        return Rights(everything=everything, grants=frozenset(grants.values_list("role", "pilot_id")))

    def visible_pilots(self) -> models.QuerySet[Pilot]:
        """The pilots where this person may see values; none without a grant."""
        return self.rights().visible_pilots()

    def has_role(self, role: Role, pilot: Pilot | None = None) -> bool:
        """Whether this person acts as `role` at `pilot` (None: at every pilot)."""
        return self.rights().has_role(role, pilot)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rights:
    """A person's grants (role, key of the pilot or None: every pilot) as they stood at one moment, for one request at most."""

    everything: bool
    grants: frozenset[tuple[str, int | None]]

    def visible_pilots(self) -> models.QuerySet[Pilot]:
        """The pilots where this person may see values; none without a grant."""
        return self.pilots_where(*SEEING)

    def pilots_where(self, *roles: Role) -> models.QuerySet[Pilot]:
        """The pilots where this person acts as one of the roles."""
        where = {pilot for role, pilot in self.grants if role in roles}
        if self.everything or None in where:
            return Pilot.objects.all()
        return Pilot.objects.filter(pk__in=[pilot for pilot in where if pilot is not None])

    def has_role(self, role: Role, pilot: Pilot | None = None) -> bool:
        """Whether this person acts as `role` at `pilot` (None: at every pilot)."""
        here = {(role, None), (role, None if pilot is None else pilot.pk)}
        return self.everything or not self.grants.isdisjoint(here)

    def somewhere(self, *roles: Role) -> bool:
        """Whether this person acts as one of the roles at any pilot."""
        return self.everything or any(role in roles for role, _pilot in self.grants)


class Role(models.TextChoices):
    """Roles of IEC 62351-8. First light enforces viewer, operator and engineer."""

    VIEWER = "viewer", _("viewer")
    OPERATOR = "operator", _("operator")
    ENGINEER = "engineer", _("engineer")
    INSTALLER = "installer", _("installer")
    SECADM = "secadm", _("security administrator")
    SECAUD = "secaud", _("security auditor")
    RBACMNT = "rbacmnt", _("role administrator")
    #: Ours beside the standard's (it foresees such): agrees to commands of others where two persons are needed.
    APPROVER = "approver", _("approver")


#: Who sees values and diagrams (IEC 62351-8 rights, docs/admins.md).
SEEING = [Role.VIEWER, Role.OPERATOR, Role.ENGINEER, Role.INSTALLER, Role.APPROVER]


def visible_codes(users: models.QuerySet[User], every: Iterable[str]) -> dict[int, frozenset[str]]:
    """`User.visible_pilots` of many active users as codes, by their keys; `every` pilot's code is known."""
    seen: dict[int, set[str]] = {
        user: set(every) if everywhere else set() for user, everywhere in users.values_list("pk", "is_superuser")
    }
    for user, code in RoleGrant.objects.filter(user__in=seen, role__in=SEEING).values_list("user", "pilot__code"):
        seen[user].update(every if code is None else [code])
    return {user: frozenset(codes) for user, codes in seen.items()}


class RoleGrant(models.Model):
    """`user` acts as `role` at `pilot`, or at every pilot where it is empty."""

    user = models.ForeignKey(User, models.CASCADE, related_name="grants", verbose_name=_("user"))
    pilot = models.ForeignKey(
        Pilot, models.CASCADE, null=True, blank=True, verbose_name=_("pilot"), help_text=_("empty: every pilot")
    )
    role = models.CharField(_("role"), max_length=16, choices=Role.choices)

    class Meta:
        verbose_name = _("role grant")
        verbose_name_plural = _("role grants")
        constraints = [
            models.UniqueConstraint(fields=["user", "pilot", "role"], name="one_grant", nulls_distinct=False),
        ]

    def __str__(self) -> str:
        return f"{self.user}: {self.role} @ {self.pilot or 'all'}"


class Scope(models.TextChoices):
    """What a service token may do."""

    READ = "read", _("read")
    CONTROL = "control", _("control")
    INGEST = "ingest", _("ingest")
    ADMIN = "admin", _("admin")
    SWITCH = "switch", _("switch")
    SWITCH_CRITICAL = "switch_critical", _("switch what is critical")
    APPROVE = "approve", _("approve")


class ServiceToken(models.Model):
    """A machine's key. Only the SHA-256 of the 256-bit random token is kept: a fast hash is right for a random key."""

    name = models.CharField(_("name"), max_length=80, unique=True)
    sha256 = models.CharField(max_length=64, unique=True, editable=False)
    scopes = models.JSONField(_("scopes"), default=list)
    #: Said in so many words: a list that became empty, its last device gone, must not open everything.
    all_pilots = models.BooleanField(_("every pilot"), default=False)
    all_devices = models.BooleanField(_("every device"), default=False)
    pilots = models.ManyToManyField(Pilot, blank=True, verbose_name=_("pilots"), help_text=_("only these, unless every pilot"))
    devices = models.ManyToManyField(
        Device, blank=True, verbose_name=_("devices"), help_text=_("only these of the pilots, unless every device")
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, editable=False)

    class Meta:
        verbose_name = _("service token")
        verbose_name_plural = _("service tokens")

    def __str__(self) -> str:
        return self.name

    def is_live(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)


class IdempotencyKey(models.Model):
    """The first answer to a keyed POST, kept 48 h: a repeat gets it again, another body under the same key gets 409."""

    source = models.CharField(max_length=120)
    key = models.CharField(max_length=200)
    body_sha256 = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True)
    answer = models.JSONField(null=True)
    location = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["source", "key"], name="one_answer_per_key")]

    def __str__(self) -> str:
        return f"{self.source}: {self.key}"


class AuditEvent(models.Model):
    """Who did what, when and why. Rows are only ever added, by `pilots.audit` alone; the database refuses everything else.

    `number` runs without gaps in the order of commits, `hash` chains each row to the one before (domain/chain.py). Until a
    row's own transaction commits on PostgreSQL it has no number, and `hash` covers its content alone.
    """

    number = models.BigIntegerField(_("number"), unique=True, null=True, editable=False)
    at = models.DateTimeField(_("time"), db_index=True)
    actor = models.CharField(_("actor"), max_length=120)
    action = models.CharField(_("action"), max_length=64)
    pilot = models.CharField(_("pilot"), max_length=16, blank=True)
    subject = models.CharField(_("subject"), max_length=200, blank=True)
    reason = models.CharField(_("reason"), max_length=300, blank=True)
    details = models.JSONField(_("details"), default=dict, blank=True)
    hash = models.CharField(_("hash"), max_length=64, editable=False)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("audit event")
        verbose_name_plural = _("audit events")
        indexes = [
            models.Index(fields=["pilot", "number"], name="audit_of_pilot"),
            models.Index(fields=["pilot", "at"], name="audit_of_pilot_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%dT%H:%M:%SZ} {self.actor} {self.action} {self.subject}"


class AuditVerification(models.Model):
    """How the last verification of the audit trail ended: one row, for pages and probes. The proof is the anchors' file."""

    at = models.DateTimeField()
    number = models.BigIntegerField()
    hash = models.CharField(max_length=64)
    fault = models.CharField(max_length=300, blank=True)

    def __str__(self) -> str:
        return self.fault or f"verified up to {self.number}"
