"""Commissioning: questions to live equipment, and the signed point-to-point test of a pilot."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _

from pilots.models.access import User
from pilots.models.plant import Connection, Device, Pilot, Point


class RequestKind(models.TextChoices):
    """What the gateway is asked for."""

    READ = "read", _("read one address")
    WRITE = "write", _("write one address")
    BROWSE = "browse", _("list what the device offers")
    FRAMES = "frames", _("newest frames")


class FieldRequest(models.Model):
    """One question of a person to the gateway that holds a connection. The row travels, never a message with its content.

    Like a set-point it is claimed by a conditional UPDATE and not carried out after `expires_at`; a claimed one without
    an answer is unknown and never tried again.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    connection = models.ForeignKey(Connection, models.CASCADE, related_name="requests")
    device = models.ForeignKey(Device, models.CASCADE, null=True, related_name="requests")
    kind = models.CharField(max_length=16, choices=RequestKind.choices)
    question = models.JSONField(default=dict)
    asked_by = models.CharField(max_length=120)
    asked_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    claimed_at = models.DateTimeField(null=True)
    answered_at = models.DateTimeField(null=True)
    answer = models.JSONField(null=True)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-asked_at"]
        indexes = [models.Index(fields=["connection", "claimed_at"], name="request_to_claim")]

    def __str__(self) -> str:
        return f"{self.kind} {self.connection} {self.asked_at:%H:%M:%S}"


class PointTestList(models.Model):
    """The point-to-point test of a pilot, from first check to signature; a signed list never changes."""

    pilot = models.ForeignKey(Pilot, models.CASCADE, related_name="point_test_lists", verbose_name=_("pilot"))
    started_at = models.DateTimeField(_("started"))
    started_by = models.CharField(_("started by"), max_length=120)
    signed_at = models.DateTimeField(_("signed"), null=True)
    signed_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+", verbose_name=_("signed by"))
    remark = models.CharField(_("remark"), max_length=300, blank=True)
    signature = models.CharField(_("signature"), max_length=200, blank=True)

    class Meta:
        ordering = ["-started_at"]
        verbose_name = _("point test list")
        verbose_name_plural = _("point test lists")

    def __str__(self) -> str:
        return f"{self.pilot.code} {self.started_at:%Y-%m-%d %H:%M}"


class PointTest(models.Model):
    """One point of the list: what was expected at the device, what our screen showed, whether it agrees."""

    test_list = models.ForeignKey(PointTestList, models.CASCADE, related_name="tests")
    point = models.ForeignKey(Point, models.PROTECT, related_name="tests", verbose_name=_("point"))
    expected = models.CharField(_("at the device"), max_length=80, blank=True)
    shown = models.CharField(_("shown here"), max_length=80, blank=True)
    passed = models.BooleanField(_("passed"), null=True)
    tested_at = models.DateTimeField(_("tested"), null=True)
    tested_by = models.CharField(_("tested by"), max_length=120, blank=True)
    remark = models.CharField(_("remark"), max_length=300, blank=True)

    class Meta:
        ordering = ["point__device__code", "point__name"]
        constraints = [models.UniqueConstraint(fields=["test_list", "point"], name="one_test_per_point")]

    def __str__(self) -> str:
        return f"{self.point}: {self.passed}"
