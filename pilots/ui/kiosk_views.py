"""Kiosks: the list where they are made and revoked, the door their links open, the screen that turns the pages. [operation]"""

from __future__ import annotations

from typing import Any, cast

from csp.constants import SELF
from csp.decorators import csp_replace
from django.contrib.auth import login
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from pilots.models import Kiosk, User
from pilots.ui.access import public, signed_in
from pilots.ui.kiosk_form import KioskForm
from pilots.ui.kiosks import (
    account_of,
    engineered,
    is_closed,
    kiosk_of_token,
    kiosks_of,
    make_kiosk,
    note_seen,
    note_use,
    revoke_kiosk,
    rotation,
)
from pilots.ui.middleware import address_of
from pilots.ui.words import page_words

MOST_GUESSES, GUESSES_S = 10, 60


@signed_in
@require_safe
def kiosks_page(request: HttpRequest) -> HttpResponse:
    return _list(request, KioskForm(None, by=_maker(request), now=timezone.now()))


@signed_in
@never_cache
@require_POST
def create_kiosk(request: HttpRequest) -> HttpResponse:
    """The same page with the link: it stands there this once."""
    user, now = _maker(request), timezone.now()
    if not engineered(user).exists():
        raise PermissionDenied(_("Only engineers of a pilot put it on a screen."))
    form = KioskForm(request.POST, by=user, now=now)
    if not form.is_valid():
        return _list(request, form, status=400)
    given = form.cleaned_data
    look = {"language": given["language"], "theme": given["theme"]}
    wanted = {"name": given["name"], "pilots": list(given["pilots"]), "pages": given["pages"], "ends_at": given["ends"]}
    kiosk, token = make_kiosk(**wanted, look=look, by=user, now=now)
    link = request.build_absolute_uri(reverse("open_kiosk", args=[token]))
    return _list(request, KioskForm(None, by=user, now=now), made=kiosk, link=link)


@signed_in
@require_POST
def close_kiosk(request: HttpRequest, number: int) -> HttpResponse:
    user = _maker(request)
    revoke_kiosk(get_object_or_404(kiosks_of(user), pk=number), by=user.get_username(), now=timezone.now())
    return HttpResponseRedirect(reverse("kiosks"))


@public
@never_cache
@require_safe
def open_kiosk(request: HttpRequest, token: str) -> HttpResponse:
    """The token becomes a session and leaves the address; nothing that follows knows it."""
    key, now = f"kiosk-guesses:{address_of(request)}", timezone.now()
    if cache.get(key, 0) >= MOST_GUESSES:
        return _closed(request, _("Too many wrong links from this address. Wait a minute."), 429)
    kiosk = kiosk_of_token(token, now)
    if kiosk is None:
        cache.add(key, 0, GUESSES_S)
        cache.incr(key)
        return _closed(request, _("This link opens no kiosk: it was revoked, has ended, or was not copied whole."), 404)
    if request.user.is_authenticated and account_of(request) is None:
        return _closed(request, _("You are logged in here. Open the link on the screen itself, or in a private window."), 409)
    if request.method == "GET":
        note_use(kiosk, address_of(request), now)
        login(request, kiosk.user, backend="django.contrib.auth.backends.ModelBackend")
        request.session.set_expiry(int((kiosk.ends_at - now).total_seconds()) + 1)
    return _unreferred(HttpResponseRedirect(reverse("kiosk")))


@public
@never_cache
@require_safe
@csp_replace({"frame-src": [SELF]})
def kiosk_page(request: HttpRequest) -> HttpResponse:
    """The screen: every page of the rotation in a frame of its own, one of them in sight."""
    kiosk = _kiosk(request)
    if kiosk is None:
        # Asked again by itself: behind a link of another site the cookie comes with the second request only.
        answer = _closed(request, _("No kiosk is open in this browser. Open its link once more."), 403)
        answer["Refresh"] = "10"
        return answer
    context = {"kiosk": kiosk, "rotation": rotation(kiosk), "told": reverse("kiosk_told"), "words": page_words()}
    return render(request, "pilots/kiosk.html", context)


@public
@never_cache
@require_safe
def kiosk_told(request: HttpRequest) -> JsonResponse:
    """Whether the screen may go on; asked every few seconds, it is also how the list knows that it is there."""
    kiosk = _kiosk(request)
    if kiosk is None:
        return JsonResponse({"code": "closed", "reason": _("This kiosk was revoked or has ended."), "field": ""}, status=403)
    note_seen(kiosk, address_of(request), timezone.now())
    return JsonResponse({"pages": [row["page"].show for row in rotation(kiosk)]})


def _kiosk(request: HttpRequest) -> Kiosk | None:
    user = account_of(request)
    if user is None or is_closed(user, timezone.now()):
        return None
    return Kiosk.objects.select_related("user", "made_by").get(user=user)


def _closed(request: HttpRequest, reason: str, status: int) -> HttpResponse:
    return _unreferred(render(request, "pilots/kiosk_closed.html", {"reason": reason}, status=status))


def _unreferred(answer: HttpResponse) -> HttpResponse:
    answer["Referrer-Policy"] = "no-referrer"
    return answer


def _maker(request: HttpRequest) -> User:
    user = cast(User, request.user)
    if not kiosks_of(user).exists() and not engineered(user).exists():
        raise PermissionDenied(_("Kiosks are made by engineers and revoked by them or a security administrator."))
    return user


def _list(request: HttpRequest, form: KioskForm, *, status: int = 200, **more: Any) -> HttpResponse:
    user, now = cast(User, request.user), timezone.now()
    seen = set(user.visible_pilots().values_list("code", flat=True))
    rows = []
    for kiosk in kiosks_of(user):
        codes = sorted(seen & set(kiosk.user.visible_pilots().values_list("code", flat=True))) if kiosk.user.is_active else []
        rows.append({"kiosk": kiosk, "codes": " ".join(codes).upper(), "live": kiosk.is_live(now)})
    context = {"page": "dashboards", "form": form, "rows": rows, "may_make": engineered(user).exists(), **more}
    return render(request, "pilots/kiosks.html", context, status=status)
