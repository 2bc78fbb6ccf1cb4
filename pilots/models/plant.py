"""What is installed: pilots, connections, devices, links and points, as the catalogue or an engineer declared them.

Integer keys never leave the database: outside, a pilot is its code, a device its id of D7.1's component list, a point
its name. [SGAM component and communication layers]
"""

from __future__ import annotations

from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from pilots.domain.point import Capability, PointKind, PointSpec
from pilots.domain.switching import FourEyes
from pilots.domain.topology import DeviceKind, LinkRole, LinkState, Protocol
from pilots.models.edits import EditHistory


def choices(enumeration: Any) -> list[tuple[str, str]]:
    """Django choices of a StrEnum: the word itself, shown with spaces."""
    return [(member.value, member.value.replace("_", " ")) for member in enumeration]


class Pilot(models.Model):
    """One of the sites of D7.1 3.1."""

    code = models.SlugField(_("code"), max_length=16, unique=True)
    name = models.CharField(_("name"), max_length=80)
    country = models.CharField(_("country"), max_length=2)
    time_zone = models.CharField(_("time zone"), max_length=64, default="UTC")
    latitude = models.FloatField(_("latitude"), validators=[MinValueValidator(-90), MaxValueValidator(90)])
    longitude = models.FloatField(_("longitude"), validators=[MinValueValidator(-180), MaxValueValidator(180)])
    summary = models.CharField(_("summary"), max_length=200, blank=True)
    operator = models.CharField(_("operator"), max_length=80, blank=True)
    source = models.CharField(_("source"), max_length=200, blank=True)
    four_eyes = models.CharField(
        _("two persons for"),
        max_length=16,
        choices=choices(FourEyes),
        default=FourEyes.NONE.value,
        help_text=_("commands that need an approver beside who gives them: none, the critical ones, or all"),
    )
    heartbeat_s = models.FloatField(
        _("heartbeat of the platform, s"),
        null=True,
        blank=True,
        validators=[MinValueValidator(5)],
        help_text=_("silent for longer: the fallback plans; empty: it is not watched"),
    )
    revision = models.PositiveIntegerField(_("revision"), default=1, help_text=_("counts changes of the topology"))
    history = EditHistory(states=["revision"])

    class Meta:
        ordering = ["id"]
        verbose_name = _("pilot")
        verbose_name_plural = _("pilots")

    def __str__(self) -> str:
        return f"{self.code.upper()} {self.name}"


class Connection(models.Model):
    """One TCP connection, serial line or listener. State columns are written by the worker that holds its lease."""

    pilot = models.ForeignKey(Pilot, models.CASCADE, related_name="connections", verbose_name=_("pilot"))
    name = models.SlugField(_("name"), max_length=64, unique=True)
    protocol = models.CharField(_("protocol"), max_length=16, choices=choices(Protocol))
    host = models.CharField(_("host"), max_length=253, default="127.0.0.1")
    port = models.PositiveIntegerField(
        _("port"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(65535)],
        help_text=_("empty: our own simulator's or listener's port"),
    )
    serial_line = models.CharField(
        _("serial line"), max_length=200, blank=True, help_text=_("device file of a serial line, as /dev/ttyUSB0; empty: TCP")
    )
    backups = models.JSONField(
        _("backup ways"),
        default=list,
        blank=True,
        help_text=_("tried in order while this way fails: protocol, host, port or serial_line, options of each"),
    )
    simulated = models.BooleanField(_("simulated"), default=False, help_text=_("marks every value as simulated"))
    enabled = models.BooleanField(_("enabled"), default=True)
    options = models.JSONField(_("options"), default=dict, blank=True)

    state = models.CharField(_("state"), max_length=16, choices=choices(LinkState), default=LinkState.UNKNOWN, editable=False)
    state_since = models.DateTimeField(_("state since"), null=True, editable=False)
    last_frame_at = models.DateTimeField(_("last good frame"), null=True, editable=False)
    #: 0: the configured way; n: the n-th backup.
    active_way = models.PositiveSmallIntegerField(_("way in use"), default=0, editable=False)
    last_error = models.CharField(_("last error"), max_length=300, blank=True, editable=False)
    statistics = models.JSONField(_("statistics"), default=dict, blank=True, editable=False)
    history = EditHistory(states=["state", "state_since", "last_frame_at", "active_way", "last_error", "statistics"])

    class Meta:
        ordering = ["name"]
        verbose_name = _("connection")
        verbose_name_plural = _("connections")

    def __str__(self) -> str:
        return self.name


