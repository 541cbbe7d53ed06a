"""Filters of the lists."""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import AutocompleteSelectFilter, RangeDateFilter
from unfold.contrib.filters.forms import AutocompleteDropdownForm
from unfold.widgets import INPUT_CLASSES

from devices.access import scopes
from devices.admin.base import is_id
from devices.models import Hospital

FIRST_DAY, LAST_DAY = date(1900, 1, 1), date(9998, 12, 31)  # others can be invalid dates in another time zone


class HospitalChoiceForm(AutocompleteDropdownForm):
    """Choose a hospital by part of its name. A hospital outside the scope is not shown, even if the URL has its id."""

    def __init__(self, request: HttpRequest, name: str, **options: Any) -> None:
        super().__init__(request=request, name=name, **options)
        self.fields[name].queryset = Hospital.objects.in_scope(scopes.scope_for_user(request.user))


class HospitalFilter(AutocompleteSelectFilter):
    """Objects of one hospital, or of no hospital with `__isnull`."""

    form_class = HospitalChoiceForm
    used_parameters: dict[str, Any]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        self.used_parameters = {name: value for name, value in self.used_parameters.items() if value not in ("", [""])}
        if self.value() and not is_id(str(self.value())):
            raise IncorrectLookupParameters(self.value())
        return admin.RelatedFieldListFilter.queryset(self, request, queryset)

    def describe(self) -> str:
        """Return the name of the hospital. Of a hospital outside the scope, return only the id from the URL."""
        if not self.value():
            return _("No hospital")
        hospitals = Hospital.objects.in_scope(scopes.scope_for_user(self.request.user))
        return str(hospitals.resolve(int(self.value())) or self.value())


class DayField(forms.DateField):
    """A day as browsers send it from their own date field, as in 2026-11-27.

    No other notation is read: 11/12/2026 is November 12 for some users and December 11 for others.
    """

    default_error_messages = {
        "invalid": gettext_lazy("This is not a valid date. Write year, month and day, as in 2026-11-27."),
    }

    def __init__(self, label: Any) -> None:
        classes = " ".join(INPUT_CLASSES)
        widget = forms.DateInput(format="%Y-%m-%d", attrs={"type": "date", "class": classes})
        limits = [MinValueValidator(FIRST_DAY), MaxValueValidator(LAST_DAY)]
        super().__init__(label=label, required=False, widget=widget, input_formats=["%Y-%m-%d"], validators=limits)


class DayRangeForm(forms.Form):
    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(**options)
        self.fields[f"{name}_from"] = DayField(gettext_lazy("From"))
        self.fields[f"{name}_to"] = DayField(gettext_lazy("To"))


class DateRangeFilter(RangeDateFilter):
    """From one day to another, both included, in the admin's time zone. A text that is not a day finds nothing."""

    form_class = DayRangeForm
    template = "admin/filter_days.html"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        form = self._form()
        if not form.is_valid():
            return queryset.none()
        first, last = (form.cleaned_data[name] for name in self.expected_parameters())
        if first:
            queryset = queryset.filter(**{f"{self.field_path}__gte": midnight(first)})
        if last:
            queryset = queryset.filter(**{f"{self.field_path}__lt": midnight(last + timedelta(days=1))})
        return queryset

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        yield {"form": self._form()}

    def describe(self) -> str:
        """Return the days in the format of the language, and an invalid day as it is in the URL."""
        form = self._form()
        form.is_valid()
        days = [
            date_format(day) if (day := form.cleaned_data.get(name)) else self.used_parameters.get(name, "")
            for name in self.expected_parameters()
        ]
        if all(days):
            return " – ".join(days)
        return _("from %(day)s") % {"day": days[0]} if days[0] else _("to %(day)s") % {"day": days[1]}

    @property
    def errors(self) -> list[str]:
        return [str(error) for errors in self._form().errors.values() for error in errors]

    def _form(self) -> DayRangeForm:
        return DayRangeForm(str(self.parameter_name), data=self.used_parameters)


class TimeFilter(DateRangeFilter):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = _("time")


def midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))
