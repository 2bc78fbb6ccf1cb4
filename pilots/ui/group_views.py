"""Group set-points on pages: a form, its preview, sending; one group followed live and aborted. Operators send and abort."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID, uuid4

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from pilots.audit.selectors import may_read
from pilots.audit.services import record_event
from pilots.control import groups
from pilots.control.group_plans import GroupWish, Plan, plan_group, signed_plan
from pilots.control.group_records import feedback_of, group_record, setpoints_of
from pilots.domain.errors import SetpointRejected
from pilots.domain.sharing import LEAST_MEMBERS, MOST_MEMBERS, UNPROVED_MEMBERS
from pilots.domain.switching import http_status
from pilots.live.frames import milliseconds
from pilots.models import Role, Setpoint, SetpointGroup, User
from pilots.ui.access import requires, signed_in
from pilots.ui.group_form import form_context, given_of, member_row, read_form, read_id
from pilots.ui.quantities import point_name, shown_duration, shown_number
from pilots.ui.setpoint_story import clock, issuer_name, story
from pilots.ui.step_up import has_stepped_up
from pilots.ui.time_zones import speak_for
from pilots.ui.views import pilot_of
from pilots.ui.words import group_state_words, page_words, setpoint_words


@requires(Role.OPERATOR)
@require_safe
def new_group(request: HttpRequest, **_route: str) -> HttpResponse:
    return _form(request)


@requires(Role.OPERATOR)
@require_POST
def preview_group(request: HttpRequest, **_route: str) -> HttpResponse:
    """What each would get; 422 with the form as it was sent and the sentence at its field; `change` is back to the form."""
    if "change" in request.POST:
        return _form(request)
    now, user = timezone.now(), cast(User, request.user)
    try:
        wish = read_form(pilot_of(request), request.POST, user, now)
        plan = plan_group(wish, now)
    except SetpointRejected as refusal:
        return _form(request, refusal)
    context = _frame(request) | {"given": given_of(request.POST), "id": uuid4()} | _previewed(wish, plan, now)
    return render(request, "pilots/group_preview.html", context)


@requires(Role.OPERATOR)
@require_POST
def create_group(request: HttpRequest, **_route: str) -> HttpResponse:
    """201 with the address of the group, or 4xx with code, reason and field; 403 `step_up_required` asks for the password."""
    now, user = timezone.now(), cast(User, request.user)
    try:
        key = read_id(request.POST)
        wish = read_form(pilot_of(request), request.POST, user, now)
        sent = SetpointGroup.objects.filter(pk=key, user=user).first()  # its answer was lost on the way
        proved, plan = has_stepped_up(request, now), request.POST.get("preview", "")
        if not plan:
            raise SetpointRejected("preview_over", _("Look at the preview first."), field="preview")
        group = sent or groups.create_group(wish, proved=proved, plan=plan, group_id=key, now=now)
    except SetpointRejected as refusal:
        status = 409 if refusal.code in ("duplicate_id", "preview_over") else http_status(refusal.code)
        if status not in (429, 503):  # a flood must not fill the trail, and without it nothing is written there
            _audit_refusal(request, refusal, now)
        return JsonResponse({"code": refusal.code, "reason": refusal.reason, "field": refusal.field}, status=status)
    return JsonResponse({"id": str(group.pk), "url": reverse("setpoint_group", args=[group.pk])}, status=201)


@requires(Role.OPERATOR)
@require_POST
def abort_group(request: HttpRequest, group_id: UUID, **_route: str) -> HttpResponse:
    """204, or 409 with the sentence."""
    found = SetpointGroup.objects.filter(pk=group_id, pilot=pilot_of(request)).select_related("pilot").first()
    if found is None:
        raise Http404
    actor, reason = cast(User, request.user).get_username(), request.POST.get("reason", "")[:300].replace("\0", "")
    try:
        groups.abort_group(found, actor=actor, reason=reason, now=timezone.now())
    except SetpointRejected as refusal:
        return JsonResponse({"code": refusal.code, "reason": refusal.reason, "field": refusal.field}, status=409)
    return HttpResponse(status=204)


@signed_in
@require_safe
def group_page(request: HttpRequest, group_id: UUID) -> HttpResponse:
    group = _group(request, group_id)
    # The frame shows the pilot's pages and its commands-off switch.
    request.pilot = group.pilot  # type: ignore[attr-defined]
    more = {"page": "setpoint", "words": page_words()}
    return render(request, "pilots/group.html", _told(request, group) | more)


@signed_in
@require_safe
def group_told(request: HttpRequest, group_id: UUID) -> HttpResponse:
    """What the page says of it once more, for a page that has heard of a change."""
    return render(request, "pilots/group_told.html", _told(request, _group(request, group_id)))


def _audit_refusal(request: HttpRequest, refusal: SetpointRejected, now: datetime) -> None:
    pilot, actor = pilot_of(request), cast(User, request.user).get_username()
    details = {"code": refusal.code, "field": refusal.field, "members": request.POST.getlist("member")[:MOST_MEMBERS]}
    details |= {name: request.POST.get(name, "")[:64] for name in ("point", "direction", "value")}
    record_event(
        at=now, actor=actor, action="refuse group", pilot=pilot.code, subject="group", reason=refusal.reason, details=details
    )


def _frame(request: HttpRequest) -> dict[str, Any]:
    pilot = pilot_of(request)
    return {"page": "group", "pilot": pilot, "least": LEAST_MEMBERS, "words": page_words()}


def _form(request: HttpRequest, refusal: SetpointRejected | None = None) -> HttpResponse:
    given = request.POST if request.method == "POST" else request.GET
    context = form_context(pilot_of(request), given, cast(User, request.user), timezone.now(), refusal)
    return render(request, "pilots/group_form.html", _frame(request) | context, status=200 if refusal is None else 422)


def _previewed(wish: GroupWish, plan: Plan, now: datetime) -> dict[str, Any]:
    unit, shared = wish.unit, sum(part.share or 0.0 for part in plan.parts)
    taking = [part for part in plan.parts if part.share is not None]
    measured = [part.before for part in taking if part.before is not None]

    def told(value: float) -> str:
        return shown_number(value, unit)

    return {
        "plan": plan,
        "token": signed_plan(wish, plan) if plan.refusal is None else "",
        "rows": [member_row(point, part) for point, part in zip(wish.points, plan.parts, strict=True)],
        "deed": _deed(wish, len(taking)),
        "target": told(wish.target),
        "shared": told(shared) if taking else "–",
        # What nobody would read in the figures is not told either.
        "lost": shown_number(abs(wish.target - shared), unit) if taking and told(wish.target) != told(shared) else "",
        "before": told(sum(measured)) if taking and len(measured) == len(taking) else "–",
        "able": " … ".join(told(end) for end in sorted((plan.least, plan.most))),
        "until": clock(wish.valid_until, now),
        "many": len(wish.points) > UNPROVED_MEMBERS,
    }


def _deed(wish: GroupWish, count: int) -> str:
    """The whole deed, as the button says it."""
    told = {"value": shown_number(abs(wish.target), wish.unit), "n": count}
    told["until"] = timezone.localtime(wish.valid_until).strftime("%H:%M")
    if wish.mode == "limit":
        return _("Limit %(n)d devices to %(value)s together until %(until)s") % told
    if wish.target == 0:
        return _("Stop %(n)d devices at 0 until %(until)s") % told
    if wish.target > 0:
        return _("Charge %(value)s with %(n)d devices until %(until)s") % told
    return _("Discharge %(value)s with %(n)d devices until %(until)s") % told


def _group(request: HttpRequest, group_id: UUID) -> SetpointGroup:
    """By its pilot's clock; one that the reader may not see does not exist."""
    pilots = cast(User, request.user).visible_pilots()
    found = SetpointGroup.objects.filter(pk=group_id, pilot__in=pilots).select_related("pilot").first()
    if found is None:
        raise Http404
    speak_for(request, found.pilot)
    return found


