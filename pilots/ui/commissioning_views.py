"""Commissioning, one address at a time: read it live, write it, save it as a point. Engineers and installers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import orjson
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from pilots.acquisition.address_checks import check_point_address
from pilots.acquisition.asking import NoAnswer, Refused, asked_and_answered
from pilots.catalogue.editing import add_point
from pilots.domain.errors import CatalogueError, PilotsError
from pilots.domain.point import PointKind
from pilots.domain.topology import Protocol
from pilots.drivers.registry import DRIVERS
from pilots.models import Device, Pilot, Point, RequestKind, Role, User
from pilots.ui.access import requires
from pilots.ui.views import pilot_of
from pilots.ui.words import page_words

#: A serial line at 1 200 baud needs its time; a person waits no longer.
PATIENCE_S = 12.0
#: What an address consists of, by protocol: (key, label, choices or "number" or "text"). The first choice is the default.
_MODBUS = [
    ("register", gettext_lazy("Register (from 0)"), "number"),
    ("table", gettext_lazy("Table"), ["holding", "input", "coil", "discrete"]),
    ("type", gettext_lazy("Type"), "text"),
    ("word_order", gettext_lazy("Word order"), ["big", "little"]),
    ("byte_order", gettext_lazy("Byte order"), ["big", "little"]),
    ("bit", gettext_lazy("Bit"), "number"),
    ("length", gettext_lazy("Registers of a string"), "number"),
]
_IEC60870 = [
    ("ioa", gettext_lazy("Object address (added to the device's)"), "number"),
    ("type", gettext_lazy("Type identification"), "number"),
    ("command_type", gettext_lazy("Command type"), "number"),
    ("select", gettext_lazy("Select before operate"), ["", "true"]),
]
_IEC61850 = [
    ("ref", gettext_lazy("Reference, as LD0/MMXU1.TotW.mag.f"), "text"),
    ("fc", gettext_lazy("Functional constraint"), ["MX", "ST", "CO", "SP", "SE", "CF", "DC", "EX"]),
]
ADDRESS_FIELDS: dict[str, list[tuple[str, Any, Any]]] = {
    Protocol.MODBUS_TCP: _MODBUS,
    Protocol.MODBUS_RTU: _MODBUS,
    Protocol.IEC104: _IEC60870,
    Protocol.IEC101: _IEC60870,
    Protocol.IEC61850: _IEC61850,
}
_NUMBERS = {"register", "bit", "length", "ioa", "type_id", "command_type"}


@requires(Role.ENGINEER)
@require_safe
def commissioning_page(request: HttpRequest, **_route: str) -> HttpResponse:
    pilot = pilot_of(request)
    rows = _devices(pilot).order_by("code")
    context = {
        "page": "commissioning",
        "part": "address",
        "parts": commissioning_parts(pilot),
        "pilot": pilot,
        "devices": rows,
        "families": _families(),
        "known": _known_points(rows),
        "kinds": [kind.value for kind in PointKind if kind is not PointKind.NAMEPLATE],
        "words": page_words(),
    }
    return render(request, "pilots/commissioning/address.html", context)


def commissioning_parts(pilot: Pilot) -> list[tuple[str, str, Any]]:
    """Name, address and label of each part of commissioning."""
    parts = [
        ("address", "commissioning", gettext_lazy("One address")),
        ("table", "point_table", gettext_lazy("Point table")),
        ("alarms", "alarm_table", gettext_lazy("Alarm table")),
        ("scl", "scl", gettext_lazy("SCL file")),
        ("tests", "point_tests", gettext_lazy("Point test")),
    ]
    return [(name, reverse(url, args=[pilot.code]), label) for name, url, label in parts]


def _families() -> list[dict[str, Any]]:
    """The forms of an address, one a family of protocols."""
    families: dict[int, dict[str, Any]] = {}
    for protocol, fields in ADDRESS_FIELDS.items():
        family = families.setdefault(id(fields), {"protocols": [], "fields": []})
        family["protocols"].append(str(protocol))
        family["browses"] = family.get("browses", False) or hasattr(DRIVERS[Protocol(protocol)], "browse")
        family["fields"] = [{"key": key, "label": label, "form": form} for key, label, form in fields]
    return list(families.values())


def _known_points(devices: Any) -> dict[str, dict[str, dict[str, Any]]]:
    """By device and name, how the points are read that are there already: to read them raw, or to start from."""
    known: dict[str, dict[str, dict[str, Any]]] = {device.code: {} for device in devices}
    keys_of = {device.code: {key for key, _label, _form in ADDRESS_FIELDS[device.connection.protocol]} for device in devices}
    for point in Point.objects.filter(device__in=devices).select_related("device").order_by("name"):
        # What the form cannot say (scale registers, names in a head-end system) cannot be asked here.
        if not set(point.address) <= keys_of[point.device.code]:
            continue
        address = {key: part[0] if isinstance(part, list) else part for key, part in point.address.items()}
        form = {name: getattr(point, name) for name in ("kind", "unit", "scale", "offset", "sign")}
        known[point.device.code][point.name] = {"address": address, **form}
    return known


def _devices(pilot: Pilot) -> Any:
    askable = Device.objects.filter(pilot=pilot, connection__enabled=True, connection__protocol__in=list(ADDRESS_FIELDS))
    return askable.select_related("connection", "pilot")


def answering(view: Callable[[HttpRequest, Pilot, dict[str, Any]], dict[str, Any]]) -> Callable[..., HttpResponse]:
    """A view that takes a JSON object and answers one; what is refused is answered with code, reason and field."""

    @require_POST
    def answer(request: HttpRequest, **_route: str) -> HttpResponse:
        try:
            form = orjson.loads(request.body)
            if not isinstance(form, dict):
                raise CatalogueError(_("The request is no JSON object."))
            return JsonResponse(view(request, pilot_of(request), form))
        except orjson.JSONDecodeError:
            return _refusal("malformed", _("The request is no JSON."), "", 400)
        except NoAnswer as error:
            return _refusal(error.code, str(error), "", 503)
        except Refused as error:
            return _refusal(error.code, str(error), "", 422)
        except PilotsError as error:
            field = getattr(error, "field", "")
            return _refusal("wrong", str(error).removeprefix(f"{field}: "), field, 422)

    return requires(Role.ENGINEER)(answer)


def _refusal(code: str, reason: str, field: str, status: int) -> JsonResponse:
    return JsonResponse({"code": code, "reason": reason, "field": field}, status=status)


@answering
def read_address(request: HttpRequest, pilot: Pilot, form: dict[str, Any]) -> dict[str, Any]:
    """What stands at the address now: wire value, scaled value, quality, the raw words."""
    return _ask(request, pilot, form, RequestKind.READ, _question(form))


@answering
def write_address(request: HttpRequest, pilot: Pilot, form: dict[str, Any]) -> dict[str, Any]:
    """The device's answer to one write; addresses of configured set-points are refused."""
    question = _question(form)
    question["kind"] = question["kind"] if question["kind"] in (PointKind.SETPOINT, PointKind.COMMAND) else PointKind.SETPOINT
    value = _number(form, "value", None)
    if value is None:
        raise CatalogueError(_("Give the value to write."), field="value")
    return _ask(request, pilot, form, RequestKind.WRITE, question | {"value": value})


