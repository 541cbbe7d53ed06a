"""Filters of the admin's lists."""

from datetime import datetime, time, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.contrib.filters.admin import AutocompleteSelectFilter, RangeDateFilter
from unfold.contrib.filters.forms import AutocompleteDropdownForm

from devices import reach
from devices.admin.access import is_id
from devices.models import Hospital


class HolderForm(AutocompleteDropdownForm):
    """Choose a hospital by a part of its name. One beyond reach is not named, even where a URL chooses it."""

    def __init__(self, request: HttpRequest, name: str, **options: Any) -> None:
        super().__init__(request=request, name=name, **options)
        self.fields[name].queryset = Hospital.objects.within(reach.of_user(request.user))


class HolderFilter(AutocompleteSelectFilter):
    """Devices of one hospital, or, by `__isnull`, those that no hospital holds."""

    form_class = HolderForm
    used_parameters: dict[str, Any]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        self.used_parameters = {name: value for name, value in self.used_parameters.items() if value not in ("", [""])}
        if self.value() and not is_id(str(self.value())):
            raise IncorrectLookupParameters(self.value())
        return admin.RelatedFieldListFilter.queryset(self, request, queryset)


class DaysFilter(RangeDateFilter):
    """What happened from one day to another, both included, as the admin's time zone counts days."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        lookups = {}
        if first := self.used_parameters.get(f"{self.parameter_name}_from"):
            lookups[f"{self.field_path}__gte"] = _midnight(first)
        if last := self.used_parameters.get(f"{self.parameter_name}_to"):
            lookups[f"{self.field_path}__lt"] = _midnight(last, days_later=1)
        return queryset.filter(**lookups)


def _midnight(text: str, days_later: int = 0) -> datetime:
    try:
        day = forms.DateField().clean(text)
    except ValidationError as error:
        raise IncorrectLookupParameters(text) from error
    if not 1900 <= day.year < 9999:  # beyond, another time zone's day has no date
        raise IncorrectLookupParameters(text)
    return timezone.make_aware(datetime.combine(day + timedelta(days=days_later), time.min))
