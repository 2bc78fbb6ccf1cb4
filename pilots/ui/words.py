"""Every word the pages' scripts may say, and the names of kinds: one place, translated on the server."""

from __future__ import annotations

from functools import cache

from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from pilots.domain.topology import DeviceKind

K = DeviceKind

KIND_NAMES = {
    K.GRID_INFEED: gettext_lazy("Grid infeed"),
    K.TRANSFORMER: gettext_lazy("Transformer"),
    K.SWITCH: gettext_lazy("Switch"),
    K.METER: gettext_lazy("Meter"),
    K.SMART_METER: gettext_lazy("Smart meter"),
    K.RTU: gettext_lazy("RTU"),
    K.SCADA: gettext_lazy("SCADA"),
    K.STORAGE_UNIT: gettext_lazy("Battery"),
    K.BATTERY_MANAGEMENT_SYSTEM: gettext_lazy("Battery management"),
    K.POWER_ELECTRONICS: gettext_lazy("Power electronics"),
    K.INVERTER: gettext_lazy("Inverter"),
    K.GENERATING_UNIT: gettext_lazy("PV"),
    K.CHARGE_POINT: gettext_lazy("Charge point"),
    K.HOUSEHOLD: gettext_lazy("Household"),
    K.HOTEL: gettext_lazy("Hotel"),
    K.BOILER: gettext_lazy("Boiler"),
    K.LOCAL_CONTROLLER: gettext_lazy("Local controller"),
    K.GATEWAY: gettext_lazy("Gateway"),
    K.HEAD_END_SYSTEM: gettext_lazy("Head-end system"),
    K.WEATHER_SOURCE: gettext_lazy("Weather source"),
    K.PLATFORM: gettext_lazy("INVADE platform"),
}

#: Which pair of direction words a kind speaks.
_DIRECTIONS = {
    K.GRID_INFEED: "infeed",
    K.STORAGE_UNIT: "storage",
    K.CHARGE_POINT: "storage",
    K.POWER_ELECTRONICS: "storage",
    K.GENERATING_UNIT: "generator",
    K.INVERTER: "generator",
}


def direction_role(kind: DeviceKind) -> str:
    """infeed, storage, generator or load: the key of `direction` in `page_words`."""
    return _DIRECTIONS.get(kind, "load")


def page_words() -> dict[str, object]:
    """What live.js and the others say in the reader's language; `%` marks are filled by the page. Not to be changed."""
    return _page_words(get_language())


@cache
def _page_words(_language: str) -> dict[str, object]:
    return {
        "direction": {
            "infeed": [_("into the grid"), _("balanced"), _("from the grid")],
            "storage": [_("discharging"), _("idle"), _("charging")],
            "generator": [_("generating"), _("no generation"), _("consuming")],
            "load": [_("feeding back"), _("no load"), _("consuming")],
        },
        "position": [_("in between"), _("open"), _("closed"), _("bad position")],
        "positionUnknown": _("position unknown"),
        "noSupply": _("no supply"),
        "supply": {"live": _("energised"), "dead": _("no supply"), "unknown": _("unknown")},
        "lastKnown": _("last known %s"),
        "link": link_state_words(),
        "linkSince": _("%s for %s"),
        "links": link_words(),
        "commissioning": commissioning_words(),
        "totals": {
            "without": _("without %s"),
            "points": _("%s points missing"),
            "old": _("with old values of %s"),
            "stale": _("as of %s ago"),
        },
        "allUp": _("all up"),
        "never": _("never received"),
        "old": _("%s old"),
        "missing": _("%s missing"),
        "ago": _("%s ago"),
        "day": _("%s d"),
        "hour": _("%s h"),
        "minute": _("%s min"),
        "second": _("%s s"),
        "live": _("Live"),
        "connecting": _("Connecting"),
        "stateLine": _("%s of %s points good, newest %s, oldest %s"),
        "partlyLive": _("PARTLY NOT LIVE"),
        "nothingLive": _("NOT LIVE"),
        "linkDown": _("Link %s, %s, down for %s"),
        "linksMore": _("%s more links down"),
        "notGood": _("%s of %s points not good; boxed values are the last known."),
        "stampedEarlier": _("stamped %s earlier"),
        "stampedLater": _("stamped %s later"),
        "stateShort": _("%s of %s points good"),
        "lost": _("This page lost its server %s ago. Nothing here is live. Trying again in %s s."),
        "lostTrying": _("This page lost its server %s ago. Nothing here is live. Trying again now."),
        "ended": _("Your session has ended. Log in again."),
        "refusedSocket": _("You may not see this pilot any more."),
        "lag": _("live, %s"),
        "notLive": _("not live"),
        "validity": [_("good"), _("questionable"), _("invalid")],
        "source": [_("process"), _("substituted"), _("estimated"), _("simulated"), _("forecast")],
        "unavailable": _("not available"),
        "setpoint": setpoint_words(),
        "guards": guard_words(),
        "schedules": {"unmeasured": _("No measurement in the time of this schedule yet.")},
        "trends": {
            "none": _("Choose a point on the right: up to 20 curves fit."),
            "loading": _("Reading history"),
            "empty": _("No values kept in this window. The profile's points keep a sample when they change."),
            "failed": _("History cannot be read now. Try again in a moment."),
            "offline": _("The server cannot be reached. Nothing was changed."),
            "tooMany": _("%s curves are shown at most. Take one away first."),
            "means": _("means of %s with least and most"),
            "samples": _("every kept sample"),
            "steps": {60: _("1 min"), 900: _("15 min"), 3600: _("1 h"), 21600: _("6 h")},
            "cursor": _("At the cursor"),
            "newest": _("Newest in this window"),
            "at": _("At %s"),
            "before": _("then"),
            "quiet": _("Nothing happened in this window."),
        },
    }


