"""Dashboards that people put together themselves."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from pilots.models.access import User


class Dashboard(models.Model):
    """`tiles` is a list of `{"point": "es-STO01/active_power", "kind": "value" or "trend"}` in their order."""

    owner = models.ForeignKey(User, models.CASCADE, related_name="dashboards", verbose_name=_("owner"))
    name = models.CharField(_("name"), max_length=80)
    shared = models.BooleanField(_("shared"), default=False)
    tiles = models.JSONField(_("tiles"), default=list)
    changed_at = models.DateTimeField(_("changed"))

    class Meta:
        ordering = ["name", "id"]
        verbose_name = _("dashboard")
        verbose_name_plural = _("dashboards")
        constraints = [models.UniqueConstraint(fields=["owner", "name"], name="one_dashboard_per_name")]

    def __str__(self) -> str:
        return self.name
