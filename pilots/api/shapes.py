"""Shapes of bodies and answers, for the OpenAPI document only: `records`, `setpoint_body` and `message` do the work."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rest_framework import serializers as s

from pilots.domain.point import PointKind
from pilots.domain.quality import Flag, Source, Validity
from pilots.domain.setpoint import ON_EXPIRY, Issuer, SetpointState
from pilots.domain.switching import CommandClass
from pilots.domain.topology import DeviceKind, LinkRole, LinkState


def _words(enumeration: Iterable[Any]) -> list[str]:
    """The API's words of an enumeration: its values, or its names in lower case where the values are numbers."""
    return [str(member) if isinstance(member, str) else member.name.lower() for member in enumeration]


# Names for the enumerations of the document: SPECTACULAR_SETTINGS["ENUM_NAME_OVERRIDES"].
DEVICE_KINDS, POINT_KINDS = _words(DeviceKind), _words(PointKind)
WRITABLE_KINDS = ["setpoint", "command"]
LINK_STATES = _words(LinkState)
SETPOINT_STATES = _words(SetpointState)
MODES = ["absolute", "limit"]
COMMAND_CLASSES = _words(CommandClass)


class Shape(s.Serializer[Any]):
    """Fields only."""


class Problem(Shape):
    type = s.CharField()
    title = s.CharField()
    status = s.IntegerField()
    code = s.CharField(help_text="The stable word for programs.")
    detail = s.CharField(help_text="The sentence for people.")
    field = s.CharField(required=False, help_text="What is at fault, as values[3].t.")


class Quality(Shape):
    validity = s.ChoiceField(_words(Validity))
    source = s.ChoiceField(_words(Source))  # type: ignore[assignment]  # the base class keeps its own `source`
    flags = s.ListField(child=s.ChoiceField(_words(flag for flag in Flag if flag)), required=False)


class Pilot(Shape):
    code = s.CharField()
    name = s.CharField()
    country = s.CharField()
    time_zone = s.CharField()
    latitude = s.FloatField()
    longitude = s.FloatField()
    operator = s.CharField()
    summary = s.CharField()
    devices = s.IntegerField(help_text="How many of them this client sees.")
    links = s.IntegerField()
    revision = s.IntegerField()


class Node(Shape):
    id = s.CharField()
    kind = s.ChoiceField(DEVICE_KINDS)
    sgam = s.CharField()
    parent = s.CharField(allow_null=True)  # type: ignore[assignment]


class Link(Shape):
    letter = s.CharField()
    ends = s.ListField(child=s.CharField(), min_length=2, max_length=2)
    protocol = s.CharField()
    medium = s.CharField()
    sgam = s.CharField()
    role = s.ChoiceField(_words(LinkRole))
    state = s.ChoiceField(LINK_STATES)
    state_since = s.DateTimeField(allow_null=True)
    connection = s.CharField(allow_null=True)


class Frame(Shape):
    number = s.IntegerField()
    at_ms = s.IntegerField()
    sent = s.BooleanField()
    length = s.IntegerField()
    raw = s.CharField(help_text="Hexadecimal; long frames are cut.")
    words = s.CharField()


class FrameLog(Shape):
    count = s.IntegerField(help_text="Frames since the gateway took the connection.")
    frames = Frame(many=True)


class Topology(Shape):
    nodes = Node(many=True)
    links = Link(many=True)
    revision = s.IntegerField()


class Location(Shape):
    latitude = s.FloatField()
    longitude = s.FloatField()


class Guard(Shape):
    owner = s.CharField()
    reason = s.CharField()
    since = s.DateTimeField()


class CommandsOff(Guard):
    pilot = s.CharField(allow_null=True, help_text="null: every pilot.")


class Device(Shape):
    id = s.CharField()
    pilot = s.CharField()
    kind = s.ChoiceField(DEVICE_KINDS)
    name = s.CharField()
    sgam = s.CharField()
    parent = s.CharField(allow_null=True)  # type: ignore[assignment]
    measured_by = s.CharField(allow_null=True)
    operator = s.CharField()
    location = Location()
    nameplate = s.DictField()
    profile = s.CharField()
    connection = s.CharField(allow_null=True)
    tags = Guard(many=True, help_text="Do not operate: every set-point is refused while there is one.")


