"""Every profile is valid, says where it comes from and serves its use case."""

from __future__ import annotations

import pytest

from pilots.catalogue.loader import (
    PROFILES,
    load_pilots,
    load_profile,
    load_profiles,
    load_use_cases,
    missing_items,
    resolve_points,
)
from pilots.catalogue.profile_check import check_profile
from pilots.domain.errors import CatalogueError
from pilots.domain.point import PERIOD_S, PointKind, PollClass
from pilots.domain.topology import ConnectionSpec, DeviceKind, DeviceSpec, Protocol

NAMES = sorted(path.stem for path in PROFILES.glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_profile_is_right_and_names_its_source(name: str) -> None:
    findings = check_profile(name)
    assert [str(error) for error in findings.errors] == []
    assert load_profile(name).name == name
    assert load_profile(name).source


@pytest.mark.parametrize("name", NAMES)
def test_every_register_has_the_makers_word_as_comment(name: str) -> None:
    text = (PROFILES / f"{name}.yaml").read_text()
    if name.startswith(("schneider-pm3000", "schneider-pm5000", "schneider-pm8000", "sunspec-")) and "includes:" not in text:
        lines = text.partition("\npoints:\n")[2].splitlines()
        assert [line for line in lines if "address:" in line and "}  # " not in line] == []


def test_profiles_of_the_pilots_are_built_in() -> None:
    used = {device.profile for pilot in load_pilots().values() for device in pilot.devices} - {""}
    assert used <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_point_has_either_a_class_or_comes_by_itself(name: str) -> None:
    profile = load_profile(name)
    for point in profile.points.values():
        if profile.protocol is Protocol.MODBUS_TCP and not point.kind.writable:
            assert point.poll is not None, point.name
        assert point.period_s is None or point.max_interval_s is None


@pytest.mark.parametrize("name", NAMES)
def test_limits_show_on_another_point(name: str) -> None:
    for point in load_profile(name).points.values():
        if point.capability and "limit" in point.capability.modes:
            assert point.feedback in ("active_power", f"{point.name}_feedback")
            assert point.capability.minimum >= 0


@pytest.mark.parametrize("name", NAMES)
def test_a_set_point_and_its_proof_count_the_same_way(name: str) -> None:
    points = load_profile(name).points
    for point in points.values():
        if point.kind is PointKind.SETPOINT and point.feedback in points and point.capability and point.capability.minimum < 0:
            assert point.sign == points[point.feedback].sign, point.name


def _served() -> list[tuple[DeviceKind, tuple[str, ...], bool, str]]:
    """Kind, points, whether it takes commands and name, once per kind and profile of the pilots."""
    found: dict[tuple[DeviceKind, str], tuple[DeviceKind, tuple[str, ...], bool, str]] = {}
    for pilot in load_pilots().values():
        for device in pilot.devices:
            if not device.profile:
                continue
            profile = load_profile(device.profile)
            found[device.kind, device.profile] = (
                device.kind,
                tuple(profile.points),
                profile.protocol is not Protocol.PUSH,
                device.profile,
            )
    return list(found.values())


@pytest.mark.parametrize(("kind", "points", "commanded", "name"), _served(), ids=lambda value: str(value)[:30])
def test_profile_serves_its_use_case(kind: DeviceKind, points: tuple[str, ...], commanded: bool, name: str) -> None:
    assert missing_items(kind, points, commanded=commanded) == [], name


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sunspec-battery-gateway", DeviceKind.STORAGE_UNIT),
        ("sunspec-hybrid-inverter", DeviceKind.INVERTER),
        ("sunspec-pv-inverter", DeviceKind.INVERTER),
        ("sunspec-203", DeviceKind.SMART_METER),
        ("schneider-pm8000", DeviceKind.SMART_METER),
    ],
)
def test_a_profile_for_users_serves_the_use_case_it_is_meant_for(name: str, kind: DeviceKind) -> None:
    assert missing_items(kind, load_profile(name).points) == []


def test_use_cases_are_those_of_d71() -> None:
    assert list(load_use_cases()) == ["UC-1-EV_Ch", "UC-2-STO", "UC-3-GEN", "UC-5-CON"]


def test_storage_without_state_of_charge_does_not_conform() -> None:
    points = set(load_profile("sunspec-storage").points) - {"soc"}
    assert missing_items(DeviceKind.STORAGE_UNIT, points) == ["UC-2-STO: state of charge (soc)"]


