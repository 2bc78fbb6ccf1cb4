"""Exports over the API: asked for, followed, cancelled, downloaded. `exports` keeps and writes them. [operation]"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from django.db.models import Q, QuerySet
from django.http import HttpResponseBase
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from pilots.api import export_shapes, reading, schema, shapes
from pilots.api.authentication import Client
from pilots.api.base import ApiView
from pilots.api.errors import Problem, invalid, missing, not_found
from pilots.api.idempotency import Answer, answer_in_transaction, key_of
from pilots.api.measurement_views import find_points
from pilots.api.paging import cursor_of, limit_of, moment_part, page
from pilots.api.setpoint_views import AuditedView
from pilots.audit.services import audited
from pilots.domain.export import ExportFormat, Resolution
from pilots.exports import files, services
from pilots.exports.selectors import exports_of, record
from pilots.exports.services import ExportRefused, ExportWish
from pilots.models import ExportJob, Point, Scope

MOST_POINTS = 10_000


class Exports(AuditedView):
    """`/exports`"""

    scopes: ClassVar[dict[str, str]] = {"GET": Scope.READ, "POST": Scope.READ}
    action = "refuse export"

    @extend_schema(operation_id="list_exports", parameters=schema.PAGING, responses=schema.listed(export_shapes.Export))
    def get(self, request: Request) -> Response:
        """The exports that this client asked for, newest first."""
        rows, limit = reachable(self.client(request)), limit_of(request)
        after = cursor_of(request, lambda parts: (moment_part(parts[0]), reading.uuid(parts[1], "cursor")))
        if after is not None:
            rows = rows.filter(Q(requested_at__lt=after[0]) | Q(requested_at=after[0], pk__lt=after[1]))
        found = list(rows.order_by("-requested_at", "-pk")[: limit + 1])
        last = found[limit - 1] if len(found) > limit else None
        following = None if last is None else [last.requested_at.isoformat(), str(last.pk)]
        return page(request, map(record, found[:limit]), following)

    @extend_schema(
        operation_id="create_export",
        parameters=[schema.KEY],
        request=export_shapes.ExportRequest,
        responses=schema.one(export_shapes.Export, 202) | schema.CONFLICT | schema.UNPROCESSABLE,
    )
    def post(self, request: Request) -> HttpResponseBase:
        """The export waits for a worker; 202 with its record, whose `state` and `percent` tell how far it is."""
        return answer_in_transaction(request, key_of(request, mandatory=False), lambda: self._create(request))

    def _create(self, request: Request) -> Answer:
        client = self.client(request)
        wish = read_wish(client, request.data)
        try:
            job = services.ask_for_export(wish, by=client.name, user=client.user, now=timezone.now())
        except ExportRefused as refusal:
            if refusal.code == "too_many":
                raise Problem(409, "too_many", str(refusal)) from refusal
            raise invalid(refusal.field, str(refusal)) from refusal
        return Answer(202, record(job), reverse("api:export", [str(job.pk)], request=request))


class OneExport(ApiView):
    """`/exports/{id}`"""

    scopes: ClassVar[dict[str, str]] = {"GET": Scope.READ}

    @extend_schema(operation_id="get_export", responses=schema.one(export_shapes.Export))
    def get(self, request: Request, export: str) -> Response:
        """One export: state, progress, and when it is done its size, checksum and manifest."""
        return Response(record(find_export(self.client(request), export)))


class CancelExport(AuditedView):
    """`/exports/{id}/cancel`"""

    scopes: ClassVar[dict[str, str]] = {"POST": Scope.READ}
    action = "refuse to cancel export"

    @extend_schema(
        operation_id="cancel_export",
        parameters=[schema.KEY],
        request=shapes.Cancellation,
        responses=schema.one(export_shapes.Export) | schema.CONFLICT,
    )
    def post(self, request: Request, export: str) -> HttpResponseBase:
        """Nothing more of it is written; 409 `already_finished` when it had ended."""
        return answer_in_transaction(request, key_of(request, mandatory=False), lambda: self._cancel(request, export))

    def _cancel(self, request: Request, export: str) -> Answer:
        client = self.client(request)
        try:
            job = services.cancel_export(find_export(client, export), by=client.name, now=timezone.now())
        except ExportRefused as refusal:
            raise Problem(409, "already_finished", str(refusal)) from refusal
        return Answer(200, record(job))


class AsItIs(BaseContentNegotiation):
    """A file has the form it was asked in, whatever the client accepts."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class ExportFile(ApiView):
    """`/exports/{id}/file`"""

    scopes: ClassVar[dict[str, str]] = {"GET": Scope.READ}
    content_negotiation_class = AsItIs

    @extend_schema(
        operation_id="download_export",
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY} | schema.NOT_FOUND | schema.CONFLICT | schema.PROBLEMS,
    )
    def get(self, request: Request, export: str) -> HttpResponseBase:
        """The file of an export that is done; 409 `no_file` while it is not, and once the file is gone."""
        client = self.client(request)
        job = find_export(client, export)
        path = files.file_of(job)
        if path is None:
            raise Problem(409, "no_file", f"There is no file: the export is {job.state}.")
        with audited():
            services.note(job, "download export", by=client.name, now=timezone.now())
        return files.download(job, path)


def reachable(client: Client) -> QuerySet[ExportJob]:
    """What the client asked for, of the pilots that it sees now."""
    if client.user is not None:
        return exports_of(client.user)
    rows = ExportJob.objects.filter(pilot__in=client.pilots, by_token=True, requested_by=client.name)
    return rows.select_related("pilot")


def find_export(client: Client, key: str) -> ExportJob:
    """The export of that id. Raises Problem 404 when there is none, it is another's, or a device of it is out of reach now."""
    try:
        found = reachable(client).filter(pk=reading.uuid(key, "id")).first()
    except Problem:
        found = None
    if found is None:
        raise not_found("export")
    codes = {reference.partition("/")[0] for reference in found.points}
    if client.device_ids is not None and client.devices.filter(code__in=codes).count() < len(codes):
        raise not_found("export")
    return found


def read_wish(client: Client, body: Any) -> ExportWish:
    """The body as a wish for points of this client; unknown fields are ignored. Raises Problem naming the field."""
    form = reading.json_object(body)
    points = _points(client, form)
    pilot = points[0].device.pilot
    return ExportWish(
        pilot=pilot,
        points=points,
        start=_moment(form, "start"),
        end=_moment(form, "end"),
        zone=reading.text(form, "zone", longest=64, default=pilot.time_zone),
        resolution=Resolution(reading.one_of(form, "resolution", list(Resolution), default=Resolution.RAW)),
        format=_format(form),
    )


def _points(client: Client, form: dict[str, Any]) -> list[Point]:
    references = form.get("points")
    if references is None:
        raise missing("points")
    if not isinstance(references, list) or not references or not all(isinstance(each, str) for each in references):
        raise invalid("points", "points must be a list of references pilot/device/point.")
    points = find_points(client, references, field="points", most=MOST_POINTS)
    if len({point.device.pilot_id for point in points}) > 1:
        raise invalid("points", "points must be of one pilot: an export has one zone.")
    return points


def _moment(form: dict[str, Any], field: str) -> datetime:
    found = reading.moment(form, field)
    if found is None:
        raise missing(field)
    return found


def _format(form: dict[str, Any]) -> ExportFormat:
    if form.get("format") is None:
        raise missing("format")
    return ExportFormat(reading.one_of(form, "format", list(ExportFormat), default=""))
