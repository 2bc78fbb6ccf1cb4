"""Pages of what runs: set-points, the outbox towards INVADE, leases. Read-only, but for offering a refused message again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from pilots.admin.editing import ReadOnlyAdmin, related_filter
from pilots.admin.live_values import age_words
from pilots.admin.rights import ByPilot, TabularInline, actor_of, acts_everywhere
from pilots.models import Lease, OutboxMessage, Role, Setpoint, SetpointEvent
from pilots.northbound.services import offer_again


class SetpointEventInline(TabularInline):
    """The life of a set-point, one row a transition."""

    model = SetpointEvent
    fields = readonly_fields = ("at", "state", "actor", "code", "reason", "raw")
    extra = 0
    can_delete = False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True  # whoever sees the set-point; its page decides that

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnlyByPilot(ByPilot, ReadOnlyAdmin):
    """Seen by the engineers of the row's pilot, changed by nobody."""

    editable = False


@admin.register(Setpoint)
class SetpointAdmin(ReadOnlyByPilot):
    pilot_path = "point__device__pilot"
    list_display = ("received_at", "point", "value", "unit", "state", "code", "issuer", "requested_by", "valid_until")
    list_filter = (related_filter("point__device__pilot"), "state", "issuer", "kind")
    search_fields = ("point__device__code", "point__name", "requested_by", "reason", "correlation_id")
    list_select_related = ("point__device__pilot",)
    inlines = (SetpointEventInline,)


@admin.register(OutboxMessage)
class OutboxMessageAdmin(ReadOnlyByPilot):
    list_display = ("__str__", "pilot", "created_at", "age", "refused_at", "refusal")
    list_filter = (related_filter("pilot"), ("refused_at", admin.EmptyFieldListFilter))
    search_fields = ("refusal", "=sequence")
    list_select_related = ("pilot",)
    actions = ("offer_again",)

    @admin.display(description=gettext_lazy("waits"))
    def age(self, message: OutboxMessage) -> str:
        return age_words(message.created_at)

    @admin.action(description=gettext_lazy("Offer set-aside messages again"), permissions=["view"])
    def offer_again(self, request: HttpRequest, rows: QuerySet[OutboxMessage]) -> None:
        count = offer_again(rows, actor=actor_of(request), now=datetime.now(UTC))
        if count:
            messages.success(request, _("%(n)s messages are offered to INVADE again, in their old order.") % {"n": count})
        else:
            messages.warning(request, _("None of these was set aside: they wait for their turn."))


@admin.register(Lease)
class LeaseAdmin(ReadOnlyAdmin):
    list_display = ("resource", "owner", "epoch", "until")
    search_fields = ("resource", "owner")

    def has_module_permission(self, request: HttpRequest) -> bool:
        return acts_everywhere(request, Role.ENGINEER)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return acts_everywhere(request, Role.ENGINEER)
