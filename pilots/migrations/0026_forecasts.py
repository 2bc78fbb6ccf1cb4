"""Forecasts: runs of expected load, generation, capacity and prices."""

from __future__ import annotations

import uuid

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("pilots", "0025_kiosks"),
    ]

    operations = [
        migrations.CreateModel(
            name="Forecast",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[("load", "load"), ("generation", "generation"), ("capacity", "capacity"), ("price", "price")],
                        max_length=16,
                        verbose_name="kind",
                    ),
                ),
                ("unit", models.CharField(max_length=16, verbose_name="unit")),
                ("start", models.DateTimeField(verbose_name="start")),
                ("end", models.DateTimeField(verbose_name="end")),
                ("resolution_s", models.PositiveIntegerField(default=900, verbose_name="resolution, s")),
                ("values", models.JSONField(default=list, verbose_name="values")),
                ("low", models.JSONField(null=True, verbose_name="lower bound")),
                ("high", models.JSONField(null=True, verbose_name="upper bound")),
                ("source", models.CharField(max_length=120, verbose_name="source")),
                ("issuer", models.CharField(blank=True, max_length=120, verbose_name="issuer")),
                ("issued_at", models.DateTimeField(verbose_name="issued")),
                ("received_at", models.DateTimeField(verbose_name="received")),
                (
                    "pilot",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="forecasts",
                        to="pilots.pilot",
                        verbose_name="pilot",
                    ),
                ),
                (
                    "point",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="forecasts",
                        to="pilots.point",
                        verbose_name="point",
                    ),
                ),
            ],
            options={
                "verbose_name": "forecast",
                "verbose_name_plural": "forecasts",
                "ordering": ["-issued_at"],
                "indexes": [
                    models.Index(fields=["point", "kind", "-issued_at"], name="forecast_by_point"),
                    models.Index(fields=["issued_at"], name="forecast_by_time"),
                    models.Index(fields=["received_at", "id"], name="forecast_by_arrival"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("source", "point", "kind", "issued_at"), name="forecast_once"),
                    models.UniqueConstraint(
                        condition=models.Q(("point", None)), fields=("source", "pilot", "issued_at"), name="price_once"
                    ),
                    models.CheckConstraint(condition=models.Q(("end__gt", models.F("start"))), name="foreseen_for_some_time"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("kind", "price"), ("point", None)),
                            models.Q(models.Q(("kind", "price"), _negated=True), ("point__isnull", False)),
                            _connector="OR",
                        ),
                        name="price_of_a_pilot",
                    ),
                ],
            },
        ),
    ]