class Holder(Shape):
    priority = s.IntegerField()
    words = s.CharField(help_text="Who, by a set-point in force or a hold.")


class Capability(Shape):
    point = s.CharField()
    kind = s.ChoiceField(WRITABLE_KINDS)
    unit = s.CharField()
    minimum = s.FloatField()
    maximum = s.FloatField()
    minimum_now = s.FloatField(help_text="Narrowed by charge, offer and connection; above maximum_now: nothing goes.")
    maximum_now = s.FloatField()
    step = s.FloatField()
    ramp = s.FloatField(allow_null=True, help_text="Units a second that it may change by; null: any.")
    ramp_by = s.ChoiceField(["steps", "device"])
    watchdog = s.ChoiceField(["reversion_timer", "valid_to"], allow_null=True, help_text="What ends it when we fall silent.")
    holder = Holder(allow_null=True, help_text="Who holds the point now: a weaker priority is refused.")
    min_duration_s = s.FloatField(allow_null=True)
    min_interval_s = s.FloatField(help_text="Between two writes; what comes sooner waits, the newest of it wins.")
    max_per_hour = s.IntegerField(allow_null=True)
    interlock = s.CharField(allow_null=True, help_text="The condition that must hold (docs/profiles.md).")
    interlock_words = s.CharField()
    command_class = s.ChoiceField(COMMAND_CLASSES, allow_null=True, help_text="Of a command: critical needs more scopes.")
    response_time_s = s.FloatField()
    tolerance = s.FloatField()
    modes = s.ListField(child=s.ChoiceField(MODES))
    default = s.FloatField(allow_null=True, help_text="Where the device stands when nobody wants anything of it.")
    watchdog_s = s.FloatField(allow_null=True, help_text="After so long without us the device drops a value by itself.")
    on_expiry = s.ListField(child=s.CharField(), help_text="What it may be told to do when a set-point ends.")
    labels = s.DictField()
    feedback = s.CharField(allow_null=True)
    schedules = s.BooleanField()


class Support(Shape):
    reactive_power = s.BooleanField()
    voltage = s.BooleanField()
    frequency = s.BooleanField()


class DeviceCapabilities(Shape):
    device = s.CharField()
    setpoints = Capability(many=True)
    support = Support()
    schedules = s.BooleanField()
    blocked = s.CharField(allow_null=True, help_text="Why every set-point is refused now: a tag, commands off.")


class Point(Shape):
    pilot = s.CharField()
    device = s.CharField()
    point = s.CharField()
    kind = s.ChoiceField(POINT_KINDS)
    unit = s.CharField()
    sign = s.CharField(help_text="load: P > 0 is consumption, charging, import.")
    period_s = s.FloatField(allow_null=True)
    max_interval_s = s.FloatField(allow_null=True)
    max_age_s = s.FloatField(allow_null=True)
    deadband = s.FloatField()
    low = s.FloatField(allow_null=True)
    high = s.FloatField(allow_null=True)
    labels = s.DictField()
    writable = s.BooleanField()
    feedback = s.CharField(allow_null=True)
    iec104_types = s.ListField(child=s.IntegerField())


class Value(Shape):
    pilot = s.CharField()
    device = s.CharField()
    point = s.CharField()
    t = s.DateTimeField(help_text="Source time, or the start of the interval.")
    received = s.DateTimeField(required=False)
    value = s.FloatField(allow_null=True, required=False)
    text = s.CharField(required=False)
    unit = s.CharField()
    quality = Quality(required=False)
    resolution = s.CharField(required=False)
    mean = s.FloatField(allow_null=True, required=False)
    min = s.FloatField(allow_null=True, required=False)
    max = s.FloatField(allow_null=True, required=False)
    last = s.FloatField(allow_null=True, required=False)
    count = s.IntegerField(required=False)
    good_share = s.FloatField(required=False)


class MessageValue(Shape):
    device = s.CharField()
    point = s.CharField()
    t = s.DateTimeField()
    value = s.FloatField(allow_null=True, required=False)
    text = s.CharField(required=False)
    unit = s.CharField(required=False)
    quality = Quality(required=False)


class Message(Shape):
    pilot = s.CharField()
    epoch = s.IntegerField(required=False)
    sequence = s.IntegerField(required=False)
    sent_at = s.DateTimeField(required=False)
    values = MessageValue(many=True)


