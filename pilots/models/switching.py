"""Commands on their way to be operated: what is selected and who agreed. `pilots.control.switching` is the only writer.

Neither row ever commands anything: the set-point does, which operating makes. Rows end, they are never deleted.
"""

from __future__ import annotations

import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _

from pilots.domain.switching import CommandClass
from pilots.models.plant import Device, Point, choices
from pilots.models.setpoints import Setpoint


class Selection(models.Model):
    """A device reserved for one command by one session (`session`: its digest), until `until`.

    `source` is who asks, as `user:3` or `token:invade`; two sessions of one person have the same. `outcome` is empty while it
    is open, then operated, cancelled, expired or refused (by the second person).
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    point = models.ForeignKey(Point, models.CASCADE, related_name="selections", verbose_name=_("point"))
    device = models.ForeignKey(Device, models.CASCADE, related_name="selections", verbose_name=_("device"))
    value = models.FloatField(_("value"))
    before = models.FloatField(_("value before"), null=True)
    reason = models.CharField(_("reason"), max_length=300)
    command_class = models.CharField(_("class"), max_length=16, choices=choices(CommandClass))
    owner = models.CharField(_("owner"), max_length=120)
    source = models.CharField(max_length=160)
    session = models.CharField(max_length=64)
    selected_at = models.DateTimeField(_("selected"))
    until = models.DateTimeField(_("until"))
    ended_at = models.DateTimeField(_("ended"), null=True)
    outcome = models.CharField(_("outcome"), max_length=16, blank=True)
    setpoint = models.ForeignKey(Setpoint, models.SET_NULL, null=True, related_name="+", verbose_name=_("set-point"))

    class Meta:
        ordering = ["-selected_at"]
        verbose_name = _("selection")
        verbose_name_plural = _("selections")
        constraints = [
            models.UniqueConstraint(fields=["device"], condition=models.Q(ended_at=None), name="one_selection_per_device"),
            models.CheckConstraint(condition=models.Q(until__gt=models.F("selected_at")), name="selected_for_some_time"),
        ]

    def __str__(self) -> str:
        return f"{self.point} = {self.value:g}, selected by {self.owner}"


class Approval(models.Model):
    """A second person's word on a selection, asked for once; `approved` is empty until it is given."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    selection = models.OneToOneField(Selection, models.CASCADE, related_name="approval", verbose_name=_("selection"))
    requested_at = models.DateTimeField(_("requested"))
    until = models.DateTimeField(_("until"))
    approved = models.BooleanField(_("approved"), null=True)
    decided_at = models.DateTimeField(_("decided"), null=True)
    decided_by = models.CharField(_("decided by"), max_length=120, blank=True)
    reason = models.CharField(_("reason"), max_length=300, blank=True)

    class Meta:
        ordering = ["-requested_at"]
        verbose_name = _("approval")
        verbose_name_plural = _("approvals")

    def __str__(self) -> str:
        return f"{self.selection}: {self.approved}"
