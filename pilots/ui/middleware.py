"""Language and zone of the reader, and the one door before every view."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from csp.constants import SELF
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _

from pilots.audit.origin import Origin, add_to_origin, asked_from, fingerprint
from pilots.domain.errors import AuditUnavailable
from pilots.models import Role, User
from pilots.ui.access import Access, Door, declared_access, kiosk_may, rights_of
from pilots.ui.kiosks import account_of, is_closed
from pilots.ui.time_zones import clock_choice, speak_for

log = logging.getLogger(__name__)
Next = Callable[[HttpRequest], HttpResponse]


class UserLocaleMiddleware:
    """Each request speaks its user's language and zone; without a session, the browser's language and UTC."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        translation.activate(language_of(request))
        speak_for(request, None)
        try:
            response = self.get_response(request)
        finally:
            timezone.deactivate()
        response.headers.setdefault("Content-Language", translation.get_language() or settings.LANGUAGE_CODE)
        patch_vary_headers(response, ["Accept-Language", "Cookie"])
        _tell_clock(request, response)
        return response


def language_of(request: HttpRequest) -> str:
    """The user's stored language, else the best of Accept-Language."""
    stored = getattr(request.user, "language", "")
    if stored in dict(settings.LANGUAGES):
        return str(stored)
    return translation.get_language_from_request(request)


def _tell_clock(request: HttpRequest, response: HttpResponse) -> None:
    """Pages that are open elsewhere see that the person chose another clock: what they fetch is written by that one."""
    choice = clock_choice(request.user)
    if choice and request.COOKIES.get("clock") != choice:
        response.set_cookie("clock", choice, samesite="Lax", secure=settings.SECURE_COOKIES)


class AuditOriginMiddleware:
    """What a request does is audited with its session and its client's address; role and token are added where they are known."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        key = request.session.session_key if request.user.is_authenticated else None
        with asked_from(Origin(session=fingerprint(key) if key else "", address=address_of(request))):
            return self.get_response(request)


def address_of(request: HttpRequest) -> str:
    """The client's address: behind a proxy that ends TLS the last one it passed on, which is the one it saw itself."""
    passed_on = request.headers.get("X-Forwarded-For", "") if settings.SECURE_COOKIES else ""
    return (passed_on.rpartition(",")[2].strip() or str(request.META.get("REMOTE_ADDR") or ""))[:45]


class DenyByDefaultMiddleware:
    """No view runs before its declaration of `pilots.ui.access` is met. `request.pilot` is set for pilot pages."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if account_of(request) is not None:
            # Its own screen frames its pages: there is nothing in them to be clicked on.
            response._csp_replace = {**getattr(response, "_csp_replace", {}), "frame-ancestors": [SELF]}  # type: ignore[attr-defined]
            response["X-Frame-Options"] = "SAMEORIGIN"
        return response

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: Any, kwargs: dict[str, Any]
    ) -> HttpResponseBase | None:
        match = request.resolver_match
        kiosk = account_of(request)
        if kiosk is not None:
            _check_kiosk(request, kiosk, match.view_name if match is not None else "")
        if match is not None and match.view_name == "admin:login":
            return _one_login_page(request)
        access = declared_access(view, match.namespaces if match is not None else [])
        if access is None:
            raise PermissionDenied(_("Nobody has said who may open this page, so nobody may."))
        if access.door in (Door.PUBLIC, Door.API):
            return None
        if not request.user.is_authenticated:
            return _ask_to_log_in(request)
        return self._let_in(request, access, kwargs)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponseBase | None:
        """Without an audit event no deed: said as a refusal, whatever view it was."""
        if not isinstance(error, AuditUnavailable):
            return None
        # The route, not the address: that of a kiosk's link is a secret.
        log.error("%s %s refused: %s", request.method, getattr(request.resolver_match, "route", ""), error)
        reason = _("The audit trail cannot be written, so nothing was done. Tell the administrator.")
        if wants_json(request):
            return JsonResponse({"code": error.code, "reason": reason, "field": ""}, status=503)
        return render(request, "503.html", {"reason": reason}, status=503)

    def _let_in(self, request: HttpRequest, access: Access, kwargs: dict[str, Any]) -> HttpResponseBase | None:
        user = request.user
        if not isinstance(user, User):
            raise PermissionDenied
        if access.door is Door.STAFF and not user.is_staff:
            raise PermissionDenied(_("Your account does not open the configuration pages."))
        add_to_origin(role=str(access.role or access.door))
        if access.door is Door.ROLE:
            return _check_role(request, access.role, str(kwargs.get("code", "")))
        return None


def _check_kiosk(request: HttpRequest, user: User, name: str) -> None:
    """Raises PermissionDenied for all but the pages of a rotation, and once the kiosk is over for all but saying so."""
    if not kiosk_may(request.method, name):
        raise PermissionDenied(_("A kiosk shows its own pages and does nothing."))
    if name not in ("kiosk", "kiosk_told", "open_kiosk") and is_closed(user, timezone.now()):
        raise PermissionDenied(_("This kiosk was revoked or has ended."))


def _check_role(request: HttpRequest, role: Role | None, code: str) -> HttpResponseBase | None:
    rights = rights_of(request)
    pilot = rights.visible_pilots().filter(code=code).first()
    if pilot is None:
        raise Http404
    request.pilot = pilot  # type: ignore[attr-defined]
    speak_for(request, pilot)
    if role in (None, Role.VIEWER) or rights.has_role(Role(role), pilot):
        return None
    reason = _("You may look at %(pilot)s, not switch there. Ask the pilot's lead.") % {"pilot": pilot.name}
    if wants_json(request):
        return JsonResponse({"code": "not_authorised", "reason": reason, "field": ""}, status=403)
    raise PermissionDenied(reason)


def wants_json(request: HttpRequest) -> bool:
    """Whether the caller is one of our own scripts rather than a person's address bar."""
    return request.accepts("application/json") and not request.accepts("text/html")


def _ask_to_log_in(request: HttpRequest) -> HttpResponseBase:
    if wants_json(request):
        reason = _("Your session has ended. Log in again.")
        return JsonResponse({"code": "not_logged_in", "reason": reason, "field": ""}, status=401)
    return redirect_to_login(request.get_full_path())


def _one_login_page(request: HttpRequest) -> HttpResponseBase:
    """The admin's own login form never shows: there is one login page with one rate limit."""
    if request.user.is_authenticated:
        if not getattr(request.user, "is_staff", False):
            raise PermissionDenied(_("Your account does not open the configuration pages."))
        return HttpResponseRedirect(reverse("admin:index"))
    return redirect_to_login(request.GET.get("next") or reverse("admin:index"))
