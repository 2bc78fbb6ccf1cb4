"""Who sees which exports, and what is told of one. [operation]"""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from pilots.domain.export import ExportFailure, ExportState
from pilots.models import ExportJob, Role, User
from pilots.northbound.messages import rfc3339


def sees_all(user: User) -> bool:
    """Whether this person sees the exports of others too: an engineer of every pilot."""
    return user.has_role(Role.ENGINEER)


def exports_of(user: User) -> QuerySet[ExportJob]:
    """What this person asked for, or everybody did, of the pilots that he may see; newest first."""
    rows = ExportJob.objects.filter(pilot__in=user.visible_pilots()).select_related("pilot", "user")
    return rows if sees_all(user) else rows.filter(user=user)


def failure_words(job: ExportJob) -> str:
    """Why there is no file, in a sentence; empty when nothing failed."""
    words = {
        ExportFailure.DISK_FULL: _("The disk of the exports is full. Make room there, or ask for less, and ask again."),
        ExportFailure.WORKER_LOST: _("Whoever wrote it was lost three times. Ask again, or for a shorter window."),
        ExportFailure.POINTS_GONE: _("The point %(point)s is gone. Choose the points anew.") % {"point": job.detail},
        ExportFailure.FAULT: _("It could not be written. The administrator finds the reason in the worker's log."),
    }
    return words[ExportFailure(job.failure)] if job.failure else ""


def record(job: ExportJob) -> dict[str, Any]:
    """The job as the API tells it."""
    return {
        "id": str(job.pk),
        "pilot": job.pilot.code,
        "points": [f"{job.pilot.code}/{reference}" for reference in job.points],
        "start": rfc3339(job.start),
        "end": rfc3339(job.end),
        "zone": job.zone,
        "resolution": job.resolution,
        "format": job.format,
        "requested_by": job.requested_by,
        "requested_at": rfc3339(job.requested_at),
        "state": job.state,
        "percent": job.percent,
        "rows": job.rows,
        "started_at": rfc3339(job.started_at) if job.started_at else None,
        "finished_at": rfc3339(job.finished_at) if job.finished_at else None,
        "expires_at": rfc3339(job.expires_at) if job.expires_at else None,
        "failure": {"code": job.failure, "detail": failure_words(job)} if job.failure else None,
        "size": job.size,
        "sha256": job.sha256 or None,
        "manifest": job.manifest if job.state == ExportState.DONE else None,
    }
