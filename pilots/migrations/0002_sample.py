"""The history table. It is no model: rows are written and read as arrays (`pilots.history`).

PostgreSQL: partitioned by UTC day of source_time with a DEFAULT partition, columns ordered by width.
SQLite: integer microseconds, WITHOUT ROWID, so that a row costs 24 bytes and a point's rows lie together.
"""

from __future__ import annotations

from django.db import migrations

POSTGRESQL = """
CREATE TABLE sample (
    source_time timestamptz NOT NULL,
    value double precision,
    point integer NOT NULL,
    received_ms integer NOT NULL,
    quality smallint NOT NULL
) PARTITION BY RANGE (source_time);
CREATE TABLE sample_default PARTITION OF sample DEFAULT;
CREATE INDEX sample_by_point ON sample (point, source_time);
"""

SQLITE = """
CREATE TABLE sample (
    point integer NOT NULL,
    source_time integer NOT NULL,
    received_ms integer NOT NULL,
    value real,
    quality integer NOT NULL,
    PRIMARY KEY (point, source_time)
) WITHOUT ROWID;
"""


def create(apps, schema_editor):
    statements = POSTGRESQL if schema_editor.connection.vendor == "postgresql" else SQLITE
    for statement in statements.strip().split(";"):
        if statement.strip():
            schema_editor.execute(statement)


def drop(apps, schema_editor):
    schema_editor.execute("DROP TABLE sample")


class Migration(migrations.Migration):
    dependencies = [("pilots", "0001_initial")]
    operations = [migrations.RunPython(create, drop)]
