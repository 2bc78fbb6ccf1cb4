"""The tasks of a shift, and how to read what a page shows."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from pilots.models import Role
from pilots.ui.handbook.topic import Topic

TASKS = (
    Topic(
        key="shift",
        title=_("A shift from start to end"),
        body=(
            _(
                "Take over: Handover shows what stands and what happened before; read it and sign. Look round: on the "
                "overview all is grey when all is normal."
            ),
            _(
                "The alarm strip on every page tells what comes. Journal and Replay say what happened, Trends since when and "
                "how much; you act on the faceplate of a device."
            ),
            _("Hand over with a note and your signature. Exports keep what somebody will ask for."),
        ),
    ),
    Topic(
        key="answer-alarm",
        title=_("Answer an alarm"),
        roles=(Role.OPERATOR, Role.ENGINEER),
        body=(
            _(
                "The strip counts alarms by priority and names the first that waits. It sounds for who may acknowledge, the "
                "more often the more urgent, until everything is acknowledged. Silence 60 s is for you alone."
            ),
            _(
                "Open the alarm: it says why it comes and what to do. Acknowledge it when you have seen it; it ends when its "
                "cause is gone as well."
            ),
            _(
                "A browser plays no sound before you have clicked once; the strip says so. Test sound on the page Alarms "
                "plays it."
            ),
        ),
    ),
    Topic(
        key="send-setpoint",
        title=_("Send a set-point"),
        roles=(Role.OPERATOR,),
        keys=("setpoint",),
        body=(
            _(
                "Open the device. For a battery choose Charge, Discharge or Stop; for a ceiling give the limit. You never "
                "type a sign."
            ),
            _(
                "Give the value, how long it holds and the reason. The box says what would happen and what comes at the end; "
                "the button says the whole deed, and is disabled while the value lies outside the limits or the page is not "
                "live."
            ),
            _(
                "Then follow its steps: dispatched means that the device has confirmed, executed that the measurement shows "
                "it. Cancel or Back to automatic gives the device back."
            ),
            _("No protection system: trip functions stay in the device."),
        ),
    ),
    Topic(
        key="switch",
        title=_("Open or close a switch"),
        roles=(Role.OPERATOR,),
        body=(
            _(
                "Open the device, write the reason, choose Open… or Close…. This selects the device for 30 s; nothing is "
                "switched yet. What is critical asks for your password again."
            ),
            _(
                "The box shows the position now and the new one, and everything that would refuse it. Its button operates, "
                "Cancel frees the device. It is executed only when the position shows it."
            ),
            _("Where the pilot asks for two persons, Ask a second person sends it to their page Approvals."),
        ),
    ),
    Topic(
        key="keep-off",
        title=_("Keep others off a device"),
        roles=(Role.OPERATOR,),
        body=(
            _(
                "Do not operate is a tag on a device's faceplate: nobody's command reaches the device until the last tag is "
                "taken away. Its values go on."
            ),
            _(
                "Commands off, in the page bar: no command leaves, at once, and a band says who and why. Hold, on the "
                "faceplate: INVADE, schedules and control centres are refused at that point, operators are not."
            ),
            _("None of it is an emergency stop or a protection: those are in the plant."),
        ),
    ),
    Topic(
        key="by-hand",
        title=_("Give a value by hand"),
        roles=(Role.OPERATOR,),
        body=(
            _(
                "When a device is lost and you know better, open it and choose Substitute a value…: the point, the value, "
                "until when and why. It stands on every page with the mark S; the faceplate says who gave it."
            ),
            _("It ends at its time or when somebody withdraws it. No command rests on it."),
        ),
    ),
)

READING = (
    Topic(
        key="not-live",
        title=_("When the page says NOT LIVE"),
        body=(
            _(
                "The page has heard nothing from its server for 5 seconds. The picture is hatched, a band says since when, "
                "and every control is disabled. Nothing there is current, and nothing you press is sent later."
            ),
            _(
                "It tries again by itself; Try again does it now. If it lasts, see whether other screens are live and tell "
                "the administrator. When your session has ended the band says so: log in again."
            ),
            _("A lost device is something else: then the page is live and shows that device's values as old."),
        ),
    ),
    Topic(
        key="clock",
        title=_("Whose time"),
        body=(
            _(
                "Pilot, Own or UTC, chosen at the clock of every page. Pilot time is that of the pilot whose page it is; "
                "pages of several pilots speak your own zone, or UTC without one."
            ),
            _(
                "The clock says in words which it is, and every axis and table says its zone. Times that you type are of the "
                "zone beside the field."
            ),
        ),
    ),
    Topic(
        key="values",
        title=_("Values and their marks"),
        figure="values",
        body=(
            _(
                "A value says itself what it is worth, by shape and mark and not by colour alone. SIM at the top: some "
                "values come from simulated devices."
            ),
        ),
    ),
    Topic(
        key="lines",
        title=_("Lines, links and marks"),
        figure="lines",
        body=(_("Grey is normal; colour asks for attention, and shape or a word always says the same."),),
    ),
    Topic(
        key="symbols",
        title=_("Symbols of devices"),
        figure="symbols",
        body=(_("They follow IEC 60617 where it has one."),),
    ),
    Topic(
        key="alarm-marks",
        title=_("Priorities and states of alarms"),
        figure="alarm_marks",
        body=(_("The shape and the figure say the priority, ring and filling the state."),),
    ),
    Topic(
        key="setpoint-states",
        title=_("States of a set-point"),
        figure="setpoint_states",
        body=(_("Four dots: received, validated, dispatched, executed. A cross stands where it stopped."),),
    ),
)

REFERENCE = (
    Topic(
        key="keys",
        title=_("Every key"),
        figure="keys",
        body=(_("Keys of letters do nothing while you type in a field."),),
    ),
    Topic(
        key="roles",
        title=_("Roles"),
        figure="roles",
        body=(_("Each role is granted for one pilot or for all. What you may not do is not offered, or says who may."),),
    ),
    Topic(
        key="glossary",
        title=_("Words"),
        figure="words",
        body=(_("The word on a page is the word in the API and in the files."),),
    ),
)
