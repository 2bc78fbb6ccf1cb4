"""Alarm rules: limits, delays, priorities and texts, changed by engineers; the alarms that came of them, changed by nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy

from pilots.admin.bulk import BulkPages
from pilots.admin.cloning import ClonePages, clone_rule, cloneable, rule_form
from pilots.admin.editing import CheckedForm, related_filter
from pilots.admin.histories import HistoryPages
from pilots.admin.operation import ReadOnlyByPilot
from pilots.admin.rights import pilots_where
from pilots.admin.row_edits import Outcome
from pilots.catalogue.alarm_rules import check_rule
from pilots.models import Alarm, AlarmRule, Point, Role


class AlarmRuleForm(CheckedForm):
    def check(self, row: AlarmRule) -> None:
        check_rule(row)


@admin.register(AlarmRule)
class AlarmRuleAdmin(BulkPages, ClonePages, HistoryPages):
    form = AlarmRuleForm
    bulk_fields: ClassVar[tuple[str, ...]] = (
        "priority",
        "enabled",
        "limit",
        "deadband",
        "on_delay_s",
        "off_delay_s",
        "realarm_s",
        "latched",
    )
    bulk_fields += ("suppress_when", "why", "todo", "consequence", "respond_s")
    clone_hint = gettext_lazy("Limits, delays, priority and texts are copied; look whether the limit suits the other point.")
    fixed = ("subject", "kind")
    list_display = ("subject", "what", "kind", "limit", "deadband", "on_delay_s", "priority", "enabled", "hidden", "own")
    list_filter = (related_filter("pilot"), "kind", "priority", "enabled", "own", "hidden")
    search_fields = ("subject", "what")
    raw_id_fields = ("point", "limit_point")
    _texts: ClassVar[tuple[str, ...]] = ("what", "why", "todo", "consequence", "respond_s")
    _limits: ClassVar[tuple[str, ...]] = (
        "limit",
        "limit_point",
        "codes",
        "deadband",
        "on_delay_s",
        "off_delay_s",
        "realarm_s",
        "latched",
        "priority",
        "suppress_when",
        "enabled",
    )

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        named = ("point", "kind") if obj is None else ("subject", "kind")
        return (*named, *self._texts, *self._limits)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change, **(kwargs | {"fields": None}))

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.related_model is Point:
            kwargs["queryset"] = Point.objects.filter(device__pilot__in=pilots_where(request, Role.ENGINEER).values("pk"))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        tables = [(pilot.name, reverse("alarm_table", args=[pilot.code])) for pilot in pilots_where(request, Role.ENGINEER)]
        return super().changelist_view(request, {"alarm_tables": tables} | (extra_context or {}))

    def may_clone(self, row: AlarmRule) -> bool:
        return cloneable(row)

    def clone_form(self, request: HttpRequest, row: AlarmRule) -> forms.BaseForm:
        return rule_form(request, row)

    def make_clone(self, request: HttpRequest, row: AlarmRule, given: Mapping[str, Any]) -> list[Outcome]:
        return clone_rule(self, request, row, given["point"], given["kind"])

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # a default would come again with the next commissioning: it is switched off instead

    def after_save(self, row: AlarmRule, changed: Sequence[str], *, created: bool) -> None:
        AlarmRule.objects.filter(pk=row.pk).update(own=True)


@admin.register(Alarm)
class AlarmAdmin(ReadOnlyByPilot):
    list_display = ("raised_at", "subject", "what", "priority", "state", "hidden", "acknowledged_by", "closed_at")
    list_filter = (related_filter("pilot"), "priority", "state", "kind")
    search_fields = ("subject", "what", "detail", "acknowledged_by")
    list_select_related = ("pilot",)
