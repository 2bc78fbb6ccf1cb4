"""The configuration pages of staff. They read rows and call services; who may do what stands in `rights`."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.models import Group
from django.utils.translation import gettext_lazy as _

from pilots.admin import access, alarms, control_centres, jobs, notifications, operation, plant

__all__ = ["access", "alarms", "control_centres", "jobs", "notifications", "operation", "plant"]

admin.site.site_header = _("INVADE SCADA: configuration")
admin.site.site_title = _("Configuration")
admin.site.index_title = _("What is configured")
# Rights come from role grants; a group would be a second, unseen source of them.
if admin.site.is_registered(Group):
    admin.site.unregister(Group)
