"""Group set-points: one target, shared among several devices, each with a set-point of its own."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _

from pilots.domain.setpoint import Issuer
from pilots.models.access import User
from pilots.models.plant import Pilot, choices


class SetpointGroup(models.Model):
    """What was wished of all, and `parts`: what each could do, got and why (docs/api.md, group set-points).

    What became of it stands in the set-points. `pilots.control.groups` is the only writer.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    pilot = models.ForeignKey(Pilot, models.PROTECT, related_name="groups", verbose_name=_("pilot"))
    point = models.CharField(_("point"), max_length=64)
    mode = models.CharField(_("mode"), max_length=16, default="absolute")
    unit = models.CharField(_("unit"), max_length=16)
    target = models.FloatField(_("target"))
    parts = models.JSONField(_("parts"), default=list)
    priority = models.PositiveSmallIntegerField(_("priority"))
    valid_until = models.DateTimeField(_("valid until"))

    issuer = models.CharField(_("issuer"), max_length=16, choices=choices(Issuer))
    requested_by = models.CharField(_("requested by"), max_length=120)
    user = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, verbose_name=_("user"))
    reason = models.CharField(_("reason"), max_length=300, blank=True)
    service = models.CharField(_("service"), max_length=32, blank=True)
    received_at = models.DateTimeField(_("received"))
    aborted_at = models.DateTimeField(_("aborted"), null=True)
    aborted_by = models.CharField(_("aborted by"), max_length=120, blank=True)
    abort_reason = models.CharField(_("why it was aborted"), max_length=300, blank=True)

    class Meta:
        ordering = ["-received_at"]
        verbose_name = _("group set-point")
        verbose_name_plural = _("group set-points")
        constraints = [models.CheckConstraint(condition=models.Q(priority__range=(1, 9)), name="group_priority")]

    def __str__(self) -> str:
        return f"{self.target:g} {self.unit} for {len(self.parts)} devices of {self.pilot.code}"
