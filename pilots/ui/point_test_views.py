"""Commissioning's end: each point seen at the device and here, the list signed and exported. Engineers."""

from __future__ import annotations

from typing import Any, cast

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from pilots.catalogue import point_tests
from pilots.domain.errors import CatalogueError
from pilots.models import Pilot, PointTestList, Role, User
from pilots.ui.access import requires
from pilots.ui.commissioning_views import commissioning_parts
from pilots.ui.views import pilot_of
from pilots.ui.words import page_words

RESULTS = {"passed": True, "failed": False, "not_applicable": None}
EXPORTS = {
    "csv": (point_tests.export_csv, "text/csv; charset=utf-8"),
    "json": (point_tests.export_json, "application/json"),
}


@requires(Role.ENGINEER)
@require_safe
def point_tests_page(request: HttpRequest, number: int | None = None, **_route: str) -> HttpResponse:
    """The lists of the pilot, and one of them in full: the newest, unless another is asked for."""
    pilot = pilot_of(request)
    lists = list(PointTestList.objects.filter(pilot=pilot).select_related("signed_by", "pilot"))
    chosen = _list(pilot, number) if number is not None else next(iter(lists), None)
    context = {
        "page": "commissioning",
        "part": "tests",
        "parts": commissioning_parts(pilot),
        "pilot": pilot,
        "lists": lists,
        "list": chosen,
        "words": page_words(),
    }
    if chosen is not None:
        context |= _rows(chosen)
    return render(request, "pilots/commissioning/tests.html", context)


def _rows(chosen: PointTestList) -> dict[str, Any]:
    tests = list(chosen.tests.select_related("point__device").order_by("point__device__code", "point__name"))
    return {
        "tests": tests,
        "tested": sum(test.tested_at is not None for test in tests),
        "failed": sum(test.passed is False for test in tests),
        "is_intact": chosen.signed_at is not None and point_tests.verify(chosen),
    }


@requires(Role.ENGINEER)
@require_POST
def start_point_test(request: HttpRequest, **_route: str) -> JsonResponse:
    """A new list stands open; its page is `url`."""
    pilot = pilot_of(request)
    try:
        started = point_tests.start_list(pilot, cast(User, request.user).get_username(), timezone.now())
    except CatalogueError as error:
        return _refusal(str(error), error.field)
    return JsonResponse({"url": reverse("point_test", args=[pilot.code, started.pk])})


@requires(Role.ENGINEER)
@require_POST
def record_point_test(request: HttpRequest, number: int, **_route: str) -> JsonResponse:
    """One point's row says what was seen."""
    chosen = _list(pilot_of(request), number)
    form = request.POST
    test = chosen.tests.select_related("point__device").filter(pk=_key(form.get("test", ""))).first()
    if test is None or form.get("result") not in RESULTS:
        return _refusal(_("Choose a point of this list and a result."), "result")
    user = cast(User, request.user).get_username()
    seen = {name: form.get(name, "") for name in ("expected", "shown", "remark")}
    try:
        row = point_tests.record(chosen, test.point, passed=RESULTS[form["result"]], by=user, now=timezone.now(), **seen)
    except CatalogueError as error:
        return _refusal(str(error), error.field)
    tested = chosen.tests.exclude(tested_at=None).count()
    return JsonResponse({"result": form["result"], "by": row.tested_by, "tested": tested, "all": chosen.tests.count()})


@requires(Role.ENGINEER)
@require_POST
def sign_point_test(request: HttpRequest, number: int, **_route: str) -> JsonResponse:
    """The list is signed with the name of who asks, once his password has been given again."""
    chosen, user = _list(pilot_of(request), number), cast(User, request.user)
    if not user.check_password(request.POST.get("password", "")):
        return _refusal(_("This is not your password. Nothing was signed."), "password")
    try:
        signature = point_tests.sign(chosen, user, timezone.now(), request.POST.get("remark", ""))
    except CatalogueError as error:
        return _refusal(str(error), error.field)
    return JsonResponse({"signature": signature})


@requires(Role.ENGINEER)
@require_safe
def export_point_test(request: HttpRequest, number: str, kind: str, **_route: str) -> HttpResponse:
    """The list with its signature."""
    pilot = pilot_of(request)
    chosen = _list(pilot, int(number))
    export, content_type = EXPORTS[kind]
    response = HttpResponse(export(chosen), content_type=content_type)
    response["Content-Disposition"] = f'attachment; filename="{pilot.code}-point-test-{chosen.started_at:%Y%m%d}.{kind}"'
    return response


@requires(Role.ENGINEER)
@require_POST
def verify_point_test(request: HttpRequest, **_route: str) -> JsonResponse:
    """Whether an exported file is what somebody signed here."""
    upload = request.FILES.get("file")
    if upload is None or isinstance(upload, list):
        return _refusal(_("Choose a file first."), "file")
    return JsonResponse({"signed": point_tests.verify_export(upload.read())})


def _list(pilot: Pilot, number: int) -> PointTestList:
    found = PointTestList.objects.filter(pilot=pilot, pk=number).select_related("pilot", "signed_by").first()
    if found is None:
        raise Http404
    return found


def _key(text: str) -> int:
    return int(text) if text.isdigit() and len(text) < 18 else 0


def _refusal(reason: str, field: str) -> JsonResponse:
    return JsonResponse({"code": "refused", "reason": reason, "field": field}, status=422)
