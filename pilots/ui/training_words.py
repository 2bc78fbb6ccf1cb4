"""The words of the training page: each kind of fault with what will be seen of it."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from pilots.domain.topology import Protocol
from pilots.simulators.faults import FaultKind

K = FaultKind


@dataclass(frozen=True, slots=True)
class KindWords:
    """A kind's name and a sentence on what a person at the screens will see."""

    title: str | Promise
    seen: str | Promise


KIND_WORDS: dict[FaultKind, KindWords] = {
    K.SILENCE: KindWords(
        _("Silence"),
        _("It answers no more. Its values grow old after three periods, its link goes weak, then down; everything else goes on."),
    ),
    K.SLOWNESS: KindWords(_("Slowness"), _("Answers come late, or byte by byte. Its own period suffers, nobody else's does.")),
    K.LOSS: KindWords(
        _("Lost messages"),
        _("Messages are lost in bursts, like GPRS in the evening. TCP repeats them: round trips grow, the link goes weak."),
    ),
    K.GARBAGE: KindWords(
        _("Garbage"), _("Random bytes instead of answers. None becomes a value; broken frames are counted and logged.")
    ),
    K.NOISE: KindWords(_("Noise on the line"), _("Some bytes are garbled. Checksums fail, questions are asked again.")),
    K.WRONG_LENGTH: KindWords(
        _("Wrong length"), _("Frames are cut or lie about their length. They are dropped, the connection finds its step again.")
    ),
    K.WRONG_UNIT: KindWords(
        _("Wrong address"), _("Answers carry somebody else's address. None of them is taken for the right one.")
    ),
    K.EXCEPTION: KindWords(
        _("Refusal"), _("It answers, but refuses: Modbus exceptions, negative confirmations. Set-points fail with its own code.")
    ),
    K.HALF_OPEN: KindWords(
        _("Half-open connection"),
        _("Packets vanish both ways and nobody is told. Only time-outs notice: values grow old, then a new connection is tried."),
    ),
    K.REFUSE: KindWords(
        _("Connection refused"),
        _("The connection breaks off and new ones are refused; the link is down at once. It is tried again."),
    ),
    K.FLAPPING: KindWords(_("Flapping"), _("The connection comes and goes. Reconnects are spaced out, history shows every gap.")),
    K.REBOOT: KindWords(
        _("Restart"), _("The equipment is away for a moment and comes back with an empty memory. All its values are asked again.")
    ),
    K.STUCK_VALUE: KindWords(
        _("Stuck value"), _("Values stay what they are and still look fresh. Only comparing with the neighbours shows it.")
    ),
    K.COUNTER_RESET: KindWords(
        _("Counter reset"), _("Energy registers start again at 0 and count on, for good. Consumption must not turn negative.")
    ),
    K.CLOCK_SKEW: KindWords(
        _("Wrong clock"), _("Its time stamps are off. Values are stored and flagged; right ones are not held up by them.")
    ),
    K.BREAKER_TRIP: KindWords(
        _("Breaker trip"), _("The switch opens and refuses to close until the fault ends; then somebody has to close it.")
    ),
    K.OUT_OF_ORDER: KindWords(_("Out of order"), _("The charge point reports Faulted and charges nobody.")),
}

OPTION_WORDS = {
    "answer_s": _("Seconds an answer"),
    "bytes_per_s": _("Bytes a second, 0: full speed"),
    "share": _("Share hit, 0 to 1"),
    "bursts_per_s": _("Bursts a second, serial lines"),
    "code": _("Exception code"),
    "up_s": _("Seconds up"),
    "down_s": _("Seconds down"),
    "seconds": _("Seconds fast, negative: slow"),
}

#: The same in a running fault's line.
FIGURE_WORDS = {
    "answer_s": _("%s s an answer"),
    "bytes_per_s": _("%s B/s"),
    "share": _("share %s"),
    "bursts_per_s": _("%s bursts/s"),
    "code": _("code %s"),
    "up_s": _("up %s s"),
    "down_s": _("down %s s"),
    "seconds": _("%s s fast"),
}

DURATIONS: list[tuple[str, str | Promise]] = [
    ("30", _("30 s")),
    ("60", _("1 min")),
    ("300", _("5 min")),
    ("900", _("15 min")),
    ("3600", _("60 min")),
    ("", _("until somebody ends it")),
]

PROTOCOL_NAMES = {
    Protocol.MODBUS_TCP: "Modbus TCP",
    Protocol.MODBUS_RTU: "Modbus RTU",
    Protocol.IEC104: "IEC 60870-5-104",
    Protocol.IEC101: "IEC 60870-5-101",
    Protocol.IEC61850: "IEC 61850 MMS",
    Protocol.OCPP16: "OCPP 1.6J",
    Protocol.PUSH: "HTTPS JSON",
}
