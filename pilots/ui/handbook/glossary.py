"""What states, roles and words mean, in a sentence each."""

from __future__ import annotations

from django.utils.translation import gettext as _

from pilots.domain.alarm import AlarmState, Hidden
from pilots.domain.setpoint import SetpointState
from pilots.models import Role

S = SetpointState


def alarm_meanings() -> dict[AlarmState | Hidden, str]:
    return {
        AlarmState.UNACKNOWLEDGED: _("its cause is there and nobody has acknowledged it; the ring blinks"),
        AlarmState.ACKNOWLEDGED: _("acknowledged, its cause is still there"),
        AlarmState.RETURNED: _("its cause is gone and nobody has acknowledged it"),
        AlarmState.LATCHED: _("its cause is gone; it ends when somebody resets it"),
        Hidden.SHELVED: _("silent for a time by an operator's choice; comes back by itself"),
        Hidden.SUPPRESSED: _("silent by design while a condition holds, or by an engineer"),
        Hidden.OUT_OF_SERVICE: _("taken out by an engineer for upkeep"),
        Hidden.MEMBER: _("stands inside the alarm of its cause and ends by itself"),
    }


def setpoint_meanings() -> dict[str, str]:
    return {
        S.RECEIVED: _("stored; being checked"),
        S.VALIDATED: _("all checks passed; waiting for the gateway"),
        S.DISPATCHED: _("the device has confirmed; not proved yet"),
        S.EXECUTED: _("the measurement shows it"),
        S.REJECTED: _("a check or the device said no; the reason stands beside it"),
        S.FAILED: _("it could not be sent, or the device has not followed"),
        S.EXPIRED: _("its time passed first"),
        S.CANCELLED: _("taken back, or a newer one took its place"),
        S.UNKNOWN: _("do not send again: it is being read back"),
    }


def role_words() -> dict[str, str]:
    return {
        Role.VIEWER: _("sees values, diagrams, trends and exports"),
        Role.OPERATOR: _(
            "sees; acknowledges and shelves alarms, writes and signs handovers, sends set-points, switches, tags, holds, "
            "gives values by hand, switches commands off and on"
        ),
        Role.ENGINEER: _(
            "sees; acknowledges and shelves alarms, takes them out of service, commissions, makes kiosks; with access to the "
            "configuration changes devices, points and links"
        ),
        Role.APPROVER: _("sees; agrees or not to commands of others where two persons are needed"),
        Role.INSTALLER: _("sees, also the frames of links; starts faults in the simulated field"),
        Role.SECADM: _("keeps users and service tokens; reads the audit trail"),
        Role.SECAUD: _("reads the audit trail"),
        Role.RBACMNT: _("gives and takes roles, never their own"),
    }


def words() -> list[tuple[str, str]]:
    return [
        (_("Pilot"), _("one of the sites of INVADE, with its network, devices and links")),
        (_("Device"), _("anything with an address of its own: a meter, a battery, a charge point, a switch")),
        (_("Point"), _("one quantity of a device, measured or set")),
        (_("Link"), _("a way of communication between two devices, with its letter of D7.1")),
        (_("Connection"), _("a way of ours into the field: one TCP connection, serial line or listener")),
        (_("Head-end system"), _("a system of others that stands between devices and us")),
        (_("INVADE platform"), _("the system above us, which gets the values and sends set-points and schedules")),
        (_("Set-point"), _("a wanted value; what opens, closes, enables or disables is a command")),
        (_("Ceiling"), _("a set-point that limits: less is no error")),
        (_("Fallback plan"), _("the values that devices go to when the platform is silent, a link is down or values are old")),
        (_("Faceplate"), _("the pane that opens for a device")),
        (_("State of charge"), _("what a battery holds, in per cent of its usable capacity")),
        (_("Consumption"), _("counts positive at every device, generation negative; words tell the direction")),
        (_("D7.1"), _("the specification that names the devices, links and use cases of the pilots")),
        (_("SGAM"), _("Smart Grid Architecture Model: domains, zones and layers of a smart grid")),
    ]
