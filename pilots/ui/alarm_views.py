"""The alarm page, the strip on every page, and what people do about alarms: parse and call `pilots.alarms.services`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from pilots.alarms import services
from pilots.alarms.selectors import ANNOUNCED, OPEN, WAITING, figures, hidden_rules, members_of, seen_at, urgent_first
from pilots.alarms.selectors import worst_by_device as worst
from pilots.alarms.services import AlarmRefused
from pilots.domain.alarm import Hidden, Priority
from pilots.models import Alarm, AlarmRule, Pilot, Role, User
from pilots.ui.access import requires, rights_of, signed_in
from pilots.ui.alarm_rows import PRIORITY_WORDS, age_words, alarm_row, rule_row, steps, timeline, with_members
from pilots.ui.alarm_strip import strip_of
from pilots.ui.filters import BadFilter, choice, texts
from pilots.ui.views import pilot_of
from pilots.ui.words import page_words

ROWS = 100
MEMBERS_SHOWN = 3
VIEWS = ("all", "new", "active", "returned", "shelved", "suppressed", "out_of_service", "ended")
CONDITIONS = {
    "all": OPEN & ~Q(hidden=Hidden.MEMBER),
    "new": ANNOUNCED & WAITING,
    "active": ANNOUNCED & Q(returned_at=None),
    "returned": ANNOUNCED & Q(returned_at__isnull=False),
    "shelved": OPEN & Q(hidden=Hidden.SHELVED),
    "suppressed": OPEN & Q(hidden__in=[Hidden.SUPPRESSED, Hidden.MEMBER]),
    "out_of_service": OPEN & Q(hidden=Hidden.OUT_OF_SERVICE),
    "ended": Q(closed_at__isnull=False),
}


@signed_in
@require_safe
def alarms_page(request: HttpRequest) -> HttpResponse:
    """New first, then by priority, then newest; `show` chooses, `alarm` opens one beside the list."""
    pilots = list(_user(request).visible_pilots())
    context = _found(request, pilots) | {"page": "alarms", "pilots": pilots, "words": page_words()}
    context |= {"priorities": [(each.name.lower(), PRIORITY_WORDS[each]) for each in Priority]}
    return render(request, "pilots/alarms.html", context, status=400 if context["refusal"] else 200)


@signed_in
@require_safe
def alarm_rows(request: HttpRequest) -> HttpResponse:
    """The rows of the same page once more, for a page that has heard of a change."""
    context = _found(request, list(_user(request).visible_pilots()))
    return render(request, "pilots/alarm_rows.html", context, status=400 if context["refusal"] else 200)


@signed_in
@require_safe
def alarm_detail(request: HttpRequest, alarm_id: UUID) -> HttpResponse:
    """One alarm beside the list: why, what to do, what happened, what may be done."""
    alarm = get_object_or_404(seen_at(_user(request).visible_pilots()), pk=alarm_id)
    return render(request, "pilots/alarm_detail.html", {"detail": _detail(request, alarm)})


@signed_in
@require_safe
def alarm_strip(request: HttpRequest) -> HttpResponse:
    """The strip's content once more."""
    rights = rights_of(request)
    return render(request, "pilots/alarm_strip.html", {"strip": strip_of(rights, list(rights.visible_pilots()), timezone.now())})


@requires(Role.VIEWER)
@require_safe
def pilot_alarm_strip(request: HttpRequest, **_route: str) -> HttpResponse:
    """The same on a pilot's page, whose times are the pilot's."""
    return alarm_strip(request)


@requires(Role.VIEWER)
@require_safe
def alarm_marks(request: HttpRequest, **_route: str) -> JsonResponse:
    """Device -> [priority, state] of its most urgent alarm, for the diagram."""
    return JsonResponse(worst(pilot_of(request)))


@signed_in
@require_POST
def acknowledge_alarms(request: HttpRequest) -> HttpResponse:
    """`alarm` (one or many) have been seen, with `comment`."""
    keys = [key for key in map(_uuid, request.POST.getlist("alarm")) if key is not None]
    own = seen_at(_user(request).rights().pilots_where(Role.OPERATOR, Role.ENGINEER))
    if not own.filter(pk__in=keys[:1]).exists():
        raise PermissionDenied(_("Only operators and engineers of the pilot acknowledge its alarms."))
    comment, now = _text(request, "comment"), timezone.now()
    return _done(lambda: services.acknowledge(keys, among=own, by=_name(request), comment=comment, now=now))


@signed_in
@require_POST
def reset_alarm(request: HttpRequest, alarm_id: UUID) -> HttpResponse:
    alarm = get_object_or_404(seen_at(_user(request).visible_pilots()), pk=alarm_id)
    _check(request, alarm.pilot, Role.OPERATOR, Role.ENGINEER)
    return _done(lambda: services.reset(alarm, by=_name(request), now=timezone.now()))


