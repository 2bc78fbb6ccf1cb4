"""Exports asked for and cancelled by people and programs; each deed is audited. [operation]

Who may, decide the callers (pages by role, the API by scope and reach). A job waits in its table until a worker takes it
(`exports.jobs`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.utils.translation import gettext as _

from pilots.audit.services import audited, record_event
from pilots.domain.errors import PilotsError
from pilots.domain.export import ExportFormat, ExportState, Resolution
from pilots.models import ExportJob, Pilot, Point, User

#: One who asks for more than that at once has to wait for some of them.
MOST_OPEN = 20
OLDEST = datetime(2000, 1, 1, tzinfo=UTC)
FARTHEST = timedelta(days=3660)
OPEN = [state for state in ExportState if state.is_open]


class ExportRefused(PilotsError):
    """An export cannot be asked for, or not be cancelled any more; the sentence says why, `field` what was wrong."""

    code = "export"

    def __init__(self, sentence: str, *, field: str = "", code: str = "export") -> None:
        super().__init__(sentence)
        self.field, self.code = field, code


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportWish:
    """What is wished for: points of one pilot over [start, end), aware UTC."""

    pilot: Pilot
    points: Sequence[Point]
    start: datetime
    end: datetime
    zone: str
    resolution: Resolution
    format: ExportFormat


def ask_for_export(wish: ExportWish, *, by: str, user: User | None, now: datetime) -> ExportJob:
    """The export waits for a worker. `user` None: a service token asks. Raises ExportRefused."""
    _check(wish, now)
    mine = ExportJob.objects.filter(requested_by=by[:120], by_token=user is None, state__in=OPEN)
    if mine.count() >= MOST_OPEN:
        raise ExportRefused(_("%(n)d of your exports are open: wait for one of them.") % {"n": MOST_OPEN}, code="too_many")
    with audited():
        job = ExportJob.objects.create(
            pilot=wish.pilot,
            points=[f"{point.device.code}/{point.name}" for point in wish.points],
            start=wish.start,
            end=wish.end,
            zone=wish.zone,
            resolution=wish.resolution,
            format=wish.format,
            requested_by=by[:120],
            user=user,
            by_token=user is None,
            requested_at=now,
        )
        note(job, "ask for export", by=by, now=now)
    return job


def cancel_export(job: ExportJob, *, by: str, now: datetime) -> ExportJob:
    """Nothing more of it is written, and what was goes. Raises ExportRefused when it has ended already."""
    with audited():
        open_ones = ExportJob.objects.filter(pk=job.pk, state__in=OPEN)
        if not open_ones.update(state=ExportState.CANCELLED, finished_at=now):
            raise ExportRefused(_("It has ended already."), code="already_finished")
        note(job, "cancel export", by=by, now=now)
    job.refresh_from_db()
    return job


def note(job: ExportJob, action: str, *, by: str, now: datetime) -> None:
    """The deed stands in the audit trail."""
    details = {"points": len(job.points), "first": job.points[:5], "start": job.start.isoformat(), "end": job.end.isoformat()}
    details |= {"resolution": job.resolution, "format": job.format} | ({"sha256": job.sha256} if job.sha256 else {})
    record_event(at=now, actor=by, action=action, pilot=job.pilot.code, subject=f"export {job.pk}", details=details)


def _check(wish: ExportWish, now: datetime) -> None:
    if not wish.points:
        raise ExportRefused(_("Choose at least one point."), field="points")
    if wish.end <= wish.start:
        raise ExportRefused(_("The end must be after the beginning."), field="end")
    if wish.start < OLDEST:
        raise ExportRefused(_("There is no history before 2000."), field="start")
    if wish.end > now + FARTHEST:
        raise ExportRefused(_("The end is more than ten years ahead."), field="end")
    if wish.zone not in (wish.pilot.time_zone, "UTC"):
        raise ExportRefused(_("The zone is the pilot's, %(zone)s, or UTC.") % {"zone": wish.pilot.time_zone}, field="zone")
