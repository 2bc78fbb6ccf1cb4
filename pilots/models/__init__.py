"""Everything the database keeps. Samples are no model: `pilots.history` writes and reads them as arrays."""

from pilots.models.access import (
    AuditEvent,
    AuditVerification,
    Clock,
    IdempotencyKey,
    Role,
    RoleGrant,
    Scope,
    ServiceToken,
    User,
)
from pilots.models.alarms import Alarm, AlarmRule
from pilots.models.commissioning import FieldRequest, PointTest, PointTestList, RequestKind
from pilots.models.control_centres import ControlCentre, ControlCentrePoint
from pilots.models.dashboards import Dashboard
from pilots.models.edits import Upload
from pilots.models.exports import ExportJob
from pilots.models.fallbacks import FallbackRun, PlatformWatch
from pilots.models.forecasts import Forecast
from pilots.models.groups import SetpointGroup
from pilots.models.guards import BlockingTag, CommandsOff, OperatorHold
from pilots.models.journal import JournalEntry
from pilots.models.kiosks import Kiosk
from pilots.models.links import LinkHour
from pilots.models.notifications import (
    Delivery,
    DeliveryState,
    NotificationContact,
    NotificationRule,
    NotifiedAlarm,
    Way,
)
from pilots.models.outbox import OutboxMessage, OutboxState
from pilots.models.plant import Connection, Device, Lease, Link, Pilot, Point
from pilots.models.schedules import Schedule
from pilots.models.setpoints import Forwarding, Setpoint, SetpointEvent, SourceRate
from pilots.models.shift import ShiftNote, ShiftSignature, Side
from pilots.models.substitutions import Substitution
from pilots.models.switching import Approval, Selection
from pilots.models.trend_views import TrendView
from pilots.models.values import LatestValue

__all__ = [
    "Alarm",
    "AlarmRule",
    "Approval",
    "AuditEvent",
    "AuditVerification",
    "BlockingTag",
    "Clock",
    "CommandsOff",
    "Connection",
    "ControlCentre",
    "ControlCentrePoint",
    "Dashboard",
    "Delivery",
    "DeliveryState",
    "Device",
    "ExportJob",
    "FallbackRun",
    "FieldRequest",
    "Forecast",
    "Forwarding",
    "IdempotencyKey",
    "JournalEntry",
    "Kiosk",
    "LatestValue",
    "Lease",
    "Link",
    "LinkHour",
    "NotificationContact",
    "NotificationRule",
    "NotifiedAlarm",
    "OperatorHold",
    "OutboxMessage",
    "OutboxState",
    "Pilot",
    "PlatformWatch",
    "Point",
    "PointTest",
    "PointTestList",
    "RequestKind",
    "Role",
    "RoleGrant",
    "Schedule",
    "Scope",
    "Selection",
    "ServiceToken",
    "Setpoint",
    "SetpointEvent",
    "SetpointGroup",
    "ShiftNote",
    "ShiftSignature",
    "Side",
    "SourceRate",
    "Substitution",
    "TrendView",
    "Upload",
    "User",
    "Way",
]
