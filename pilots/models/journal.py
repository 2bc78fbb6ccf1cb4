"""What happened by itself: transitions of alarms and links. `pilots.journal` is the only writer; rows are only ever added."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from pilots.domain.journal import JournalKind
from pilots.models.plant import choices


class JournalEntry(models.Model):
    """One transition, in the words of its time: what it names may have gone since.

    Texts and codes instead of keys, as the audit trail has them, so that the two are read as one list.
    """

    at = models.DateTimeField(_("time"))
    pilot = models.CharField(_("pilot"), max_length=16)
    kind = models.CharField(_("kind"), max_length=16, choices=choices(JournalKind))
    event = models.CharField(_("event"), max_length=16)
    subject = models.CharField(_("subject"), max_length=200, blank=True)
    actor = models.CharField(_("actor"), max_length=120, blank=True)
    what = models.CharField(_("what"), max_length=120, blank=True)
    detail = models.CharField(_("detail"), max_length=300, blank=True)
    value = models.FloatField(_("value"), null=True)
    limit = models.FloatField(_("limit"), null=True)
    unit = models.CharField(_("unit"), max_length=16, blank=True)
    priority = models.PositiveSmallIntegerField(_("priority"), null=True)
    #: Of the alarm or link after the event.
    state = models.CharField(_("state"), max_length=16)
    hidden = models.CharField(_("hidden"), max_length=16, blank=True)
    alarm = models.UUIDField(null=True)

    class Meta:
        ordering = ["-at", "-id"]
        verbose_name = _("journal entry")
        verbose_name_plural = _("journal entries")
        indexes = [
            models.Index(fields=["at", "id"], name="journal_by_time"),
            models.Index(fields=["pilot", "at", "id"], name="journal_of_pilot"),
            models.Index(fields=["alarm", "at", "id"], name="journal_of_alarm", condition=models.Q(alarm__isnull=False)),
            models.Index(fields=["subject", "at"], name="journal_of_link", condition=models.Q(kind="link")),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%dT%H:%M:%SZ} {self.subject}: {self.event}"