@signed_in
@require_POST
def shelve_alarm(request: HttpRequest, number: int) -> HttpResponse:
    """Silent for `minutes`, with `reason`."""
    rule, now = _rule(request, number), timezone.now()
    _check(request, rule.pilot, Role.OPERATOR, Role.ENGINEER)
    minutes = request.POST.get("minutes", "")
    until = now + timedelta(minutes=int(minutes) if minutes.isdecimal() and len(minutes) < 6 else 0)
    reason = _text(request, "reason")
    return _done(lambda: services.shelve(rule, by=_name(request), reason=reason, until=until, now=now))


@signed_in
@require_POST
def hide_alarm(request: HttpRequest, number: int, how: str) -> HttpResponse:
    """Suppressed by design or out of service: an engineer's, until it is returned."""
    rule = _rule(request, number)
    _check(request, rule.pilot, Role.ENGINEER)
    act = services.suppress if how == "suppress" else services.take_out_of_service
    reason = _text(request, "reason")
    return _done(lambda: act(rule, by=_name(request), reason=reason, now=timezone.now()))


@signed_in
@require_POST
def return_alarm(request: HttpRequest, number: int) -> HttpResponse:
    """It asks again; what an engineer hid, an engineer returns."""
    rule = _rule(request, number)
    shelved = rule.hidden == Hidden.SHELVED
    _check(request, rule.pilot, Role.ENGINEER, *([Role.OPERATOR] if shelved else []))
    return _done(lambda: services.bring_back(rule, by=_name(request), reason=_text(request, "reason"), now=timezone.now()))


def _found(request: HttpRequest, pilots: list[Pilot]) -> dict[str, Any]:
    user, now, refusal = _user(request), timezone.now(), ""
    alarms, shown, form = seen_at(pilots), "all", request.GET
    rows: list[dict[str, Any]] = []
    more = 0
    try:
        alarms, shown = chosen(form, alarms)
        rows, more = _rows(alarms.filter(CONDITIONS[shown]), user, now, by_time=shown == "ended")
    except BadFilter as error:
        refusal = str(error)
    asked_for = [pilot for pilot in pilots if not form.get("pilot") or form.get("pilot") == pilot.code]
    asleep = _asleep(asked_for, shown, user, now) if not refusal else []
    # What is beside the list tells who did what: nothing for a screen that anybody may read.
    opened = None if user.is_kiosk else next((row["alarm"] for row in rows if str(row["alarm"].pk) == form.get("alarm")), None)
    return {
        "rows": rows,
        "asleep": asleep,
        "more_rows": more,
        "refusal": refusal,
        "form": form,
        "query": form.urlencode(),
        "shown": shown,
        "asked": shown != "all" or any(form.get(name) for name in ("text", "pilot", "priority")),
        "tabs": _tabs(form, seen_at(asked_for), asked_for) if not refusal else [],
        "figures": figures(seen_at(asked_for), now),
        "detail": None if opened is None else _detail(request, opened),
        "last": seen_at(pilots).filter(returned_at__isnull=False).order_by("-returned_at").first() if not rows else None,
    }


def chosen(form: QueryDict, alarms: QuerySet[Alarm]) -> tuple[QuerySet[Alarm], str]:
    """Those that words, pilot and priority leave, and which list of them is asked for. Raises BadFilter."""
    wanted = texts(form, ("text", "pilot", "priority", "show"))
    shown = choice(wanted["show"], VIEWS, _("list of alarms")) or "all"
    priority = choice(wanted["priority"], [each.name.lower() for each in Priority], _("priority"))
    if priority:
        alarms = alarms.filter(priority=Priority[priority.upper()])
    if wanted["pilot"]:
        alarms = alarms.filter(pilot__code=wanted["pilot"])
    text = wanted["text"]
    if text:
        alarms = alarms.filter(Q(subject__icontains=text) | Q(what__icontains=text) | Q(detail__icontains=text))
    return alarms, shown


def _rows(alarms: QuerySet[Alarm], user: User, now: datetime, *, by_time: bool) -> tuple[list[dict[str, Any]], int]:
    ordered = alarms.order_by("-raised_at", "pk") if by_time else urgent_first(alarms)
    found = list(ordered[: ROWS + 1])
    answers, engineers = _keys(user, Role.OPERATOR, Role.ENGINEER), _keys(user, Role.ENGINEER)
    rows = []
    for alarm in found[:ROWS]:
        who = answers if alarm.hidden == Hidden.SHELVED else engineers
        rows.append(alarm_row(alarm, now, may_answer=alarm.pilot_id in answers, may_return=alarm.pilot_id in who))
    own = [row["alarm"] for row in rows]
    totals = Counter(Alarm.objects.filter(OPEN, cause__in=[alarm.pk for alarm in own]).values_list("cause", flat=True))
    if totals:
        with_members(rows, members_of(own, most=MEMBERS_SHOWN), totals, now)
    return rows, alarms.count() - ROWS if len(found) > ROWS else 0


