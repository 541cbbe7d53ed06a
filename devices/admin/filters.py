"""Filters of the lists."""

from datetime import date, datetime, time, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter, RangeDateFilter
from unfold.contrib.filters.forms import AutocompleteDropdownForm

from devices.access import scopes
from devices.admin.base import is_id
from devices.models import Hospital


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


class DateRangeFilter(RangeDateFilter):
    """From one day to another, both included, in the admin's time zone."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if first := self.used_parameters.get(f"{self.parameter_name}_from"):
            queryset = queryset.filter(**{f"{self.field_path}__gte": midnight(_day(first))})
        if last := self.used_parameters.get(f"{self.parameter_name}_to"):
            queryset = queryset.filter(**{f"{self.field_path}__lt": midnight(_day(last) + timedelta(days=1))})
        return queryset


class TimeFilter(DateRangeFilter):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = _("time")


def midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))


def _day(text: str) -> date:
    try:
        day: date = forms.DateField().clean(text)
    except ValidationError as error:
        raise IncorrectLookupParameters(text) from error
    if not 1900 <= day.year < 9999:  # other years can be invalid dates in another time zone
        raise IncorrectLookupParameters(text)
    return day
