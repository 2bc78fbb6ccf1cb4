"""The present state beside the configuration, refreshed where it stands: lists, change pages and the points of a device."""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_safe

from pilots.admin.editing import ConfigurationAdmin

#: Rows that one answer tells of: a page of a list, or a large device's points.
MOST_ROWS = 500


class LivePages(ConfigurationAdmin):
    """A page some of whose columns are what the row is now; each names a display method."""

    live_columns: ClassVar[tuple[str, ...]] = ()
    #: The model of an inline whose rows are live too.
    live_inline: ClassVar[str] = ""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_safe(self.live_view))
        return [path("live/", view, name=f"pilots_{self.opts.model_name}_live"), *super().get_urls()]

    def live_view(self, request: HttpRequest) -> HttpResponse:
        """`{key: {column: words}}` of the rows asked for that the reader may see."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        keys = [int(key) for key in request.GET.get("ids", "").split(",") if key.isdecimal()][:MOST_ROWS]
        rows = self.get_queryset(request).filter(pk__in=keys)
        told = {str(row.pk): {name: str(getattr(self, name)(row)) for name in self.live_columns} for row in rows}
        return JsonResponse({"rows": told}, headers={"Cache-Control": "no-store"})

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        return super().changelist_view(request, self._live_context() | (extra_context or {}))

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        inline = reverse(f"admin:pilots_{self.live_inline}_live") if self.live_inline else ""
        context = self._live_context() | {"live_key": object_id, "live_inline_url": inline}
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

    def _live_context(self) -> dict[str, Any]:
        return {"live_url": reverse(f"admin:pilots_{self.opts.model_name}_live")} if self.live_columns else {}
