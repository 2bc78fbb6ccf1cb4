"""Pages and their data; all of a pilot's stand under its code."""

from __future__ import annotations

from django.urls import include, path, re_path

from pilots.ui import (
    audit_views,
    commissioning_views,
    link_views,
    point_test_views,
    scl_views,
    setpoint_views,
    table_views,
    training_views,
    trend_views,
    views,
)

pilot_patterns = [
    path("", views.pilot_page, name="pilot"),
    path("faceplate/<str:device>/", views.faceplate, name="faceplate"),
    path("trends/", trend_views.trends_page, name="trends"),
    path("trends/data", trend_views.trends_data, name="trends_data"),
    path("trends/export.csv", trend_views.trends_export, name="trends_export"),
    path("commissioning/", commissioning_views.commissioning_page, name="commissioning"),
    path("commissioning/read", commissioning_views.read_address, name="read_address"),
    path("commissioning/write", commissioning_views.write_address, name="write_address"),
    path("commissioning/browse", commissioning_views.browse_device, name="browse_device"),
    path("commissioning/save", commissioning_views.save_point, name="save_point"),
    path("commissioning/table/", table_views.table_page, name="point_table"),
    path("commissioning/table/compare", table_views.compare_table, name="compare_table"),
    path("commissioning/table/apply", table_views.apply_table, name="apply_table"),
    re_path(r"^commissioning/table/points\.(?P<kind>csv|xlsx)$", table_views.table_export, name="table_export"),
    path("commissioning/scl/", scl_views.scl_page, name="scl"),
    path("commissioning/scl/proposals", scl_views.scl_proposals, name="scl_proposals"),
    path("commissioning/scl/profile", scl_views.scl_profile, name="scl_profile"),
    path("commissioning/tests/", point_test_views.point_tests_page, name="point_tests"),
    path("commissioning/tests/start", point_test_views.start_point_test, name="start_point_test"),
    path("commissioning/tests/verify", point_test_views.verify_point_test, name="verify_point_test"),
    path("commissioning/tests/<int:number>/", point_test_views.point_tests_page, name="point_test"),
    path("commissioning/tests/<int:number>/record", point_test_views.record_point_test, name="record_point_test"),
    path("commissioning/tests/<int:number>/sign", point_test_views.sign_point_test, name="sign_point_test"),
    re_path(
        r"^commissioning/tests/(?P<number>\d{1,9})/list\.(?P<kind>csv|json)$",
        point_test_views.export_point_test,
        name="export_point_test",
    ),
    path("links/", link_views.links_page, name="links"),
    path("links/frames", link_views.frames, name="frames"),
    path("links/frames.txt", link_views.frames_text, name="frames_text"),
    path("links/frames.pcap", link_views.frames_capture, name="frames_capture"),
    path("links/quality/", link_views.quality_sheet, name="quality_sheet"),
    path("links/quality.csv", link_views.quality_export, name="quality_export"),
    path("setpoints/", setpoint_views.create_setpoint, name="create_setpoint"),
    path("setpoints/<uuid:setpoint_id>/cancel", setpoint_views.cancel_setpoint, name="cancel_setpoint"),
]

urlpatterns = [
    path("", views.overview, name="overview"),
    path("totals", views.totals, name="totals"),
    path("favicon.ico", views.favicon),
    path("audit/", audit_views.audit_page, name="audit"),
    re_path(r"^audit/export\.(?P<kind>csv|jsonl)$", audit_views.audit_export, name="audit_export"),
    path("training/", training_views.training_page, name="training"),
    path("training/field", training_views.training_field, name="training_field"),
    path("training/start", training_views.start_fault, name="start_fault"),
    path("training/end", training_views.end_fault, name="end_fault"),
    path("training/media", training_views.switch_media, name="switch_media"),
    path("pilots/<slug:code>/", include(pilot_patterns)),
    path("", include("pilots.ui.health")),
]