@answering
def browse_device(request: HttpRequest, pilot: Pilot, form: dict[str, Any]) -> dict[str, Any]:
    """What the device says it offers, where its protocol can tell."""
    device = _device(pilot, form)
    assert device.connection is not None  # noqa: S101  _devices joins it
    user = cast(User, request.user).get_username()
    found = asked_and_answered(
        device.connection, RequestKind.BROWSE, {}, asked_by=user, device=device, patience_s=2.5 * PATIENCE_S
    )
    return {"offers": found}


@answering
def save_point(request: HttpRequest, pilot: Pilot, form: dict[str, Any]) -> dict[str, Any]:
    """The address is a point of the device from now on."""
    device, question = _device(pilot, form), _question(form)
    point = Point(device=device, name=str(form.get("name", "")), **question)
    point.period_s = _number(form, "period_s", None)
    if point.kind == PointKind.SETPOINT:
        point.capability = {"minimum": _number(form, "minimum", None), "maximum": _number(form, "maximum", None)}
        if None in point.capability.values():
            raise CatalogueError(_("A set-point needs its least and its greatest value."), field="minimum")
    check_point_address(point)
    add_point(point, actor=cast(User, request.user).get_username(), now=timezone.now())
    return {"point": str(point)}


def _ask(request: HttpRequest, pilot: Pilot, form: dict[str, Any], kind: str, question: dict[str, Any]) -> dict[str, Any]:
    device = _device(pilot, form)
    assert device.connection is not None  # noqa: S101  _devices joins it
    user = cast(User, request.user).get_username()
    return asked_and_answered(device.connection, kind, question, asked_by=user, device=device, patience_s=PATIENCE_S)


def _device(pilot: Pilot, form: dict[str, Any]) -> Device:
    device: Device | None = _devices(pilot).filter(code=str(form.get("device", ""))).first()
    if device is None:
        raise CatalogueError(_("There is no such device here that can be asked."), field="device")
    return device


def _question(form: dict[str, Any]) -> dict[str, Any]:
    """Raises CatalogueError that names the field."""
    address = form.get("address")
    if not isinstance(address, dict):
        raise CatalogueError(_("Give the address."), field="address")
    kind = form.get("kind") or PointKind.MEASUREMENT
    if kind not in list(PointKind):
        raise CatalogueError(_("No such kind of point."), field="kind")
    sign = _number(form, "sign", 1.0)
    return {
        "address": {key: _part(key, value) for key, value in address.items() if value not in ("", None)},
        "kind": kind,
        "unit": str(form.get("unit") or "")[:16],
        "scale": _number(form, "scale", 1.0),
        "offset": _number(form, "offset", 0.0),
        "sign": int(sign) if sign in (1, -1) else sign,
    }


def _part(key: str, value: Any) -> Any:
    if key == "select":
        return value in (True, "true")
    if key in _NUMBERS or (isinstance(value, str) and value.isdigit()):
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        text = str(value).strip()
        if not text.isdigit() or len(text) > 10:
            raise CatalogueError(_("A whole number from 0 is wanted."), field=key)
        return int(text)
    return str(value)[:200]


def _number(form: dict[str, Any], field: str, default: float | None) -> Any:
    value = form.get(field)
    if value in (None, ""):
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise CatalogueError(_("A number is wanted."), field=field)
    return float(value)
