"""Links of a pilot: state and figures now, a month's quality of service, the frames of a connection."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from pilots.acquisition.asking import NoAnswer, Refused
from pilots.acquisition.frame_logs import newest_frames
from pilots.acquisition.link_states import current_figures
from pilots.api import link_shapes, schema, shapes
from pilots.api.errors import Problem, invalid, not_found
from pilots.api.plant_views import ReadView, find_pilot, visible_links
from pilots.api.reading import query
from pilots.api.records import link_record
from pilots.domain.topology import Protocol
from pilots.history.link_sheets import SheetRow, month_sheet
from pilots.models import Connection, Link, Scope


class Links(ReadView):
    @extend_schema(operation_id="list_links", responses=schema.all_of(link_shapes.LinkNow))
    def get(self, request: Request, code: str) -> Response:
        """Every link of a pilot with its state and, where we hold what carries it, its figures."""
        client = self.client(request)
        links = visible_links(client).filter(pilot=find_pilot(client, code)).select_related("end_a", "end_b", "connection")
        rows = links.order_by("letter", "id")
        return Response({"results": [link_record(link) | {"figures": _figures(link)} for link in rows], "next": None})


class LinkQuality(ReadView):
    @extend_schema(operation_id="get_link_quality", parameters=[schema.MONTH], responses=schema.all_of(link_shapes.LinkMonth))
    def get(self, request: Request, code: str) -> Response:
        """What each link of a pilot should achieve in a month of the pilot's clock, and what it did."""
        client = self.client(request)
        pilot, now = find_pilot(client, code), datetime.now(UTC)
        text = query(request, "month").get("month", f"{now.astimezone(ZoneInfo(pilot.time_zone)):%Y-%m}")
        found = re.fullmatch(r"(20\d\d)-(0[1-9]|1[0-2])", text, re.ASCII)
        if found is None:
            raise invalid("month", "month must be written as 2026-11.")
        seen = set(visible_links(client).filter(pilot=pilot).values_list("pk", flat=True))
        sheet = month_sheet(pilot, int(found[1]), int(found[2]), now=now)
        return Response({"results": [_month(row) for row in sheet if row.link.pk in seen], "next": None})


class Frames(ReadView):
    """The frames carry what others wrote: that takes more than `read`."""

    scopes: ClassVar[dict[str, str]] = {"GET": Scope.CONTROL}

    @extend_schema(operation_id="list_frames", parameters=[schema.AFTER], responses=schema.one(shapes.FrameLog))
    def get(self, request: Request, name: str) -> Response:
        """The newest frames of a connection, oldest first, at most 500; `after` asks for those with a higher number."""
        client = self.client(request)
        after = query(request, "after").get("after", "-1")
        if re.fullmatch(r"-1|\d{1,12}", after, re.ASCII) is None:
            raise invalid("after", "after must be the number of a frame.")
        rows = Connection.objects.filter(pilot__in=client.pilots, name=name[:64]).exclude(protocol=Protocol.PUSH)
        # Whose rights end at some devices may not read what all devices of the connection say.
        connection = None if "\0" in name or client.device_ids is not None else rows.first()
        if connection is None:
            raise not_found("connection")
        try:
            answer = newest_frames(connection, after=int(after), asked_by=client.name)
        except (NoAnswer, Refused) as error:
            raise Problem(503, error.code, str(error)) from error
        names = ("number", "at_ms", "sent", "length", "raw", "words")
        return Response({"count": answer["count"], "frames": [dict(zip(names, row, strict=True)) for row in answer["frames"]]})


def _figures(link: Link) -> dict[str, Any] | None:
    figures = current_figures(link)
    return None if figures is None else figures.row


def _month(row: SheetRow) -> dict[str, Any]:
    return {
        **{key: value for key, value in link_record(row.link).items() if key in ("letter", "ends", "protocol", "medium", "role")},
        "availability_target_percent": row.availability_target,
        "availability_percent": row.availability,
        "observed_percent": row.observed,
        "round_trip_p95_target_s": row.round_trip_target_s,
        "round_trip_p50_s": row.round_trip_p50_s,
        "round_trip_p95_s": row.round_trip_p95_s,
        "loss_target_percent": row.loss_target,
        "loss_percent": row.loss,
        "requests": row.requests,
        "lost": row.lost,
        "retries": row.retries,
        "reconnects": row.reconnects,
        "sent_bytes": row.sent_bytes,
        "received_bytes": row.received_bytes,
        "misses": row.misses,
    }
