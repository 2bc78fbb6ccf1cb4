"""The IEC 60870-5-104 driver: the controlling station on TCP, in the clear or inside TLS. [zone: field]

Answers D7.1 3.1.2 a (RTU to SCADA) and 2.2.1.1; TLS as IEC 62351-3 wants it. docs/protocols/iec104.md has the options.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, ClassVar

from pilots.domain.errors import AnswerTimeout, FieldError, LinkDown
from pilots.drivers.base import Sink, Target
from pilots.drivers.iec104.apci import Link
from pilots.drivers.iec104.parameters import LinkParameters
from pilots.drivers.iec104.words import describe_apdu
from pilots.drivers.iec60870.monitoring import Received
from pilots.drivers.iec60870.options import from_options
from pilots.drivers.iec60870.station import ControllingStation
from pilots.drivers.tls import check_peer, client_context, server_name
from pilots.drivers.traffic import Traffic


class Iec104Driver(ControllingStation):
    """One connection to a controlled station."""

    dissector: ClassVar[str] = "iec60870_104"

    def __init__(self, target: Target, sink: Sink, traffic: Traffic | None = None) -> None:
        """Raises CatalogueError when addresses or options are wrong."""
        super().__init__(target, sink, traffic)
        self.parameters = from_options(LinkParameters, target.options)
        self._tls = client_context(target.options)

    @classmethod
    def describe(cls, frame: bytes) -> str:
        return describe_apdu(frame)

    async def _open_link(self) -> Link[Received | None]:
        host, port = self.target.host, self.target.port
        try:
            async with asyncio.timeout(self.parameters.t0):
                transport, link = await asyncio.get_running_loop().create_connection(
                    self._new_link, host, port, **self._encryption()
                )
        except TimeoutError as error:
            self.traffic.timeouts += 1
            raise LinkDown(f"Port {port} of {host} does not open within {self.parameters.t0:g} s.") from error
        except ssl.SSLError as error:
            raise LinkDown(f"Port {port} of {host} opens, TLS fails: {_reason(error)}. Check the certificates.") from error
        except OSError as error:
            raise LinkDown(f"Port {port} of {host} does not open ({error.strerror or error}). Check host and port.") from error
        try:
            check_peer(transport.get_extra_info("ssl_object"), self.target.options)
        except LinkDown as error:
            link.fail(error)
            raise
        return link

    def _encryption(self) -> dict[str, Any]:
        if self._tls is None:
            return {}
        return {"ssl": self._tls, "server_hostname": server_name(self.target.options, self.target.host)}

    def _new_link(self) -> Link[Received | None]:
        return Link(self.parameters, self._receive, self._commit, self._lost, self.traffic)

    def _opened_words(self) -> str:
        return f"TCP {self.target.port} opens" if self._tls is None else f"TCP {self.target.port} opens, TLS stands"

    def _started_words(self) -> str:
        return "STARTDT confirmed"

    def _start_failure(self, error: FieldError) -> FieldError:
        port = self.target.port
        if isinstance(error, AnswerTimeout):
            return AnswerTimeout(f"Port {port} opens, STARTDT is not answered. Check the originator address.")
        if isinstance(error, LinkDown):
            advice = "Check that it expects this master" + (" and trusts its certificate." if self._tls else ".")
            return LinkDown(f"Port {port} opens, but the peer hangs up at STARTDT ({error}). {advice}")
        return error


def _reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the peer's certificate is not trusted, {error.verify_message}"
    return error.reason or str(error)
