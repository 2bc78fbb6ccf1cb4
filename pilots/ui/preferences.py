"""What a person chooses for themselves: language, clock and own time zone, light or dark."""

from __future__ import annotations

from typing import Any, cast
from zoneinfo import available_timezones

from django import forms
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_POST

from pilots.models import Clock, User
from pilots.ui.access import signed_in


class PreferencesForm(forms.ModelForm):  # type: ignore[type-arg]
    """Choices of which none touches a right."""

    time_zone = forms.ChoiceField(label=_("Own time zone"), required=False)

    class Meta:
        model = User
        fields = ["language", "clock", "time_zone", "theme"]

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        zones = sorted(name for name in available_timezones() if "/" in name and not name.startswith("Etc/"))
        field = cast(forms.ChoiceField, self.fields["time_zone"])
        field.choices = [("", _("none")), ("UTC", "UTC"), *((name, name.replace("_", " ")) for name in zones)]
        self.fields["clock"].required = False  # what is not sent stays as it is

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or self.cleaned_data
        if given.get("clock") == Clock.OWN and given.get("time_zone") == "":
            self.add_error("time_zone", _("Own time needs a zone of your own: choose it here."))
        return given


@signed_in
@require_http_methods(["GET", "POST"])
def preferences(request: HttpRequest) -> HttpResponse:
    """The form; saved, the same page in the language that was chosen."""
    wants_own = {"clock": Clock.OWN} if request.GET.get("clock") == Clock.OWN else None
    form = PreferencesForm(request.POST or None, instance=cast(User, request.user), initial=wants_own)
    if request.method == "POST" and form.is_valid():
        form.save(commit=False).save(update_fields=form.Meta.fields)  # a right that is taken away meanwhile stays so
        return HttpResponseRedirect(f"{reverse('preferences')}?saved=1")
    context = {"form": form, "saved": "saved" in request.GET, "wants_zone": bool(wants_own) and not request.POST}
    return render(request, "account/preferences.html", context)


@signed_in
@require_POST
def choose_clock(request: HttpRequest) -> HttpResponse:
    """The choice is kept, and the page that asked comes again by it; own time first wants a zone."""
    user, clock = cast(User, request.user), request.POST.get("clock", "")
    if clock not in Clock.values:
        raise Http404
    if clock == Clock.OWN and not user.time_zone:
        return HttpResponseRedirect(f"{reverse('preferences')}?clock={Clock.OWN}")
    user.clock = clock
    user.save(update_fields=["clock"])
    back = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure()):
        back = reverse("overview")
    return HttpResponseRedirect(back)
