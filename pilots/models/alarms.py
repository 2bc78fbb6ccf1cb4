"""What asks for an answer: alarm rules, and each occurrence of an alarm. `pilots.alarms` is the only writer of occurrences."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from django.core.validators import MinValueValidator
from django.db import connection, models
from django.db.transaction import TransactionManagementError
from django.utils.translation import gettext_lazy as _

from pilots.domain.alarm import AlarmKind, AlarmState, Hidden, Priority
from pilots.models.edits import EditHistory
from pilots.models.plant import Connection, Device, Link, Pilot, Point, choices
from pilots.models.raw import places

PRIORITIES = [(priority.value, priority.name.lower()) for priority in Priority]


class AlarmRule(models.Model):
    """When a point, device, link, connection or pilot has an alarm of one kind, and what to do about it.

    `subject` names what it watches and, with the kind, is the rule's name; rules that nobody changed follow the defaults.
    """

    pilot = models.ForeignKey(Pilot, models.CASCADE, related_name="alarm_rules", verbose_name=_("pilot"))
    subject = models.CharField(_("watches"), max_length=200, editable=False)
    point = models.ForeignKey(Point, models.CASCADE, null=True, blank=True, related_name="alarm_rules", verbose_name=_("point"))
    device = models.ForeignKey(
        Device, models.CASCADE, null=True, blank=True, related_name="alarm_rules", verbose_name=_("device"), editable=False
    )
    connection = models.ForeignKey(Connection, models.CASCADE, null=True, blank=True, related_name="alarm_rules", editable=False)
    link = models.ForeignKey(Link, models.CASCADE, null=True, blank=True, related_name="alarm_rules", editable=False)
    kind = models.CharField(_("kind"), max_length=20, choices=choices(AlarmKind))
    limit = models.FloatField(_("limit"), null=True, blank=True, help_text=_("in the point's unit; of a rate, per second"))
    limit_point = models.ForeignKey(
        Point,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("limit taken from"),
        help_text=_("a point whose newest value is the limit"),
    )
    codes = models.JSONField(_("codes"), default=list, blank=True, help_text=_("of a status: a list of numbers, as [2, 3]"))
    deadband = models.FloatField(_("deadband"), default=0.0, validators=[MinValueValidator(0)])
    on_delay_s = models.FloatField(_("on delay, s"), default=0.0, validators=[MinValueValidator(0)])
    off_delay_s = models.FloatField(_("off delay, s"), default=0.0, validators=[MinValueValidator(0)])
    realarm_s = models.FloatField(
        _("asks again after, s"),
        null=True,
        blank=True,
        validators=[MinValueValidator(60)],
        help_text=_("an acknowledged alarm that is still there asks once more; empty: never"),
    )
    latched = models.BooleanField(_("latched"), default=False, help_text=_("ends only by a reset, however short it was"))
    priority = models.PositiveSmallIntegerField(_("priority"), choices=PRIORITIES)
    what = models.CharField(_("what"), max_length=120)
    why = models.TextField(_("why"), blank=True, max_length=1000)
    todo = models.TextField(_("what to do"), blank=True, max_length=1000)
    consequence = models.TextField(_("consequence"), blank=True, max_length=1000, help_text=_("what happens when nobody answers"))
    respond_s = models.FloatField(
        _("time to respond, s"),
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text=_("within which an answer still averts the consequence"),
    )
    suppress_when = models.CharField(
        _("suppress while"),
        max_length=400,
        blank=True,
        help_text=_("silent by design while this holds, as es-SW01/position = 'open'; with a value missing it speaks"),
    )
    enabled = models.BooleanField(_("enabled"), default=True)
    #: Changed by an engineer: commissioning again leaves it.
    own = models.BooleanField(_("changed here"), default=False, editable=False)

    hidden = models.CharField(_("hidden"), max_length=16, choices=choices(Hidden), blank=True, editable=False)
    hidden_until = models.DateTimeField(_("hidden until"), null=True, editable=False)
    hidden_at = models.DateTimeField(_("hidden since"), null=True, editable=False)
    hidden_by = models.CharField(_("hidden by"), max_length=120, blank=True, editable=False)
    hidden_reason = models.CharField(_("reason"), max_length=300, blank=True, editable=False)
    history = EditHistory(states=["hidden", "hidden_until", "hidden_at", "hidden_by", "hidden_reason"])

    class Meta:
        ordering = ["pilot", "subject", "kind"]
        verbose_name = _("alarm rule")
        verbose_name_plural = _("alarm rules")
        constraints = [
            models.UniqueConstraint(fields=["pilot", "subject", "kind"], name="one_rule_per_kind"),
            models.CheckConstraint(condition=models.Q(priority__range=(1, 4)), name="alarm_rule_priority"),
        ]
        indexes = [models.Index(fields=["hidden_until"], name="rule_hidden", condition=~models.Q(hidden=""))]

    def __str__(self) -> str:
        return f"{self.subject or self.pilot.code}: {self.kind}"


_RULES = """SELECT rule.*, pilot.code AS pilot_code, point.unit AS point_unit FROM pilots_alarmrule AS rule
JOIN pilots_pilot AS pilot ON pilot.id = rule.pilot_id LEFT JOIN pilots_point AS point ON point.id = rule.point_id
WHERE rule.id IN ({}) ORDER BY rule.id"""


def locked_rules(keys: Iterable[int | None]) -> dict[int, AlarmRule]:
    """The rules, locked until the transaction ends: whoever writes a rule or more than one alarm does this first.

    In the order of their keys, and rules before alarms, so that of two who want the same neither waits for the other. Of a
    rule's pilot the code is read, of its point the unit; the rest when it is asked for. Only inside a transaction.
    """
    if not connection.in_atomic_block:
        raise TransactionManagementError("rules are locked inside a transaction only")
    wanted = {key for key in keys if key is not None}
    if not wanted:
        return {}
    sql, alias = _RULES.format(places(wanted)), connection.alias
    if connection.features.has_select_for_no_key_update:  # an alarm that refers to its rule need not wait
        sql += " FOR NO KEY UPDATE OF rule"
    rules = {rule.pk: rule for rule in AlarmRule.objects.raw(sql, list(wanted))}
    for rule in rules.values():
        told = vars(rule)
        rule.pilot = Pilot.from_db(alias, ["id", "code"], [rule.pilot_id, told["pilot_code"]])
        if rule.point_id is not None:
            rule.point = Point.from_db(alias, ["id", "unit"], [rule.point_id, told["point_unit"]])
    return rules


class Alarm(models.Model):
    """One occurrence of an alarm, from its coming to its end. It keeps what its rule said, which may change or go."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    rule = models.ForeignKey(AlarmRule, models.SET_NULL, null=True, related_name="alarms", verbose_name=_("rule"))
    pilot = models.ForeignKey(Pilot, models.CASCADE, related_name="alarms", verbose_name=_("pilot"))
    device = models.ForeignKey(Device, models.SET_NULL, null=True, related_name="alarms", verbose_name=_("device"))
    subject = models.CharField(_("watched"), max_length=200)
    kind = models.CharField(_("kind"), max_length=20, choices=choices(AlarmKind))
    priority = models.PositiveSmallIntegerField(_("priority"), choices=PRIORITIES)
    what = models.CharField(_("what"), max_length=120)
    detail = models.CharField(_("detail"), max_length=300, blank=True)
    value = models.FloatField(_("value"), null=True)
    limit = models.FloatField(_("limit"), null=True)
    unit = models.CharField(_("unit"), max_length=16, blank=True)
    state = models.CharField(_("state"), max_length=16, choices=choices(AlarmState))
    hidden = models.CharField(_("hidden"), max_length=16, choices=choices(Hidden), blank=True)
    #: The alarm that asks for this one too: many lost for one cause are one alarm.
    cause = models.ForeignKey("self", models.SET_NULL, null=True, related_name="members", verbose_name=_("cause"))
    first_out = models.BooleanField(_("first out"), default=False)
    #: The alarm of the same chain of devices that came first; empty for the first itself.
    led_by = models.ForeignKey("self", models.SET_NULL, null=True, related_name="followers", verbose_name=_("came first"))
    raised_at = models.DateTimeField(_("raised"))
    returned_at = models.DateTimeField(_("returned"), null=True)
    acknowledged_at = models.DateTimeField(_("acknowledged"), null=True)
    acknowledged_by = models.CharField(_("acknowledged by"), max_length=120, blank=True)
    comment = models.CharField(_("comment"), max_length=300, blank=True)
    closed_at = models.DateTimeField(_("closed"), null=True)
    times = models.PositiveIntegerField(_("came"), default=1)
    #: Comings of the present run, for chatter.
    recent_times = models.PositiveIntegerField(default=1)
    recent_since = models.DateTimeField()
    changed_at = models.DateTimeField()

    class Meta:
        ordering = ["-raised_at"]
        verbose_name = _("alarm")
        verbose_name_plural = _("alarms")
        constraints = [
            models.UniqueConstraint(fields=["rule"], condition=models.Q(closed_at=None), name="one_open_alarm_per_rule"),
        ]
        indexes = [
            models.Index(fields=["pilot", "priority", "-raised_at"], condition=models.Q(closed_at=None), name="alarm_open"),
            models.Index(fields=["-raised_at", "id"], name="alarm_by_time"),
            models.Index(fields=["device", "-raised_at"], name="alarm_of_device"),
            models.Index(fields=["rule", "-closed_at"], name="alarm_of_rule"),
            models.Index(fields=["pilot", "closed_at"], name="alarm_by_end"),
            models.Index(fields=["-returned_at"], condition=models.Q(returned_at__isnull=False), name="alarm_by_return"),
        ]

    def __str__(self) -> str:
        return f"{self.subject}: {self.what}"