class Device(models.Model):
    """Anything with its own address: meter, RTU, inverter, charge point."""

    pilot = models.ForeignKey(Pilot, models.CASCADE, related_name="devices", verbose_name=_("pilot"))
    code = models.CharField(
        _("device id"),
        max_length=64,
        unique=True,
        validators=[RegexValidator(r"^[A-Za-z0-9][A-Za-z0-9_.:-]*$", _("letters, digits and . _ : - only"))],
    )
    kind = models.CharField(_("kind"), max_length=32, choices=choices(DeviceKind))
    name = models.CharField(_("name"), max_length=80, blank=True)
    sgam = models.CharField(_("SGAM address"), max_length=16, blank=True, help_text=_("layer.domain.zone, as E.4.a"))
    parent = models.ForeignKey(
        "self",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="children",
        verbose_name=_("parent"),
        help_text=_("next device towards the grid"),
    )
    measured_by = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, related_name="measures", verbose_name=_("measured by")
    )
    connection = models.ForeignKey(
        Connection, models.SET_NULL, null=True, blank=True, related_name="devices", verbose_name=_("connection")
    )
    profile = models.CharField(_("profile"), max_length=200, blank=True)
    profile_options = models.JSONField(_("profile options"), default=dict, blank=True, editable=False)
    address = models.JSONField(_("address"), default=dict, blank=True)
    key_sha256 = models.CharField(_("key digest"), max_length=64, blank=True, editable=False)
    position = models.IntegerField(_("position in the diagram"), default=0)
    nudge_x = models.SmallIntegerField(
        _("nudge to the right"),
        default=0,
        help_text=_("pixels, on the picture only: moves a feeder, or a device above the busbars with all below it"),
    )
    nudge_y = models.PositiveSmallIntegerField(_("nudge down"), default=0, help_text=_("pixels, as above"))
    operator = models.CharField(_("operator"), max_length=80, blank=True)
    nameplate = models.JSONField(_("nameplate"), default=dict, blank=True)
    fallback = models.JSONField(
        _("fallback"),
        default=dict,
        blank=True,
        help_text=_("point, value, hold or default for platform_lost, link_lost, data_stale; empty: what its kind does"),
    )

    documents = models.JSONField(
        _("documents"),
        default=list,
        blank=True,
        help_text=_('a list of {"title": "Manual", "url": "https://..."}, shown on its faceplate'),
    )
    #: Device's clock less ours, while it is wrong; written by `acquisition.clocks`.
    clock_skew_s = models.FloatField(_("clock skew, s"), null=True, editable=False)
    history = EditHistory(states=["key_sha256", "clock_skew_s"])

    class Meta:
        ordering = ["pilot", "code"]
        verbose_name = _("device")
        verbose_name_plural = _("devices")

    def __str__(self) -> str:
        return self.code


class Link(models.Model):
    """One edge of the communication graph under its D7.1 letter."""

    pilot = models.ForeignKey(Pilot, models.CASCADE, related_name="links", verbose_name=_("pilot"))
    letter = models.CharField(_("letter"), max_length=4)
    end_a = models.ForeignKey(Device, models.CASCADE, related_name="links_a", verbose_name=_("from"))
    end_b = models.ForeignKey(Device, models.CASCADE, related_name="links_b", verbose_name=_("to"))
    protocol = models.CharField(_("protocol"), max_length=80)
    medium = models.CharField(_("medium"), max_length=80)
    sgam = models.CharField(_("SGAM address"), max_length=32, blank=True)
    role = models.CharField(_("role"), max_length=16, choices=choices(LinkRole))
    connection = models.ForeignKey(
        Connection, models.SET_NULL, null=True, blank=True, related_name="links", verbose_name=_("connection")
    )
    alternatives = models.CharField(_("alternatives"), max_length=200, blank=True)
    source = models.CharField(_("source"), max_length=200, blank=True)
    target_availability = models.FloatField(
        _("target availability, %"),
        null=True,
        blank=True,
        validators=[MinValueValidator(0), MaxValueValidator(100)],
        help_text=_("empty: the medium's"),
    )
    target_round_trip_s = models.FloatField(
        _("target round trip p95, s"),
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text=_("empty: the medium's"),
    )
    state = models.CharField(_("state"), max_length=16, choices=choices(LinkState), default=LinkState.UNKNOWN, editable=False)
    state_since = models.DateTimeField(_("state since"), null=True, editable=False)
    history = EditHistory(states=["state", "state_since"])

    class Meta:
        ordering = ["pilot", "letter", "id"]
        verbose_name = _("link")
        verbose_name_plural = _("links")
        constraints = [models.UniqueConstraint(fields=["pilot", "letter", "end_a", "end_b"], name="one_edge_per_letter")]

    def __str__(self) -> str:
        return f"{self.letter}: {self.end_a} - {self.end_b}"


