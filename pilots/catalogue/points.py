"""Profiles from their YAML, and their points made definite for one device. [zone: field]"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from pilots.catalogue.capability_check import capability_faults
from pilots.catalogue.yaml_lines import Document
from pilots.domain.errors import CatalogueError
from pilots.domain.point import PERIOD_S, Capability, PointKind, PointSpec, PollClass
from pilots.domain.profile import Profile
from pilots.domain.topology import ConnectionSpec, DeviceSpec, Protocol

#: The point's own numbers that may be declared as a percentage of rated power; the others belong to its capability.
POINT_SHARES = ("scale", "low", "high", "deadband")
CAPABILITY_SHARES = ("minimum", "maximum", "step", "tolerance", "default")
#: What else a capability may say: bounds by other points, state of charge, wear, interlock, ramp, class of a command, its end.
CAPABILITY_RULES: tuple[str, ...] = ("max_per_hour", "minimum_from", "maximum_from", "soc", "soc_min", "soc_max")
CAPABILITY_RULES += ("interlock", "interlock_words", "ramp", "ramp_by", "command_class", "watchdog_s", "self_expiring")

_WIDTH = re.compile(r"[a-z]+(?:10_)?(16|32|48|64)")
#: Protocols that we ask; the others' devices report by themselves.
_POLLED = (Protocol.MODBUS_TCP, Protocol.MODBUS_RTU)
#: IEC 60870-5-101 7.2.1: a type with time tag or without quality stands for its sister (17 to 19 for those with long tags).
_UNTAGGED = {2: 1, 4: 3, 6: 5, 8: 7, 10: 9, 12: 11, 14: 13, 16: 15, 17: 38, 18: 39, 19: 40, 21: 9}
_UNTAGGED |= {30: 1, 31: 3, 32: 5, 33: 7, 34: 9, 35: 11, 36: 13, 37: 15}


def profile_of(document: Document) -> Profile:
    """The profile a checked document declares, its points still unresolved. Raises CatalogueError."""
    profile = unchecked_profile_of(document)
    for fault in point_faults(document, profile):
        raise fault
    return profile


def unchecked_profile_of(document: Document) -> Profile:
    """The profile of a document that has the form of the schema, whether its points make sense or not."""
    data = document.data
    protocol = Protocol(data["protocol"])
    points = {name: _point_of(name, raw, protocol) for name, raw in data["points"].items()}
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

    What is read and what is written are two places: a set-point may be read back. An information object address holds one
    point per type it declares (IEC 60870-5-101 7.2.1), a type with time tag counting as its sister without.
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
    polled = protocol in _POLLED
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
    numbers: dict[str, Any] = {key: shares[key] if key in shares else float(raw[key]) for key in CAPABILITY_SHARES if key in raw}
    plain: dict[str, Any] = {key: float(raw[key]) for key in ("response_time_s", "min_interval_s") if key in raw}
    rules: dict[str, Any] = {key: raw[key] for key in CAPABILITY_RULES if key in raw}
    return Capability(**numbers, **plain, **rules, modes=tuple(raw.get("modes", ("absolute",))))


def _share(percentage: str) -> float:
    return float(percentage.removesuffix("%")) / 100.0


def _resolve(spec: PointSpec, device: DeviceSpec, protocol: Protocol, periods: Mapping[str, float]) -> PointSpec:
    if spec.poll is not None:
        period = float(periods.get(spec.poll.value, PERIOD_S[spec.poll]))
        polled = protocol in _POLLED
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


def register_count(address: Mapping[str, Any]) -> int:
    """Registers (or bits of a bit table) that a Modbus value takes: the types are named after their bits.

    >>> register_count({"type": "float32"}), register_count({"type": "mod10_48"}), register_count({"type": "bit"})
    (2, 3, 1)
    """
    kind = address.get("type", "")
    width = _WIDTH.fullmatch(kind)
    return int(address.get("length", 1)) if kind == "string" else int(width[1]) // 16 if width else 1


def monitor_types(address: Mapping[str, Any]) -> frozenset[int]:
    """The monitor types an IEC 60870-5 address declares, each as its sister without time tag; none means any."""
    declared = address.get("type", [])
    types: list[int] = declared if isinstance(declared, list) else [declared]
    return frozenset(_UNTAGGED.get(number, number) for number in types)


def _places(spec: PointSpec, protocol: Protocol, address: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    own = spec.address
    if protocol in _POLLED:
        table = address.get("unit"), own.get("model"), own.get("nth", 1), own.get("table", "holding")
        start = int(own["offset" if "model" in own else "register"])
        part = tuple(own.get("bits", [own.get("bit")]))
        return [(*table, start + word, part, spec.kind.writable) for word in range(register_count(own))]
    if protocol in (Protocol.IEC104, Protocol.IEC101):
        place = own.get("ca", address.get("ca")), int(address.get("ioa", 0)) + own["ioa"], own.get("bit")
        if spec.kind.writable and "type" not in own:
            return [(*place, "command")]
        return [(*place, number) for number in sorted(monitor_types(own))] or [(*place, "any type")]
    if protocol is Protocol.IEC61850:
        return [(address.get("ied", ""), own["ref"], own.get("fc"), spec.kind.writable)]
    if protocol is Protocol.OCPP16:
        # One measurand may feed two points; two devices at one connector may not.
        return [(address.get("identity"), address.get("connector"), spec.name)]
    return []


def point_faults(document: Document, profile: Profile) -> Iterator[CatalogueError]:
    """What keeps the profile from being used, point by point."""
    partial = document.data.get("partial", False)
    for name, spec in profile.points.items():
        if spec.feedback and spec.feedback not in profile.points and not partial:
            yield document.error(f"feedback {spec.feedback!r} is no point of this profile", "points", name, "feedback")
        if spec.kind is PointKind.SETPOINT and spec.capability is None:
            yield document.error("a set-point needs a capability", "points", name)
        if spec.capability is not None and not partial:
            for key, sentence in capability_faults(spec.capability, profile.points):
                yield document.error(sentence, "points", name, "capability", *filter(None, [key]))
        if spec.low is not None and spec.high is not None and spec.low > spec.high:
            yield document.error("low is above high", "points", name, "low")
        if spec.scale == 0:
            yield document.error("a scale of 0 would make every value 0", "points", name, "scale")
    try:
        point_places(profile.points, profile.protocol, {})
    except ValueError as error:
        second = str(error).partition(" ")[0]
        yield document.error(str(error), "points", second, "address")
