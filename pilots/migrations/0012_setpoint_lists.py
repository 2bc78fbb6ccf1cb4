"""The list of all set-points is read by time, and the few that are open by an index of their own."""

from django.db import migrations, models

BY_TIME = models.Index(fields=["-received_at", "-id"], name="setpoint_by_time")
OPEN = models.Index(fields=["state", "-received_at"], condition=models.Q(("released_at", None)), name="setpoint_open")


class Migration(migrations.Migration):
    dependencies = [("pilots", "0011_token_reach")]

    operations = [migrations.AddIndex("setpoint", BY_TIME), migrations.AddIndex("setpoint", OPEN)]
