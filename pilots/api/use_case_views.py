"""The use cases of D7.1 section 4 against the devices of a pilot, for machines."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers as s
from rest_framework.request import Request
from rest_framework.response import Response

from pilots.api import schema
from pilots.api.plant_views import ReadView, find_pilot
from pilots.api.shapes import Shape
from pilots.catalogue.conformity import DeviceConformity, ItemState, conformity


class ExchangedItem(Shape):
    item = s.CharField(help_text="As D7.1 words it.")
    direction = s.ChoiceField(["measured", "commanded"])
    asked = s.BooleanField(help_text="false: by capability only, or a head-end system keeps the command to itself.")
    points = s.ListField(child=s.CharField(), help_text="Any one of these satisfies it.")
    point = s.CharField(allow_null=True, help_text="The one that does.")
    present = s.BooleanField()
    live = s.BooleanField(allow_null=True, help_text="It arrived within its interval; null for commands and what is not there.")
    good = s.BooleanField(allow_null=True)


class UseCaseConformity(Shape):
    use_case = s.CharField()
    device = s.CharField()
    items = ExchangedItem(many=True)


class UseCaseList(Shape):
    results = UseCaseConformity(many=True)


class UseCases(ReadView):
    @extend_schema(operation_id="list_use_cases", responses=schema.one(UseCaseList))
    def get(self, request: Request, code: str) -> Response:
        """What each device of this client offers of what its use cases ask for."""
        client = self.client(request)
        found = conformity(client.devices.filter(pilot=find_pilot(client, code)), timezone.now())
        return Response({"results": [_record(one) for one in found]})


def _record(one: DeviceConformity) -> dict[str, Any]:
    return {"use_case": one.use_case.id, "device": one.device.code, "items": [_item(state) for state in one.items]}


def _item(state: ItemState) -> dict[str, Any]:
    return {
        "item": state.item.text,
        "direction": state.item.direction.value,
        "asked": state.item.required and not state.kept,
        "points": list(state.item.points),
        "point": state.point or None,
        "present": bool(state.point),
        "live": state.live,
        "good": state.good,
    }
