"""What a central system may ask a simulated OCPP 1.6J station. [zone: field, simulated] [OCPP 1.6 edition 2, 5]"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from ocpp.routing import on
from ocpp.v16 import ChargePoint as Protocol16
from ocpp.v16 import call, call_result
from ocpp.v16.enums import (
    Action,
    AvailabilityStatus,
    ChargingProfileStatus,
    ClearChargingProfileStatus,
    ConfigurationStatus,
    DataTransferStatus,
    GetCompositeScheduleStatus,
    RemoteStartStopStatus,
    ResetStatus,
    TriggerMessageStatus,
    UnlockStatus,
)

from pilots.simulators.charging_profiles import MAX_STACK_LEVEL, TX, ChargingProfile, ProfileRejected, parse_profile
from pilots.simulators.ledger import stamp
from pilots.simulators.plant import Refused

if TYPE_CHECKING:
    from pilots.simulators.charge_point import ChargePoint

CONFIGURATION = {
    "SupportedFeatureProfiles": "Core,SmartCharging,RemoteTrigger",
    "NumberOfConnectors": "1",
    "ChargeProfileMaxStackLevel": str(MAX_STACK_LEVEL),
    "ChargingScheduleAllowedChargingRateUnit": "Current,Power",
    "ChargingScheduleMaxPeriods": "24",
    "MaxChargingProfilesInstalled": "20",
    "MeterValueSampleInterval": "5",
    "HeartbeatInterval": "60",
}

#: How long the station waits for the central system's answer; its next message waits behind it.
ANSWER_S = 15.0

Method = TypeVar("Method", bound=Callable[..., Any])


def answers(action: Action) -> Callable[[Method], Method]:
    """The library's `on`, with types."""
    decorate: Callable[[Method], Method] = on(action)
    return decorate


