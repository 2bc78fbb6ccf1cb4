"""Pages of the plant: pilots, devices with their points, connections, links."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db.models import JSONField, Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from pilots.acquisition.address_checks import check_point_address
from pilots.acquisition.probing import probe_connection
from pilots.admin.bulk import BulkPages
from pilots.admin.cloning import ClonePages, clone_device, device_form
from pilots.admin.editing import CheckedForm, related_filter
from pilots.admin.histories import HistoryPages
from pilots.admin.importing import ImportPages
from pilots.admin.live import LivePages
from pilots.admin.live_values import age_words, latest_of, quality_words, telling_values, value_words
from pilots.admin.rights import ByPilot, TabularInline, actor_of, acts_everywhere
from pilots.admin.row_edits import Outcome
from pilots.admin.tables import DEVICES, POINTS
from pilots.audit.services import record_event
from pilots.catalogue.editing import (
    adopt_profile,
    check_connection,
    check_device,
    check_link,
    check_pilot_row,
    check_point,
    check_point_name,
    new_charge_point_key,
    resolve_again,
)
from pilots.domain.errors import CatalogueError
from pilots.models import Connection, Device, Link, Pilot, Point, Role

#: JSON is a line or two here, not a page.
SMALL_JSON: dict[Any, dict[str, Any]] = {JSONField: {"widget": forms.Textarea(attrs={"rows": 3, "cols": 60})}}


class DeviceForm(CheckedForm):
    def check(self, row: Any) -> None:
        check_device(row)


class ConnectionForm(CheckedForm):
    def check(self, row: Any) -> None:
        check_connection(row)


class LinkForm(CheckedForm):
    def check(self, row: Any) -> None:
        check_link(row)


class PilotForm(CheckedForm):
    def check(self, row: Any) -> None:
        check_pilot_row(row)


class PointForm(CheckedForm):
    def check(self, row: Any) -> None:
        check_point_name(row)
        check_point(row)
        check_point_address(row)


@admin.register(Pilot)
class PilotAdmin(HistoryPages):
    """Pilots come and go with who is engineer everywhere; each engineer describes their own."""

    form = PilotForm
    pilot_path = ""
    fixed = ("code",)
    list_display = ("name", "code", "country", "time_zone", "operator", "revision")
    search_fields = ("code", "name", "operator")
    readonly_fields = ("revision",)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return acts_everywhere(request, Role.ENGINEER)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return acts_everywhere(request, Role.ENGINEER)

    def points_of(self, objs: Any) -> Any:
        return Point.objects.filter(device__pilot__in=objs)


class PointInline(ByPilot, TabularInline):
    """A device's points; the rest of their columns stands on the point's own page."""

    model = Point
    form = PointForm
    pilot_path = "device__pilot"
    fields = ("name", "live", "kind", "unit", "address", "capability", "feedback")
    formfield_overrides = SMALL_JSON
    readonly_fields = ("live",)
    extra = 0
    show_change_link = True
    classes = ("wide-inline",)

    def pilot_of(self, obj: Model) -> Pilot | None:
        return obj.pilot if isinstance(obj, Device) else super().pilot_of(obj)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("latest", "device")

    @admin.display(description=gettext_lazy("live value"))
    def live(self, point: Point) -> str:
        return "–" if point.pk is None else f"{value_words(point)}, {quality_words(point)}"


@admin.register(Device)
class DeviceAdmin(BulkPages, ImportPages, ClonePages, HistoryPages, LivePages):
    form = DeviceForm
    table = DEVICES
    bulk_fields = ("operator", "sgam", "nameplate", "fallback", "documents")
    clone_hint = gettext_lazy(
        "It comes with the points as they are now and with the alarm rules that were changed here. "
        "Links, keys and measured values are its own."
    )
    live_columns = ("link_state", "seen", "values")
    live_inline = "point"
    fixed = ("pilot", "code")
    fieldsets = (
        (None, {"fields": ("pilot", "code", "kind", "name", "sgam", "operator", "documents")}),
        (
            gettext_lazy("In the grid"),
            {"fields": ("parent", "measured_by", "position", ("nudge_x", "nudge_y"), "nameplate", "fallback")},
        ),
        (
            gettext_lazy("Communication"),
            {"fields": ("connection", "profile", "profile_options", "address", "link_state", "seen", "has_key")},
        ),
    )
    formfield_overrides = SMALL_JSON
    list_display = ("code", "kind", "name", "pilot", "connection", "link_state", "seen", "values")
    list_filter = (related_filter("pilot"), "kind", related_filter("connection"), "connection__state", "connection__protocol")
    search_fields = ("code", "name", "profile", "operator", "connection__name")
    autocomplete_fields = ("parent", "measured_by", "connection")
    readonly_fields = ("profile_options", "has_key", "link_state", "seen", "values")
    inlines = (PointInline,)
    actions = ("edit_chosen", "new_key")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request).select_related("pilot", "connection", "parent", "measured_by")
        return rows.prefetch_related("points__latest")

    def after_save(self, row: Device, changed: Sequence[str], *, created: bool) -> None:
        if created or "profile" in changed:
            adopt_profile(row)
        elif {"nameplate", "connection"} & set(changed):
            resolve_again(row)

    def followers(self, row: Device, changed: Sequence[str]) -> Any:
        return row.points.all() if {"profile", "nameplate", "connection"} & set(changed) else ()

    def points_of(self, objs: Any) -> Any:
        return Point.objects.filter(device__in=objs)

    def clone_form(self, request: HttpRequest, row: Device) -> forms.BaseForm:
        return device_form(request, row)

    def make_clone(self, request: HttpRequest, row: Device, given: Any) -> list[Outcome]:
        return clone_device(self.admin_site._registry, request, row, given)

    @admin.display(description=gettext_lazy("connection is"))
    def link_state(self, device: Device) -> str:
        return "–" if device.connection is None else state_words(device.connection)

    @admin.display(description=gettext_lazy("live values"))
    def values(self, device: Device) -> str:
        return "–" if device.pk is None else telling_values(list(device.points.all()))

    @admin.display(description=gettext_lazy("last seen"))
    def seen(self, device: Device) -> str:
        received = (
            [] if device.pk is None else [latest.received_time for point in device.points.all() if (latest := latest_of(point))]
        )
        return age_words(max(received, default=None))

    @admin.display(description=gettext_lazy("has a key"), boolean=True)
    def has_key(self, device: Device) -> bool:
        return bool(device.key_sha256)

    @admin.action(description=gettext_lazy("New charge point key (shown once)"), permissions=["change"])
    def new_key(self, request: HttpRequest, devices: QuerySet[Device]) -> None:
        for device in devices:
            try:
                key = new_charge_point_key(device, actor=actor_of(request), now=datetime.now(UTC))
            except CatalogueError as error:
                messages.error(request, str(error))
                continue
            said = _("The new key of %(device)s, shown only now: %(key)s") % {"device": device, "key": key}
            messages.success(request, said)


@admin.register(Connection)
class ConnectionAdmin(HistoryPages, LivePages):
    form = ConnectionForm
    live_columns = ("state_now", "last_frame", "last_error_now", "statistics_words")
    fixed = ("pilot", "name")
    fieldsets = (
        (None, {"fields": ("pilot", "name", "protocol", "host", "port", "simulated", "enabled", "options")}),
        (gettext_lazy("Now"), {"fields": ("state_now", "last_frame", "last_error_now", "statistics_words")}),
    )
    formfield_overrides = SMALL_JSON
    list_display = ("name", "pilot", "protocol", "endpoint", "enabled", "simulated", "state_now", "last_frame", "last_error_now")
    list_filter = (related_filter("pilot"), "protocol", "state", "enabled", "simulated")
    search_fields = ("name", "host", "last_error")
    readonly_fields = ("state_now", "last_frame", "last_error_now", "statistics_words")
    actions = ("test_connections",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("pilot")

    def get_urls(self) -> list[URLPattern]:
        test = self.admin_site.admin_view(require_POST(self.test_view))
        return [path("<path:object_id>/test/", test, name="pilots_connection_test"), *super().get_urls()]

    def followers(self, row: Connection, changed: Sequence[str]) -> Any:
        return Point.objects.filter(device__connection=row) if "options" in changed else ()

    def after_save(self, row: Connection, changed: Sequence[str], *, created: bool) -> None:
        if "options" in changed:
            for device in row.devices.all():
                resolve_again(device)

    @admin.display(description=gettext_lazy("endpoint"))
    def endpoint(self, connection: Connection) -> str:
        return f"{connection.host}:{connection.port}" if connection.port else "–"

    @admin.display(description=gettext_lazy("state"), ordering="state")
    def state_now(self, connection: Connection) -> str:
        return state_words(connection)

    @admin.display(description=gettext_lazy("last good frame"), ordering="last_frame_at")
    def last_frame(self, connection: Connection) -> str:
        return age_words(connection.last_frame_at)

    @admin.display(description=gettext_lazy("last error"), ordering="last_error")
    def last_error_now(self, connection: Connection) -> str:
        return connection.last_error or "–"

    @admin.display(description=gettext_lazy("statistics"))
    def statistics_words(self, connection: Connection) -> str:
        return "\n".join(f"{name}: {json.dumps(value)}" for name, value in connection.statistics.items()) or "–"

    @admin.action(description=gettext_lazy("Test connection"), permissions=["change"])
    def test_connections(self, request: HttpRequest, connections: QuerySet[Connection]) -> None:
        if len(connections) > 5:
            messages.error(request, _("Choose at most five: each test may take ten seconds."))
            return
        for connection in connections:
            self._test(request, connection)

    def test_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The button of the change page."""
        connection = self.get_object(request, object_id)
        if connection is None or not self.has_change_permission(request, connection):
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[attr-defined, no-any-return]
        self._test(request, connection)
        return HttpResponseRedirect(reverse("admin:pilots_connection_change", args=[connection.pk]))

    def _test(self, request: HttpRequest, connection: Connection) -> None:
        result = probe_connection(connection, now=datetime.now(UTC))
        level = messages.SUCCESS if result.good else messages.ERROR
        said = _("Test of %(name)s: %(words)s") % {"name": connection.name, "words": result.words}
        messages.add_message(request, level, said)
        record_event(
            at=datetime.now(UTC),
            actor=actor_of(request),
            action="test connection",
            pilot=connection.pilot.code,
            subject=connection.name,
            details={"good": result.good},
        )


