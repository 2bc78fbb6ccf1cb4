"""Messages waiting to go to the INVADE platform. [towards enterprise]"""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from pilots.models.plant import Pilot


class OutboxState(models.Model):
    """A pilot's numbering: `sequence` is gapless within an `epoch`, which changes after a restore."""

    pilot = models.OneToOneField(Pilot, models.CASCADE, primary_key=True, related_name="outbox_state")
    epoch = models.PositiveIntegerField(default=1)
    next_sequence = models.PositiveBigIntegerField(default=1)
    accepted_sequence = models.PositiveBigIntegerField(default=0)
    accepted_at = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=300, blank=True)
    retry_at = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=0)
    statistics = models.JSONField(default=dict)  # as a connection's

    def __str__(self) -> str:
        return f"{self.pilot}: {self.accepted_sequence} of {self.next_sequence - 1}"


class OutboxMessage(models.Model):
    """One message of one flush and pilot, already encoded; deleted once the platform has it."""

    pilot = models.ForeignKey(Pilot, models.CASCADE, related_name="outbox", verbose_name=_("pilot"))
    epoch = models.PositiveIntegerField(_("epoch"))
    sequence = models.PositiveBigIntegerField(_("sequence"))
    created_at = models.DateTimeField(_("created"))
    values_json = models.TextField(_("values"))
    refused_at = models.DateTimeField(_("refused"), null=True)
    refusal = models.CharField(_("refusal"), max_length=300, blank=True)

    class Meta:
        ordering = ["pilot", "epoch", "sequence"]
        verbose_name = _("outbox message")
        verbose_name_plural = _("outbox messages")
        constraints = [models.UniqueConstraint(fields=["pilot", "epoch", "sequence"], name="gapless_by_pilot")]

    def __str__(self) -> str:
        return f"{self.pilot.code}:{self.epoch}:{self.sequence}"
