"""Values that operators put in the place of what cannot be measured. [operation]

A row each, which ends by `removed_at` and is never deleted. `pilots.control.substitutions` is the only writer, but for `settled`.
"""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from pilots.models.guards import Guard
from pilots.models.plant import Point


class Substitution(Guard):
    """`value` stands for the point until `until`, with quality source substituted (IEC 60870-5-101 7.2.6.3 SB)."""

    point = models.ForeignKey(Point, models.CASCADE, related_name="substitutions", verbose_name=_("point"))
    value = models.FloatField(_("value"))
    until = models.DateTimeField(_("until"))
    settled = models.BooleanField(_("settled"), default=False, help_text=_("after its end the value no longer looks current"))

    class Meta(Guard.Meta):
        verbose_name = _("substitution")
        verbose_name_plural = _("substitutions")
        constraints = [
            models.UniqueConstraint(fields=["point"], condition=models.Q(removed_at=None), name="one_substitution_per_point"),
            models.CheckConstraint(condition=models.Q(until__gt=models.F("set_at")), name="substituted_for_some_time"),
        ]
        indexes = [models.Index(fields=["settled"], condition=models.Q(settled=False), name="substitution_open")]

    def __str__(self) -> str:
        return f"{self.point}: {self.value:g} by {self.owner}"
