"""Shapes of links with their figures and of their month, for the OpenAPI document only."""

from __future__ import annotations

from rest_framework import serializers as s

from pilots.api import shapes
from pilots.domain.topology import LinkRole


class LinkFigures(shapes.Shape):
    connection = s.CharField()
    way = s.IntegerField(help_text="0: the configured way; n: the n-th backup.")
    last_frame_ms = s.IntegerField(allow_null=True, help_text="Newest good frame, ms since 1970 UTC.")
    p50_ms = s.FloatField(allow_null=True)
    p95_ms = s.FloatField(allow_null=True)
    loss = s.FloatField(allow_null=True, help_text="Share of the newest requests without a good answer.")
    bytes_per_s = s.FloatField(allow_null=True)
    period_s = s.FloatField(allow_null=True)
    sent = s.IntegerField()
    received = s.IntegerField()
    sent_bytes = s.IntegerField()
    received_bytes = s.IntegerField()
    timeouts = s.IntegerField()
    violations = s.IntegerField()
    lost = s.IntegerField(help_text="Frames without a proper answer: time-outs and violations, a late answer once.")
    refused = s.IntegerField()
    retries = s.IntegerField()
    reconnects = s.IntegerField()


class LinkNow(shapes.Link):
    figures = LinkFigures(allow_null=True, help_text="null where the connection is not ours.")


class LinkMonth(shapes.Shape):
    letter = s.CharField()
    ends = s.ListField(child=s.CharField(), min_length=2, max_length=2)
    protocol = s.CharField()
    medium = s.CharField()
    role = s.ChoiceField([str(role) for role in LinkRole])
    availability_target_percent = s.FloatField()
    availability_percent = s.FloatField(allow_null=True, help_text="Up or degraded, of the time somebody looked.")
    observed_percent = s.FloatField()
    round_trip_p95_target_s = s.FloatField()
    round_trip_p50_s = s.FloatField(allow_null=True)
    round_trip_p95_s = s.FloatField(allow_null=True)
    loss_target_percent = s.FloatField()
    loss_percent = s.FloatField(allow_null=True)
    requests = s.IntegerField()
    lost = s.IntegerField()
    retries = s.IntegerField()
    reconnects = s.IntegerField()
    sent_bytes = s.IntegerField()
    received_bytes = s.IntegerField()
    misses = s.ListField(child=s.ChoiceField(["availability", "round_trip", "loss"]))
