"""The whole error tree.

PilotsError
 ├─ CatalogueError          a declared file is wrong (file, line, field)
 ├─ FieldError              something between us and a device
 │   ├─ LinkDown            no connection: the request never left
 │   ├─ AnswerTimeout       the request left, no answer came: outcome unknown
 │   ├─ ProtocolViolation   the peer spoke, but not the protocol
 │   └─ DeviceRefused       the device answered no (its own code)
 │       └─ NotSent         we said no for it: its time was over before it could leave
 ├─ AuditUnavailable        the audit trail cannot be written, so nothing is done
 ├─ SetpointRejected        a check said no (code of docs/api.md, sentence)
 ├─ ForecastRefused         a forecast cannot be kept (code, sentence)
 └─ NorthboundError         something between us and the INVADE platform
     ├─ PlatformDown        try again later
     └─ PlatformRefused     the platform said no to this message

`code` is the stable word for the API, `permanent` tells the one retry rule whether trying again can help.
"""

from __future__ import annotations


class PilotsError(Exception):
    """Anything this application refuses or fails to do, in a sentence."""

    code = "error"
    permanent = True


class CatalogueError(PilotsError):
    """A catalogue or pilot file is wrong: says where, down to the line and field."""

    code = "catalogue"

    def __init__(self, message: str, *, file: str = "", line: int | None = None, field: str = "") -> None:
        self.file, self.line, self.field = file, line, field
        place = file + (f":{line}" if line else "")
        super().__init__(": ".join(part for part in (place, field, message) if part))


class FieldError(PilotsError):
    code = "field"
    permanent = False


class LinkDown(FieldError):
    """There is no connection, so the request did not leave: trying later is safe."""

    code = "link_down"


class AnswerTimeout(FieldError):
    """The request left and no answer came in time: the device may have acted on it."""

    code = "answer_timeout"


class ProtocolViolation(FieldError):
    """The peer sent what the protocol forbids; the frame is dropped and counted."""

    code = "protocol_violation"


class DeviceRefused(FieldError):
    """The device answered with a refusal; `device_code` is its own word for why."""

    code = "device_rejected"
    permanent = True

    def __init__(self, message: str, *, device_code: str = "") -> None:
        self.device_code = device_code
        super().__init__(message)


class NotSent(DeviceRefused):
    """We refused it ourselves: its time was over before it could leave. The device never saw it."""

    def __init__(self) -> None:
        super().__init__("its time was over before it could leave", device_code="not sent: expired")


class SetpointRejected(PilotsError):
    """A set-point failed a check; `code` is one of `domain.setpoint.RejectCode`, `wait_s` when trying again may help."""

    def __init__(self, code: str, reason: str, *, field: str = "", wait_s: float | None = None) -> None:
        self.code, self.reason, self.field, self.wait_s = code, reason, field, wait_s
        super().__init__(reason)


class ForecastRefused(PilotsError):
    """A forecast cannot be kept; `code` is a stable word of docs/api.md, `field` what is at fault."""

    def __init__(self, code: str, reason: str, *, field: str) -> None:
        self.code, self.reason, self.field = code, reason, field
        super().__init__(reason)


class AuditUnavailable(PilotsError):
    """Without an audit event no deed: nothing was done."""

    code = "audit_unavailable"
    permanent = False

    def __init__(self) -> None:
        super().__init__("The audit trail cannot be written, so nothing was done. Tell the administrator.")


class NorthboundError(PilotsError):
    code = "northbound"
    permanent = False


class PlatformDown(NorthboundError):
    """The platform cannot be reached or is overloaded; everything stays in the outbox."""

    code = "platform_down"


class PlatformRefused(NorthboundError):
    """The platform said no to this message and would say no again."""

    code = "platform_refused"
    permanent = True
