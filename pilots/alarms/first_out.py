"""Which alarm of a chain of devices came first: the likely cause of those that follow it within seconds. [operation]

A chain is a device with all between it and the grid and all behind it. A device's own open alarms count whenever they came.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from pilots.alarms.statements import known_around, parents_of
from pilots.domain.alarm import FIRST_OUT_WITHIN
from pilots.models import Alarm


def find_leaders(new: Sequence[Alarm]) -> None:
    """Each of these new alarms (oldest first) is the first out of its chain, or knows which alarm came first."""
    devices = {alarm.device_id for alarm in new if alarm.device_id is not None}
    if not devices:
        for alarm in new:
            alarm.first_out = True
        return
    pilots = {alarm.pilot_id for alarm in new}
    before = known_around(pilots, devices, new[0].raised_at - FIRST_OUT_WITHIN, new[-1].raised_at)
    first = _First(parents_of(pilots) if before or len(new) > 1 else {})
    busy = {known.device_id for known in before}
    for known in before:
        first.note(known)
    for alarm in new:
        if alarm.cause_id is None:
            alarm.led_by_id = first.of(alarm)
        alarm.first_out = alarm.led_by_id is None and alarm.device_id not in busy
        busy.add(alarm.device_id)
        first.note(alarm)


class _First:
    """The earliest alarm at each device, and at whatever lies between it and the grid."""

    def __init__(self, parents: Mapping[int, int | None]) -> None:
        self._parents = parents
        self._at: dict[int, tuple[datetime, UUID]] = {}
        self._below: dict[int, tuple[datetime, UUID]] = {}

    def note(self, alarm: Alarm) -> None:
        if alarm.device_id is None or alarm.cause_id is not None:
            return
        told = alarm.raised_at, alarm.led_by_id or alarm.pk
        own, *above = self._upwards(alarm.device_id)
        for place, devices in ((self._at, [own]), (self._below, above)):
            for device in devices:
                place[device] = min(place.get(device, told), told)

    def of(self, alarm: Alarm) -> UUID | None:
        """The alarm that came first in this one's chain, within the window before it."""
        if alarm.device_id is None:
            return None
        chain = self._upwards(alarm.device_id)
        found = [self._at[device] for device in chain if device in self._at] + [self._below.get(chain[0])]
        near = [each for each in found if each is not None and alarm.raised_at - each[0] <= FIRST_OUT_WITHIN]
        return min(near)[1] if near else None

    def _upwards(self, device: int) -> list[int]:
        chain, above = [device], self._parents.get(device)
        while above is not None and above not in chain:
            chain.append(above)
            above = self._parents.get(above)
        return chain
