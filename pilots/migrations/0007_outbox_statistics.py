"""What our messages to the platform say of the link, beside their numbering."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("pilots", "0006_guards")]
    operations = [migrations.AddField("outboxstate", "statistics", models.JSONField(default=dict))]
