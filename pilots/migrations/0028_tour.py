"""When a person walked the tour of the pages, or declined it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("pilots", "0027_clock"),
    ]

    operations = [
        migrations.AddField(
            model_name="user",
            name="tour_ended_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
    ]
