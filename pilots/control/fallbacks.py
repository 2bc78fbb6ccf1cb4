"""Fallback plans in force: begun when a cause makes them due, ended when it is over, handed back without a bump. [operation]

A run is a row that holds its point with priority 2 and asks for the plan's value at the one door, if the device is not at it
already. Rows first, writes after: all devices of a pilot have their plan at once, however many writes that means. When it ends,
the value that is wanted now is asked for again: the schedule's step, or the set-point that was displaced and is still valid.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Q

from pilots.audit.services import audited, record_event
from pilots.control.feedback import feedback_point
from pilots.control.guards import GuardRefused, guard_state
from pilots.control.heartbeat import is_silent, look_for_silence, silence_words
from pilots.control.releases import RELEASE_VALIDITY
from pilots.control.selectors import holder, in_force
from pilots.control.services import request_setpoint
from pilots.control.steps import take_over
from pilots.domain.errors import AuditUnavailable, PilotsError
from pilots.domain.fallback import POINTS, Cause, cause_due, fallback_value, plan_of, plan_point, released_value
from pilots.domain.quality import Flag, Source
from pilots.domain.setpoint import Issuer
from pilots.domain.topology import LinkState
from pilots.live.frames import Change
from pilots.live.hub import hub
from pilots.models import FallbackRun, LatestValue, Pilot, PlatformWatch, Point, Setpoint
from pilots.models.values import shown_quality

log = logging.getLogger(__name__)
OWNER = "fallback plan"
#: A held value that outlived its set-point is looked after for so long.
MEMORY = timedelta(hours=24)
#: The plan's value is asked for again so long before its set-point ends.
RENEW = timedelta(minutes=5)


def run_fallbacks(*, now: datetime) -> int:
    """Every plan that is due is in force, and none other. Returns how many are."""
    causes = _causes(now)
    for run in FallbackRun.objects.filter(Q(removed_at=None) | Q(overridden=True)).select_related("point__device__pilot"):
        if run.cause not in causes.get(run.point_id, {}):
            _guarded(run.point, lambda run=run: _cause_over(run, now))
    for point in _points(causes):
        _guarded(point, lambda point=point: _begin_if_due(point, causes[point.pk], now))
    for run in FallbackRun.objects.filter(removed_at=None).select_related("point__device__pilot", "point__device__connection"):
        _guarded(run.point, lambda run=run: _ask(run, now))
    ended = FallbackRun.objects.filter(resumed_at=None, overridden=False).exclude(removed_at=None)
    for run in ended.select_related("point__device__pilot", "point__device__connection"):
        _guarded(run.point, lambda run=run: _resume(run, now))
    return FallbackRun.objects.filter(removed_at=None).count()


def note_heard(pilots: Iterable[Pilot], name: str, *, now: datetime) -> None:
    """These pilots have heard the platform: those that had lost it have it back, and their fallback plans end."""
    watched = [pilot for pilot in pilots if pilot.heartbeat_s is not None]
    known = PlatformWatch.objects.filter(pilot__in=watched)
    known.update(heard_at=now, heard_from=name[:120])
    new = set(watched) - {watch.pilot for watch in known.select_related("pilot")}
    rows = [PlatformWatch(pilot=pilot, heard_at=now, heard_from=name[:120], patient_from=now, looked_at=now) for pilot in new]
    PlatformWatch.objects.bulk_create(rows, ignore_conflicts=True)
    for watch in known.exclude(lost_at=None).select_related("pilot"):
        end_of_silence(watch, now=now)


def end_of_silence(watch: PlatformWatch, *, now: datetime) -> None:
    """The platform is back: the plans that its silence began no longer hold their points; the clock hands them back."""
    with audited():
        if not PlatformWatch.objects.filter(pk=watch.pk).exclude(lost_at=None).update(lost_at=None):
            return
        silent_s = 0.0 if watch.lost_at is None else (now - watch.lost_at).total_seconds()
        details = {"lost_for_s": round(silent_s, 1)}
        pilot = watch.pilot
        record_event(at=now, actor="clock", action="platform back", pilot=pilot.code, subject=watch.heard_from, details=details)
        runs = FallbackRun.objects.filter(point__device__pilot=pilot, cause=Cause.PLATFORM_LOST, removed_at=None)
        for run in runs.select_related("point__device__pilot"):
            _end(run, now, by="clock", reason="The platform is back.")


def take_from_fallback(run: FallbackRun, *, by: str, reason: str, now: datetime) -> None:
    """An operator ends the plan while its cause goes on; it does not begin again before that has ended. Raises GuardRefused."""
    if not reason.strip():
        raise GuardRefused("Say why: others will read it.")
    with audited():
        if not _end(run, now, by=by, reason=reason.strip()[:300], overridden=True):
            raise GuardRefused("It was over before.")


def _guarded(point: Point, act: Any) -> None:
    try:
        act()
    except (PilotsError, AuditUnavailable) as error:
        log.error("fallback of %s waits: %s", point, error)
    except Exception:  # the outermost loop: one device that fails must not leave the others without their plan
        log.exception("fallback of %s", point)


# Causes


def _causes(now: datetime) -> dict[int, dict[Cause, str]]:
    """Of every point that has one: the causes with a sentence each."""
    found: dict[int, dict[Cause, str]] = {}
    for watch in look_for_silence(now=now):
        for key in _plan_points(Point.objects.filter(device__pilot=watch.pilot)):
            found.setdefault(key, {})[Cause.PLATFORM_LOST] = silence_words(watch)
    _end_unwatched(now)
    for point in _commanded(now):
        cause, words = _loss_of_control(point, now)
        if cause is not None:
            found.setdefault(point.pk, {})[cause] = words
    return found


def _plan_points(points: Any) -> Iterable[int]:
    """Of each device the one point that its plan is about."""
    rows = points.filter(name__in=POINTS, kind="setpoint", capability__isnull=False).select_related("device")
    by_device: dict[int, dict[str, Point]] = {}
    for point in rows:
        by_device.setdefault(point.device_id, {})[point.name] = point
    for known in by_device.values():
        form = next(iter(known.values())).device.fallback
        name = plan_point(plan_of(form), known)
        if name:
            yield known[name].pk


def _commanded(now: datetime) -> list[Point]:
    """Points that somebody commands, that a run is in force at, or that a set-point left on a held value."""
    held_on = Setpoint.objects.filter(on_expiry="hold", released_at__gt=now - MEMORY, superseded_by=None)
    running = FallbackRun.objects.filter(Q(removed_at=None) | Q(overridden=True))
    in_hand = Setpoint.objects.filter(in_force(now), claimed_at__isnull=False)
    wanted = {
        key
        for rows in (held_on.exclude(issuer=Issuer.FALLBACK), running, in_hand)
        for key in rows.values_list("point", flat=True)
    }
    devices = Point.objects.filter(pk__in=wanted).values("device")
    return _points(wanted & set(_plan_points(Point.objects.filter(device__in=devices))))


def _loss_of_control(point: Point, now: datetime) -> tuple[Cause | None, str]:
    connection, capability = point.device.connection, point.spec.capability
    if connection is None or capability is None:
        return None, ""
    if connection.state == LinkState.DOWN:
        since = connection.state_since or now
        patience = timedelta(seconds=2 * capability.response_time_s)
        return (
            (Cause.LINK_LOST, f"The link to the device is down since {since:%H:%M:%S} UTC.")
            if now - since >= patience
            else (None, "")
        )
    feedback = feedback_point(point)
    latest = LatestValue.objects.filter(point=feedback).select_related("point").first()
    if latest is None:
        return None, ""
    quality = shown_quality(latest, now)
    if quality.source is Source.SUBSTITUTED:
        return Cause.DATA_STALE, f"{feedback.name} is a value by hand: the device is not measured."
    if quality.flags & Flag.OLD:
        return Cause.DATA_STALE, f"{feedback.name} is {(now - latest.received_time).total_seconds():.0f} s old."
    return None, ""


def _points(causes: Iterable[int]) -> list[Point]:
    return list(Point.objects.filter(pk__in=list(causes)).select_related("device__pilot", "device__connection"))


def _end_unwatched(now: datetime) -> None:
    """A pilot that is no longer watched has not lost its platform."""
    for watch in PlatformWatch.objects.filter(pilot__heartbeat_s=None).exclude(lost_at=None).select_related("pilot"):
        end_of_silence(watch, now=now)


# A run


def _begin_if_due(point: Point, causes: dict[Cause, str], now: datetime) -> None:
    plan = plan_of(point.device.fallback)
    open_runs = FallbackRun.objects.filter(Q(removed_at=None) | Q(overridden=True, cause__in=list(causes)), point=point)
    cause = cause_due(plan, causes, held=holder(point, now) is not None)
    if cause is None or open_runs.exists():
        return
    value = fallback_value(plan, point.spec)
    if cause is not Cause.PLATFORM_LOST and not _differs(point, value):
        return
    if cause is Cause.PLATFORM_LOST and not is_silent(point.device.pilot):
        return  # heard in this moment
    run = FallbackRun(point=point, cause=cause, value=value, owner=OWNER, reason=causes[cause], set_at=now)
    with audited():
        try:
            with transaction.atomic():
                run.save(force_insert=True)
        except IntegrityError:
            return  # another clock was quicker
        _audit(run, "begin fallback", now, by="clock", reason=run.reason)
        publish_guards(point.device.pilot, now)


def _ask(run: FallbackRun, now: datetime) -> None:
    """The plan's value is on its way, unless the device was last told just that."""
    newest = Setpoint.objects.filter(point=run.point, issuer=Issuer.FALLBACK, received_at__gte=run.set_at)
    last = newest.order_by("-received_at").first()
    # What is no rest is a set-point with an end of its own: it is asked for anew before that.
    ends = last is not None and last.value != released_value_of(run.point) and last.valid_until - RENEW <= now
    if run.asked_at is not None and not ends:
        return
    capability = run.point.spec.capability
    with transaction.atomic():
        if not FallbackRun.objects.filter(pk=run.pk, removed_at=None, asked_at=run.asked_at).update(asked_at=now):
            return
        if capability is None or (run.asked_at is None and not _differs(run.point, run.value)):
            return
        request_setpoint(
            point=run.point,
            value=run.value,
            unit=run.point.unit,
            mode=capability.modes[0],
            issuer=Issuer.FALLBACK,
            requested_by=OWNER,
            reason=run.reason,
            valid_until=now + RELEASE_VALIDITY,
            now=now,
        )