def test_pushing_storage_lacks_only_setpoints() -> None:
    points = load_profile("push-storage").points
    assert {item.split(" (")[0] for item in missing_items(DeviceKind.STORAGE_UNIT, points)} == {
        "UC-2-STO: set-point of active power",
        "UC-2-STO: set-point of reactive power",
    }


def test_households_tell_their_room_temperature() -> None:
    assert "temp_room" in load_profile("push-household").points


def test_every_point_of_a_use_case_item_is_spelt_as_in_some_profile_or_marked_optional() -> None:
    offered = {name for profile in load_profiles().values() for name in profile.points}
    for case in load_use_cases().values():
        for item in case.items:
            assert not item.required or offered.intersection(item.points), (case.id, item.text)


BATTERY = DeviceSpec(
    id="xx-STO01", kind=DeviceKind.STORAGE_UNIT, sgam="E.4.a", address={"unit": 1}, nameplate={"rated_power_w": 4000}
)
GATEWAY = ConnectionSpec(name="xx-gw", protocol=Protocol.MODBUS_TCP, options={"periods": {"N": 2.5}})


def test_percentages_become_watts_of_the_nameplate() -> None:
    point = resolve_points(BATTERY, load_profile("sunspec-storage"), GATEWAY)["p_set"]
    assert point.capability is not None
    assert (point.capability.minimum, point.capability.maximum, point.capability.step) == (-4000.0, 4000.0, 8.0)


def test_a_scale_in_percent_makes_watts_of_a_register_in_percent() -> None:
    inverter = DeviceSpec(id="xx-INV01", kind=DeviceKind.INVERTER, sgam="E.4.b", nameplate={"rated_power_w": 60_000})
    limit = resolve_points(inverter, load_profile("sunspec-inverter-103"), GATEWAY)["p_limit"]
    assert limit.to_wire(30_000) == pytest.approx(50.0)


def test_the_connection_overrides_class_periods() -> None:
    points = resolve_points(BATTERY, load_profile("sunspec-storage"), GATEWAY)
    assert points["soc"].period_s == 2.5
    assert points["active_power"].period_s == PERIOD_S[PollClass.F]


def test_what_reports_by_itself_gets_a_promised_interval_instead_of_a_period() -> None:
    connection = ConnectionSpec(name="xx-push", protocol=Protocol.PUSH, options={"periods": {"N": 5}})
    soc = resolve_points(BATTERY, load_profile("push-storage"), connection)["soc"]
    assert (soc.period_s, soc.max_interval_s, soc.max_age_s) == (None, 5.0, 15.0)


def test_percentages_without_a_nameplate_are_refused() -> None:
    bare = DeviceSpec(id="xx-STO01", kind=DeviceKind.STORAGE_UNIT, sgam="E.4.a")
    with pytest.raises(CatalogueError, match="rated_power_w"):
        resolve_points(bare, load_profile("sunspec-storage"), GATEWAY)


def test_sunspec_generation_is_negative() -> None:
    assert load_profile("sunspec-inverter-103").points["active_power"].from_wire(500) == -500


@pytest.mark.parametrize("name", ["schneider-pm5xxx", "schneider-pm3000", "schneider-pm5000", "schneider-pm8000"])
def test_schneider_kilowatts_become_watts_at_the_register_before_the_printed_one(name: str) -> None:
    power = load_profile(name).points["active_power"]
    assert power.address["register"] == 3059
    assert power.from_wire(1.5) == 1500


@pytest.mark.parametrize("name", ["nothing", "../pilots/spain", ""])
def test_an_unknown_profile_is_refused(name: str) -> None:
    with pytest.raises(CatalogueError, match="unknown profile"):
        load_profile(name)


@pytest.mark.parametrize(
    ("name", "command"),
    [("iec104-switch", "position_cmd"), ("generic-iec104-rtu", "position_cmd"), ("iec104-estabanell", "position_cmd_3")],
)
def test_commands_that_switch_select_first_on_iec104(name: str, command: str) -> None:
    point = load_profile(name).points[command]
    assert point.kind is PointKind.COMMAND
    assert point.address["select"] is True
    assert point.feedback == command.replace("_cmd", "")
