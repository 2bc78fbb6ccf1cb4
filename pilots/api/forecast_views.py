"""Forecasts: told by the platform or a forecaster, read as they were known at any moment. `history` keeps them. [operation]"""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import Q, QuerySet
from django.http import HttpResponseBase
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from pilots.api import forecast_shapes, paging, reading, schema
from pilots.api.authentication import Client
from pilots.api.base import ApiView
from pilots.api.errors import Problem, invalid, not_found
from pilots.api.forecast_body import ForecastBody, read_forecast
from pilots.api.idempotency import Answer, answer_in_transaction, key_of
from pilots.api.plant_views import find_pilot, visible_points
from pilots.api.setpoint_views import AuditedView, audit_refusal, find_point
from pilots.domain.errors import ForecastRefused
from pilots.domain.forecast import ForecastKind
from pilots.domain.guards import MAX_CLOCK_SKEW
from pilots.domain.schedule import RESOLUTIONS
from pilots.history.forecasts import newest_known, put_forecast
from pilots.models import Forecast, Pilot, Scope
from pilots.northbound.messages import rfc3339

#: A run has hundreds of values: a page holds fewer of them than of other rows.
MOST_RUNS = 100
_WORDS = {seconds: word for word, seconds in RESOLUTIONS.items()}


class Forecasts(AuditedView):
    """`/forecasts`"""

    scopes: ClassVar[dict[str, str]] = {"GET": Scope.READ, "POST": Scope.INGEST}
    action = "refuse forecast"

    @extend_schema(
        operation_id="list_forecasts",
        parameters=[
            *(schema.PILOT, schema.FORECAST_POINT, schema.FORECAST_KIND, schema.ISSUED, schema.KNOWN_AT),
            *(schema.OVER_FROM, schema.OVER_TO, *schema.PAGING),
        ],
        responses=schema.listed(forecast_shapes.Forecast),
    )
    def get(self, request: Request) -> Response:
        """Runs of this client's points and pilots: all, received last first, or what was known at a moment."""
        form = reading.query(request, "pilot", "point", "kind", "issued", "known_at", "from", "to")
        return paging.page_newest_first(request, _chosen(form, self.client(request)), forecast_record, most=MOST_RUNS)

    @extend_schema(
        operation_id="put_forecast",
        parameters=[schema.KEY],
        request=forecast_shapes.ForecastRequest,
        responses=schema.one(forecast_shapes.Forecast, 201) | schema.one(forecast_shapes.Forecast) | schema.CONFLICT
        | schema.UNPROCESSABLE,
    )  # fmt: skip
    def post(self, request: Request) -> HttpResponseBase:
        """The run is kept whole, or refused with the field and the step at fault; 200 when it was here already."""
        return answer_in_transaction(request, key_of(request, mandatory=False), lambda: self._put(request))

    def _put(self, request: Request) -> Answer:
        try:
            forecast, new = _put(self.client(request), read_forecast(request.data))
        except Problem as problem:
            audit_refusal(request, self.action, problem)
            raise
        place = reverse("api:forecast", [str(forecast.pk)], request=request)
        return Answer(201 if new else 200, forecast_record(forecast), place)


class OneForecast(ApiView):
    """`/forecasts/{id}`"""

    scopes: ClassVar[dict[str, str]] = {"GET": Scope.READ}

    @extend_schema(operation_id="get_forecast", responses=schema.one(forecast_shapes.Forecast))
    def get(self, request: Request, forecast: str) -> Response:
        """One run."""
        try:
            key = reading.uuid(forecast, "id")
        except Problem:
            raise not_found("forecast") from None
        found = _visible(self.client(request)).filter(pk=key).first()
        if found is None:
            raise not_found("forecast")
        return Response(forecast_record(found))


def forecast_record(forecast: Forecast) -> dict[str, Any]:
    """The run as the API tells it (docs/api.md)."""
    point = forecast.point
    form: dict[str, Any] = {
        "id": str(forecast.pk),
        "pilot": forecast.pilot.code,
        "device": None if point is None else point.device.code,
        "point": None if point is None else point.name,
        "resolution": _WORDS[forecast.resolution_s],
    }
    form |= {name: getattr(forecast, name) for name in ("kind", "unit", "source", "issuer", "values", "low", "high")}
    return form | {name: rfc3339(getattr(forecast, name)) for name in ("issued_at", "received_at", "start", "end")}


def _put(client: Client, body: ForecastBody) -> tuple[Forecast, bool]:
    if body.run.kind is ForecastKind.PRICE:
        if client.device_ids is not None:
            raise Problem(403, "not_authorised", "A price is of a whole pilot: this token is bound to devices.", field="pilot")
        pilot, point = find_pilot(client, body.pilot, "pilot"), None
    else:
        point = find_point(client, body.device, body.point)
        pilot = point.device.pilot
    try:
        return put_forecast(
            pilot=pilot,
            point=point,
            run=body.run,
            issued_at=body.issued_at,
            source=client.name,
            issuer=body.issuer,
            now=timezone.now(),
        )
    except ForecastRefused as refusal:
        status = 409 if refusal.code == "forecast_exists" else 422
        raise Problem(status, refusal.code, refusal.reason, field=refusal.field) from refusal


def _visible(client: Client) -> QuerySet[Forecast]:
    """Runs of the client's devices, and prices of its pilots."""
    rows = Forecast.objects.select_related("pilot", "point__device__pilot")
    pilots = client.devices.order_by().values("pilot")
    return rows.filter(Q(point__isnull=False) & client.reach("point__device__") | Q(point=None, pilot__in=pilots))


def _chosen(form: dict[str, str], client: Client) -> QuerySet[Forecast]:
    rows, over = _visible(client), _over(form)
    points, pilots = visible_points(client), Pilot.objects.filter(pk__in=client.devices.order_by().values("pilot"))
    if "pilot" in form:
        pilot = find_pilot(client, form["pilot"], "pilot")
        rows, points, pilots = rows.filter(pilot=pilot), points.filter(device__pilot=pilot), pilots.filter(pk=pilot.pk)
    if "point" in form:
        point = _point(client, form["point"])
        rows, points, pilots = rows.filter(point=point), points.filter(pk=point.pk), pilots.none()
    if "known_at" in form or form.get("issued") == "latest":
        known_at = reading.moment(form, "known_at") or timezone.now() + MAX_CLOCK_SKEW
        rows = rows.filter(pk__in=newest_known(points, pilots, known_at, over))
    return rows.filter(over)


def _over(form: dict[str, str]) -> Q:
    """The kind, the moment of issue and the window that are asked for. Raises Problem 400."""
    found = Q(kind=reading.one_of(form, "kind", list(ForecastKind), default="")) if "kind" in form else Q()
    times = {"end__gt": reading.moment(form, "from"), "start__lt": reading.moment(form, "to")}
    times["issued_at"] = None if form.get("issued") == "latest" else reading.moment(form, "issued")
    return found & Q(**{name: moment for name, moment in times.items() if moment is not None})


def _point(client: Client, reference: str) -> Any:
    parts = reference.split("/")
    if len(parts) != 3:
        raise invalid("point", "point must be a reference pilot/device/point.")
    point = find_point(client, parts[1], parts[2])
    if point.device.pilot.code != parts[0]:
        raise not_found("point", "point")
    return point
