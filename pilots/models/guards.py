"""What people put between everybody's commands and the plant: blocking tags, commands off, holds. [operation]

A row each, which ends by `removed_at` and is never deleted. `pilots.control.guards` is the only writer.
"""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from pilots.models.plant import Device, Pilot, Point


class Guard(models.Model):
    """Who set it, when and why, and who took it away."""

    owner = models.CharField(_("owner"), max_length=120)
    reason = models.CharField(_("reason"), max_length=300)
    set_at = models.DateTimeField(_("set"))
    removed_at = models.DateTimeField(_("removed"), null=True)
    removed_by = models.CharField(_("removed by"), max_length=120, blank=True)

    class Meta:
        abstract = True
        ordering = ["-set_at"]


class BlockingTag(Guard):
    """Do not operate: nobody's command reaches the device, from wherever it comes. Reading goes on."""

    device = models.ForeignKey(Device, models.CASCADE, related_name="tags", verbose_name=_("device"))

    class Meta(Guard.Meta):
        verbose_name = _("blocking tag")
        verbose_name_plural = _("blocking tags")
        constraints = [
            models.UniqueConstraint(fields=["device", "owner"], condition=models.Q(removed_at=None), name="one_tag_per_owner"),
        ]

    def __str__(self) -> str:
        return f"{self.device}: do not operate, {self.owner}"


class CommandsOff(Guard):
    """No command leaves for a pilot, or for any where `pilot` is empty. What gives a point back still goes."""

    pilot = models.ForeignKey(
        Pilot, models.CASCADE, null=True, blank=True, related_name="+", verbose_name=_("pilot"), help_text=_("empty: every pilot")
    )

    class Meta(Guard.Meta):
        verbose_name = _("commands-off switch")
        verbose_name_plural = _("commands-off switches")
        constraints = [
            models.UniqueConstraint(Coalesce("pilot", 0), condition=models.Q(removed_at=None), name="off_once_per_pilot"),
        ]

    def __str__(self) -> str:
        return f"commands off: {self.pilot or 'all'}"


class OperatorHold(Guard):
    """An operator keeps a point until `until`: what is of a lower rank is refused."""

    point = models.ForeignKey(Point, models.CASCADE, related_name="holds", verbose_name=_("point"))
    until = models.DateTimeField(_("until"))

    class Meta(Guard.Meta):
        verbose_name = _("operator hold")
        verbose_name_plural = _("operator holds")
        constraints = [
            models.UniqueConstraint(fields=["point"], condition=models.Q(removed_at=None), name="one_hold_per_point"),
            models.CheckConstraint(condition=models.Q(until__gt=models.F("set_at")), name="held_for_some_time"),
        ]

    def __str__(self) -> str:
        return f"{self.point}: held by {self.owner}"
