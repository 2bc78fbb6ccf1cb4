"""Views of the trends page that somebody saved under a name."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from pilots.models.access import User
from pilots.models.plant import Pilot


class TrendView(models.Model):
    """`query` is the page's own address behind the question mark: opening it shows what was saved."""

    owner = models.ForeignKey(User, models.CASCADE, related_name="trend_views", verbose_name=_("owner"))
    pilot = models.ForeignKey(Pilot, models.CASCADE, related_name="trend_views", verbose_name=_("pilot"))
    name = models.CharField(_("name"), max_length=80)
    query = models.TextField(_("what it shows"), max_length=4000)
    shared = models.BooleanField(_("shared"), default=False)
    changed_at = models.DateTimeField(_("changed"))

    class Meta:
        ordering = ["name", "id"]
        verbose_name = _("trend view")
        verbose_name_plural = _("trend views")
        constraints = [models.UniqueConstraint(fields=["owner", "pilot", "name"], name="one_view_per_name")]

    def __str__(self) -> str:
        return self.name
