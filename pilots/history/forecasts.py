"""Forecasts: kept as they come, with when they were issued, and read as they were known at any moment. [operation]

The only writer of their table. What is foreseen goes to no process image, no sample, no guard and no set-point.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import OuterRef, Q, QuerySet, Subquery

from pilots.audit.services import audited, record_event
from pilots.domain.errors import ForecastRefused
from pilots.domain.forecast import ForecastKind, Run, check_forecast
from pilots.models import Forecast, Pilot, Point


def put_forecast(
    *, pilot: Pilot, point: Point | None, run: Run, issued_at: datetime, source: str, issuer: str, now: datetime
) -> tuple[Forecast, bool]:
    """The run is kept; also whether it is new: told again with the same words it changes nothing.

    Raises ForecastRefused, `forecast_exists` where this source told another run of the same `issued_at`.
    """
    spec = None if point is None else point.spec
    check_forecast(run, point=spec, issued_at=issued_at, now=now, kept=timedelta(days=settings.FORECAST_DAYS))
    made = Forecast(pilot=pilot, point=point, source=source, issuer=issuer, issued_at=issued_at, received_at=now, end=run.end)
    for field in ("kind", "unit", "start", "resolution_s", "values", "low", "high"):
        value = getattr(run, field)
        setattr(made, field, list(value) if isinstance(value, tuple) else value)
    with audited():
        try:
            with transaction.atomic():
                made.save(force_insert=True)
        except IntegrityError:
            return _told_before(made), False
        _audit(made)
    return made, True


def forget_forecasts(issued_before: datetime) -> int:
    """Runs issued before are gone; returns how many."""
    return Forecast.objects.filter(issued_at__lt=issued_before).delete()[0]


def newest_known(points: QuerySet[Point], pilots: QuerySet[Pilot], known_at: datetime, over: Q | None = None) -> list[UUID]:
    """Of each of these points and kinds, and of the price at each of these pilots, the key of the run issued last by then.

    `over` narrows what runs are looked at.
    """
    runs = Forecast.objects.filter(over or Q(), issued_at__lte=known_at)
    kinds = [kind for kind in ForecastKind if kind is not ForecastKind.PRICE]
    return [*_newest(points, runs, "point", kinds), *_newest(pilots, runs.filter(point=None), "pilot", [ForecastKind.PRICE])]


def forecasts_over(points: Iterable[int], start: datetime, end: datetime, known_at: datetime) -> list[Forecast]:
    """What was known at `known_at` of these points (keys) in [start, end)."""
    keys, over = list(points), Q(start__lt=end, end__gt=start)
    if not Forecast.objects.filter(over, point__in=keys).exists():  # few points have any, and this is the cheaper question
        return []
    return _runs(newest_known(Point.objects.filter(pk__in=keys), Pilot.objects.none(), known_at, over))


def prices_over(pilot: Pilot, start: datetime, end: datetime, known_at: datetime) -> list[Forecast]:
    """What was known at `known_at` of the price at the pilot in [start, end)."""
    over = Q(start__lt=end, end__gt=start)
    return _runs(newest_known(Point.objects.none(), Pilot.objects.filter(pk=pilot.pk), known_at, over))


def forecasts_ahead(points: Iterable[int], now: datetime) -> list[Forecast]:
    """The newest run of each point and kind that still has steps to come."""
    return _runs(newest_known(Point.objects.filter(pk__in=points), Pilot.objects.none(), now, Q(end__gt=now)))


def has_prices(pilot: Pilot) -> bool:
    return Forecast.objects.filter(pilot=pilot, point=None).exists()


def _newest(rows: QuerySet[Any], runs: QuerySet[Forecast], field: str, kinds: Sequence[ForecastKind]) -> list[UUID]:
    """A seek in the index for each row and kind: how many runs are kept costs nothing."""
    own = runs.filter(**{field: OuterRef("pk")}).order_by("-issued_at", "-received_at").values("pk")
    found = rows.order_by().values_list(*(Subquery(own.filter(kind=kind)[:1]) for kind in kinds))
    return [key for keys in found for key in keys if key is not None]


def _runs(keys: Sequence[UUID]) -> list[Forecast]:
    return list(Forecast.objects.filter(pk__in=keys)) if keys else []


def _told_before(made: Forecast) -> Forecast:
    same = {"source": made.source, "pilot": made.pilot, "point": made.point, "kind": made.kind, "issued_at": made.issued_at}
    found = Forecast.objects.get(**same)
    if (found.run, found.issuer) != (made.run, made.issuer):
        sentence = "This source told another forecast of the same issued_at: a new run has an issued_at of its own."
        raise ForecastRefused("forecast_exists", sentence, field="issued_at")
    return found


def _audit(made: Forecast) -> None:
    subject = made.pilot.code if made.point is None else f"{made.point.device.code}/{made.point.name}"
    told = {"id": str(made.pk), "kind": made.kind, "issued_at": made.issued_at, "start": made.start, "steps": len(made.values)}
    record_event(
        at=made.received_at,
        actor=made.source,
        action="put forecast",
        pilot=made.pilot.code,
        subject=subject,
        details=told | {"resolution_s": made.resolution_s, "unit": made.unit, "issuer": made.issuer},
    )
