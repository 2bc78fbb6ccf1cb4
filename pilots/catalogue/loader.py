"""The catalogue's files as domain objects: profiles, pilots, use cases. [zone: none, configuration]

Nothing here knows a database: `catalogue.services` commissions what this module has read. Every refusal is a
CatalogueError with file, line and field. Built-in files are read once per process; a user's own files each time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pilots.catalogue.checks import check_pilot
from pilots.catalogue.includes import read_profile_document
from pilots.catalogue.points import profile_of, resolve_points
from pilots.catalogue.schema_check import check_schema
from pilots.catalogue.use_cases import UseCase, missing_from, use_case_of
from pilots.catalogue.yaml_lines import Document, read_document
from pilots.domain.errors import CatalogueError
from pilots.domain.profile import Profile
from pilots.domain.topology import ConnectionSpec, DeviceKind, DeviceSpec, LinkRole, LinkSpec, PilotSpec, Protocol, Way

__all__ = [
    "find_profile",
    "load_pilot",
    "load_pilots",
    "load_profile",
    "load_profiles",
    "load_use_cases",
    "missing_items",
    "profiles_of",
    "resolve_points",
]

CATALOGUE = Path(__file__).parent
PROFILES = CATALOGUE / "profiles"
PILOTS = CATALOGUE / "pilots"
USE_CASES = CATALOGUE / "use_cases.yaml"

#: File name of each built-in pilot, in the order pages list them.
_PILOT_FILES = ("bulgaria", "spain", "netherlands", "norway", "germany")


def load_profile(name: str) -> Profile:
    """The built-in profile of that name, or the profile file at that path (it ends in .yaml). Raises CatalogueError."""
    return _read_profile(Path(name)) if _is_path(name) else _builtin_profile(name)


def load_profiles() -> dict[str, Profile]:
    """Every built-in profile by name, sorted."""
    return {path.stem: load_profile(path.stem) for path in sorted(PROFILES.glob("*.yaml"))}


def load_pilot(path: Path | str) -> PilotSpec:
    """The pilot a file declares, fully checked. Raises CatalogueError.

    A `profile` that ends in .yaml is a file beside the pilot's; in the result it is an absolute path that
    `load_profile` takes.
    """
    path = Path(path)
    document = read_document(path)
    check_schema(document, "pilot")
    pilot = _pilot_of(document.data, path.parent)
    check_pilot(document, pilot, _profiles_for(document, pilot))
    return pilot


@cache
def _builtin_pilot(name: str) -> PilotSpec:
    return load_pilot(PILOTS / f"{name}.yaml")


def load_pilots() -> dict[str, PilotSpec]:
    """The five built-in pilots by code."""
    pilots = [_builtin_pilot(name) for name in _PILOT_FILES]
    return {pilot.code: pilot for pilot in pilots}


def profiles_of(pilot: PilotSpec) -> dict[str, Profile]:
    """Every profile the pilot's devices name, under that name."""
    return {device.profile: load_profile(device.profile) for device in pilot.devices if device.profile}


@cache
def load_use_cases() -> dict[str, UseCase]:
    """The use cases of D7.1 section 4 by identifier."""
    document = read_document(USE_CASES)
    check_schema(document, "use_cases")
    cases = [use_case_of(raw) for raw in document.data["use_cases"]]
    return {case.id: case for case in cases}


def missing_items(kind: DeviceKind, points: Iterable[str], *, commanded: bool = True) -> list[str]:
    """What D7.1 section 4 asks of this kind of device and no point offers; see `use_cases.missing_from`."""
    return missing_from(load_use_cases().values(), kind, points, commanded=commanded)


@cache
def _builtin_profile(name: str) -> Profile:
    path = find_profile(name)
    if not path.is_file():
        raise CatalogueError(f"unknown profile {name!r}", field="profile")
    return _read_profile(path)


def _read_profile(path: Path) -> Profile:
    document = read_profile_document(path, find_profile)
    check_schema(document, "profile")
    if document.data["name"] != path.stem:
        raise document.error(f"the name must be that of the file, {path.stem}", "name")
    return profile_of(document)


def find_profile(name: str, folder: Path = PROFILES) -> Path:
    """The file of a profile: a path that ends in .yaml is looked up from `folder`, else it is a built-in name."""
    path = folder / name if _is_path(name) else PROFILES / f"{name}.yaml"
    # A name comes from files: it must not lead out of the catalogue.
    return path if _is_path(name) or path.parent == PROFILES else PROFILES / "-"


def _is_path(profile: str) -> bool:
    return profile.endswith((".yaml", ".yml"))


def _profiles_for(document: Document, pilot: PilotSpec) -> Mapping[str, Profile]:
    profiles: dict[str, Profile] = {}
    for index, device in enumerate(pilot.devices):
        if not device.profile or device.profile in profiles:
            continue
        if _is_path(device.profile) and not Path(device.profile).is_file():
            raise document.error(f"there is no file {device.profile}", "devices", index, "profile")
        if not _is_path(device.profile) and not find_profile(device.profile).is_file():
            raise document.error(f"unknown profile {device.profile!r}", "devices", index, "profile")
        profiles[device.profile] = load_profile(device.profile)
    return profiles


def _pilot_of(data: Mapping[str, Any], folder: Path) -> PilotSpec:
    operator = data.get("operator", "")
    return PilotSpec(
        code=data["code"],
        name=data["name"],
        country=data["country"],
        time_zone=data["time_zone"],
        latitude=float(data["latitude"]),
        longitude=float(data["longitude"]),
        summary=data.get("summary", ""),
        operator=operator,
        source=data.get("source", ""),
        heartbeat_s=data.get("heartbeat_s"),
        connections=tuple(_connection_of(raw) for raw in data.get("connections", [])),
        devices=tuple(_device_of(raw, operator, folder) for raw in data["devices"]),
        links=tuple(link for raw in data.get("links", []) for link in _links_of(raw)),
    )


def _connection_of(raw: Mapping[str, Any]) -> ConnectionSpec:
    backups = tuple(Way(**{**way, "protocol": Protocol(way["protocol"])}) for way in raw.get("backups", []))
    return ConnectionSpec(**{**raw, "protocol": Protocol(raw["protocol"]), "backups": backups})


def _device_of(raw: Mapping[str, Any], operator: str, folder: Path) -> DeviceSpec:
    """The device; without an operator of its own it has the pilot's."""
    profile = raw.get("profile", "")
    if _is_path(profile):
        profile = str((folder / profile).resolve())
    fields = {"operator": operator, **raw, "kind": DeviceKind(raw["kind"]), "profile": profile}
    return DeviceSpec(**fields)


def _links_of(raw: Mapping[str, Any]) -> Iterator[LinkSpec]:
    """One link per pair of `from` and `to`."""
    starts, ends = ([side] if isinstance(side, str) else side for side in (raw["from"], raw["to"]))
    shared = {key: value for key, value in raw.items() if key not in ("from", "to", "role")}
    for start in starts:
        for end in ends:
            yield LinkSpec(ends=(start, end), role=LinkRole(raw["role"]), **shared)
