"""TLS of field connections: mutual, with the names and the role that the options ask for."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from pilots.domain.errors import CatalogueError, LinkDown
from pilots.drivers.tls import check_peer, client_context, role_of, server_context, server_name
from tests.drivers.tls_files import TlsFiles, tls_files


@asynccontextmanager
async def greeted(server: ssl.SSLContext | None, **options: Any) -> AsyncIterator[ssl.SSLObject]:
    """A client connected with these options and greeted by a server with that context."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    listening = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=server)
    port = listening.sockets[0].getsockname()[1]
    try:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client_context(options), server_hostname=server_name(options, "127.0.0.1")
        )
        try:
            assert await reader.readexactly(5) == b"hello"
            yield writer.get_extra_info("ssl_object")
        finally:
            writer.close()
    finally:
        listening.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return tls_files(tmp_path_factory.mktemp("tls"))


async def test_both_ends_show_certificates_of_one_authority(files: TlsFiles) -> None:
    async with greeted(server_context({"tls": files.server}), tls=files.client) as encrypted:
        assert encrypted.version() in ("TLSv1.2", "TLSv1.3")


async def test_a_server_of_another_authority_is_not_spoken_to(files: TlsFiles) -> None:
    foreign = server_context({"tls": {**files.foreign, "ca": files.server["ca"]}})
    with pytest.raises(ssl.SSLCertVerificationError):
        async with greeted(foreign, tls=files.client):
            pass


async def test_a_client_of_another_authority_is_refused_by_the_server(files: TlsFiles) -> None:
    with pytest.raises((OSError, asyncio.IncompleteReadError)):
        async with greeted(server_context({"tls": files.server}), tls={**files.foreign, "ca": files.client["ca"]}):
            pass


async def test_a_certificate_of_another_name_is_refused_unless_the_options_say_so(files: TlsFiles) -> None:
    server = server_context({"tls": files.server})
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        async with greeted(server, tls={**files.client, "server_name": "meter.invalid"}):
            pass
    async with greeted(server, tls={**files.client, "server_name": "meter.invalid", "check_hostname": False}):
        pass


def test_nothing_older_than_tls_1_2_is_offered_or_taken(files: TlsFiles) -> None:
    for context in (client_context({"tls": files.client}), server_context({"tls": files.server})):
        assert context is not None and context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_without_the_option_nothing_is_encrypted() -> None:
    assert client_context({}) is None and server_context({}) is None and server_name({}, "10.0.0.1") is None
    check_peer(None, {})


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"ca": "/nowhere.pem"}, "tls.ca"),
        ({"ca": None}, "tls.ca"),
        ({"certificate": "/nowhere.pem"}, "tls.certificate"),
        ({"certificate": "GARBAGE"}, "tls.certificate"),
        ({"ca": "GARBAGE"}, "tls.ca"),
        ({"key": "/nowhere.pem"}, "tls.key"),
        ({"key": "FOREIGN"}, "tls.key"),
        ({"key": "LOCKED"}, "tls.key"),
        ({"check_hostname": "no"}, "tls.check_hostname"),
        ({"verify": False}, "tls.verify"),
    ],
)
def test_a_wrong_option_is_named(files: TlsFiles, tmp_path: Path, change: dict[str, Any], field: str) -> None:
    garbage, locked = tmp_path / "garbage.pem", tmp_path / "locked.pem"
    garbage.write_text("not in PEM form")
    locked.write_bytes(_with_password(Path(files.client["key"]).read_bytes()))
    places = {"GARBAGE": str(garbage), "LOCKED": str(locked), "FOREIGN": files.foreign["key"]}
    with pytest.raises(CatalogueError) as refusal:
        client_context({"tls": {**files.client, **{name: places.get(value, value) for name, value in change.items()}}})
    assert refusal.value.field == field


def test_a_list_of_files_is_no_tls_option() -> None:
    with pytest.raises(CatalogueError, match="tls"):
        client_context({"tls": ["a.pem"]})


def _with_password(pem: bytes) -> bytes:
    key = serialization.load_pem_private_key(pem, None)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    )


async def test_a_peer_with_the_wanted_role_is_spoken_to_and_one_without_is_not(files: TlsFiles) -> None:
    for role, good in (("Operator", True), ("Viewer", False)):
        async with greeted(server_context({"tls": files.server_with_role}), tls=files.client) as encrypted:
            options = {"tls": {**files.client, "required_role": role}}
            if good:
                check_peer(encrypted, options)
            else:
                with pytest.raises(LinkDown, match="role Operator, wanted is Viewer"):
                    check_peer(encrypted, options)


async def test_a_peer_without_any_role_is_told_so(files: TlsFiles) -> None:
    async with greeted(server_context({"tls": files.server}), tls=files.client) as encrypted:
        with pytest.raises(LinkDown, match="no role"):
            check_peer(encrypted, {"tls": {**files.client, "required_role": "Operator"}})


@pytest.mark.parametrize("critical", [False, True])
def test_the_role_is_read_whatever_stands_beside_it(critical: bool) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "meter")])
    start = datetime.datetime(2026, 1, 1)
    role = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.50316.802.1"), b"\x0c\x08Operator")
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + datetime.timedelta(days=1))
    plain = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    signed = builder.add_extension(role, critical=critical).sign(key, hashes.SHA256())
    assert role_of(signed.public_bytes(serialization.Encoding.DER)) == "Operator"
    assert role_of(plain) is None


@given(st.binary(max_size=80))
def test_no_bytes_make_the_role_reader_fail(raw: bytes) -> None:
    assert role_of(raw) is None
    certificate = trustme_certificate()
    assert role_of(certificate[: len(raw) * 5]) is None


def trustme_certificate(made: list[bytes] = []) -> bytes:  # noqa: B006  made once
    if not made:
        pem = trustme.CA().issue_cert("127.0.0.1").cert_chain_pems[0].bytes().decode()
        made.append(ssl.PEM_cert_to_DER_cert(pem))
    return made[0]
