"""One more of the same: a device with its points and own alarm rules, or an alarm rule for another point."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from pilots.admin.editing import ConfigurationAdmin
from pilots.admin.row_edits import Edits, Outcome, Wanted, edit_rows, refused
from pilots.catalogue.link_points import is_link_point
from pilots.catalogue.point_changes import COLUMNS as POINT_COLUMNS
from pilots.domain.alarm import AlarmKind
from pilots.models import AlarmRule, Connection, Device, Point


class DeviceCloneForm(forms.Form):
    """What tells the new device from the old one."""

    code = forms.CharField(label=gettext_lazy("device id"), max_length=64)
    name = forms.CharField(label=gettext_lazy("name"), max_length=80, required=False)
    connection = forms.ModelChoiceField(Connection.objects.none(), label=gettext_lazy("connection"), required=False)
    address = forms.JSONField(label=gettext_lazy("address"), widget=forms.Textarea(attrs={"rows": 3, "cols": 60}), required=False)


class RuleCloneForm(forms.Form):
    """What the new rule watches; all else is copied."""

    point = forms.CharField(label=gettext_lazy("point"), help_text=gettext_lazy("of the same pilot, written as es-STO01/soc"))
    kind = forms.ChoiceField(
        label=gettext_lazy("kind"),
        choices=[(kind.value, kind.value.replace("_", " ")) for kind in AlarmKind if kind.is_of_values],
    )

    def __init__(self, rule: AlarmRule, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._pilot = rule.pilot

    def clean_point(self) -> Point:
        device, _slash, name = self.cleaned_data["point"].strip().partition("/")
        found = (
            Point.objects.select_related("device__pilot")
            .filter(device__pilot=self._pilot, device__code=device, name=name)
            .first()
        )
        if found is None:
            raise forms.ValidationError(_("%(name)s is no point of this pilot") % {"name": self.cleaned_data["point"]})
        return found


class ClonePages(ConfigurationAdmin):
    """A page whose rows can be made again under another name."""

    #: Fields of a new row that are asked for; with what is said on the page about them.
    clone_hint: ClassVar[Any] = ""

    def get_urls(self) -> list[URLPattern]:
        clone = path(
            "<path:object_id>/clone/", self.admin_site.admin_view(self.clone_view), name=f"pilots_{self.opts.model_name}_clone"
        )
        return [clone, *super().get_urls()]

    def clone_form(self, request: HttpRequest, row: Any) -> forms.BaseForm:
        """The form that asks for what differs, bound to what was sent."""
        raise NotImplementedError

    def make_clone(self, request: HttpRequest, row: Any, given: Mapping[str, Any]) -> Sequence[Outcome]:
        """What came of making it; with a refusal nothing is kept."""
        raise NotImplementedError

    def may_clone(self, row: Any) -> bool:
        return True

    def clone_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.get_object(request, object_id)
        if row is None or not self.has_change_permission(request, row) or not self.may_clone(row):
            raise PermissionDenied
        form = self.clone_form(request, row)
        if request.method == "POST" and form.is_valid():
            with transaction.atomic():
                outcomes = self.make_clone(request, row, form.cleaned_data)
                transaction.set_rollback(refused(outcomes))
            if not refused(outcomes):
                messages.success(request, _("%(new)s was made as %(old)s is.") % {"new": outcomes[0].name, "old": row})
                return HttpResponseRedirect(reverse(f"admin:pilots_{self.opts.model_name}_changelist") + f"?q={outcomes[0].name}")
            _put_faults(form, outcomes)
        context = {"title": _("One more as %(name)s") % {"name": row}, "form": form, "row": row, "hint": self.clone_hint}
        frame = {**self.admin_site.each_context(request), "opts": self.opts}
        return TemplateResponse(request, "admin/pilots/clone.html", frame | context)

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        row = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if row is not None and self.may_clone(row) and self.has_change_permission(request, row):
            context["clone_url"] = reverse(f"admin:pilots_{self.opts.model_name}_clone", args=[row.pk])
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))


def clone_device(pages: Mapping[Any, Any], request: HttpRequest, device: Device, given: Mapping[str, Any]) -> list[Outcome]:
    """The device is there once more, with its points as they are now and the alarm rules that were changed by hand."""
    reason = f"clone of {device.code}"
    new = Device(pilot=device.pilot, code=given["code"], profile_options=device.profile_options)
    copied = {field.name: getattr(device, field.attname) for field in Device.history.model.tracked_fields}
    values = copied | {"code": given["code"], "name": given["name"], "address": given["address"]}
    values["connection"] = given["connection"].pk if given["connection"] else None
    outcomes = edit_rows(Edits(pages[Device], request, reason=reason), [Wanted(0, new.code, new, lambda: values)], dry_run=False)
    if refused(outcomes):
        return outcomes
    points = edit_rows(Edits(pages[Point], request, reason=reason), _points(device, new), dry_run=False)
    rules = edit_rows(Edits(pages[AlarmRule], request, reason=reason), _rules(device, new), dry_run=False)
    return [*outcomes, *points, *rules]


def clone_rule(page: Any, request: HttpRequest, rule: AlarmRule, point: Point, kind: str) -> list[Outcome]:
    """The rule is there for another point or of another kind too."""
    new = AlarmRule(pilot=rule.pilot, point=point, kind=kind)
    values = _rule_values(rule) | {"point": point.pk, "kind": kind}
    edits = Edits(page, request, reason=f"clone of {rule}")
    return edit_rows(edits, [Wanted(0, f"{point}", new, lambda: values)], dry_run=False)


def _points(old: Device, new: Device) -> Iterable[Wanted]:
    """The new device's points with the columns of the old one's; those that others take as feedback first."""
    made = {point.name: point for point in new.points.select_related("device__pilot", "device__connection")}
    for point in sorted(old.points.all(), key=lambda each: bool(each.feedback)):
        if not is_link_point(point):
            row = made.get(point.name) or Point(device=new, name=point.name)
            yield Wanted(0, f"{new.code}/{point.name}", row, _same({name: getattr(point, name) for name in POINT_COLUMNS}))


def _rules(old: Device, new: Device) -> Iterable[Wanted]:
    """The rules of its points that an engineer has changed; the others come by themselves."""
    points = {point.name: point for point in new.points.select_related("device__pilot")}
    made = {(rule.subject, rule.kind): rule for rule in AlarmRule.objects.filter(device=new).select_related("pilot", "point")}
    for rule in AlarmRule.objects.filter(device=old, own=True, point__isnull=False).select_related("point", "limit_point"):
        if rule.point is None or rule.point.name not in points:
            continue
        point = points[rule.point.name]
        row = made.get((str(point), rule.kind)) or AlarmRule(pilot=new.pilot, point=point, kind=rule.kind)
        values = _rule_values(rule) | {"point": point.pk}
        if rule.limit_point is not None and rule.limit_point.device_id == old.pk and rule.limit_point.name in points:
            values["limit_point"] = points[rule.limit_point.name].pk
        yield Wanted(0, f"{point}: {rule.kind}", row, _same(values))


def _rule_values(rule: AlarmRule) -> dict[str, Any]:
    return {field.name: getattr(rule, field.attname) for field in AlarmRule.history.model.tracked_fields}


def _same(values: dict[str, Any]) -> Any:
    return lambda: values


def cloneable(rule: AlarmRule) -> bool:
    """Whether a rule watches a point's value: the others belong to what they watch and come by themselves."""
    return rule.point_id is not None and AlarmKind(rule.kind).is_of_values


def _put_faults(form: forms.BaseForm, outcomes: Sequence[Outcome]) -> None:
    """What was refused stands at the field it names; of a point or rule of the new device with its name."""
    for outcome in outcomes:
        for fault in outcome.faults:
            own = fault.column in form.fields and (outcome is outcomes[0] or fault.column == "address")
            place = ": ".join(filter(None, (outcome.name, fault.column)))
            form.add_error(fault.column if own else None, fault.message if own else f"{place}: {fault.message}")


def device_form(request: HttpRequest, device: Device) -> forms.BaseForm:
    """Code, name, connection and address of one more device."""
    form = DeviceCloneForm(request.POST or None, initial={"connection": device.connection_id, "address": device.address})
    connections: Any = form.fields["connection"]
    connections.queryset = Connection.objects.filter(pilot=device.pilot)
    form.fields["code"].help_text = _("new, and beginning with %(code)s-") % {"code": device.pilot.code}
    form.fields["address"].help_text = _("must differ on the same connection, as another unit, common address or object address")
    return form


def rule_form(request: HttpRequest, rule: AlarmRule) -> forms.BaseForm:
    """Point and kind of one more rule."""
    return RuleCloneForm(rule, request.POST or None, initial={"point": rule.subject, "kind": rule.kind})