def _told(request: HttpRequest, group: SetpointGroup) -> dict[str, Any]:
    user, now = cast(User, request.user), timezone.now()
    record, setpoints, feedback = group_record(group, now), setpoints_of(group), feedback_of(group)
    references = {code: f"{code}/{point.name}" for code, point in feedback.items()}
    rows = [_member(each, setpoints.get(each["device"]), references, group.unit) for each in record["members"]]
    open_ = record["state"] in ("under_way", "in_force", "partly_in_force")
    done = sum(each["active"] for each in record["members"])
    return {
        "group": group,
        "pilot": group.pilot,
        "record": record,
        "rows": rows,
        "point": point_name(group.point),
        "target": shown_number(group.target, group.unit),
        "shared": shown_number(record["shared"], group.unit),
        "said": group_state_words()[record["state"]],
        "counted": _("%(n)d of %(all)d shares hold their device") % {"n": done, "all": len(setpoints)},
        "sum": " ".join(references[code] for code in sorted(setpoints) if code in references),
        "unmeasured": sum(code not in references for code in setpoints),
        "issuer": issuer_name(group.issuer),
        "until": clock(group.valid_until, group.received_at),
        "until_ms": milliseconds(group.valid_until),
        "left": str(setpoint_words()["left"]).replace("%s", shown_duration((group.valid_until - now).total_seconds())),
        "open": open_,
        "may_abort": (open_ or groups.unended(group).exists()) and user.has_role(Role.OPERATOR, group.pilot),
        "may_audit": may_read(user),
    }


def _member(each: dict[str, Any], setpoint: Setpoint | None, references: dict[str, str], unit: str) -> dict[str, Any]:
    told = {} if setpoint is None else story(setpoint)
    return told | {
        "member": each,
        "device_code": each["device"],
        "share": "–" if each["share"] is None else shown_number(each["share"], unit),
        "range": f"{shown_number(each['low'], unit)} … {shown_number(each['high'], unit)}",
        "part_percent": _percent(each),
        "reference": references.get(each["device"], ""),
        "unit": unit,
    }


def _percent(each: dict[str, Any]) -> str:
    """Which part of its room the share is; empty where it has none."""
    room = each["high"] if (each["share"] or 0.0) > 0 else each["low"]
    return f"{100 * each['share'] / room:.0f} %" if each["share"] and room else ""
