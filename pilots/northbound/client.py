"""The INVADE platform as a peer: one method per message. [towards enterprise]"""

from __future__ import annotations

import ssl
from functools import cache

import httpx

from pilots.domain.errors import PlatformDown, PlatformRefused

#: Answers about the message itself. Every other failure (a wrong address, rights, load, a fault) passes and is tried again.
_REFUSED = {400, 409, 413, 414, 415, 422}


@cache
def _trust() -> ssl.SSLContext:
    # Reading the certificate store costs 20 ms of CPU: once a process, not once a client.
    return httpx.create_ssl_context()


class InvadeClient:
    """Posts messages to the platform's web service (D7.1 2.3.1). Closes with its `with` block."""

    def __init__(self, base_url: str, token: str, *, timeout_s: float = 10.0) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # No redirects: credentials never follow one to another host.
        self._http = httpx.Client(base_url=base_url, headers=headers, timeout=timeout_s, follow_redirects=False, verify=_trust())

    def __enter__(self) -> InvadeClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def post_measurements(self, body: bytes, *, key: str) -> None:
        """The platform has the measurements (or had them already under this key).

        Raises PlatformDown when trying again can help, PlatformRefused when this message is the problem.
        """
        self._post("measurements", body, key)

    def post_setpoint_event(self, body: bytes, *, key: str) -> None:
        """The platform knows of this transition of a set-point of its own. Raises as `post_measurements` does."""
        self._post("setpoint-events", body, key)

    def _post(self, path: str, body: bytes, key: str) -> None:
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        try:
            answer = self._http.post(path, content=body, headers=headers)
        except httpx.HTTPError as error:
            raise PlatformDown(f"The platform does not answer: {error or type(error).__name__}.") from error
        if answer.is_success:
            return
        sentence = f"The platform answered {answer.status_code}: {answer.text[:200]}"
        if answer.status_code in _REFUSED:
            raise PlatformRefused(sentence)
        raise PlatformDown(sentence)