def released_value_of(point: Point) -> float | None:
    """What gives the point back; None where it takes nothing."""
    capability = point.spec.capability
    return None if capability is None else released_value(capability, capability.modes[0])


def _differs(point: Point, value: float) -> bool:
    """Whether the device was last told something else; one that was never told anything is at its default."""
    told = Setpoint.objects.filter(point=point).exclude(claimed_at=None).order_by("-claimed_at").first()
    return value != (released_value_of(point) if told is None else told.value)


def _cause_over(run: FallbackRun, now: datetime) -> None:
    with audited():
        FallbackRun.objects.filter(pk=run.pk).update(overridden=False, resumed_at=now if run.overridden else F("resumed_at"))
        _end(run, now, by="clock", reason=f"{Cause(run.cause).replace('_', ' ').capitalize()}: it is over.")


def _end(run: FallbackRun, now: datetime, *, by: str, reason: str, overridden: bool = False) -> bool:
    """True when it was in force until now."""
    open_run = FallbackRun.objects.filter(pk=run.pk, removed_at=None)
    if not open_run.update(removed_at=now, removed_by=by[:120], overridden=overridden):
        return False
    _audit(run, "take over from fallback" if overridden else "end fallback", now, by=by, reason=reason)
    publish_guards(run.point.device.pilot, now)
    return True


