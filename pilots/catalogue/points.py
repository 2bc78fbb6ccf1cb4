"""Profiles from their YAML, and their points made definite for one device. [zone: field]"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pilots.catalogue.yaml_lines import Document
from pilots.domain.errors import CatalogueError
from pilots.domain.point import PERIOD_S, Capability, PointKind, PointSpec, PollClass
from pilots.domain.profile import Profile
from pilots.domain.topology import ConnectionSpec, DeviceSpec, Protocol

#: The point's own numbers that may be declared as a percentage of rated power; the others belong to its capability.
POINT_SHARES = ("scale", "low", "high", "deadband")
CAPABILITY_SHARES = ("minimum", "maximum", "step", "tolerance")

_WORDS = {"uint32": 2, "int32": 2, "float32": 2, "uint64": 4, "int64": 4, "float64": 4}


def profile_of(document: Document) -> Profile:
    """The profile a checked document declares, its points still unresolved. Raises CatalogueError."""
    data = document.data
    protocol = Protocol(data["protocol"])
    points = {name: _point_of(name, raw, protocol) for name, raw in data["points"].items()}
    _check_points(document, points, protocol)
    return Profile(
        name=data["name"],
        protocol=protocol,
        source=data["source"],
        maker=data.get("maker", ""),
        model=data.get("model", ""),
        options=data.get("options", {}),
        points=points,
    )


def resolve_points(device: DeviceSpec, profile: Profile, connection: ConnectionSpec) -> dict[str, PointSpec]:
    """The profile's points as this device has them on this connection.

    Percentages become numbers of the point's unit by the nameplate's `rated_power_w` (a scale of 1 % turns a register in
    percent of rated power into watts). Poll classes become seconds by the connection's `options.periods`, else `PERIOD_S`:
    the poll period of what is polled, the promised longest silence of what reports by itself.
    Raises CatalogueError when a percentage meets no rated power.
    """
    periods = connection.options.get("periods", {})
    return {name: _resolve(spec, device, profile.protocol, periods) for name, spec in profile.points.items()}


def point_places(points: Mapping[str, PointSpec], protocol: Protocol, address: Mapping[str, Any]) -> dict[tuple[Any, ...], str]:
    """Where on its connection each point stands: place -> point name. Pushed points have no place.

    A register that is read and a register that is written are two places: a set-point may be read back.
    Raises ValueError naming the two points that stand at one place.
    """
    places: dict[tuple[Any, ...], str] = {}
    for name, spec in points.items():
        for place in _places(spec, protocol, address):
            if place in places:
                raise ValueError(f"{name} stands at the same address as {places[place]}")
            places[place] = name
    return places


def _point_of(name: str, raw: Mapping[str, Any], protocol: Protocol) -> PointSpec:
    poll = PollClass(raw["poll"]) if "poll" in raw else None
    period = PERIOD_S[poll] if poll else None
    polled = protocol is Protocol.MODBUS_TCP
    shares = {key: _share(raw[key]) for key in POINT_SHARES if isinstance(raw.get(key), str)}
    capability = raw.get("capability", {})
    shares |= {key: _share(capability[key]) for key in CAPABILITY_SHARES if isinstance(capability.get(key), str)}
    numbers = {key: float(raw[key]) for key in POINT_SHARES if key in raw and key not in shares}
    return PointSpec(
        name=name,
        kind=PointKind(raw["kind"]),
        unit=raw.get("unit", ""),
        address=raw.get("address", {}),
        offset=float(raw.get("offset", 0.0)),
        sign=raw.get("sign", 1),
        poll=poll,
        period_s=period if polled else None,
        max_interval_s=None if polled else period,
        labels={int(code): word for code, word in raw.get("labels", {}).items()},
        feedback=raw.get("feedback", ""),
        capability=_capability_of(capability, shares) if capability else None,
        shares=shares,
        **numbers,
    )


def _capability_of(raw: Mapping[str, Any], shares: Mapping[str, float]) -> Capability:
    """The capability; what is a share of rated power holds that share until it is resolved."""
    numbers = {key: shares[key] if key in shares else float(raw[key]) for key in CAPABILITY_SHARES if key in raw}
    modes = tuple(raw.get("modes", ("absolute",)))
    return Capability(**numbers, response_time_s=float(raw.get("response_time_s", 5.0)), modes=modes)


def _share(percentage: str) -> float:
    return float(percentage.removesuffix("%")) / 100.0


def _resolve(spec: PointSpec, device: DeviceSpec, protocol: Protocol, periods: Mapping[str, float]) -> PointSpec:
    if spec.poll is not None:
        period = float(periods.get(spec.poll.value, PERIOD_S[spec.poll]))
        polled = protocol is Protocol.MODBUS_TCP
        spec = replace(spec, period_s=period if polled else None, max_interval_s=None if polled else period)
    if not spec.shares:
        return spec
    rated_w = device.nameplate.get("rated_power_w")
    if rated_w is None:
        raise CatalogueError(f"{device.id}: {spec.name} is declared in percent and needs nameplate.rated_power_w")
    watts: dict[str, Any] = {key: share * float(rated_w) for key, share in spec.shares.items()}
    capability = spec.capability
    if capability is not None:
        capability = replace(capability, **{key: watts[key] for key in CAPABILITY_SHARES if key in watts})
    return replace(spec, capability=capability, shares={}, **{key: watts[key] for key in POINT_SHARES if key in watts})


def _places(spec: PointSpec, protocol: Protocol, address: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    own = spec.address
    if protocol is Protocol.MODBUS_TCP:
        width = own.get("length", 1) if own.get("type") == "string" else _WORDS.get(own.get("type", ""), 1)
        start, table = own["register"], own.get("table", "holding")
        unit = address.get("unit")
        return [(unit, table, start + word, own.get("bit"), spec.kind.writable) for word in range(width)]
    if protocol is Protocol.IEC104:
        return [(address.get("ca"), int(address.get("ioa", 0)) + own["ioa"])]
    if protocol is Protocol.OCPP16:
        # One measurand may feed two points; two devices at one connector may not.
        return [(address.get("identity"), address.get("connector"), spec.name)]
    return []


def _check_points(document: Document, points: Mapping[str, PointSpec], protocol: Protocol) -> None:
    for name, spec in points.items():
        if spec.feedback and spec.feedback not in points:
            raise document.error(f"feedback {spec.feedback!r} is no point of this profile", "points", name, "feedback")
        if spec.kind is PointKind.SETPOINT and spec.capability is None:
            raise document.error("a set-point needs a capability", "points", name)
        if spec.capability is not None and spec.capability.minimum > spec.capability.maximum:
            raise document.error("the minimum is above the maximum", "points", name, "capability")
        if spec.low is not None and spec.high is not None and spec.low > spec.high:
            raise document.error("low is above high", "points", name, "low")
    try:
        point_places(points, protocol, {})
    except ValueError as error:
        second = str(error).partition(" ")[0]
        raise document.error(str(error), "points", second, "address") from error
