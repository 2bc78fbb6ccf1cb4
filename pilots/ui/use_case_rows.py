"""How a device serves its use cases, in words: for the use-case page and the faceplate."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.utils.translation import gettext as _

from pilots.catalogue.conformity import DeviceConformity, ItemState
from pilots.catalogue.use_cases import Direction
from pilots.domain.topology import DeviceKind
from pilots.ui.words import KIND_NAMES


def device_use_cases(found: Iterable[DeviceConformity]) -> list[dict[str, Any]]:
    """Rows of one or many devices: counts, and every item in words."""
    return [
        {
            "case": one.use_case,
            "device": one.device,
            "kind": KIND_NAMES[DeviceKind(one.device.kind)],
            "present": one.present,
            "asked": one.asked,
            "measured": len(one.measured),
            "live": one.live,
            "good": one.good,
            "missing": [_missing_words(state) for state in one.missing],
            "exchanged": [_item(state) for state in one.items],
        }
        for one in found
    ]


def _missing_words(state: ItemState) -> str:
    return _("%(item)s: no point %(points)s") % {"item": state.item.text, "points": _(" or ").join(state.item.points)}


def _item(state: ItemState) -> dict[str, Any]:
    return {
        "text": state.item.text,
        "commanded": state.item.direction is Direction.COMMANDED,
        "point": state.point,
        "words": _words(state),
        "missing": state.is_missing,
        "remark": "" if state.point else state.item.remark,
    }


def _words(state: ItemState) -> str:
    if not state.point:
        if state.kept:
            return _("kept by its head-end system")
        return _("missing") if state.item.required else _("not offered, not required")
    if state.live is None:
        return _("takes it")
    if not state.live:
        return _("present, not live")
    return _("live and good") if state.good else _("live, not good")
