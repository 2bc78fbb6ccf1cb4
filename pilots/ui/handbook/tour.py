"""The steps of the tour: each points at something of a pilot's page; what a person does not see there is left out by the page."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext_lazy as _

from pilots.ui.handbook.topic import Words


@dataclass(frozen=True, slots=True)
class Step:
    """`at` is a CSS selector of the page."""

    at: str
    title: Words
    text: Words


STEPS = (
    Step(".pagebar .pilots", _("Your pilots"), _("All leads to the overview, each code to the diagram of its pilot.")),
    Step(
        "[data-alarmstrip]",
        _("Alarm strip"),
        _("Here on every page: alarms by priority, and the first that waits. It sounds until who may acknowledge has done so."),
    ),
    Step(
        "[data-lag]",
        _("Live or not"),
        _("How long ago the server was heard. When it is lost the page is hatched, says NOT LIVE and disables every control."),
    ),
    Step(
        ".picture :is(.scroller, .ladder)",
        _("Diagram"),
        _(
            "Energised is solid, no supply dashed, unknown dotted. A value in a "
            "dashed frame with a clock is old: the last known one."
        ),
    ),
    Step(
        "[data-face]", _("Faceplate"), _("A click on a device opens it here: values with their age, trend, alarms, set-points.")
    ),
    Step(
        "[data-face] form[data-setpoint]",
        _("Set-point"),
        _("Value, time and reason; the button says the whole deed before you press it. The tour sends nothing."),
    ),
    Step(
        ".tools .find",
        _("Search and keys"),
        _("/ searches a device, arrows walk along the conductors, Enter opens, Esc closes."),
    ),
    Step(
        "[data-help]",
        _("Help"),
        _("? opens the help of the page you are on, with its keys. The whole handbook and this tour stand there too."),
    ),
)
