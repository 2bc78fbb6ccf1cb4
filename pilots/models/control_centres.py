"""Control centres of others that read our points over IEC 60870-5-104, and which points they see."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from pilots.models.plant import Point


class ControlCentre(models.Model):
    """One northbound IEC 104 listener of ours. Nobody may connect whose address is not listed."""

    name = models.SlugField(_("name"), max_length=64, unique=True)
    enabled = models.BooleanField(_("enabled"), default=False)
    host = models.CharField(_("listens on"), max_length=253, default="127.0.0.1")
    port = models.PositiveIntegerField(_("port"), default=2404, validators=[MinValueValidator(1), MaxValueValidator(65535)])
    common_address = models.PositiveIntegerField(
        _("common address"), default=1, validators=[MinValueValidator(1), MaxValueValidator(65534)]
    )
    allowed_addresses = models.JSONField(
        _("allowed addresses"), default=list, blank=True, help_text=_("IP addresses that may connect; empty: nobody")
    )
    may_control = models.BooleanField(_("may send set-points"), default=False)
    options = models.JSONField(_("options"), default=dict, blank=True, help_text=_("k, w, t1 to t3, tls"))

    state = models.CharField(_("state"), max_length=16, default="unknown", editable=False)
    last_error = models.CharField(_("last error"), max_length=300, blank=True, editable=False)

    class Meta:
        ordering = ["name"]
        verbose_name = _("control centre")
        verbose_name_plural = _("control centres")

    def __str__(self) -> str:
        return self.name


class ControlCentrePoint(models.Model):
    """One point that a control centre sees, under its information object address."""

    centre = models.ForeignKey(ControlCentre, models.CASCADE, related_name="points", verbose_name=_("control centre"))
    point = models.ForeignKey(Point, models.CASCADE, related_name="+", verbose_name=_("point"))
    object_address = models.PositiveIntegerField(
        _("object address"), validators=[MinValueValidator(1), MaxValueValidator(16777215)]
    )
    type_id = models.PositiveSmallIntegerField(
        _("type identification"), null=True, blank=True, help_text=_("empty: by the point's kind (13, 30, 31, 15, 50)")
    )

    class Meta:
        ordering = ["centre", "object_address"]
        verbose_name = _("point of a control centre")
        verbose_name_plural = _("points of control centres")
        constraints = [
            models.UniqueConstraint(fields=["centre", "object_address"], name="one_point_per_object_address"),
            models.UniqueConstraint(fields=["centre", "point"], name="one_object_address_per_point"),
        ]

    def __str__(self) -> str:
        return f"{self.centre} {self.object_address}: {self.point}"
