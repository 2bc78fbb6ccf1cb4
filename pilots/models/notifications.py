"""Who is told of which alarms outside the pages, and what was told. `pilots.notifications` writes deliveries, the admin rules."""

from __future__ import annotations

import uuid
from datetime import datetime
from zoneinfo import ZoneInfo

from django.core.validators import MaxValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from pilots.domain.alarm import Priority
from pilots.models.access import LANGUAGES
from pilots.models.alarms import PRIORITIES, Alarm
from pilots.models.plant import Pilot


class NotificationRule(models.Model):
    """Which alarms are told, and when not. Its contacts are told one after the other until somebody acknowledges."""

    name = models.CharField(_("name"), max_length=80, unique=True)
    pilot = models.ForeignKey(
        Pilot, models.CASCADE, null=True, blank=True, verbose_name=_("pilot"), help_text=_("empty: every pilot"), related_name="+"
    )
    enabled = models.BooleanField(_("enabled"), default=True)
    priority = models.PositiveSmallIntegerField(
        _("priority"), choices=PRIORITIES, default=Priority.HIGH.value, help_text=_("of this priority and more urgent")
    )
    kinds = models.JSONField(
        _("kinds"), default=list, blank=True, help_text=_('a list as ["link_down", "device_lost"]; empty: all kinds')
    )
    zone = models.CharField(_("time zone"), max_length=64, default="UTC", help_text=_("of the quiet hours and of the times told"))
    quiet_from = models.TimeField(_("quiet from"), null=True, blank=True)
    quiet_until = models.TimeField(_("quiet until"), null=True, blank=True)
    loud_priority = models.PositiveSmallIntegerField(
        _("told in quiet hours too"),
        choices=[(0, _("nothing")), *PRIORITIES],
        default=Priority.CRITICAL.value,
        help_text=_("of this priority and more urgent; the others wait for the end of the quiet hours"),
    )
    #: Alarms from before are not told.
    since = models.DateTimeField(_("tells since"), default=timezone.now, editable=False)

    class Meta:
        ordering = ["name"]
        verbose_name = _("notification rule")
        verbose_name_plural = _("notification rules")
        constraints = [
            models.CheckConstraint(condition=models.Q(priority__range=(1, 4)), name="notification_priority"),
            models.CheckConstraint(condition=models.Q(loud_priority__range=(0, 4)), name="notification_loud_priority"),
        ]

    def __str__(self) -> str:
        return self.name

    def is_quiet(self, priority: int, now: datetime) -> bool:
        """Whether an alarm of this priority has to wait; the hours may pass midnight."""
        if self.quiet_from is None or self.quiet_until is None or priority <= self.loud_priority:
            return False
        clock = now.astimezone(ZoneInfo(self.zone)).time()
        if self.quiet_from <= self.quiet_until:
            return self.quiet_from <= clock < self.quiet_until
        return clock >= self.quiet_from or clock < self.quiet_until


class Way(models.TextChoices):
    """How a contact is told."""

    MAIL = "mail", _("mail")
    WEBHOOK = "webhook", _("webhook")


def shown_address(way: str, address: str) -> str:
    """A webhook's host alone: its path is often its secret."""
    return address if way == Way.MAIL else "/".join(address.split("/")[:3])


class NotificationContact(models.Model):
    """Somebody a rule tells: at once, or some minutes later while nobody has acknowledged."""

    rule = models.ForeignKey(NotificationRule, models.CASCADE, related_name="contacts", verbose_name=_("rule"))
    after_min = models.PositiveIntegerField(
        _("after, min"),
        default=0,
        validators=[MaxValueValidator(1440)],
        help_text=_("0: at once; else so long after the first was told, unless the alarm was acknowledged"),
    )
    way = models.CharField(_("way"), max_length=8, choices=Way.choices, default=Way.MAIL)
    address = models.CharField(_("address"), max_length=500, help_text=_("mail address, or https:// address of a webhook"))
    language = models.CharField(_("language"), max_length=8, choices=LANGUAGES, default="en")
    #: What the webhook's key is derived from; a contact that is deleted and made again has another.
    salt = models.UUIDField(default=uuid.uuid4, editable=False)

    class Meta:
        ordering = ["after_min", "id"]
        verbose_name = _("notification contact")
        verbose_name_plural = _("notification contacts")
        constraints = [models.UniqueConstraint(fields=["rule", "way", "address"], name="one_contact_per_address")]

    def __str__(self) -> str:
        return f"{self.way} {shown_address(self.way, self.address)}"


class DeliveryState(models.TextChoices):
    """How far a message is."""

    WAITING = "waiting", _("waiting")
    SENDING = "sending", _("being sent")
    SENT = "sent", _("sent")
    FAILED = "failed", _("failed")


class Delivery(models.Model):
    """One message to one contact, and what became of it. It keeps its address and text, whatever the rule says later."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    contact = models.ForeignKey(NotificationContact, models.SET_NULL, null=True, related_name="deliveries")
    pilot = models.ForeignKey(Pilot, models.CASCADE, null=True, related_name="+", verbose_name=_("pilot"))
    rule = models.CharField(_("rule"), max_length=80)
    way = models.CharField(_("way"), max_length=8, choices=Way.choices)
    address = models.CharField(_("address"), max_length=500)
    subject = models.CharField(_("subject"), max_length=200)
    body = models.TextField(_("text"))
    #: What a webhook gets.
    content = models.JSONField(default=dict)
    is_test = models.BooleanField(_("test"), default=False)
    state = models.CharField(_("state"), max_length=8, choices=DeliveryState.choices, default=DeliveryState.WAITING)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    #: The process ended between sending and noting it: nobody knows whether it arrived, so it went out once more.
    repeated = models.BooleanField(_("perhaps sent twice"), default=False)
    outcome = models.CharField(_("outcome"), max_length=300, blank=True)
    created_at = models.DateTimeField(_("created"))
    next_try_at = models.DateTimeField(_("next try"))
    claimed_at = models.DateTimeField(_("claimed"), null=True)
    finished_at = models.DateTimeField(_("finished"), null=True)

    class Meta:
        ordering = ["-created_at"]
        verbose_name = _("notification delivery")
        verbose_name_plural = _("notification deliveries")
        indexes = [
            models.Index(fields=["next_try_at"], condition=models.Q(state__in=["waiting", "sending"]), name="delivery_open"),
            models.Index(fields=["-created_at"], name="delivery_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.way} {self.receiver}: {self.subject}"

    @property
    def receiver(self) -> str:
        """The address as lists and logs may show it."""
        return shown_address(self.way, self.address)


class NotifiedAlarm(models.Model):
    """The contact was told of the alarm, in this delivery: never again in another."""

    contact = models.ForeignKey(NotificationContact, models.CASCADE, related_name="notified")
    alarm = models.ForeignKey(Alarm, models.CASCADE, related_name="notified")
    delivery = models.ForeignKey(Delivery, models.CASCADE, related_name="alarms")
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["contact", "alarm"], name="told_once")]

    def __str__(self) -> str:
        return f"{self.contact}: {self.alarm}"
