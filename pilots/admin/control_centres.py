"""Control centres of others: who may connect, which points they see, whether they may send set-points."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from pilots.admin.editing import CheckedForm, ConfigurationAdmin
from pilots.admin.plant import SMALL_JSON
from pilots.admin.rights import Everywhere, TabularInline, actor_of, acts_everywhere
from pilots.audit.services import record_event
from pilots.control_centres.listener import check_centre, check_centre_point
from pilots.models import ControlCentre, ControlCentrePoint, Role


class CentreForm(CheckedForm):
    def check(self, row: Any) -> None:
        check_centre(row)


class CentrePointForm(CheckedForm):
    def check(self, row: Any) -> None:
        check_centre_point(row)


class CentrePointInline(TabularInline):
    """The points that the centre sees."""

    model = ControlCentrePoint
    form = CentrePointForm
    autocomplete_fields = ("point",)
    extra = 1

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return acts_everywhere(request, Role.ENGINEER)

    has_add_permission = has_change_permission = has_delete_permission = has_view_permission


@admin.register(ControlCentre)
class ControlCentreAdmin(Everywhere, ConfigurationAdmin):
    """Its points may belong to any pilot, so only who is engineer at every pilot sees and changes it."""

    viewers = editors = (Role.ENGINEER,)
    roles = (Role.ENGINEER,)
    pilot_path = ""
    form = CentreForm
    fixed = ("name",)
    formfield_overrides = SMALL_JSON
    inlines = (CentrePointInline,)
    list_display = ("name", "enabled", "endpoint", "may_control", "state", "last_error")
    readonly_fields = ("state", "last_error")

    @admin.display(description=gettext_lazy("listens on"))
    def endpoint(self, centre: ControlCentre) -> str:
        return f"{centre.host}:{centre.port}"

    def after_save(self, row: ControlCentre, changed: Sequence[str], *, created: bool) -> None:
        """The host looks each second: nothing has to be told."""

    def _record(self, request: HttpRequest, row: Any, action: str, details: dict[str, Any]) -> None:
        record_event(
            at=datetime.now(UTC), actor=actor_of(request), action=f"{action} control centre", subject=str(row), details=details
        )
