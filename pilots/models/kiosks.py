"""Wall screens that show pages in turn and can do nothing else."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.utils.translation import gettext_lazy as _

from pilots.models.access import User


class Kiosk(models.Model):
    """`pages` is a list of `{"show": "pilot/es", "seconds": 20}` in their order; `user` is nobody's account: its grants are the
    pilots shown, and its session reads the pages of `pilots.ui.access.KIOSK_READS`.

    Only the SHA-256 of the 256-bit random token is kept: a fast hash is right for a random key.
    """

    name = models.CharField(_("name"), max_length=80)
    user = models.OneToOneField(User, models.CASCADE, related_name="kiosk", editable=False)
    made_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+", verbose_name=_("made by"))
    pages = models.JSONField(_("pages"), default=list)
    sha256 = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(_("created"))
    ends_at = models.DateTimeField(_("ends"))
    revoked_at = models.DateTimeField(_("revoked"), null=True)
    first_used_at = models.DateTimeField(_("first used"), null=True)
    last_seen_at = models.DateTimeField(_("last seen"), null=True)
    last_address = models.CharField(_("last address"), max_length=45, blank=True)

    class Meta:
        ordering = ["-created_at"]
        verbose_name = _("kiosk")
        verbose_name_plural = _("kiosks")

    def __str__(self) -> str:
        return self.name

    def is_live(self, now: datetime) -> bool:
        return self.revoked_at is None and self.ends_at > now
