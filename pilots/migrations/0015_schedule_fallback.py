from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("pilots", "0014_setpoint_groups"),
    ]

    operations = [
        migrations.AddField(
            model_name="schedule",
            name="fallback_value",
            field=models.FloatField(null=True, verbose_name="fallback value"),
        ),
        migrations.AlterField(
            model_name="schedule",
            name="on_expiry",
            field=models.CharField(
                choices=[("release", "release"), ("hold", "hold"), ("fallback", "fallback")],
                default="release",
                max_length=16,
                verbose_name="on expiry",
            ),
        ),
    ]