class Point(models.Model):
    """One addressable quantity of a device; the columns of `domain.point.PointSpec`."""

    device = models.ForeignKey(Device, models.CASCADE, related_name="points", verbose_name=_("device"))
    name = models.CharField(_("name"), max_length=64)
    kind = models.CharField(_("kind"), max_length=16, choices=choices(PointKind))
    unit = models.CharField(_("unit"), max_length=16, blank=True)
    address = models.JSONField(_("address"), default=dict, blank=True)
    scale = models.FloatField(_("scale"), default=1.0)
    offset = models.FloatField(_("offset"), default=0.0)
    sign = models.SmallIntegerField(_("sign"), default=1, choices=[(1, "+1"), (-1, "-1")])
    deadband = models.FloatField(_("deadband"), default=0.0, validators=[MinValueValidator(0)])
    period_s = models.FloatField(_("poll period, s"), null=True, blank=True, validators=[MinValueValidator(0.05)])
    max_interval_s = models.FloatField(_("promised interval, s"), null=True, blank=True)
    low = models.FloatField(_("plausible from"), null=True, blank=True)
    high = models.FloatField(_("plausible to"), null=True, blank=True)
    labels = models.JSONField(_("labels"), default=dict, blank=True)
    feedback = models.CharField(_("feedback point"), max_length=64, blank=True)
    capability = models.JSONField(_("capability"), null=True, blank=True)
    #: An engineer's own, inside the profile's: commissioning again leaves them.
    operating_minimum = models.FloatField(
        _("operate from"), null=True, blank=True, help_text=_("empty: the capability's minimum")
    )
    operating_maximum = models.FloatField(_("operate to"), null=True, blank=True, help_text=_("empty: the capability's maximum"))
    operating_ramp = models.FloatField(
        _("change by, per second"), null=True, blank=True, help_text=_("empty: the capability's ramp")
    )
    history = EditHistory()

    class Meta:
        ordering = ["device", "name"]
        verbose_name = _("point")
        verbose_name_plural = _("points")
        constraints = [
            models.UniqueConstraint(fields=["device", "name"], name="one_point_per_name"),
            models.CheckConstraint(condition=models.Q(scale__lt=0) | models.Q(scale__gt=0), name="scale_not_zero"),
        ]

    def __str__(self) -> str:
        return f"{self.device.code}/{self.name}"

    @property
    def spec(self) -> PointSpec:
        """This row as the domain's own object."""
        capability = None
        if self.capability is not None:
            form = dict(self.capability)
            form["modes"] = tuple(form.get("modes", ("absolute",)))
            capability = Capability(**form)
        return PointSpec(
            name=self.name,
            kind=PointKind(self.kind),
            unit=self.unit,
            address=self.address,
            scale=self.scale,
            offset=self.offset,
            sign=self.sign,
            deadband=self.deadband,
            period_s=self.period_s,
            max_interval_s=self.max_interval_s,
            low=self.low,
            high=self.high,
            labels={int(code): label for code, label in self.labels.items()},
            feedback=self.feedback,
            capability=capability,
            operating_minimum=self.operating_minimum,
            operating_maximum=self.operating_maximum,
            operating_ramp=self.operating_ramp,
        )


class Lease(models.Model):
    """Who may own a resource (a connection, the outbox) until when; `epoch` rises with each new owner."""

    resource = models.CharField(max_length=120, primary_key=True)
    owner = models.CharField(max_length=120)
    epoch = models.PositiveBigIntegerField(default=1)
    until = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.resource}: {self.owner} ({self.epoch})"
