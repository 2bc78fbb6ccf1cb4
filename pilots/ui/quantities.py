"""How a quantity is written for people: shown unit and factor, point names as words. Storage and API stay in SI units."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

#: Stored unit -> shown unit and how many stored units make one (static/js/quantities.js holds the same table).
SHOWN_UNITS = {
    "W": ("kW", 1000),
    "var": ("kvar", 1000),
    "VA": ("kVA", 1000),
    "Wh": ("kWh", 1000),
    "degC": ("°C", 1),
    "W/m2": ("W/m²", 1),
    "1": ("", 1),
}

#: Words for the names of docs/points.md that a faceplate leads with; the others show their name with spaces.
POINT_NAMES = {
    "active_power": gettext_lazy("Active power"),
    "reactive_power": gettext_lazy("Reactive power"),
    "apparent_power": gettext_lazy("Apparent power"),
    "dc_power": gettext_lazy("DC power"),
    "dc_voltage": gettext_lazy("DC voltage"),
    "dc_current": gettext_lazy("DC current"),
    "charging_power": gettext_lazy("Charging power"),
    "soc": gettext_lazy("Charge"),
    "soh": gettext_lazy("Health"),
    "ev_soc": gettext_lazy("Charge of the vehicle"),
    "temperature": gettext_lazy("Temperature"),
    "oil_temperature": gettext_lazy("Oil temperature"),
    "hotspot_temperature": gettext_lazy("Hot spot"),
    "loading": gettext_lazy("Loading"),
    "position": gettext_lazy("Position"),
    "voltage": gettext_lazy("Voltage"),
    "current": gettext_lazy("Current"),
    "frequency": gettext_lazy("Frequency"),
    "energy_import": gettext_lazy("Energy imported"),
    "energy_export": gettext_lazy("Energy exported"),
    "connector_state": gettext_lazy("Connector"),
    "storage_state": gettext_lazy("State"),
    "inverter_state": gettext_lazy("State"),
    "control_mode": gettext_lazy("Control"),
    "position_cmd": gettext_lazy("Position"),
    "enable": gettext_lazy("Availability"),
    "enabled": gettext_lazy("Availability"),
    "p_set": gettext_lazy("Power"),
    "p_limit": gettext_lazy("Power limit"),
    "q_set": gettext_lazy("Reactive power"),
    "u_set": gettext_lazy("Voltage"),
}


def shown_unit(unit: str) -> tuple[str, int]:
    """The unit on screen and its size in stored units.

    >>> shown_unit("W"), shown_unit("V")
    (('kW', 1000), ('V', 1))
    """
    return SHOWN_UNITS.get(unit, (unit, 1))


def point_name(name: str) -> str:
    """The point's name in words.

    >>> str(point_name("temp_room"))
    'Temp room'
    """
    return str(POINT_NAMES.get(name) or name.replace("_", " ").capitalize())


def shown_number(value: float, unit: str) -> str:
    """A limit or rating with its shown unit, true minus, no needless decimals.

    >>> shown_number(-100000.0, "W")
    '−100 kW'
    """
    words, factor = shown_unit(unit)
    digits = f"{value / factor:.4g}".replace("-", "−")
    return f"{digits} {words}".strip()


#: Decimals on screen, one where nothing is said (static/js/quantities.js holds the same table).
DECIMALS = {"Hz": 2, "W/m2": 0, "s": 0, "1": 0, "": 2}


def shown_quantity(value: float | None, unit: str) -> str:
    """A value as the screens write it: fixed decimals, so that columns do not tremble; a dash for a missing one.

    >>> shown_quantity(-20000.0, "W"), shown_quantity(None, "W"), shown_quantity(-0.01, "W")
    ('−20.0 kW', '– kW', '0.0 kW')
    """
    words, factor = shown_unit(unit)
    if value is None:
        return f"– {words}".strip()
    digits = f"{value / factor:.{DECIMALS.get(unit, 1)}f}"
    return f"{(digits.removeprefix('-') if float(digits) == 0 else digits).replace('-', '−')} {words}".strip()


def shown_duration(seconds: float) -> str:
    """A time span in words, as static/js/quantities.js says it."""
    s = max(seconds, 0.0)
    if s < 60:
        return _("%(n)s s") % {"n": f"{s:.1f}" if s < 10 else f"{s:.0f}"}
    minutes, rest = divmod(round(s), 60)
    if minutes < 60:
        return _("%(m)d min %(s)d s") % {"m": minutes, "s": rest}
    hours, minutes = divmod(minutes, 60)
    return _("%(h)d h %(m)d min") % {"h": hours, "m": minutes} if hours < 48 else _("%(d)d d") % {"d": hours // 24}


def expiries() -> list[tuple[int, str]]:
    """Minutes a set-point from the page may be valid, in words."""
    return [(5, _("5 minutes")), (15, _("15 minutes")), (60, _("1 hour")), (240, _("4 hours")), (1440, _("24 hours"))]
