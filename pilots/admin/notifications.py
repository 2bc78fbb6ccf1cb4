"""Who is told of alarms by mail and webhook, a button that tests it, and the log of what was told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from pilots.admin.editing import CheckedForm, ConfigurationAdmin, related_filter
from pilots.admin.operation import ReadOnlyByPilot
from pilots.admin.plant import SMALL_JSON
from pilots.admin.rights import ByPilot, TabularInline, actor_of, acts_everywhere
from pilots.audit.services import record_event
from pilots.models import Delivery, DeliveryState, NotificationContact, NotificationRule, Role, Way
from pilots.notifications.services import check_contact, check_rule, send_test
from pilots.notifications.webhook import key_of

#: Fields that switch a rule on, or make it tell more: alarms from before are not told then.
_WIDENING = {"enabled", "priority", "kinds", "pilot"}


class RuleForm(CheckedForm):
    def check(self, row: Any) -> None:
        check_rule(row)


class ContactForm(CheckedForm):
    def check(self, row: Any) -> None:
        check_contact(row)


class OfPilotOrAll(ByPilot):
    """Rows without a pilot are of every pilot: only who is engineer everywhere sees and changes them."""

    def _may(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is not None and obj.pk is not None and obj.pilot is None:
            return acts_everywhere(request, *self.roles)
        return super()._may(request, obj)


class ContactInline(TabularInline):
    """Who is told, in the order of the minutes."""

    model = NotificationContact
    form = ContactForm
    extra = 1
    fields = ("after_min", "way", "address", "language", "key")
    readonly_fields = ("key",)

    @admin.display(description=gettext_lazy("key of the signature"))
    def key(self, contact: NotificationContact) -> str:
        return key_of(contact) if contact.pk is not None and contact.way == Way.WEBHOOK else "–"

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True  # whoever may see the rule; its page decides that

    has_add_permission = has_change_permission = has_delete_permission = has_view_permission


@admin.register(NotificationRule)
class NotificationRuleAdmin(OfPilotOrAll, ConfigurationAdmin):
    form = RuleForm
    fixed = ()
    formfield_overrides = SMALL_JSON
    inlines = (ContactInline,)
    change_form_template = "admin/pilots/notificationrule/change_form.html"
    list_display = ("name", "pilot", "enabled", "priority", "zone", "quiet_from", "quiet_until")
    list_filter = (related_filter("pilot"), "enabled", "priority")
    search_fields = ("name", "contacts__address")

    def get_urls(self) -> list[URLPattern]:
        test = self.admin_site.admin_view(require_POST(self.test_view))
        return [path("<path:object_id>/test/", test, name="pilots_notificationrule_test"), *super().get_urls()]

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if db_field.name == "pilot" and field is not None and not acts_everywhere(request, Role.ENGINEER):
            field.required = True
        return field

    def after_save(self, row: NotificationRule, changed: Sequence[str], *, created: bool) -> None:
        if _WIDENING & set(changed):
            NotificationRule.objects.filter(pk=row.pk).update(since=datetime.now(UTC))

    def test_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The button of the change page."""
        rule = self.get_object(request, object_id)
        if rule is None or not self.has_change_permission(request, rule):
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[attr-defined, no-any-return]
        done = send_test(rule, by=actor_of(request), now=datetime.now(UTC))
        for delivery in done:
            level = messages.SUCCESS if delivery.state == DeliveryState.SENT else messages.ERROR
            messages.add_message(request, level, f"{delivery.contact}: {delivery.outcome}")
        if not done:
            messages.warning(request, _("This rule has no contacts yet."))
        return HttpResponseRedirect(reverse("admin:pilots_notificationrule_change", args=[rule.pk]))

    def _record(self, request: HttpRequest, row: Any, action: str, details: dict[str, Any]) -> None:
        """Addresses of webhooks may carry a secret: that they changed is told, not to what."""
        told = {
            name: {field: "changed" if field == "address" else values for field, values in change.items()}
            if isinstance(change, dict)
            else change
            for name, change in details.items()
        }
        code = row.pilot.code if row.pilot is not None else ""
        form = {"actor": actor_of(request), "action": f"{action} notification rule", "pilot": code, "subject": row.name}
        record_event(at=datetime.now(UTC), details=told, **form)


@admin.register(Delivery)
class DeliveryAdmin(OfPilotOrAll, ReadOnlyByPilot):
    list_display = ("created_at", "rule", "way", "receiver", "subject", "state", "attempts", "repeated", "outcome", "finished_at")
    list_filter = (related_filter("pilot"), "state", "way", "is_test", "repeated")
    search_fields = ("rule", "subject", "outcome")
    exclude = ("content", "contact")

    @admin.display(description=gettext_lazy("receiver"))
    def receiver(self, delivery: Delivery) -> str:
        return delivery.receiver

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("pilot")
