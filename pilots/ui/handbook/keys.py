"""Every key of every page by the script that listens to it; tests/ui/test_handbook.py holds both against one another."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _

from pilots.ui.handbook.topic import Key, Words

_SIGNS = {"ArrowUp": "↑", "ArrowDown": "↓", "ArrowLeft": "←", "ArrowRight": "→", "Escape": "Esc", "-": "−"}
_NAMES: dict[str, Words] = {" ": _("Space"), "PageUp": _("Page up"), "PageDown": _("Page down"), "Backspace": _("Backspace")}

#: The page that a script's keys work on, for the list of all keys.
WHERE: dict[str, Words] = {
    "help": _("Every page"),
    "diagram": _("Diagram"),
    "pilot": _("Device on the diagram"),
    "setpoint": _("Form of a set-point"),
    "alarms": _("Alarms"),
    "setpoints": _("Set-points"),
    "trend_cursor": _("Cursor of the trends"),
    "trends": _("Zoom of the trends"),
    "replay": _("Replay"),
    "handbook": _("Help"),
    "tour": _("Tour"),
    "kiosk": _("Kiosk on its screen"),
}

KEYS: dict[str, tuple[Key, ...]] = {
    "help": (
        Key(("?",), _("opens and closes the help of the page")),
        Key(("Escape",), _("closes the help")),
    ),
    "diagram": (
        Key(("/",), _("searches a device")),
        Key(("Enter",), _("in the search: goes to the device, then to the next one found")),
        Key(("Escape",), _("in the search: empties it and goes back to the diagram")),
        Key(("+", "="), _("zooms in")),
        Key(("-",), _("zooms out")),
        Key(("0",), _("goes back to 100 %")),
    ),
    "pilot": (
        Key(("ArrowUp",), _("walks towards the grid")),
        Key(("ArrowDown",), _("walks away from the grid")),
        Key(("ArrowLeft", "ArrowRight"), _("walks to what hangs beside it")),
        Key(("Enter", " "), _("opens the faceplate, once more goes to its set-point")),
        Key(("Escape",), _("closes the faceplate")),
    ),
    "setpoint": (
        Key(("Enter",), _("sends, when the button may be pressed"), native=True),
        Key(("Escape",), _("takes back what was typed")),
    ),
    "alarms": (
        Key(("j", "ArrowDown"), _("next row")),
        Key(("k", "ArrowUp"), _("row before")),
        Key(("Enter",), _("opens the row"), native=True),
        Key(("a",), _("acknowledges the alarm of the row")),
        Key(("x",), _("chooses the row")),
        Key(("/",), _("goes to the search")),
        Key(("Escape",), _("leaves the search, or closes what is open")),
    ),
    "setpoints": (
        Key(("j", "ArrowDown"), _("next row")),
        Key(("k", "ArrowUp"), _("row before")),
        Key(("Enter",), _("opens the row"), native=True),
        Key(("/",), _("goes to the search")),
        Key(("Escape",), _("leaves the search")),
    ),
    "trend_cursor": (
        Key(("ArrowLeft", "ArrowRight"), _("moves the cursor, with Shift in larger steps")),
        Key(("Home",), _("goes to the start")),
        Key(("End",), _("goes to the end")),
        Key(("a", "b"), _("sets the mark A or B at the cursor")),
        Key(("Escape",), _("takes cursor and marks away")),
    ),
    "trends": (
        Key(("+",), _("zooms in")),
        Key(("-", "−"), _("zooms out")),
        Key(("Backspace",), _("goes back to the window before")),
    ),
    "replay": (
        Key(("ArrowLeft", "ArrowDown"), _("a minute earlier, with Shift 15")),
        Key(("ArrowRight", "ArrowUp"), _("a minute later, with Shift 15")),
        Key(("PageDown",), _("an hour earlier")),
        Key(("PageUp",), _("an hour later")),
    ),
    "handbook": (
        Key(("/",), _("goes to the search")),
        Key(("Escape",), _("empties the search")),
    ),
    "tour": (
        Key(("ArrowRight", "Enter"), _("next step")),
        Key(("ArrowLeft",), _("step before")),
        Key(("Escape",), _("ends the tour")),
    ),
    "kiosk": (
        Key((" ",), _("stops the turning and lets it go on")),
        Key(("ArrowLeft", "ArrowRight"), _("turns by hand")),
        Key(("ArrowUp", "ArrowDown"), _("scrolls the page")),
    ),
}


def rows(script: str) -> list[dict[str, Any]]:
    """The keys of a script as a page shows them."""
    return [{"keys": list(dict.fromkeys(map(_shown, key.keys))), "does": key.does} for key in KEYS[script]]


def _shown(key: str) -> Words:
    return _NAMES.get(key) or _SIGNS.get(key) or (key.upper() if len(key) == 1 else key)
