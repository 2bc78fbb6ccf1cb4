"""Pages of other packages in the configuration: schedules of jobs, changed by superusers alone and audited like all else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from allauth.account.models import EmailAddress
from django.contrib import admin
from django.db import transaction
from django.http import HttpRequest
from django_celery_beat import admin as beat
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule

from pilots.admin.rights import actor_of
from pilots.audit.services import record_event


class Audited:
    """Whatever such a page does is in the audit trail, or is not done."""

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        self._note(request, "create", str(obj))
        return super().log_addition(request, obj, message)  # type: ignore[misc]

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        self._note(request, "change", str(obj), changes=message if isinstance(message, list) else [str(message)])
        return super().log_change(request, obj, message)  # type: ignore[misc]

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        for row in queryset:
            self._note(request, "delete", str(row))
        return super().log_deletions(request, queryset)  # type: ignore[misc]

    def response_action(self, request: HttpRequest, queryset: Any) -> Any:
        """Actions that change rows by themselves; deleting asks first and is told by `log_deletions`."""
        action = request.POST.get("action", "")
        with transaction.atomic():
            if action and action != "delete_selected":
                chosen = queryset.filter(pk__in=request.POST.getlist("_selected_action"))
                self._note(request, action.replace("_", " "), ", ".join(map(str, chosen)))
            return super().response_action(request, queryset)  # type: ignore[misc]

    def _note(self, request: HttpRequest, deed: str, subject: str, **details: Any) -> None:
        what = str(self.model._meta.verbose_name)  # type: ignore[attr-defined]
        record_event(at=datetime.now(UTC), actor=actor_of(request), action=f"{deed} {what}", subject=subject, details=details)


class JobAdmin(Audited, beat.PeriodicTaskAdmin):
    """A job and when it runs."""


class ClockedAdmin(Audited, beat.ClockedScheduleAdmin):
    """A moment at which jobs run."""


class ScheduleAdmin(Audited, beat.ScheduleAdmin):
    """A rhythm in which jobs run."""


class CrontabAdmin(Audited, beat.CrontabScheduleAdmin):
    """A rhythm by the clock."""


_PAGES: dict[Any, Any] = {
    PeriodicTask: JobAdmin,
    ClockedSchedule: ClockedAdmin,
    CrontabSchedule: CrontabAdmin,
    SolarSchedule: ScheduleAdmin,
    IntervalSchedule: ScheduleAdmin,
}


def take_over() -> None:
    """The pages of other packages are ours; that of mail addresses, which nothing here uses, is gone."""
    for model, page in _PAGES.items():
        if admin.site.is_registered(model):
            admin.site.unregister(model)
        admin.site.register(model, page)
    if admin.site.is_registered(EmailAddress):
        admin.site.unregister(EmailAddress)


take_over()