class Refusal(Shape):
    index = s.IntegerField()
    field = s.CharField()
    code = s.CharField()


class Stored(Shape):
    stored = s.IntegerField(help_text="Values taken, the late ones included.")
    late = s.IntegerField(help_text="Of those, older than the newest we had: history only.")
    repeated = s.IntegerField(help_text="Already here; not stored again.")
    refused = Refusal(many=True)


class SetpointRequest(Shape):
    id = s.UUIDField(required=False)
    device = s.CharField()
    point = s.CharField()
    value = s.FloatField()
    unit = s.CharField()
    mode = s.ChoiceField(MODES, required=False)
    valid_from = s.DateTimeField(required=False)
    valid_until = s.DateTimeField()
    priority = s.IntegerField(min_value=1, max_value=9, required=False)
    ramp = s.FloatField(required=False, help_text="Units a second; written in steps.")
    sequence = s.IntegerField(required=False, help_text="Rises with each wish for the point; what is not newer is superseded.")
    service = s.CharField(required=False)
    on_expiry = s.ChoiceField(ON_EXPIRY, required=False)
    fallback_value = s.FloatField(required=False, help_text="With on_expiry fallback, in the point's unit.")
    issued_at = s.DateTimeField(required=False)
    correlation_id = s.CharField(required=False)
    reason = s.CharField(required=False)


class SetpointEvent(Shape):
    state = s.ChoiceField(SETPOINT_STATES)
    at = s.DateTimeField()
    actor = s.CharField()
    code = s.CharField()
    reason = s.CharField()
    raw = s.CharField()


class Then(Shape):
    action = s.ChoiceField(["release", "fallback", "hold", "lets_go"])
    value = s.FloatField(allow_null=True)


class Setpoint(Shape):
    id = s.UUIDField()
    state = s.ChoiceField(SETPOINT_STATES)
    code = s.CharField(help_text="Why not, as a stable word.")
    reason = s.CharField(help_text="Why not, as a sentence.")
    pilot = s.CharField()
    device = s.CharField()
    point = s.CharField()
    kind = s.ChoiceField(WRITABLE_KINDS)
    value = s.FloatField()
    label = s.CharField(help_text="Of a command: the value's word, as open.")  # type: ignore[assignment]  # its own `label`
    unit = s.CharField()
    mode = s.CharField()
    issuer = s.ChoiceField(_words(Issuer))
    requested_by = s.CharField()
    request_reason = s.CharField()
    service = s.CharField()
    priority = s.IntegerField()
    ramp = s.FloatField(allow_null=True)
    sequence = s.IntegerField(allow_null=True)
    on_expiry = s.CharField()
    fallback_value = s.FloatField(allow_null=True)
    before = s.FloatField(allow_null=True)
    correlation_id = s.CharField()
    schedule_id = s.UUIDField(allow_null=True, help_text="The schedule it is a step of.")
    group_id = s.UUIDField(allow_null=True, help_text="The group set-point it is a share of.")
    superseded_by = s.UUIDField(allow_null=True)
    active = s.BooleanField()
    ends_in_s = s.FloatField(allow_null=True, help_text="While active: until what `then` says is done.")
    then = Then(allow_null=True)
    released_at = s.DateTimeField(allow_null=True)
    release_reason = s.CharField()
    valid_from = s.DateTimeField()
    valid_until = s.DateTimeField()
    issued_at = s.DateTimeField(allow_null=True)
    received_at = s.DateTimeField()
    events = SetpointEvent(many=True)


class Nothing(Shape):
    """An empty object; unknown fields are ignored."""


class Cancellation(Shape):
    reason = s.CharField(required=False)


class ApiCapabilities(Shape):
    version = s.CharField()
    bindings = s.ListField(child=s.CharField())
    pilots = s.ListField(child=s.CharField())
    resolutions = s.ListField(child=s.CharField())
    aggregates = s.ListField(child=s.CharField())
    limits = s.DictField(child=s.IntegerField())
    services = s.ListField(child=s.CharField())
    setpoint_kinds = s.ListField(child=s.CharField())
    modes = s.ListField(child=s.CharField())
    commands_off = CommandsOff(many=True)


class Clock(Shape):
    now = s.DateTimeField()
    tolerance_s = s.IntegerField()


class Health(Shape):
    status = s.CharField()
    now = s.DateTimeField()
