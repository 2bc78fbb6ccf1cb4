"""Exports: what was asked for, how far it is, what came of it. `pilots.exports` is the only writer."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _

from pilots.domain.export import ExportFailure, ExportFormat, ExportState, Resolution, share_done
from pilots.models.access import User
from pilots.models.plant import Pilot, choices


class ExportJob(models.Model):
    """An export from its question to the day when its file goes.

    `attempt` is the fence: who writes the file may change the row only while it still has the attempt that he began.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    pilot = models.ForeignKey(Pilot, models.CASCADE, related_name="exports", verbose_name=_("pilot"))
    #: References `device/point` in the order of the file's columns.
    points = models.JSONField(_("points"), default=list)
    start = models.DateTimeField(_("start"))
    end = models.DateTimeField(_("end"))
    zone = models.CharField(_("zone"), max_length=64)
    resolution = models.CharField(_("resolution"), max_length=8, choices=choices(Resolution))
    format = models.CharField(_("format"), max_length=16, choices=choices(ExportFormat))

    requested_by = models.CharField(_("requested by"), max_length=120)
    #: Empty: a service token asked, named in `requested_by`.
    user = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, verbose_name=_("user"))
    by_token = models.BooleanField(_("asked by a service token"), default=False)
    requested_at = models.DateTimeField(_("requested"), db_index=True)

    state = models.CharField(_("state"), max_length=16, choices=choices(ExportState), default=ExportState.QUEUED.value)
    attempt = models.PositiveSmallIntegerField(_("attempt"), default=0)
    started_at = models.DateTimeField(_("started"), null=True)
    seen_at = models.DateTimeField(_("last sign of life"), null=True)
    finished_at = models.DateTimeField(_("finished"), null=True)
    expires_at = models.DateTimeField(_("expires"), null=True)
    rows = models.BigIntegerField(_("rows"), default=0)
    done_until = models.DateTimeField(_("written up to"), null=True)
    failure = models.CharField(_("failure"), max_length=16, choices=choices(ExportFailure), blank=True)
    detail = models.CharField(_("detail"), max_length=200, blank=True)

    file = models.CharField(_("file"), max_length=80, blank=True)
    size = models.BigIntegerField(_("size"), null=True)
    sha256 = models.CharField(max_length=64, blank=True)
    manifest = models.JSONField(_("manifest"), default=dict)

    class Meta:
        ordering = ["-requested_at"]
        verbose_name = _("export")
        verbose_name_plural = _("exports")
        indexes = [models.Index(fields=["state", "requested_at"], name="export_in_turn")]
        constraints = [models.CheckConstraint(condition=models.Q(end__gt=models.F("start")), name="export_window")]

    def __str__(self) -> str:
        return f"{self.format} of {len(self.points)} points of {self.pilot.code}"

    @property
    def percent(self) -> int:
        """How much of the window has been read."""
        if self.state in (ExportState.DONE, ExportState.EXPIRED):
            return 100
        return 0 if self.done_until is None else int(100 * share_done(self.start, self.end, self.done_until))