def _resume(run: FallbackRun, now: datetime) -> None:
    """Who wants the point now has it again, from the plan's value to theirs."""
    with transaction.atomic():
        if not FallbackRun.objects.filter(pk=run.pk, resumed_at=None).update(resumed_at=now):
            return
        if holder(run.point, now) is None and not take_over(run.point, now):
            _ask_displaced_again(run, now)


def _ask_displaced_again(run: FallbackRun, now: datetime) -> None:
    displaced = Setpoint.objects.filter(
        point=run.point,
        valid_from__lte=now,
        valid_until__gt=now,
        schedule=None,
        superseded_by__issuer=Issuer.FALLBACK,
        superseded_by__received_at__gte=run.set_at,
    ).exclude(issuer=Issuer.FALLBACK)
    old = displaced.order_by("priority", "-received_at").first()
    if old is None:
        _give_back(run, now)
        return
    request_setpoint(
        point=run.point,
        value=old.value,
        unit=old.unit,
        mode=old.mode,
        issuer=Issuer(old.issuer),
        requested_by=old.requested_by,
        user=old.user,
        priority=old.priority,
        service=old.service,
        on_expiry=old.on_expiry if old.fallback_value is None else old.fallback_value,
        correlation_id=old.correlation_id,
        reason=f"Again after the fallback plan: set-point {old.pk}.",
        valid_until=old.valid_until,
        now=now,
    )


def _give_back(run: FallbackRun, now: datetime) -> None:
    """Nobody wants the point: it does not stay on the plan's value for ever."""
    value, capability = released_value_of(run.point), run.point.spec.capability
    if value is None or capability is None or value == run.value:
        return
    request_setpoint(
        point=run.point,
        value=value,
        unit=run.point.unit,
        mode=capability.modes[0],
        issuer=Issuer.FALLBACK,
        requested_by=OWNER,
        reason="The fallback plan is over and nobody holds the point.",
        valid_until=now + RELEASE_VALIDITY,
        now=now,
    )


def publish_guards(pilot: Pilot, now: datetime) -> None:
    """Pages see after the commit what guards the pilot."""
    transaction.on_commit(lambda: hub(settings.REDIS_URL).publish([Change(pilot.code, guards=guard_state(pilot, now))]))


def _audit(run: FallbackRun, action: str, now: datetime, *, by: str, reason: str) -> None:
    device = run.point.device
    details = {"cause": run.cause, "value": run.value, "unit": run.point.unit}
    subject = f"{device.code}/{run.point.name}"
    record_event(at=now, actor=by, action=action, pilot=device.pilot.code, subject=subject, reason=reason, details=details)
