"""What has to be told now, and to whom: rules over the open alarms, written down as deliveries. [operation]"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Exists, Min, OuterRef, QuerySet, Subquery

from pilots.alarms.selectors import ANNOUNCED, WAITING, urgent_first
from pilots.models import Alarm, Delivery, NotificationContact, NotificationRule, NotifiedAlarm
from pilots.notifications.words import message_of

#: So many alarms stand in one message; the rest is a number and the link.
IN_A_MESSAGE = 20
#: So many are told with one plan; a storm beyond it is told with the next.
AT_ONCE = 1000


def plan_notifications(*, now: datetime) -> int:
    """Every contact that is due has a delivery for what it has not been told; returns how many."""
    rules = NotificationRule.objects.filter(enabled=True).select_related("pilot").prefetch_related("contacts")
    return sum(_plan(rule, contact, now) for rule in rules for contact in rule.contacts.all())


def _plan(rule: NotificationRule, contact: NotificationContact, now: datetime) -> int:
    try:
        with transaction.atomic():
            alarms = [alarm for alarm in _due(rule, contact, now)[:AT_ONCE] if not rule.is_quiet(alarm.priority, now)]
            if not alarms:
                return 0
            delivery = new_delivery(rule, contact, alarms, now=now)
            NotifiedAlarm.objects.bulk_create(
                NotifiedAlarm(contact=contact, alarm=alarm, delivery=delivery, at=now) for alarm in alarms
            )
            return 1
    except IntegrityError:
        return 0  # another worker told this contact in this moment


def _due(rule: NotificationRule, contact: NotificationContact, now: datetime) -> QuerySet[Alarm]:
    """The alarms of the rule that nobody has acknowledged and this contact was not told, most urgent first."""
    waiting = Alarm.objects.filter(ANNOUNCED, WAITING, priority__lte=rule.priority, raised_at__gte=rule.since)
    if rule.pilot_id is not None:
        waiting = waiting.filter(pilot=rule.pilot_id)
    if rule.kinds:
        waiting = waiting.filter(kind__in=rule.kinds)
    told = NotifiedAlarm.objects.filter(alarm=OuterRef("pk"))
    waiting = waiting.exclude(Exists(told.filter(contact=contact)))
    if contact.after_min:
        # Counted from the first message, not from the alarm: else quiet hours would end with everybody told at once.
        waiting = waiting.annotate(first_told=_first_told(rule)).filter(
            first_told__lte=now - timedelta(minutes=contact.after_min)
        )
    return urgent_first(waiting.select_related("pilot", "device", "rule"))


def _first_told(rule: NotificationRule) -> Subquery:
    of_rule = NotifiedAlarm.objects.filter(alarm=OuterRef("pk"), contact__rule=rule).order_by().values("alarm")
    return Subquery(of_rule.annotate(first=Min("at")).values("first"))


def new_delivery(
    rule: NotificationRule, contact: NotificationContact, alarms: Sequence[Alarm], *, now: datetime, is_test: bool = False
) -> Delivery:
    """A message waits to be sent: the alarms in the contact's language and the rule's zone."""
    told = message_of(rule, contact, alarms[:IN_A_MESSAGE], left_out=len(alarms[IN_A_MESSAGE:]), is_test=is_test)
    return Delivery.objects.create(
        contact=contact,
        pilot=rule.pilot,
        rule=rule.name,
        way=contact.way,
        address=contact.address,
        subject=told.subject[:200],
        body=told.body,
        content=told.content,
        is_test=is_test,
        created_at=now,
        next_try_at=now,
    )