def link_words() -> dict[str, object]:
    return {
        "counts": _("%s up, %s weak, %s down, %s unknown"),
        "answering": _("%s of %s"),
        "some": _("%s of %s: %s"),
        "way": [_("configured way"), _("backup way %s")],
        "frames": _("newest first, %s frames seen"),
        "paused": _("paused at %s"),
        "noFrames": _("No frames yet."),
        "by": {
            "observed": _("behind a device of ours: its state is told by the points that cross it"),
            "pushed": _("the other end pushes to us: its state is told by the points that arrive"),
            "platform": _("our messages to the platform: its state is told by what it accepts"),
        },
        "wire": _("no protocol: it carries power and no message"),
        "sent": _("sent"),
        "received": _("received"),
        "more": _("and %s more"),
        "filtered": _("No frame matches."),
        "asking": _("Asking the gateway"),
        "silent": _("No gateway answered. It may hold no lease on this connection, or it is stopped."),
        "offline": _("The server cannot be reached."),
    }


def commissioning_words() -> dict[str, object]:
    return {
        "asking": _("Asking the device, %s"),
        "offline": _("The server cannot be reached. Nothing was sent."),
        "read": _("Read at %s"),
        "written": _("Written at %s: %s"),
        "saved": _("%s is a point now; its first value comes with the next reading."),
        "noValue": _("Give the value to write."),
        "trend": _("See its trend"),
        "confirm": _("Write %s to %s now. This goes straight to the equipment."),
        "write": _("Write…"),
        "really": _("Write %s"),
        "nothing": _("The device lists nothing."),
        "missing": _("no value"),
        "again": _("Read every 2 s"),
        "stop": _("Stop reading"),
        "comparing": _("Comparing"),
        "applying": _("Applying"),
        "counts": _("%s added, %s changed, %s removed, %s unchanged"),
        "faults": _("%s faults: nothing can be applied before they are mended."),
        "oneFault": _("One fault: nothing can be applied before it is mended."),
        "faultHeads": [_("Row"), _("Column"), _("What is wrong")],
        "changeHeads": [_("Row"), _("Point"), _("Before → after")],
        "compareFirst": _("Compare first"),
        "same": _("The file says what is there already. Nothing to apply."),
        "applied": _("Applied: %s added, %s changed, %s removed."),
        "apply": _("Apply %s changes"),
        "applyOne": _("Apply one change"),
        "more": _("and %s more"),
        "added": _("Added"),
        "changed": _("Changed"),
        "removed": _("Removed"),
        "faultsTitle": _("Faults"),
        "passed": _("passed"),
        "failed": _("failed"),
        "not_applicable": _("not applicable"),
        "offered": _("%s points offered, %s of them by names of ours. Reached at %s."),
        "progress": _("%s of %s points tested"),
        "signed": _("Signed. This list never changes again."),
        "verified": _("This file is what was signed here."),
        "notVerified": _("This is not what was signed here: it was changed, never signed, or signed at another installation."),
    }


def schedule_state_words() -> dict[str, str]:
    return {
        "draft": _("draft"),
        "accepted": _("accepted, waiting for its start"),
        "running": _("running"),
        "completed": _("completed"),
        "cancelled": _("cancelled"),
        "failed": _("failed"),
    }


