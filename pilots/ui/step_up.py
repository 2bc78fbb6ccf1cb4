"""The password again, before a critical command: good for five minutes in this session only.

The form is fetched when it is needed and never part of another page. Wrong passwords count towards the same limit as those of
the login, by account and by address, so a session left open is no second way to guess.
"""

from __future__ import annotations

from datetime import datetime
from typing import cast

from allauth.account.adapter import get_adapter
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from pilots.audit.services import record_event
from pilots.domain.switching import STEPPED_UP_FOR
from pilots.models import User
from pilots.ui.access import signed_in

STEPPED_UP_AT = "stepped_up_at"


@signed_in
@never_cache
@require_http_methods(["GET", "POST"])
def step_up(request: HttpRequest) -> HttpResponse:
    """GET: the form, a fragment for a dialog. POST: 204, 403 `wrong_password`, or 429 `rate_limited`."""
    if request.method == "GET":
        return render(request, "pilots/step_up.html", {"minutes": int(STEPPED_UP_FOR.total_seconds() // 60)})
    user = cast(User, request.user)
    try:
        right = get_adapter().reauthenticate(user, request.POST.get("password", "")[:500])
    except ValidationError:
        return _refuse(user, 429, "rate_limited", _("Too many wrong passwords. Wait five minutes."))
    if not right:
        return _refuse(user, 403, "wrong_password", _("That is not your password."))
    now = timezone.now()
    _record(user, "step up", now)
    request.session[STEPPED_UP_AT] = now.timestamp()
    return HttpResponse(status=204)


def has_stepped_up(request: HttpRequest, now: datetime) -> bool:
    """Whether this session gave the password again within five minutes; a clock that was set back does not lengthen them."""
    at = request.session.get(STEPPED_UP_AT)
    return isinstance(at, float) and 0 <= now.timestamp() - at < STEPPED_UP_FOR.total_seconds()


def _refuse(user: User, status: int, code: str, reason: str) -> HttpResponse:
    _record(user, "refuse step up", timezone.now(), code)
    return JsonResponse({"code": code, "reason": reason, "field": "password"}, status=status)


def _record(user: User, action: str, now: datetime, code: str = "") -> None:
    name = user.get_username()
    record_event(at=now, actor=name, action=action, subject=name, details={"code": code} if code else {})
