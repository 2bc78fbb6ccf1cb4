"""Routes of `/api/v1/`. Resources end without a slash, pages for people with one."""

from __future__ import annotations

from django.urls import path, re_path

from pilots.api import (
    alarm_views,
    group_views,
    journal_views,
    link_views,
    measurement_views,
    plant_views,
    schedule_views,
    setpoint_views,
    switching_views,
    system_views,
    views,
)

app_name = "api"

urlpatterns = [
    path("capabilities", system_views.ApiCapabilities.as_view(), name="capabilities"),
    path("clock", system_views.Clock.as_view(), name="clock"),
    path("health", system_views.Health.as_view(), name="health"),
    path("pilots", plant_views.Pilots.as_view(), name="pilots"),
    path("pilots/<str:code>", plant_views.OnePilot.as_view(), name="pilot"),
    path("pilots/<str:code>/topology", plant_views.Topology.as_view(), name="topology"),
    path("pilots/<str:code>/links", link_views.Links.as_view(), name="links"),
    path("pilots/<str:code>/links/quality", link_views.LinkQuality.as_view(), name="link-quality"),
    path("connections/<str:name>/frames", link_views.Frames.as_view(), name="frames"),
    path("devices", plant_views.Devices.as_view(), name="devices"),
    path("devices/<str:device>", plant_views.OneDevice.as_view(), name="device"),
    path("devices/<str:device>/capabilities", plant_views.Capabilities.as_view(), name="device-capabilities"),
    path("devices/<str:device>/points", plant_views.DevicePoints.as_view(), name="device-points"),
    path("points", plant_views.Points.as_view(), name="points"),
    path("measurements/latest", measurement_views.Latest.as_view(), name="latest"),
    path("measurements", measurement_views.Measurements.as_view(), name="measurements"),
    path("setpoints", setpoint_views.Setpoints.as_view(), name="setpoints"),
    path("setpoints/<str:setpoint>", setpoint_views.OneSetpoint.as_view(), name="setpoint"),
    path("setpoints/<str:setpoint>/cancel", setpoint_views.CancelSetpoint.as_view(), name="cancel-setpoint"),
    path("setpoint-groups", group_views.SetpointGroups.as_view(), name="setpoint-groups"),
    path("setpoint-groups/preview", group_views.PreviewGroup.as_view(), name="preview-setpoint-group"),
    path("setpoint-groups/<str:group>", group_views.OneGroup.as_view(), name="setpoint-group"),
    path("setpoint-groups/<str:group>/abort", group_views.AbortGroup.as_view(), name="abort-setpoint-group"),
    path("alarms", alarm_views.Alarms.as_view(), name="alarms"),
    path("alarms/acknowledge", alarm_views.AcknowledgeAlarms.as_view(), name="acknowledge-alarms"),
    path("alarms/<str:alarm>/shelve", alarm_views.ShelveAlarm.as_view(), name="shelve-alarm"),
    path("alarms/<str:alarm>/unshelve", alarm_views.UnshelveAlarm.as_view(), name="unshelve-alarm"),
    path("journal", journal_views.Journal.as_view(), name="journal"),
    path("schedules", schedule_views.Schedules.as_view(), name="schedules"),
    path("schedules/<str:schedule>", schedule_views.OneSchedule.as_view(), name="schedule"),
    path("schedules/<str:schedule>/cancel", schedule_views.CancelSchedule.as_view(), name="cancel-schedule"),
    path("selections", switching_views.Selections.as_view(), name="selections"),
    path("selections/<str:selection>", switching_views.OneSelection.as_view(), name="selection"),
    path("selections/<str:selection>/operate", switching_views.OperateSelection.as_view(), name="operate"),
    path("selections/<str:selection>/cancel", switching_views.CancelSelection.as_view(), name="cancel-selection"),
    path("selections/<str:selection>/approval", switching_views.AskForApproval.as_view(), name="ask-for-approval"),
    path("approvals", switching_views.Approvals.as_view(), name="approvals"),
    path("approvals/<str:approval>/approve", switching_views.Approve.as_view(), name="approve"),
    path("approvals/<str:approval>/refuse", switching_views.Disapprove.as_view(), name="refuse-approval"),
    path("schema/", views.Schema.as_view(), name="schema"),
    path("docs/", views.Docs.as_view(), name="docs"),
    re_path(r"^.*$", views.Unknown.as_view(), name="unknown"),
]
