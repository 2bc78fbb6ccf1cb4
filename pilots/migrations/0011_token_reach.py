"""Tokens say what they reach: an empty list opens nothing any more."""

from __future__ import annotations

from django.db import migrations, models


def say_what_empty_lists_meant(apps, schema_editor):
    """Until now a token without pilots reached every pilot, and one without devices every device of its pilots."""
    tokens = apps.get_model("pilots", "ServiceToken").objects.using(schema_editor.connection.alias)
    tokens.filter(pilots=None).update(all_pilots=True)
    tokens.filter(devices=None).update(all_devices=True)


class Migration(migrations.Migration):
    dependencies = [("pilots", "0010_setpoint_endings")]
    operations = [
        migrations.AddField("servicetoken", "all_pilots", models.BooleanField(default=False, verbose_name="every pilot")),
        migrations.AddField("servicetoken", "all_devices", models.BooleanField(default=False, verbose_name="every device")),
        migrations.AlterField(
            "servicetoken",
            "pilots",
            models.ManyToManyField(
                blank=True, help_text="only these, unless every pilot", to="pilots.pilot", verbose_name="pilots"
            ),
        ),
        migrations.AlterField(
            "servicetoken",
            "devices",
            models.ManyToManyField(
                blank=True, help_text="only these of the pilots, unless every device", to="pilots.device", verbose_name="devices"
            ),
        ),
        migrations.RunPython(say_what_empty_lists_meant, migrations.RunPython.noop),
    ]
