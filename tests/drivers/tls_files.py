"""Certificates for tests: an authority of ours, both ends, one end with a role, and an authority nobody trusts."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ROLE_OID = x509.ObjectIdentifier("1.3.6.1.4.1.50316.802.1")


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Ready `tls` options of each end; all trust the one authority but `foreign`."""

    client: dict[str, Any]
    server: dict[str, Any]
    server_with_role: dict[str, Any]
    foreign: dict[str, Any]


def tls_files(folder: Path) -> TlsFiles:
    """The files stand in `folder`."""
    authority, stranger = trustme.CA(), trustme.CA()
    return TlsFiles(
        client=_issued(authority, folder, "client"),
        server=_issued(authority, folder, "server"),
        server_with_role=_with_role(authority, folder),
        foreign=_issued(stranger, folder, "foreign"),
    )


def _issued(authority: trustme.CA, folder: Path, name: str) -> dict[str, Any]:
    issued = authority.issue_cert("127.0.0.1", "localhost", common_name=name)
    chain = b"".join(part.bytes() for part in issued.cert_chain_pems)
    return _options(authority, folder, name, chain, issued.private_key_pem.bytes())


def _options(authority: trustme.CA, folder: Path, name: str, chain: bytes, key: bytes) -> dict[str, Any]:
    files = {"ca": folder / f"{name}-ca.pem", "certificate": folder / f"{name}.pem", "key": folder / f"{name}.key"}
    for path, content in zip(files.values(), (authority.cert_pem.bytes(), chain, key), strict=True):
        path.write_bytes(content)
    return {option: str(path) for option, path in files.items()}


def _with_role(authority: trustme.CA, folder: Path) -> dict[str, Any]:
    """As Modbus/TCP Security wants it: the role as UTF8String in an extension of its own."""
    signing = serialization.load_pem_private_key(authority.private_key_pem.bytes(), None)
    assert isinstance(signing, ec.EllipticCurvePrivateKey)
    issuer = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "operator")])
    builder = x509.CertificateBuilder(issuer.subject, name, key.public_key(), 7, now, now + datetime.timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
    builder = builder.add_extension(x509.UnrecognizedExtension(ROLE_OID, b"\x0c\x08Operator"), critical=False)
    certificate = builder.sign(signing, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return _options(authority, folder, "operator", certificate, key.private_bytes(*form))
