"""A delivery as a signed POST to an address that may be asked: never one inside by accident. [operation]

The name is resolved once, every address it has is judged, and the connection goes to the judged one: an answer that changes
between the look and the call (DNS rebinding) leads nowhere. Redirects are not followed, proxies of the environment not asked.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
import ssl
import time
from collections.abc import Sequence
from functools import cache
from urllib.parse import SplitResult, urlsplit

import httpx
import orjson
from django.conf import settings
from django.utils.crypto import salted_hmac

from pilots.models import Delivery, NotificationContact
from pilots.notifications.ways import TIMEOUT_S, NotDelivered

#: So many addresses of a host are tried.
MOST_ADDRESSES = 3
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@cache
def _trust() -> ssl.SSLContext:
    return httpx.create_ssl_context()


def post_webhook(delivery: Delivery) -> str:
    """The receiver answered 2xx; returns its answer's code in a sentence. Raises NotDelivered."""
    if delivery.contact is None:
        raise NotDelivered("The contact is gone, and its key with it.", permanent=True)
    parts = split_address(delivery.address)
    addresses, body = reachable(parts), orjson.dumps(_content(delivery))
    headers = {"Content-Type": "application/json", "Idempotency-Key": str(delivery.pk), "Host": parts.netloc}
    headers |= {"User-Agent": "invade-scada", "X-Invade-Signature": signature(delivery.contact, body, int(time.time()))}
    status = _post(parts, addresses, body, headers)
    if not 200 <= status < 300:
        raise NotDelivered(f"The webhook answered {status}.", permanent=status in (400, 401, 403, 404, 410))
    return f"The webhook answered {status}."


def _post(parts: SplitResult, addresses: Sequence[Address], body: bytes, headers: dict[str, str]) -> int:
    """The answer's code, of the first address that lets itself be connected: nothing is sent to two of them."""
    failure: Exception | None = None
    extensions = {"sni_hostname": parts.hostname}
    with httpx.Client(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False, verify=_trust()) as client:
        for address in addresses[:MOST_ADDRESSES]:
            url = parts._replace(netloc=_netloc(address, parts)).geturl()
            try:
                return client.post(url, content=body, headers=headers, extensions=extensions).status_code
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failure = error
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise NotDelivered(f"The webhook does not answer: {error or type(error).__name__}") from error
    raise NotDelivered(f"The webhook cannot be reached: {failure or type(failure).__name__}") from failure


def split_address(text: str) -> SplitResult:
    """The parts of a webhook's address. Raises NotDelivered for what is none, or carries a password."""
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("https", "http") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        raise NotDelivered(f"{text[:80]} is no address of a webhook.", permanent=True) from None
    if not good or parts.username is not None or parts.fragment or not text.isprintable():
        raise NotDelivered(f"{text[:80]} is no address of a webhook: https://name/path.", permanent=True)
    return parts


def reachable(parts: SplitResult) -> list[Address]:
    """The addresses of the host, all of which may be asked. Raises NotDelivered."""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NotDelivered(f"{parts.hostname} has no address: {error}") from error
    addresses = [ipaddress.ip_address(str(place[0]).partition("%")[0]) for *_kind, place in found]
    for address in addresses:
        if not may_be_asked(address):
            sentence = f"{parts.hostname} is {address}, an address inside: name its network in INVADE_WEBHOOK_NETWORKS first."
            raise NotDelivered(sentence, permanent=True)
    return list(dict.fromkeys(addresses))


def may_be_asked(address: Address) -> bool:
    """Public, or of a network that the settings name; loopback, link-local (metadata) and private ones are neither."""
    plain = getattr(address, "ipv4_mapped", None) or address
    if any(plain in network for network in settings.WEBHOOK_NETWORKS if network.version == plain.version):
        return True
    return plain.is_global and not plain.is_multicast


def key_of(contact: NotificationContact) -> str:
    """The contact's key, which signs what it gets. Derived, so no table and no audit row holds it."""
    return salted_hmac(f"webhook {contact.salt}", "key", algorithm="sha256").hexdigest()


def signature(contact: NotificationContact, body: bytes, at: int) -> str:
    """`t=<seconds>,v1=<HMAC-SHA256 of "<seconds>.<body>">`, hex, under the contact's key."""
    said = f"{at}.".encode() + body
    return f"t={at},v1={hmac.new(key_of(contact).encode(), said, 'sha256').hexdigest()}"


def _content(delivery: Delivery) -> dict[str, object]:
    told: dict[str, object] = {
        "id": str(delivery.pk),
        "may_be_a_repeat": delivery.repeated,
        "subject": delivery.subject,
        "text": delivery.body,
    }
    return {**told, **delivery.content}


def _netloc(address: Address, parts: SplitResult) -> str:
    host = f"[{address}]" if address.version == 6 else str(address)
    return f"{host}:{parts.port}" if parts.port else host
