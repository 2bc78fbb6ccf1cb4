"""What operators hand over: notes of a shift, and who signed it off. `pilots.shift` is the only writer; rows are only added."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from pilots.models.plant import Pilot


class OfShift(models.Model):
    """Belongs to a shift of a pilot: any window somebody handed over."""

    pilot = models.ForeignKey(Pilot, models.CASCADE, related_name="+", verbose_name=_("pilot"))
    shift_start = models.DateTimeField(_("beginning of the shift"))
    shift_end = models.DateTimeField(_("end of the shift"))
    at = models.DateTimeField(_("time"))
    by = models.CharField(_("by"), max_length=120)

    class Meta:
        abstract = True
        ordering = ["at", "id"]


class ShiftNote(OfShift):
    """What an operator wrote for the next. A wrong note stays and is corrected by a new one."""

    text = models.TextField(_("note"), max_length=2000)
    corrects = models.OneToOneField(
        "self", models.PROTECT, null=True, blank=True, related_name="corrected_by", verbose_name=_("corrects")
    )

    class Meta(OfShift.Meta):
        verbose_name = _("shift note")
        verbose_name_plural = _("shift notes")
        indexes = [models.Index(fields=["pilot", "shift_start"], name="shift_notes")]

    def __str__(self) -> str:
        return f"{self.pilot}: {self.text[:60]}"


class Side(models.TextChoices):
    """Which of the two operators of a handover."""

    OUTGOING = "outgoing", _("outgoing operator")
    INCOMING = "incoming", _("incoming operator")


class ShiftSignature(OfShift):
    """An operator has handed the shift over, or taken it over."""

    side = models.CharField(_("signed as"), max_length=8, choices=Side.choices)

    class Meta(OfShift.Meta):
        verbose_name = _("shift signature")
        verbose_name_plural = _("shift signatures")
        constraints = [
            models.UniqueConstraint(fields=["pilot", "shift_start", "shift_end", "side"], name="one_signature_per_side"),
        ]

    def __str__(self) -> str:
        return f"{self.pilot}: {self.side} {self.by}"
