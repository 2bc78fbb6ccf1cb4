"""The job of the beat, and what an engineer does about rules: check them, test them. [operation]"""

from __future__ import annotations

import threading
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from pilots.audit.services import record_event
from pilots.domain.alarm import AlarmKind
from pilots.domain.errors import CatalogueError
from pilots.models import Delivery, NotificationContact, NotificationRule, Way
from pilots.notifications.planning import new_delivery, plan_notifications
from pilots.notifications.sending import deliver, send_notifications
from pilots.notifications.ways import NotDelivered
from pilots.notifications.webhook import split_address

#: Slow receivers keep one thread of a worker at most: set-points end and messages leave in the others.
_one_at_a_time = threading.Lock()


def notify(*, now: datetime) -> int:
    """What has to be told has been sent, or waits; returns how many messages were sent."""
    if not _one_at_a_time.acquire(blocking=False):
        return 0
    try:
        plan_notifications(now=now)
        return send_notifications(now=now)
    finally:
        _one_at_a_time.release()


def send_test(rule: NotificationRule, *, by: str, now: datetime) -> list[Delivery]:
    """Every contact has been sent a test at once, whatever the hours; returns how each ended."""
    done = [deliver(new_delivery(rule, each, [], now=now, is_test=True), now=now) for each in rule.contacts.all()]
    outcomes = {str(delivery.contact): delivery.state for delivery in done}
    code = rule.pilot.code if rule.pilot is not None else ""
    record_event(at=now, actor=by, action="test notification", pilot=code, subject=rule.name, details=outcomes)
    return done


def check_rule(rule: NotificationRule) -> None:
    """Raises CatalogueError with the field for what cannot be meant."""
    kinds = rule.kinds
    if not isinstance(kinds, list) or not all(isinstance(kind, str) and kind in list(AlarmKind) for kind in kinds):
        raise CatalogueError(f"Kinds are a list of {', '.join(AlarmKind)}.", field="kinds")
    if (rule.quiet_from is None) != (rule.quiet_until is None):
        raise CatalogueError("Quiet hours have a beginning and an end.", field="quiet_until")
    if rule.quiet_from is not None and rule.quiet_from == rule.quiet_until:
        raise CatalogueError("Quiet hours end at another time than they begin.", field="quiet_until")
    try:
        ZoneInfo(rule.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise CatalogueError("A time zone is named as Europe/Madrid.", field="zone") from error


def check_contact(contact: NotificationContact) -> None:
    """Raises CatalogueError with the field for an address that is none."""
    try:
        if contact.way == Way.MAIL:
            validate_email(contact.address)
        else:
            split_address(contact.address)
    except ValidationError as error:
        raise CatalogueError("This is no mail address.", field="address") from error
    except NotDelivered as error:
        raise CatalogueError(str(error), field="address") from error
