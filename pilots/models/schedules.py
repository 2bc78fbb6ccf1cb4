"""Schedules: curves of wanted values, each step of which becomes a set-point. `pilots.control` is their only writer."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _

from pilots.domain.schedule import Curve, OnExpiry, ScheduleState
from pilots.domain.setpoint import Issuer
from pilots.models.access import User
from pilots.models.plant import Point, choices


class Schedule(models.Model):
    """A curve for one point (docs/api.md, schedules). `values` has null where a step has no value."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    point = models.ForeignKey(Point, models.PROTECT, related_name="schedules", verbose_name=_("point"))
    mode = models.CharField(_("mode"), max_length=16, default="absolute")
    unit = models.CharField(_("unit"), max_length=16, blank=True)
    start = models.DateTimeField(_("start"))
    resolution_s = models.PositiveIntegerField(_("resolution, s"), default=900)
    values = models.JSONField(_("values"), default=list)
    end = models.DateTimeField(_("end"))
    priority = models.PositiveSmallIntegerField(_("priority"), default=6)
    on_expiry = models.CharField(_("on expiry"), max_length=16, choices=choices(OnExpiry), default="release")
    fallback_value = models.FloatField(_("fallback value"), null=True)
    revision = models.PositiveIntegerField(_("revision"), default=1)
    state = models.CharField(_("state"), max_length=16, choices=choices(ScheduleState), db_index=True)
    explanation = models.CharField(_("explanation"), max_length=300, blank=True)

    issuer = models.CharField(_("issuer"), max_length=16, choices=choices(Issuer))
    requested_by = models.CharField(_("requested by"), max_length=120)
    user = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, verbose_name=_("user"))
    reason = models.CharField(_("reason"), max_length=300, blank=True)
    service = models.CharField(_("service"), max_length=32, blank=True)
    issued_at = models.DateTimeField(_("issued"))
    received_at = models.DateTimeField(_("received"))
    finished_at = models.DateTimeField(_("finished"), null=True)

    class Meta:
        ordering = ["-received_at"]
        verbose_name = _("schedule")
        verbose_name_plural = _("schedules")
        indexes = [models.Index(fields=["point", "-received_at"], name="schedule_by_point")]
        constraints = [
            models.CheckConstraint(condition=models.Q(end__gt=models.F("start")), name="scheduled_for_some_time"),
            models.CheckConstraint(condition=models.Q(priority__range=(1, 9)), name="schedule_priority"),
        ]

    def __str__(self) -> str:
        return f"{self.point}, {len(self.values)} steps from {self.start:%Y-%m-%d %H:%M} ({self.state})"

    @property
    def curve(self) -> Curve:
        """The steps as the domain's own object."""
        return Curve(
            start=self.start,
            resolution_s=self.resolution_s,
            values=tuple(self.values),
            on_expiry=OnExpiry(self.on_expiry),
            fallback_value=self.fallback_value,
        )
