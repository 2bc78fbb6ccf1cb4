"""Shapes of exports, for the OpenAPI document only."""

from __future__ import annotations

from rest_framework import serializers as s

from pilots.api.shapes import Shape
from pilots.domain.export import ExportFailure, ExportFormat, ExportState, Resolution

EXPORT_STATES, FORMATS = [state.value for state in ExportState], [shape.value for shape in ExportFormat]
RESOLUTIONS, FAILURES = [each.value for each in Resolution], [each.value for each in ExportFailure]


class ExportFailed(Shape):
    code = s.ChoiceField(FAILURES)
    detail = s.CharField()


class Export(Shape):
    id = s.UUIDField()
    pilot = s.CharField()
    points = s.ListField(child=s.CharField(), help_text="References pilot/device/point.")
    start = s.DateTimeField()
    end = s.DateTimeField()
    zone = s.CharField()
    resolution = s.ChoiceField(RESOLUTIONS)
    format = s.ChoiceField(FORMATS)
    requested_by = s.CharField()
    requested_at = s.DateTimeField()
    state = s.ChoiceField(EXPORT_STATES)
    percent = s.IntegerField(help_text="How much of the window has been read.")
    rows = s.IntegerField(help_text="Read so far; when it is done, those of the file.")
    started_at = s.DateTimeField(allow_null=True)
    finished_at = s.DateTimeField(allow_null=True)
    expires_at = s.DateTimeField(allow_null=True, help_text="When the file goes.")
    failure = ExportFailed(allow_null=True)
    size = s.IntegerField(allow_null=True, help_text="Bytes.")
    sha256 = s.CharField(allow_null=True)
    manifest = s.DictField(
        allow_null=True, help_text="Who, when, points with unit and kind, sign, zone, window, rows, checksum, version."
    )


class ExportRequest(Shape):
    points = s.ListField(child=s.CharField(), help_text="References pilot/device/point, of one pilot.")
    start = s.DateTimeField(help_text="Included.")
    end = s.DateTimeField(help_text="Excluded.")
    zone = s.CharField(required=False, help_text="The pilot's zone (also when absent) or UTC.")
    resolution = s.ChoiceField(RESOLUTIONS, required=False, help_text="raw when absent.")
    format = s.ChoiceField(FORMATS)
