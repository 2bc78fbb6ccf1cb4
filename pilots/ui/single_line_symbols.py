"""Drawings of the device kinds in a 40 x 40 box around the origin, after the conventions of IEC 60617.

Switches carry both blades: the state class of the group shows one. Own signs (charge point, meter, household, gateway,
platform) stand in the legend. Classes: `s` outline on panel, `l` line, `t` thin line, `f` filled.
"""

from __future__ import annotations

from pilots.domain.topology import DeviceKind

K = DeviceKind

_BLADES = (
    '<g class="blade closed"><rect class="f" x="-4" y="-12" width="8" height="24"/></g>'
    '<g class="blade open"><rect class="s" x="-3.5" y="-11" width="7" height="22" transform="rotate(-42 0 11)"/></g>'
    '<g class="blade between"><rect class="s dash" x="-3.5" y="-11" width="7" height="22" transform="rotate(-21 0 11)"/>'
    '<text class="sign" x="15" y="5">?</text></g>'
    '<g class="blade bad"><rect class="s dash" x="-3.5" y="-11" width="7" height="22"/>'
    '<rect class="l dash" x="-3.5" y="-11" width="7" height="22" transform="rotate(-42 0 11)"/>'
    '<text class="sign" x="15" y="5">!</text></g>'
    '<g class="blade unknown"><rect class="s dash" x="-4" y="-12" width="8" height="24"/>'
    '<text class="sign" x="15" y="5">?</text></g>'
)
_GAP = '<rect class="gap" x="-4" y="-13" width="8" height="25"/>'

#: Disconnector (bar) and switch-disconnector (bar and ring); a breaker wears a cross.
SWITCH = _GAP + '<path class="l" d="M-8-18H8"/><circle class="s" cy="-14" r="3.5"/>' + _BLADES
BREAKER = _GAP + '<path class="l" d="M-6-20 6-10M6-20-6-10"/>' + _BLADES

SYMBOLS: dict[DeviceKind, str] = {
    K.GRID_INFEED: '<path class="s" d="M-14-18H14V18H-14Z"/><path class="t" d="M-14 18 14-18M-14 0 0-18M0 18 14 0"/>',
    K.TRANSFORMER: '<circle class="s" cy="-7" r="12.5"/><circle class="s" cy="7" r="12.5"/><circle class="l" cy="-7" r="12.5"/>',
    K.SWITCH: SWITCH,
    K.METER: '<circle class="s" r="15"/><path class="l" d="M-9 0C-6-9-3-9 0 0S6 9 9 0"/>',
    K.SMART_METER: '<rect class="s" x="-16" y="-16" width="32" height="32"/><path class="l" d="M-16-7H16"/>'
    '<text class="sign small" y="10">Wh</text>',
    K.STORAGE_UNIT: '<rect class="s" x="-18" y="-14" width="36" height="28"/>'
    '<path class="l" d="M-14 0H-7M-7-9V9M-1 0H2M8-9V9M8 0H14"/><path class="b" d="M-2-5V5M13-5V5"/>',
    K.BATTERY_MANAGEMENT_SYSTEM: '<rect class="s" x="-17" y="-13" width="34" height="26"/>'
    '<text class="sign small" y="5">BMS</text>',
    K.POWER_ELECTRONICS: '<rect class="s" x="-17" y="-17" width="34" height="34"/><path class="t" d="M17-17-17 17"/>'
    '<path class="l" d="M-13-11H-4M-13-6.5H-10.5M-7-6.5H-4M3 9C5 4 7.5 4 8.5 8S12 12 14 7"/>',
    K.GENERATING_UNIT: '<path class="s" d="M-18-4H18V16H-18Z"/><path class="t" d="M-6-4V16M6-4V16M-18 6H18"/>'
    '<path class="t" d="M-13-19-8-9M-8-9-12.5-10.5M-8-9-7-13.5M-2-19 3-9M3-9-1.5-10.5M3-9 4-13.5"/>',
    K.CHARGE_POINT: '<path class="s" d="M-15-17H4V17H-15Z"/>'
    '<path class="l" d="M-11-12H0V-4H-11ZM4 3H8C11 3 11 6 11 9S16 12 16 8V-3"/>'
    '<path class="f" d="M11.5-9H20V-3H11.5Z"/><path class="l" d="M13.5-13V-9M18-13V-9"/>',
    K.HOUSEHOLD: '<path class="s" d="M-16-2 0-17 16-2V16H-16Z"/><path class="t" d="M-4 16V6H4V16"/>',
    K.HOTEL: '<path class="s" d="M-13-17H13V17H-13Z"/>'
    '<path class="t" d="M-8-11H-3M3-11H8M-8-4H-3M3-4H8M-8 3H-3M3 3H8M-3 17V10H3V17"/>',
    K.BOILER: '<path class="s" d="M-11-12C-11-19 11-19 11-12V13C11 18-11 18-11 13Z"/>'
    '<path class="l" d="M-11 8H-6L-4 3-1 12 2 3 5 8H11"/>',
    K.LOCAL_CONTROLLER: '<rect class="s" x="-15" y="-15" width="30" height="30"/>'
    '<path class="t" d="M-8-8H8V8H-8ZM-3-15V-8M3-15V-8M-3 8V15M3 8V15"/>',
    K.GATEWAY: '<rect class="s" x="-16" y="-14" width="32" height="28"/>'
    '<path class="l" d="M-6 8V-7M-10-3-6-8-2-3M6-8V7M2 3 6 8 10 3"/>',
    K.RTU: '<rect class="s" x="-19" y="-14" width="38" height="24"/>'
    '<path class="l" d="M-13 10V15M-6.5 10V15M0 10V15M6.5 10V15M13 10V15"/>'
    '<text class="sign small" y="2">RTU</text>',
    K.SCADA: '<rect class="s" x="-19" y="-15" width="38" height="24"/><path class="l" d="M-8 15H8M0 9V15"/>'
    '<path class="t" d="M-14 1H-8V-5H-2V3H4V-8H10V-2H14"/>',
    K.HEAD_END_SYSTEM: '<path class="s" d="M-16-15H16V-5H-16ZM-16-5H16V5H-16ZM-16 5H16V15H-16Z"/>'
    '<path class="l" d="M-11-10H-6M-11 0H-6M-11 10H-6"/>',
    K.WEATHER_SOURCE: '<circle class="s" r="8"/>'
    '<path class="l" d="M0-18V-12M0 12V18M-18 0H-12M12 0H18M-13-13-9-9M9 9 13 13M13-13 9-9M-9 9-13 13"/>',
    K.PLATFORM: '<path class="s" d="M-11 12C-21 12-21-1-12-2-13-15 6-17 8-6 19-8 21 12 10 12Z"/>',
}
SYMBOLS[K.INVERTER] = SYMBOLS[K.POWER_ELECTRONICS]


def symbol(kind: DeviceKind, name: str) -> str:
    """The drawing of a device; a switch whose name says breaker gets the breaker's cross."""
    if kind is K.SWITCH and "breaker" in name.lower():
        return BREAKER
    return SYMBOLS[kind]
