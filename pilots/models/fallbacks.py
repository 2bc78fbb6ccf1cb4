"""What is known of the platform's heartbeat, and the fallback plans in force. `pilots.control.fallbacks` is the only writer."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from pilots.domain.fallback import Cause
from pilots.models.guards import Guard
from pilots.models.plant import Pilot, Point, choices


class PlatformWatch(models.Model):
    """When a pilot last heard the platform; `lost_at` stands while it is silent beyond the pilot's heartbeat."""

    pilot = models.OneToOneField(Pilot, models.CASCADE, primary_key=True, related_name="watch", verbose_name=_("pilot"))
    heard_at = models.DateTimeField(_("heard"))
    heard_from = models.CharField(_("heard from"), max_length=120)
    #: While nobody looked the platform could not be judged: its time counts from here when that is later.
    patient_from = models.DateTimeField()
    looked_at = models.DateTimeField()
    lost_at = models.DateTimeField(_("lost"), null=True)

    class Meta:
        verbose_name = _("platform watch")
        verbose_name_plural = _("platform watches")

    def __str__(self) -> str:
        return f"{self.pilot}: {self.heard_from} {self.heard_at:%H:%M:%S}"


class FallbackRun(Guard):
    """A fallback plan in force at a point: `value` was asked of it, and nothing weaker is taken until `removed_at`."""

    point = models.ForeignKey(Point, models.CASCADE, related_name="fallbacks", verbose_name=_("point"))
    cause = models.CharField(_("cause"), max_length=16, choices=choices(Cause))
    value = models.FloatField(_("value"))
    asked_at = models.DateTimeField(null=True)
    resumed_at = models.DateTimeField(null=True)
    #: Ended by hand while its cause went on: it does not begin again before the cause has ended.
    overridden = models.BooleanField(_("taken over"), default=False)

    class Meta(Guard.Meta):
        verbose_name = _("fallback plan in force")
        verbose_name_plural = _("fallback plans in force")
        constraints = [
            models.UniqueConstraint(fields=["point"], condition=models.Q(removed_at=None), name="one_fallback_per_point"),
        ]

    def __str__(self) -> str:
        return f"{self.point}: fallback, {self.cause}"
