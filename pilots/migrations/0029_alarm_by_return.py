"""The last alarm that returned, which a quiet page's strip names, is found without reading every alarm there was."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("pilots", "0028_tour"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="alarm",
            index=models.Index(
                condition=models.Q(("returned_at__isnull", False)), fields=["-returned_at"], name="alarm_by_return"
            ),
        ),
    ]
