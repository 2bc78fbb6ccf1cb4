"""Kiosks: wall screens with a token, and the accounts behind them."""

from __future__ import annotations

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("pilots", "0024_edit_history"),
    ]

    operations = [
        migrations.AddField(
            model_name="user",
            name="is_kiosk",
            field=models.BooleanField(default=False, editable=False),
        ),
        migrations.CreateModel(
            name="Kiosk",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=80, verbose_name="name")),
                ("pages", models.JSONField(default=list, verbose_name="pages")),
                ("sha256", models.CharField(editable=False, max_length=64, unique=True)),
                ("created_at", models.DateTimeField(verbose_name="created")),
                ("ends_at", models.DateTimeField(verbose_name="ends")),
                ("revoked_at", models.DateTimeField(null=True, verbose_name="revoked")),
                ("first_used_at", models.DateTimeField(null=True, verbose_name="first used")),
                ("last_seen_at", models.DateTimeField(null=True, verbose_name="last seen")),
                ("last_address", models.CharField(blank=True, max_length=45, verbose_name="last address")),
                (
                    "made_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="made by",
                    ),
                ),
                (
                    "user",
                    models.OneToOneField(
                        editable=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="kiosk",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={"verbose_name": "kiosk", "verbose_name_plural": "kiosks", "ordering": ["-created_at"]},
        ),
    ]
