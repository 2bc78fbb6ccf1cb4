"""How the OpenAPI document describes this API: how to log in, common parameters, common answers."""

from __future__ import annotations

from functools import cache
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, inline_serializer
from rest_framework import serializers

from pilots.api import shapes
from pilots.domain.forecast import ForecastKind
from pilots.domain.schedule import ScheduleState
from pilots.domain.setpoint import SetpointState
from pilots.domain.topology import DeviceKind


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "pilots.api.authentication.TokenAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer"}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "pilots.api.authentication.ReadOnlySession"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid", "description": "A login may only read."}


def _parameter(name: str, description: str, **more: Any) -> OpenApiParameter:
    return OpenApiParameter(name, more.pop("type", OpenApiTypes.STR), description=description, **more)


PAGING = [
    _parameter("limit", "Rows a page, at most 10 000.", type=OpenApiTypes.INT, default=1000),
    _parameter("cursor", "Opaque; taken from `next`."),
]
PILOT = _parameter("pilot", "Code of a pilot.")
DEVICE = _parameter("device", "Id of a device.")
DEVICE_KIND = _parameter("kind", "Kind of device.", enum=[kind.value for kind in DeviceKind])
POINT = _parameter("point", "Name of a point, or its reference pilot/device/point.")
POINTS = _parameter("point", "Point reference pilot/device/point; may be repeated.", many=True, required=True)
FROM = _parameter("from", "Start, included.", type=OpenApiTypes.DATETIME, required=True)
TO = _parameter("to", "End, excluded; now when absent.", type=OpenApiTypes.DATETIME)
RESOLUTION = _parameter("resolution", "ISO 8601 duration, PT1S to P1D; absent: the samples as kept.")
AGG = _parameter("agg", "Comma-separated: mean, min, max, last.")
MONTH = _parameter("month", "A month of the pilot's clock as 2026-11; the running one when absent.")
AFTER = _parameter("after", "Only frames with a higher number.", type=OpenApiTypes.INT, default=-1)
STATE = _parameter("state", "State of a set-point.", enum=[state.value for state in SetpointState])
GROUP = _parameter("group", "Id of a group set-point.", type=OpenApiTypes.UUID)
SCHEDULE_STATE = _parameter("state", "State of a schedule.", enum=[state.value for state in ScheduleState])
FORECAST_POINT = _parameter("point", "Point reference pilot/device/point.")
FORECAST_KIND = _parameter("kind", "Kind of forecast.", enum=[kind.value for kind in ForecastKind])
ISSUED = _parameter("issued", "An RFC 3339 time: runs issued exactly then; `latest`: the newest of each point and kind.")
KNOWN_AT = _parameter("known_at", "The newest of each point and kind that were issued by then.", type=OpenApiTypes.DATETIME)
OVER_FROM = _parameter("from", "Only runs with a step after this time.", type=OpenApiTypes.DATETIME)
OVER_TO = _parameter("to", "Only runs with a step before this time.", type=OpenApiTypes.DATETIME)
IF_MATCH = _parameter("If-Match", "The ETag of the revision that was read.", location=OpenApiParameter.HEADER)
KEY = _parameter("Idempotency-Key", "The same key gets the same first answer for 48 h.", location=OpenApiParameter.HEADER)
MANDATORY_KEY = _parameter(
    "Idempotency-Key", "The same key gets the same first answer for 48 h.", location=OpenApiParameter.HEADER, required=True
)


def _problem(description: str) -> OpenApiResponse:
    return OpenApiResponse(shapes.Problem, description)


PROBLEMS: dict[Any, Any] = {
    (401, "application/problem+json"): _problem("No live token and no login."),
    (403, "application/problem+json"): _problem("The token lacks the scope."),
    (429, "application/problem+json"): _problem("More than 20 requests a second; see Retry-After."),
}
BAD_REQUEST: dict[Any, Any] = {(400, "application/problem+json"): _problem("A field is missing or wrong.")}
NOT_FOUND: dict[Any, Any] = {(404, "application/problem+json"): _problem("Not there, or not for this client.")}
CONFLICT: dict[Any, Any] = {(409, "application/problem+json"): _problem("The key or the id was used for something else.")}
PRECONDITION: dict[Any, Any] = {(412, "application/problem+json"): _problem("If-Match names another revision.")}
TOO_LARGE: dict[Any, Any] = {(413, "application/problem+json"): _problem("More than 5 000 values or 4 MB.")}
UNPROCESSABLE: dict[Any, Any] = {(422, "application/problem+json"): _problem("Understood, but it cannot be done.")}


def one(shape: type[serializers.Serializer[Any]], status: int = 200) -> dict[Any, Any]:
    """One object, or a problem."""
    return {status: shape} | BAD_REQUEST | PROBLEMS | NOT_FOUND


def all_of(shape: type[serializers.Serializer[Any]]) -> dict[Any, Any]:
    """All objects at once: `next` is always null."""
    return listed(shape)


@cache
def listed(shape: type[serializers.Serializer[Any]]) -> dict[Any, Any]:
    """A page of objects, or a problem."""
    fields = {"results": shape(many=True), "next": serializers.URLField(allow_null=True)}
    return {200: inline_serializer(f"{shape.__name__}Page", fields)} | BAD_REQUEST | PROBLEMS | NOT_FOUND