def step_words() -> dict[str, str]:
    return {
        **setpoint_state_words(),
        "in_force": _("executed, in force"),
        "unknown": _("unknown, being read"),
        "waiting": _("waiting"),
        "due": _("due, not asked for"),
        "past": _("before it came"),
        "missed": _("missed"),
        "held": _("the value before, held"),
        "gap": _("no value"),
        "draft": _("draft"),
    }


def group_state_words() -> dict[str, str]:
    return {
        "under_way": _("under way"),
        "in_force": _("in force"),
        "partly_in_force": _("partly in force"),
        "aborted": _("aborted"),
        "ended": _("ended"),
    }


def resolution_words() -> dict[int, str]:
    return {60: _("1 min"), 300: _("5 min"), 900: _("15 min"), 1800: _("30 min"), 3600: _("1 h")}


def guard_words() -> dict[str, object]:
    return {
        "tagged": _("Do not operate"),
        "off": _("Commands are off"),
        "tag": _("Do not operate: tagged by %s, %s."),
        "fallback": _("%s In force for %s: %s."),
        "more": _("and %s more"),
        "hold": _("Held by %s: %s."),
        "substituted": _("%s by hand: %s, %s, until %s."),
        "offHere": _("Commands are off at this pilot: %s, %s."),
        "offEverywhere": _("Commands are off at every pilot: %s, %s."),
    }


def then_words() -> dict[str, str]:
    """What happens when a set-point's time is over, by `on_expiry`; a ceiling and a switch have words of their own."""
    return {
        "release": _("then %s is written and the point is free"),
        "ceiling": _("then the limit falls away and the point is free"),
        "hold": _("then the value stays and the point is free"),
        "fallback": _("then %s is written and the point is free"),
        "command": _("then the point is free; the switch stays as it is"),
    }


def ending_words() -> dict[str, str]:
    """What an operator may choose for the end of a set-point, by `on_expiry`."""
    return {
        "release": _("give the point back"),
        "hold": _("write nothing: the device ends it"),
        "fallback": _("write another value"),
    }


def link_state_words() -> dict[str, str]:
    return {"up": _("up"), "degraded": _("weak"), "down": _("down"), "unknown": _("unknown")}


def setpoint_state_words() -> dict[str, str]:
    return {
        "received": _("received"),
        "validated": _("validated, waiting to be sent"),
        "dispatched": _("dispatched, not proved yet"),
        "executed": _("executed"),
        "rejected": _("refused"),
        "expired": _("expired"),
        "failed": _("failed"),
        "cancelled": _("cancelled"),
        "unknown": _("We do not know whether the device took it. Reading it back; do not send again."),
    }


def setpoint_words() -> dict[str, object]:
    return {
        "state": setpoint_state_words(),
        "steps": [_("received"), _("validated"), _("dispatched"), _("executed")],
        "left": _("ends in %s"),
        "due": _("ends now"),
        "refused": _("Refused: %s"),
        "more": _("%s more than now"),
        "less": _("%s less than now"),
        "same": _("as now"),
        "about": _("%s → about %s at %s"),
        "bounds": _("%s to %s"),
        "replaces": _("%s of %s"),
        "nobody": _("nobody's"),
        "stronger": _("nothing: %s holds it with priority %s, yours is %s and would be refused"),
        "waiting": _("%s ago"),
        "open": _("Its page"),
        "since": _("%s since the last step"),
        "unmeasured": _("Nothing was measured in this time."),
        "in": _("executed in %s"),
        "over": _("executed in %s, ended"),
        "replaced": _("executed in %s, then replaced"),
        "ends": _("ends in %s, then %s is written"),
        "endsByItself": _("ends in %s, then the device drops it by itself"),
        "held": _("Held, priority %s, until %s, by"),
        "charge": _("Charge %s until %s"),
        "discharge": _("Discharge %s until %s"),
        "stop": _("Stop at 0 until %s"),
        "limit": _("Limit to %s until %s"),
        "set": _("Set %s until %s"),
        "fill": _("Give a value first"),
        "fillEnd": _("Give the value at its end first"),
        "range": _("Outside the limits: %s to %s."),
        "sending": _("Sending"),
        "notSent": _("Not sent: the server cannot be reached. Nothing will be sent later."),
        "current": _("now %s"),
        "cancel": _("Cancel"),
        "none": _("No set-points yet. New ones come from here, the schedule or INVADE."),
    }
