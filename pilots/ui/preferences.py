"""What a person chooses for themselves: language, own time zone, light or dark."""

from __future__ import annotations

from typing import Any, cast
from zoneinfo import available_timezones

from django import forms
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods

from pilots.models import User
from pilots.ui.access import signed_in


class PreferencesForm(forms.ModelForm):  # type: ignore[type-arg]
    """Three choices, none of which touches a right."""

    time_zone = forms.ChoiceField(label=_("Own time zone"), required=False)

    class Meta:
        model = User
        fields = ["language", "time_zone", "theme"]

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        zones = sorted(name for name in available_timezones() if "/" in name and not name.startswith("Etc/"))
        field = cast(forms.ChoiceField, self.fields["time_zone"])
        field.choices = [("", _("that of the pilot")), ("UTC", "UTC"), *((name, name.replace("_", " ")) for name in zones)]


@signed_in
@require_http_methods(["GET", "POST"])
def preferences(request: HttpRequest) -> HttpResponse:
    """The form; saved, the same page in the language that was chosen."""
    form = PreferencesForm(request.POST or None, instance=cast(User, request.user))
    if request.method == "POST" and form.is_valid():
        form.save(commit=False).save(update_fields=form.Meta.fields)  # a right that is taken away meanwhile stays so
        return HttpResponseRedirect(f"{reverse('preferences')}?saved=1")
    return render(request, "account/preferences.html", {"form": form, "saved": "saved" in request.GET})