class StationCalls(Protocol16):  # type: ignore[misc]
    """One connection's side of the protocol; what lasts longer belongs to `station`."""

    def __init__(self, station: ChargePoint, socket: Any) -> None:
        super().__init__(station.identity, socket, response_timeout=ANSWER_S)
        self.station = station
        self.logger.setLevel("ERROR")

    @answers(Action.set_charging_profile)
    def on_set_charging_profile(self, connector_id: int, cs_charging_profiles: dict[str, Any], **_: Any) -> Any:
        station, now = self.station, datetime.now(UTC)
        phases = 1 if station.charger.single_phase else 3
        try:
            profile = parse_profile(connector_id, cs_charging_profiles, now=now, phases=phases)
            self._fits(profile)
        except (ProfileRejected, ValueError, KeyError):
            return call_result.SetChargingProfile(status=ChargingProfileStatus.rejected)
        station.profiles.install(profile)
        station.apply_limit()
        limit = profile.limit_w(now)
        # A TxProfile that only repeats the limit just told is the same write in its second form.
        if profile.purpose != TX or limit != station.told_limit_w:
            station.told_limit_w = limit
            station.ledger.write(device=station.device_id, point="p_limit", value=limit, peer=station.identity)
        return call_result.SetChargingProfile(status=ChargingProfileStatus.accepted)

    def _fits(self, profile: ChargingProfile) -> None:
        station = self.station
        refusal = station.plant.mishaps.refusal(station.device_id, "p_limit")
        if refusal is not None:
            raise ProfileRejected(refusal)
        if profile.connector not in (0, station.connector):
            raise ProfileRejected(f"there is no connector {profile.connector}")
        if profile.purpose != TX:
            return
        transaction = station.transaction
        if profile.connector == 0 or transaction is None:
            raise ProfileRejected("a TxProfile needs a connector and its running transaction")
        if profile.transaction_id is not None and profile.transaction_id != transaction.id:
            raise ProfileRejected("another transaction is running")

    @answers(Action.clear_charging_profile)
    def on_clear_charging_profile(
        self,
        id: int | None = None,
        connector_id: int | None = None,
        charging_profile_purpose: str | None = None,
        stack_level: int | None = None,
        **_: Any,
    ) -> Any:
        station = self.station
        gone = station.profiles.clear(id=id, connector=connector_id, purpose=charging_profile_purpose, stack_level=stack_level)
        station.apply_limit()
        status = ClearChargingProfileStatus.accepted if gone else ClearChargingProfileStatus.unknown
        return call_result.ClearChargingProfile(status=status)

    @answers(Action.get_composite_schedule)
    def on_get_composite_schedule(self, connector_id: int, duration: int, **_: Any) -> Any:
        station, now = self.station, datetime.now(UTC)
        if connector_id not in (0, station.connector):
            return call_result.GetCompositeSchedule(status=GetCompositeScheduleStatus.rejected)
        periods = station.profiles.composite(
            station.connector, now, duration, charging=station.transaction is not None, ceiling_w=station.charger.rated_w
        )
        schedule = {"duration": duration, "chargingRateUnit": "W", "chargingSchedulePeriod": periods}
        return call_result.GetCompositeSchedule(
            status=GetCompositeScheduleStatus.accepted,
            connector_id=connector_id,
            schedule_start=stamp(now),
            charging_schedule=schedule,
        )

    @answers(Action.trigger_message)
    def on_trigger_message(self, requested_message: str, connector_id: int | None = None, **_: Any) -> Any:
        station = self.station
        if connector_id is not None and connector_id not in (0, station.connector):
            return call_result.TriggerMessage(status=TriggerMessageStatus.rejected)
        if requested_message == "MeterValues":
            station.errand(station.send_meter_values())
        elif requested_message == "StatusNotification":
            station.errand(station.send_status())
        elif requested_message == "Heartbeat":
            station.errand(self.call(call.Heartbeat()))
        elif requested_message == "BootNotification":
            station.errand(station.boot(self))
        else:
            return call_result.TriggerMessage(status=TriggerMessageStatus.not_implemented)
        return call_result.TriggerMessage(status=TriggerMessageStatus.accepted)

    @answers(Action.change_availability)
    def on_change_availability(self, connector_id: int, type: str, **_: Any) -> Any:
        station = self.station
        if connector_id not in (0, station.connector):
            return call_result.ChangeAvailability(status=AvailabilityStatus.rejected)
        station.plant.write(station.device_id, "enable", 1.0 if type == "Operative" else 0.0)
        return call_result.ChangeAvailability(status=AvailabilityStatus.accepted)

    @answers(Action.remote_start_transaction)
    def on_remote_start_transaction(self, id_tag: str, **_: Any) -> Any:
        return call_result.RemoteStartTransaction(status=self._remote("remote_start"))

    @answers(Action.remote_stop_transaction)
    def on_remote_stop_transaction(self, transaction_id: int, **_: Any) -> Any:
        transaction = self.station.transaction
        if transaction is None or transaction.id != transaction_id:
            return call_result.RemoteStopTransaction(status=RemoteStartStopStatus.rejected)
        return call_result.RemoteStopTransaction(status=self._remote("remote_stop"))

    def _remote(self, command: str) -> RemoteStartStopStatus:
        station = self.station
        try:
            station.plant.write(station.device_id, command, 1.0)
        except Refused:
            return RemoteStartStopStatus.rejected
        station.ledger.write(device=station.device_id, point=command, value=1.0, peer=station.identity)
        return RemoteStartStopStatus.accepted

    @answers(Action.get_configuration)
    def on_get_configuration(self, key: list[str] | None = None, **_: Any) -> Any:
        wanted = key or list(CONFIGURATION)
        known = [{"key": name, "readonly": True, "value": CONFIGURATION[name]} for name in wanted if name in CONFIGURATION]
        return call_result.GetConfiguration(
            configuration_key=known, unknown_key=[name for name in wanted if name not in CONFIGURATION]
        )

    @answers(Action.change_configuration)
    def on_change_configuration(self, key: str, value: str, **_: Any) -> Any:
        """MeterValueSampleInterval and its kin stay as they are, for the demo's pace; everything else is unknown."""
        known = key in CONFIGURATION or key in ("MeterValuesSampledData", "ClockAlignedDataInterval", "WebSocketPingInterval")
        return call_result.ChangeConfiguration(
            status=ConfigurationStatus.accepted if known else ConfigurationStatus.not_supported
        )

    @answers(Action.reset)
    def on_reset(self, type: str, **_: Any) -> Any:
        return call_result.Reset(status=ResetStatus.rejected)

    @answers(Action.unlock_connector)
    def on_unlock_connector(self, connector_id: int, **_: Any) -> Any:
        return call_result.UnlockConnector(status=UnlockStatus.not_supported)

    @answers(Action.data_transfer)
    def on_data_transfer(self, vendor_id: str, **_: Any) -> Any:
        return call_result.DataTransfer(status=DataTransferStatus.unknown_vendor_id)
