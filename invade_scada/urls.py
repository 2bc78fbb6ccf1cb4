"""Every route. Who may use which stands in `pilots.ui.access`."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("accounts/", include("pilots.ui.account_urls")),
    path("api/v1/", include("pilots.api.urls")),
    path("", include("pilots.ui.urls")),
]
