"""Pages and their data; all of a pilot's stand under its code."""

from __future__ import annotations

from django.urls import include, path

from pilots.ui import setpoint_views, trend_views, views

pilot_patterns = [
    path("", views.pilot_page, name="pilot"),
    path("faceplate/<str:device>/", views.faceplate, name="faceplate"),
    path("trends/", trend_views.trends_page, name="trends"),
    path("trends/data", trend_views.trends_data, name="trends_data"),
    path("trends/export.csv", trend_views.trends_export, name="trends_export"),
    path("setpoints/", setpoint_views.create_setpoint, name="create_setpoint"),
    path("setpoints/<uuid:setpoint_id>/cancel", setpoint_views.cancel_setpoint, name="cancel_setpoint"),
]

urlpatterns = [
    path("", views.overview, name="overview"),
    path("totals", views.totals, name="totals"),
    path("favicon.ico", views.favicon),
    path("pilots/<slug:code>/", include(pilot_patterns)),
    path("", include("pilots.ui.health")),
]
