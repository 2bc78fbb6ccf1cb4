"""What the plant consists of: pilots, topology, devices, points (docs/api.md, resources)."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import Count, QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from pilots.api import schema, shapes
from pilots.api.authentication import Client
from pilots.api.base import ApiView
from pilots.api.errors import invalid, not_found
from pilots.api.paging import page_by_key
from pilots.api.reading import query
from pilots.api.records import capability_record, device_record, pilot_record, point_record, topology_record
from pilots.control.guards import block_words
from pilots.domain.topology import DeviceKind
from pilots.models import Device, Link, Pilot, Point, Scope


class ReadView(ApiView):
    """A resource that is only read."""

    scopes: ClassVar[dict[str, str]] = {"GET": Scope.READ}


class Pilots(ReadView):
    @extend_schema(operation_id="list_pilots", parameters=schema.PAGING, responses=schema.listed(shapes.Pilot))
    def get(self, request: Request) -> Response:
        """The pilots of this client."""
        client = self.client(request)
        devices, links = _counts(client.devices), _counts(visible_links(client))

        def form(pilot: Pilot) -> dict[str, Any]:
            return pilot_record(pilot, devices.get(pilot.pk, 0), links.get(pilot.pk, 0))

        return page_by_key(request, client.pilots, form)


class OnePilot(ReadView):
    @extend_schema(operation_id="get_pilot", responses=schema.one(shapes.Pilot))
    def get(self, request: Request, code: str) -> Response:
        """One pilot."""
        client = self.client(request)
        pilot = find_pilot(client, code)
        devices = client.devices.filter(pilot=pilot).count()
        return Response(pilot_record(pilot, devices, visible_links(client).filter(pilot=pilot).count()))


class Topology(ReadView):
    @extend_schema(operation_id="get_topology", responses=schema.one(shapes.Topology))
    def get(self, request: Request, code: str) -> Response:
        """The communication graph of a pilot, whole: nodes with their parent towards the grid, links with their state."""
        client = self.client(request)
        pilot = find_pilot(client, code)
        devices = client.devices.filter(pilot=pilot).select_related("parent").order_by("position", "pk")
        links = visible_links(client).filter(pilot=pilot).select_related("end_a", "end_b", "connection")
        return Response(topology_record(pilot, devices, links))


class Devices(ReadView):
    @extend_schema(
        operation_id="list_devices",
        parameters=[schema.PILOT, schema.DEVICE_KIND, *schema.PAGING],
        responses=schema.listed(shapes.Device),
    )
    def get(self, request: Request) -> Response:
        """The devices of this client, of one pilot or kind if asked."""
        client = self.client(request)
        form = query(request, "pilot", "kind")
        rows = with_device_data(client.devices)
        if "pilot" in form:
            rows = rows.filter(pilot=find_pilot(client, form["pilot"], "pilot"))
        if "kind" in form:
            if form["kind"] not in list(DeviceKind):
                raise invalid("kind", f"kind must be one of {', '.join(DeviceKind)}.")
            rows = rows.filter(kind=form["kind"])
        return page_by_key(request, rows, device_record)


class OneDevice(ReadView):
    @extend_schema(operation_id="get_device", responses=schema.one(shapes.Device))
    def get(self, request: Request, device: str) -> Response:
        """One device with its nameplate."""
        return Response(device_record(find_device(self.client(request), device)))


class Capabilities(ReadView):
    @extend_schema(operation_id="get_device_capabilities", responses=schema.one(shapes.DeviceCapabilities))
    def get(self, request: Request, device: str) -> Response:
        """What set-points and commands the device takes."""
        found = find_device(self.client(request), device)
        points, now = found.points.select_related("device__pilot", "device__connection").order_by("name"), timezone.now()
        forms = [form for point in points if (form := capability_record(point, now)) is not None]
        names = {form["point"] for form in forms}
        support = {"reactive_power": "q_set" in names, "voltage": "u_set" in names, "frequency": "f_droop_set" in names}
        form = {
            "device": found.code,
            "setpoints": forms,
            "support": support,
            "schedules": any(form["schedules"] for form in forms),
        }
        return Response(form | {"blocked": block_words(found) or None})


class Points(ReadView):
    @extend_schema(
        operation_id="list_points",
        parameters=[schema.PILOT, schema.DEVICE, *schema.PAGING],
        responses=schema.listed(shapes.Point),
    )
    def get(self, request: Request) -> Response:
        """The points of this client, of one pilot or device if asked."""
        client = self.client(request)
        form = query(request, "pilot", "device")
        rows = visible_points(client)
        if "pilot" in form:
            rows = rows.filter(device__pilot=find_pilot(client, form["pilot"], "pilot"))
        if "device" in form:
            rows = rows.filter(device=find_device(client, form["device"], "device"))
        return page_by_key(request, rows, point_record)


class DevicePoints(ReadView):
    @extend_schema(operation_id="list_device_points", parameters=schema.PAGING, responses=schema.listed(shapes.Point))
    def get(self, request: Request, device: str) -> Response:
        """The points of one device."""
        client = self.client(request)
        rows = visible_points(client).filter(device=find_device(client, device))
        return page_by_key(request, rows, point_record)


def find_pilot(client: Client, code: str, field: str = "") -> Pilot:
    """The pilot of that code. Raises Problem 404 when there is none or the client may not see it."""
    found = None if "\0" in code else client.pilots.filter(code=code).first()
    if found is None:
        raise not_found("pilot", field)
    return found


def find_device(client: Client, code: str, field: str = "") -> Device:
    """The device of that id. Raises Problem 404 when there is none or the client may not see it."""
    found = None if "\0" in code else with_device_data(client.devices).filter(code=code).first()
    if found is None:
        raise not_found("device", field)
    return found


def visible_points(client: Client) -> QuerySet[Point]:
    """The points of the client's devices, with device and pilot."""
    return Point.objects.filter(client.reach("device__")).select_related("device__pilot")


def visible_links(client: Client) -> QuerySet[Link]:
    """The links between devices that the client may both see."""
    return Link.objects.filter(client.reach("end_a__") & client.reach("end_b__"))


def with_device_data(devices: QuerySet[Device]) -> QuerySet[Device]:
    """The same rows with everything `device_record` reads."""
    return devices.select_related("pilot", "parent", "measured_by", "connection").prefetch_related("tags")


def _counts(rows: QuerySet[Any]) -> dict[int, int]:
    """How many rows each pilot has."""
    return dict(rows.order_by().values_list("pilot_id").annotate(Count("pk")))
