"""Set-points and what became of them. One table is the truth; `pilots.control` is its only writer."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _

from pilots.domain.setpoint import Issuer, SetpointState
from pilots.models.access import User
from pilots.models.groups import SetpointGroup
from pilots.models.plant import Point, choices
from pilots.models.schedules import Schedule


class Setpoint(models.Model):
    """A wanted value of a point with its life-cycle (docs/api.md, set-points).

    `claimed_at` and `claim_epoch` are set by the claiming UPDATE right before the write; they are not a state.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    point = models.ForeignKey(Point, models.PROTECT, related_name="setpoints", verbose_name=_("point"))
    kind = models.CharField(_("kind"), max_length=16, default="setpoint")
    value = models.FloatField(_("value"))
    unit = models.CharField(_("unit"), max_length=16, blank=True)
    mode = models.CharField(_("mode"), max_length=16, default="absolute")
    state = models.CharField(_("state"), max_length=16, choices=choices(SetpointState), db_index=True)
    code = models.CharField(_("code"), max_length=32, blank=True)
    explanation = models.CharField(_("explanation"), max_length=300, blank=True)

    issuer = models.CharField(_("issuer"), max_length=16, choices=choices(Issuer))
    requested_by = models.CharField(_("requested by"), max_length=120)
    user = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, verbose_name=_("user"))
    reason = models.CharField(_("reason"), max_length=300, blank=True)
    service = models.CharField(_("service"), max_length=32, blank=True)
    priority = models.PositiveSmallIntegerField(_("priority"))
    ramp = models.FloatField(_("ramp"), null=True)
    sequence = models.BigIntegerField(_("sequence"), null=True)
    on_expiry = models.CharField(_("on expiry"), max_length=16, default="release")
    fallback_value = models.FloatField(_("fallback value"), null=True)
    correlation_id = models.CharField(_("correlation id"), max_length=64, blank=True)
    before = models.FloatField(_("value before"), null=True)
    schedule = models.ForeignKey(Schedule, models.PROTECT, null=True, blank=True, related_name="setpoints")
    step = models.PositiveSmallIntegerField(_("step"), null=True, blank=True)
    group = models.ForeignKey(SetpointGroup, models.PROTECT, null=True, blank=True, related_name="setpoints")

    valid_from = models.DateTimeField(_("valid from"))
    valid_until = models.DateTimeField(_("valid until"))
    # Its end by the clock that nobody sets, and of which run of which machine that clock is (`control.age`).
    boot = models.CharField(max_length=36, blank=True)
    ends_since_boot_s = models.FloatField(null=True)
    issued_at = models.DateTimeField(_("issued"), null=True)
    received_at = models.DateTimeField(_("received"))
    claimed_at = models.DateTimeField(_("claimed"), null=True)
    claim_epoch = models.PositiveBigIntegerField(null=True)
    stepped_at = models.DateTimeField(null=True)  # the newest step of a ramp
    dispatched_at = models.DateTimeField(_("dispatched"), null=True)
    finished_at = models.DateTimeField(_("finished"), null=True)
    feedback_deadline = models.DateTimeField(_("feedback expected until"), null=True)
    released_at = models.DateTimeField(_("released"), null=True)
    release_reason = models.CharField(_("why it ended"), max_length=300, blank=True)
    superseded_by = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="supersedes")

    class Meta:
        ordering = ["-received_at"]
        verbose_name = _("set-point")
        verbose_name_plural = _("set-points")
        indexes = [
            models.Index(fields=["point", "-received_at"], name="setpoint_by_point"),
            models.Index(fields=["valid_until"], condition=models.Q(state="executed", released_at=None), name="setpoint_active"),
            models.Index(fields=["-received_at", "-id"], name="setpoint_by_time"),
            # The few that are on their way or hold their point, among all that ever were.
            models.Index(fields=["state", "-received_at"], condition=models.Q(released_at=None), name="setpoint_open"),
            # What was left on its value is looked for every second.
            models.Index(fields=["released_at"], condition=models.Q(on_expiry="hold"), name="setpoint_held_on"),
        ]
        constraints = [
            models.CheckConstraint(condition=models.Q(valid_until__gt=models.F("valid_from")), name="valid_for_some_time"),
        ]

    def __str__(self) -> str:
        return f"{self.point} = {self.value:g} {self.unit} ({self.state})"


class Forwarding(models.TextChoices):
    """Where an event stands on its way to the platform; empty: it is nothing of the platform's."""

    WAITING = "waiting", _("waiting")
    TOLD = "told", _("told")
    REFUSED = "refused", _("refused")


class SetpointEvent(models.Model):
    """One transition of a set-point: who, when, why, and the device's own words.

    Of the platform's set-points it is its own outbox row: written with the transition, `forwarding` until the platform has it.
    """

    setpoint = models.ForeignKey(Setpoint, models.CASCADE, related_name="events")
    state = models.CharField(max_length=16)
    at = models.DateTimeField()
    actor = models.CharField(max_length=120)
    code = models.CharField(max_length=32, blank=True)
    reason = models.CharField(max_length=300, blank=True)
    raw = models.CharField(max_length=500, blank=True)
    forwarding = models.CharField(max_length=8, blank=True, default="", choices=Forwarding.choices)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["id"], condition=models.Q(forwarding="waiting"), name="setpoint_events_waiting")]

    def __str__(self) -> str:
        return f"{self.state} {self.at:%H:%M:%S} {self.actor}"


class SourceRate(models.Model):
    """How often a source asks for set-points: the moment its bucket is full again, in seconds since 1970 UTC.

    A row, so that every web process counts in the same bucket.
    """

    source = models.CharField(max_length=140, primary_key=True)
    full_at = models.FloatField()

    def __str__(self) -> str:
        return self.source
