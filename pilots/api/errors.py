"""Every refusal of the API as `application/problem+json` (RFC 9457) with a stable `code` and the `field` at fault."""

from __future__ import annotations

import logging
import math
from typing import Any

import orjson
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpResponse
from rest_framework import exceptions, status

from pilots.domain.errors import AuditUnavailable

log = logging.getLogger(__name__)
PROBLEM_TYPE = "application/problem+json"
CHALLENGE = 'Bearer realm="INVADE SCADA"'

TITLES = {
    400: "Bad request",
    401: "Not authenticated",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    409: "Conflict",
    412: "Precondition failed",
    413: "Too large",
    415: "Unsupported media type",
    422: "Cannot be done",
    429: "Too many requests",
    500: "Internal error",
    503: "Not now",
}
CODES = {
    400: "invalid_request",
    401: "not_authenticated",
    403: "not_authorised",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    413: "too_large",
    415: "unsupported_media_type",
    429: "rate_limited",
    500: "internal_error",
    503: "unavailable",
}


class Problem(exceptions.APIException):
    """A refusal: HTTP status, stable `code`, a sentence, and the field at fault (`values[3].t`), if one is."""

    def __init__(self, status_code: int, code: str, sentence: str, *, field: str = "", wait_s: float | None = None) -> None:
        super().__init__(sentence, code)
        self.status_code = status_code
        self.code, self.sentence, self.field, self.wait_s = code, sentence, field, wait_s

    def body(self) -> dict[str, Any]:
        return problem_body(self.status_code, self.code, self.sentence, self.field)


def missing(field: str) -> Problem:
    return Problem(400, "missing_field", f"{field} is missing.", field=field)


def invalid(field: str, sentence: str) -> Problem:
    return Problem(400, "invalid_field", sentence, field=field)


def not_found(what: str, field: str = "") -> Problem:
    """What is not there and what this client may not see look the same."""
    return Problem(
        404, f"unknown_{what}" if what in ("device", "point", "pilot") else "not_found", f"No such {what}.", field=field
    )


def problem_body(status_code: int, code: str, sentence: str, field: str = "") -> dict[str, Any]:
    """The members of a problem document; `type` stays about:blank, `code` is what programs read."""
    body = {
        "type": "about:blank",
        "title": TITLES.get(status_code, "Error"),
        "status": status_code,
        "code": code,
        "detail": sentence,
    }
    return body | {"field": field} if field else body


def problem_answer(problem: Problem) -> HttpResponse:
    """The HTTP answer of a refusal."""
    answer = HttpResponse(orjson.dumps(problem.body()), status=problem.status_code, content_type=PROBLEM_TYPE)
    if problem.status_code == status.HTTP_401_UNAUTHORIZED:
        answer["WWW-Authenticate"] = CHALLENGE
    if problem.wait_s is not None:
        answer["Retry-After"] = str(max(1, math.ceil(problem.wait_s)))
    return answer


def problem_response(error: Exception, context: dict[str, Any]) -> HttpResponse:
    """Whatever a view raised as a problem document; the unforeseen is logged with its traceback and answered without."""
    problem = as_problem(error)
    if problem.status_code >= status.HTTP_500_INTERNAL_SERVER_ERROR and not isinstance(error, Problem):
        log.error("%s failed", getattr(context.get("request"), "path", "request"), exc_info=error)
    return problem_answer(problem)


def as_problem(error: Exception) -> Problem:
    """The refusal that an exception stands for."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, AuditUnavailable):
        return Problem(503, error.code, str(error), wait_s=5)
    if isinstance(error, Http404):
        return Problem(404, CODES[404], "No such resource.")
    if isinstance(error, DjangoPermissionDenied):
        return Problem(403, CODES[403], "This client may not do that.")
    if isinstance(error, RequestDataTooBig):
        return Problem(413, CODES[413], "The body is larger than 4 MB.")
    if isinstance(error, exceptions.APIException):
        return _of_framework(error)
    return Problem(500, CODES[500], "The request failed here; it has been logged.")


def _of_framework(error: exceptions.APIException) -> Problem:
    wait_s = getattr(error, "wait", None) or (1.0 if isinstance(error, exceptions.Throttled) else None)
    sentence = error.detail if isinstance(error.detail, str) else TITLES.get(error.status_code, "Error")
    return Problem(error.status_code, CODES.get(error.status_code, "error"), str(sentence), wait_s=wait_s)
