"""TLS of field connections, mutual and of version 1.2 or newer. [zone: field]

Modbus/TCP Security (MB-TCP-Security v36, 5 and 6) and IEC 62351-3 ask for the same: both ends show a certificate. The
connection option `tls` names the files: `{ca, certificate, key, server_name, check_hostname, required_role}`.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from typing import Any

from pilots.domain.errors import CatalogueError, LinkDown

OPTIONS = frozenset({"ca", "certificate", "key", "server_name", "check_hostname", "required_role"})
#: 1.3.6.1.4.1.50316.802.1, the role extension of Modbus/TCP Security, as DER writes it.
ROLE_OID = bytes.fromhex("2b0601040183890c862201")
_SEQUENCE, _OID, _OCTETS, _EXTENSIONS = 0x30, 0x06, 0x04, 0xA3


def client_context(options: Mapping[str, Any]) -> ssl.SSLContext | None:
    """How a connection with these options encrypts; None without `tls`: then it runs in the clear.

    Raises CatalogueError whose field is the option: an unknown one, a file that is missing, unreadable or of another key.
    """
    tls = _declared(options)
    if tls is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = tls.get("check_hostname", True)
    return _loaded(context, tls)


def server_context(options: Mapping[str, Any]) -> ssl.SSLContext | None:
    """The other end of the same: clients without a certificate of `ca` are refused. Raises CatalogueError likewise."""
    tls = _declared(options)
    if tls is None:
        return None
    return _loaded(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), tls)


def server_name(options: Mapping[str, Any], host: str) -> str | None:
    """The name the peer's certificate must carry, for asyncio's `server_hostname`; None without `tls`."""
    tls = options.get("tls")
    return str(tls.get("server_name") or host) if isinstance(tls, Mapping) else None


def check_peer(ssl_object: ssl.SSLObject | ssl.SSLSocket | None, options: Mapping[str, Any]) -> None:
    """The peer's certificate carries the `required_role`, where one is asked for. Raises LinkDown: do not speak to it.

    The role in OUR certificate is the server's business: it answers exception 1 to what that role may not do.
    """
    tls = options.get("tls")
    wanted = tls.get("required_role") if isinstance(tls, Mapping) else None
    if not wanted:
        return
    certificate = ssl_object.getpeercert(binary_form=True) if ssl_object is not None else None
    shown = role_of(certificate or b"")
    if shown != wanted:
        raise LinkDown(f"the peer's certificate has {'no role' if shown is None else f'role {shown}'}, wanted is {wanted}")


def role_of(certificate: bytes) -> str | None:
    """The role a DER certificate carries; None when it has none."""
    try:
        (_, whole), *_ = _elements(certificate)
        (_, to_be_signed), *_ = _elements(whole)
        (listed,) = (body for tag, body in _elements(to_be_signed) if tag == _EXTENSIONS)
        ((_, extensions),) = _elements(listed)
        return next(filter(None, (_role(body) for _, body in _elements(extensions))), None)
    except (ValueError, IndexError):  # no certificate, or one without extensions
        return None


def _role(extension: bytes) -> str | None:
    parts = list(_elements(extension))
    if parts[0] != (_OID, ROLE_OID):
        return None
    ((_, text),) = _elements(parts[-1][1])  # after an optional "critical": an octet string that holds a UTF8String
    return text.decode("utf-8", "replace")


def _elements(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """The DER elements of `raw` as (tag, contents). Raises IndexError or ValueError when it is none."""
    at = 0
    while at < len(raw):
        tag, length, at = raw[at], raw[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            length, at = int.from_bytes(raw[at : at + size], "big"), at + size
        if at + length > len(raw):
            raise ValueError("an element is longer than what holds it")
        yield tag, raw[at : at + length]
        at += length


def _declared(options: Mapping[str, Any]) -> Mapping[str, Any] | None:
    tls = options.get("tls")
    if tls is None:
        return None
    if not isinstance(tls, Mapping):
        raise CatalogueError("give the files: {ca, certificate, key}", field="tls")
    for name in sorted(set(tls) - OPTIONS):
        raise CatalogueError(f"unknown option; there are {', '.join(sorted(OPTIONS))}", field=f"tls.{name}")
    for name in ("ca", "certificate"):
        if not isinstance(tls.get(name), str):
            raise CatalogueError("a PEM file must be named: both ends show certificates", field=f"tls.{name}")
    if not isinstance(tls.get("check_hostname", True), bool):
        raise CatalogueError("true or false", field="tls.check_hostname")
    return tls


def _loaded(context: ssl.SSLContext, tls: Mapping[str, Any]) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_verify_locations(cafile=tls["ca"])
    except (OSError, ValueError) as error:
        raise CatalogueError(f"{tls['ca']}: {_reason(error)}", field="tls.ca") from error
    key = tls.get("key") or tls["certificate"]
    _check_certificate(tls["certificate"])
    try:
        # Without a password of ours OpenSSL would ask for one at the terminal, and the gateway would hang.
        context.load_cert_chain(tls["certificate"], key, password=lambda: b"none")
    except (OSError, ValueError) as error:
        raise CatalogueError(f"{key}, without password and of the certificate: {_reason(error)}", field="tls.key") from error
    return context


def _check_certificate(path: str) -> None:
    """Apart from its key, so that the error names the right file of the two."""
    try:
        # Reading it as trusted certificates into a context that nobody uses is the check.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except (OSError, ValueError) as error:
        raise CatalogueError(f"{path}: {_reason(error)}", field="tls.certificate") from error


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "not in PEM form"
    return getattr(error, "strerror", None) or str(error)
