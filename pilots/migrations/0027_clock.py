from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("pilots", "0026_forecasts"),
    ]

    operations = [
        migrations.AlterField(
            model_name="user",
            name="time_zone",
            field=models.CharField(blank=True, help_text="Own time", max_length=64, verbose_name="time zone"),
        ),
        migrations.AddField(
            model_name="user",
            name="clock",
            field=models.CharField(
                choices=[("pilot", "Pilot time"), ("own", "Own time"), ("utc", "UTC")],
                default="pilot",
                max_length=8,
                verbose_name="clock",
            ),
        ),
    ]
