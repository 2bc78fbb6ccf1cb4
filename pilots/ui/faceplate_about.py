"""What stands at the foot of a faceplate: alarm limits, links, use cases and documents of a device."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _

from pilots.catalogue.conformity import conformity
from pilots.catalogue.documents import web_documents
from pilots.domain.alarm import LIMITED, AlarmKind, Priority
from pilots.models import AlarmRule, Device, Link
from pilots.ui.alarm_rows import PRIORITY_WORDS, glyph
from pilots.ui.quantities import point_name, shown_number
from pilots.ui.topology import Letter
from pilots.ui.use_case_rows import device_use_cases
from pilots.ui.words import link_state_words

_BELOW = (AlarmKind.LOW, AlarmKind.LOW_LOW)


def about(device: Device, now: datetime) -> dict[str, Any]:
    """For templates/pilots/faceplate_about.html."""
    rules = AlarmRule.objects.filter(device=device, enabled=True, kind__in=LIMITED).select_related("point", "limit_point")
    links = Link.objects.filter(Q(end_a=device) | Q(end_b=device)).select_related("end_a", "end_b").order_by("letter", "pk")
    return {
        "limits": [_limit(rule) for rule in rules.order_by("point__name", "priority", "kind")],
        "links": _links(device, links),
        "use_cases": device_use_cases(conformity(Device.objects.filter(pk=device.pk), now)),
        "documents": web_documents(device.documents),
    }


def _limit(rule: AlarmRule) -> dict[str, Any]:
    name, unit = ("", "") if rule.point is None else (point_name(rule.point.name), rule.point.unit)
    words = (
        _("below %s") if rule.kind in _BELOW else _("changes by %s a second") if rule.kind == AlarmKind.RATE else _("above %s")
    )
    return {
        "glyph": glyph(rule.priority, "active", str(PRIORITY_WORDS[Priority(rule.priority)])),
        "point": name,
        "words": words % shown_number(rule.limit or 0.0, unit),
        "taken": "" if rule.limit_point is None else _("or what %s says") % rule.limit_point.name,
    }


def _links(device: Device, links: Iterable[Link]) -> list[dict[str, Any]]:
    states = link_state_words()
    return [
        {
            "letter": Letter(link.letter),
            "key": f"{link.letter}|{link.end_a.code}|{link.end_b.code}",
            "other": link.end_b.code if link.end_a_id == device.pk else link.end_a.code,
            "about": ", ".join(part for part in (link.protocol, link.medium, link.sgam) if part),
            "state": link.state,
            "words": states[link.state],
        }
        for link in links
    ]
