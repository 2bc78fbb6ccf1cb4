import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("pilots", "0021_preferences"),
    ]

    operations = [
        migrations.AddField(
            model_name="device",
            name="nudge_x",
            field=models.SmallIntegerField(
                default=0,
                help_text="pixels, on the picture only: moves a feeder, or a device above the busbars with all below it",
                verbose_name="nudge to the right",
            ),
        ),
        migrations.AddField(
            model_name="device",
            name="nudge_y",
            field=models.PositiveSmallIntegerField(default=0, help_text="pixels, as above", verbose_name="nudge down"),
        ),
        migrations.CreateModel(
            name="Substitution",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("owner", models.CharField(max_length=120, verbose_name="owner")),
                ("reason", models.CharField(max_length=300, verbose_name="reason")),
                ("set_at", models.DateTimeField(verbose_name="set")),
                ("removed_at", models.DateTimeField(null=True, verbose_name="removed")),
                ("removed_by", models.CharField(blank=True, max_length=120, verbose_name="removed by")),
                ("value", models.FloatField(verbose_name="value")),
                ("until", models.DateTimeField(verbose_name="until")),
                (
                    "settled",
                    models.BooleanField(
                        default=False, help_text="after its end the value no longer looks current", verbose_name="settled"
                    ),
                ),
                (
                    "point",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="substitutions",
                        to="pilots.point",
                        verbose_name="point",
                    ),
                ),
            ],
            options={
                "verbose_name": "substitution",
                "verbose_name_plural": "substitutions",
                "ordering": ["-set_at"],
                "abstract": False,
                "indexes": [models.Index(condition=models.Q(("settled", False)), fields=["settled"], name="substitution_open")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("removed_at", None)), fields=("point",), name="one_substitution_per_point"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("until__gt", models.F("set_at"))), name="substituted_for_some_time"
                    ),
                ],
            },
        ),
    ]
