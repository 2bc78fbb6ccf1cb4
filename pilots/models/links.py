"""What links have achieved, hour by hour: the ground of the quality-of-service sheet (D7.1 1)."""

from __future__ import annotations

from django.db import models

from pilots.models.plant import Link


class LinkHour(models.Model):
    """One hour (UTC) of one link: seconds in each state, traffic, round trips. Written by the gateway's chore only."""

    link = models.ForeignKey(Link, models.CASCADE, related_name="hours")
    hour = models.DateTimeField()
    up_s = models.FloatField(default=0.0)
    degraded_s = models.FloatField(default=0.0)
    down_s = models.FloatField(default=0.0)
    unknown_s = models.FloatField(default=0.0)
    requests = models.PositiveBigIntegerField(default=0)
    lost = models.PositiveBigIntegerField(default=0)
    retries = models.PositiveBigIntegerField(default=0)
    reconnects = models.PositiveBigIntegerField(default=0)
    sent_bytes = models.PositiveBigIntegerField(default=0)
    received_bytes = models.PositiveBigIntegerField(default=0)
    round_trip_p50_s = models.FloatField(null=True)
    round_trip_p95_s = models.FloatField(null=True)

    class Meta:
        ordering = ["hour"]
        constraints = [models.UniqueConstraint(fields=["link", "hour"], name="one_row_per_link_and_hour")]

    def __str__(self) -> str:
        return f"{self.link} {self.hour:%Y-%m-%dT%HZ}"
