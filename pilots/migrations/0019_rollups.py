"""Roll-ups of the history, no model as the samples are none (`pilots.history.rollups`), and saved views of the trends.

PostgreSQL: a partition a level, so that years of hours do not lie between the minutes. `rollup_due` has the hours in which
late samples came, in µs since 1970 UTC; `rollup_state` up to when everything is rolled up.
"""

from __future__ import annotations

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

POSTGRESQL = """
CREATE TABLE rollup (
    start timestamptz NOT NULL,
    low double precision,
    high double precision,
    mean double precision,
    first double precision,
    last double precision,
    good_s double precision NOT NULL,
    point integer NOT NULL,
    samples integer NOT NULL,
    level smallint NOT NULL,
    quality smallint NOT NULL,
    PRIMARY KEY (level, point, start)
) PARTITION BY LIST (level);
CREATE TABLE rollup_minute PARTITION OF rollup FOR VALUES IN (60);
CREATE TABLE rollup_quarter PARTITION OF rollup FOR VALUES IN (900);
CREATE TABLE rollup_hour PARTITION OF rollup FOR VALUES IN (3600);
CREATE TABLE rollup_six_hours PARTITION OF rollup FOR VALUES IN (21600);
CREATE INDEX rollup_by_time ON rollup USING brin (start);
CREATE TABLE rollup_due (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, point integer NOT NULL, hour bigint NOT NULL);
CREATE TABLE rollup_state (id integer PRIMARY KEY, until bigint NOT NULL);
"""

SQLITE = """
CREATE TABLE rollup (
    level integer NOT NULL,
    point integer NOT NULL,
    start integer NOT NULL,
    low real,
    high real,
    mean real,
    first real,
    last real,
    good_s real NOT NULL,
    samples integer NOT NULL,
    quality integer NOT NULL,
    PRIMARY KEY (level, point, start)
) WITHOUT ROWID;
CREATE TABLE rollup_due (id integer PRIMARY KEY AUTOINCREMENT, point integer NOT NULL, hour integer NOT NULL);
CREATE TABLE rollup_state (id integer PRIMARY KEY, until integer NOT NULL);
"""


def create(apps, schema_editor):
    statements = POSTGRESQL if schema_editor.connection.vendor == "postgresql" else SQLITE
    for statement in statements.strip().split(";"):
        if statement.strip():
            schema_editor.execute(statement)


def drop(apps, schema_editor):
    for table in ("rollup", "rollup_due", "rollup_state"):
        schema_editor.execute(f"DROP TABLE {table}")


class Migration(migrations.Migration):
    dependencies = [("pilots", "0018_journal")]
    operations = [
        migrations.RunPython(create, drop),
        migrations.CreateModel(
            name="TrendView",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=80, verbose_name="name")),
                ("query", models.TextField(max_length=4000, verbose_name="what it shows")),
                ("shared", models.BooleanField(default=False, verbose_name="shared")),
                ("changed_at", models.DateTimeField(verbose_name="changed")),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="trend_views",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="owner",
                    ),
                ),
                (
                    "pilot",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="trend_views",
                        to="pilots.pilot",
                        verbose_name="pilot",
                    ),
                ),
            ],
            options={"verbose_name": "trend view", "verbose_name_plural": "trend views", "ordering": ["name", "id"]},
        ),
        migrations.AddConstraint(
            model_name="trendview",
            constraint=models.UniqueConstraint(fields=("owner", "pilot", "name"), name="one_view_per_name"),
        ),
    ]