def _asleep(pilots: list[Pilot], shown: str, user: User, now: datetime) -> list[dict[str, Any]]:
    """Silent rules that have no open alarm just now stand below the others."""
    if shown not in ("all", "shelved", "suppressed", "out_of_service"):
        return []
    rules = hidden_rules(pilots).exclude(alarms__in=Alarm.objects.filter(OPEN))
    rules = rules if shown == "all" else rules.filter(hidden=shown)
    answers, engineers = _keys(user, Role.OPERATOR, Role.ENGINEER), _keys(user, Role.ENGINEER)
    return [
        rule_row(rule, now, may_return=rule.pilot_id in (answers if rule.hidden == Hidden.SHELVED else engineers))
        for rule in rules[:ROWS]
    ]


def _tabs(form: QueryDict, alarms: QuerySet[Alarm], pilots: list[Pilot]) -> list[dict[str, Any]]:
    words = {
        "all": _("All"),
        "new": _("New"),
        "active": _("Active"),
        "returned": _("Returned"),
        "shelved": _("Shelved"),
        "suppressed": _("Suppressed"),
        "out_of_service": _("Out of service"),
        "ended": _("Ended"),
    }
    hidden = Counter(hidden_rules(pilots).exclude(alarms__in=Alarm.objects.filter(OPEN)).values_list("hidden", flat=True))
    tabs = []
    for name, word in words.items():
        query = form.copy()
        query.pop("alarm", None)
        query["show"] = name
        count = None if name == "ended" else alarms.filter(CONDITIONS[name]).count() + hidden[name]
        count = count if name != "all" or count is None else count + sum(hidden.values())
        tabs.append({"name": name, "word": word, "count": count, "query": query.urlencode()})
    return tabs


def _detail(request: HttpRequest, alarm: Alarm) -> dict[str, Any]:
    user, now, rule = _user(request), timezone.now(), alarm.rule
    is_engineer = user.has_role(Role.ENGINEER, alarm.pilot)
    may = is_engineer or user.has_role(Role.OPERATOR, alarm.pilot)
    shelved = rule is not None and rule.hidden == Hidden.SHELVED
    device = alarm.device
    point = alarm.subject.partition("/")[2]
    return {
        **alarm_row(alarm, now, may_answer=may, may_return=is_engineer or (may and shelved)),
        "rule": rule,
        "is_engineer": is_engineer,
        "may_hide": may and rule is not None and not alarm.hidden,
        "why": "" if rule is None else _(rule.why) if rule.why else "",
        "todo": [] if rule is None else steps(rule.todo),
        "consequence": _(rule.consequence) if rule is not None and rule.consequence else "",
        "respond": age_words(timedelta(seconds=rule.respond_s)) if rule is not None and rule.respond_s else "",
        "followers": alarm.followers.count(),
        "timeline": timeline(alarm),
        "priority": PRIORITY_WORDS[Priority(alarm.priority)],
        "device": device,
        "trend": f"{device.code}/{point}" if device is not None and point and alarm.value is not None else "",
        "shelves": [(15, _("15 minutes")), (60, _("1 hour")), (240, _("4 hours")), (480, _("8 hours")), (1440, _("24 hours"))],
    }


def _keys(user: User, *roles: Role) -> set[int]:
    return {pilot.pk for pilot in user.rights().pilots_where(*roles)}


def _rule(request: HttpRequest, number: int) -> AlarmRule:
    rules: QuerySet[AlarmRule] = AlarmRule.objects.select_related("pilot").filter(pilot__in=_user(request).visible_pilots())
    return get_object_or_404(rules, pk=number)


def _check(request: HttpRequest, pilot: Pilot, *roles: Role) -> None:
    if not any(_user(request).has_role(role, pilot) for role in roles):
        raise PermissionDenied(_("Your role at %(pilot)s does not do this to its alarms.") % {"pilot": pilot.name})


def _done(act: Callable[[], object]) -> HttpResponse:
    """204, or 409 with the sentence; the pages learn what changed by their socket."""
    try:
        act()
    except AlarmRefused as refusal:
        return JsonResponse({"code": refusal.code, "reason": str(refusal), "field": ""}, status=409)
    return HttpResponse(status=204)


def _user(request: HttpRequest) -> User:
    return cast(User, request.user)


def _name(request: HttpRequest) -> str:
    return _user(request).get_username()


def _text(request: HttpRequest, name: str) -> str:
    return request.POST.get(name, "")[:300].replace("\0", "")


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