@admin.register(Link)
class LinkAdmin(HistoryPages, LivePages):
    form = LinkForm
    live_columns = ("state_now", "since")
    list_display = ("letter", "pilot", "end_a", "end_b", "protocol", "medium", "role", "connection", "state_now", "since")
    list_filter = (related_filter("pilot"), "state", "role", "letter")
    search_fields = ("letter", "end_a__code", "end_b__code", "protocol", "medium", "connection__name")
    autocomplete_fields = ("end_a", "end_b", "connection")
    readonly_fields = ("state_now", "since")
    list_select_related = ("pilot", "end_a", "end_b", "connection")

    @admin.display(description=gettext_lazy("state"), ordering="state")
    def state_now(self, link: Link) -> str:
        return link.get_state_display()

    @admin.display(description=gettext_lazy("since"), ordering="state_since")
    def since(self, link: Link) -> str:
        return age_words(link.state_since)


class PeriodFilter(admin.SimpleListFilter):
    """How often a point comes, by its poll period or promised interval."""

    title = gettext_lazy("poll")
    parameter_name = "poll"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("polled", _("polled")), ("reported", _("reports by itself")), ("event", _("on events only"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value()
        if chosen == "polled":
            return queryset.exclude(period_s=None)
        if chosen == "reported":
            return queryset.exclude(max_interval_s=None)
        return queryset.filter(period_s=None, max_interval_s=None) if chosen == "event" else queryset


@admin.register(Point)
class PointAdmin(BulkPages, ImportPages, HistoryPages, LivePages):
    form = PointForm
    table = POINTS
    bulk_fields: ClassVar[tuple[str, ...]] = ("deadband", "period_s", "max_interval_s", "low", "high", "scale", "offset", "sign")
    bulk_fields += ("operating_minimum", "operating_maximum", "operating_ramp")
    live_columns = ("live", "quality", "age")
    pilot_path = "device__pilot"
    fixed = ("device",)
    formfield_overrides = SMALL_JSON
    list_display = ("__str__", "kind", "unit", "period", "live", "quality", "age")
    list_filter = (related_filter("device__pilot"), "kind", "unit", PeriodFilter)
    search_fields = ("name", "device__code", "device__name")
    autocomplete_fields = ("device",)
    readonly_fields = ("live", "quality", "age")
    list_select_related = ("device__pilot", "latest")

    def points_of(self, objs: Any) -> Any:
        return Point.objects.filter(pk__in=[point.pk for point in objs])

    @admin.display(description=gettext_lazy("period, s"), ordering="period_s")
    def period(self, point: Point) -> str:
        interval = point.period_s or point.max_interval_s
        return "–" if interval is None else f"{interval:g}"

    @admin.display(description=gettext_lazy("live value"))
    def live(self, point: Point) -> str:
        return value_words(point)

    @admin.display(description=gettext_lazy("quality"))
    def quality(self, point: Point) -> str:
        return quality_words(point)

    @admin.display(description=gettext_lazy("received"))
    def age(self, point: Point) -> str:
        latest = latest_of(point)
        return age_words(None if latest is None else latest.received_time)


def state_words(connection: Connection) -> str:
    """`up, 3 min ago`: the state and since when."""
    if not connection.enabled:
        return _("switched off")
    since = "" if connection.state_since is None else f", {age_words(connection.state_since)}"
    return f"{connection.get_state_display()}{since}"
