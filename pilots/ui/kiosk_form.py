"""What is asked for a new kiosk: its pilots, its look, its end, and the pages it shows in turn."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from pilots.models import Pilot, User
from pilots.models.access import LANGUAGES, Theme
from pilots.ui.kiosks import MOST_PAGES, SECONDS, Page, choices, engineered

LONGEST_DAYS = 1830


class KioskForm(forms.Form):
    """Fields, and the rows of the rotation behind them."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=80)
    pilots = forms.ModelMultipleChoiceField(
        Pilot.objects.none(), label=gettext_lazy("Pilots"), widget=forms.CheckboxSelectMultiple, to_field_name="code"
    )
    ends = forms.DateField(label=gettext_lazy("Last day"), widget=forms.DateInput(attrs={"type": "date"}))
    language = forms.ChoiceField(label=gettext_lazy("Language"), choices=LANGUAGES)
    theme = forms.ChoiceField(label=gettext_lazy("Theme"), choices=Theme.choices, required=False)

    def __init__(self, data: QueryDict | None, *, by: User, now: datetime) -> None:
        first = {"ends": (timezone.localdate(now) + timedelta(days=365)).isoformat(), "language": by.language, "theme": by.theme}
        super().__init__(data, initial=first)
        self.now, self.by = now, by
        self.fields["pilots"].queryset = engineered(by)  # type: ignore[attr-defined]
        self.pages = choices(list(engineered(by)), by)
        self.rows = [self._row(number) for number in range(MOST_PAGES)]

    def _row(self, number: int) -> dict[str, Any]:
        given = self.data if self.is_bound else {f"show_{number}": "overview" if number == 0 else "", f"seconds_{number}": "20"}
        show, seconds = (str(given.get(f"{name}_{number}", "")).strip() for name in ("show", "seconds"))
        return {"number": number, "show": show, "seconds": seconds, "spare": number > 2 and not show}

    def clean_ends(self) -> datetime:
        """The end of that day on the reader's clock."""
        day = self.cleaned_data["ends"]
        end = timezone.make_aware(datetime.combine(day + timedelta(days=1), time()))
        if not self.now < end <= self.now + timedelta(days=LONGEST_DAYS):
            raise forms.ValidationError(_("The last day is today or later, and within five years."))
        return end

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        known = {page.show: page for page in self.pages}
        codes = {pilot.code for pilot in given.get("pilots", [])}
        try:
            given["pages"] = [_page(row, known, codes) for row in self.rows if row["show"]]
        except forms.ValidationError as error:
            self.add_error(None, error)
        if not any(row["show"] for row in self.rows):
            self.add_error(None, _("Choose at least one page."))
        return given


def _page(row: dict[str, Any], known: dict[str, Page], codes: set[str]) -> dict[str, Any]:
    place, page, seconds = row["number"] + 1, known.get(row["show"]), row["seconds"]
    if page is None:
        raise forms.ValidationError(_("Page %(n)d is none that you may put on a screen.") % {"n": place})
    if page.pilot and page.pilot not in codes:
        raise forms.ValidationError(_("Page %(n)d shows a pilot that is not ticked above.") % {"n": place})
    if not (seconds.isascii() and seconds.isdigit() and len(seconds) < 5 and int(seconds) in SECONDS):
        raise forms.ValidationError(_("Page %(n)d: give it 5 to 3600 seconds.") % {"n": place})
    return {"show": page.show, "seconds": int(seconds)}
