"""The query parameters of a list. Their values are validated like the fields of a device."""

from collections.abc import Callable, Sequence, Set
from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_filters import rest_framework as filters
from rest_framework.request import Request

from devices import drafts
from devices.api.selection import LOOKUPS, Selection
from devices.models import Device, Hospital
from devices.problems import Problem
from devices.reach import Reach

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_MILLISECONDS = 253_402_300_799_999  # the end of the year 9999, the last that a database date can tell
ORDERINGS = [sign + field for field in ("id", "device_name", "updated_at") for sign in ("", "-")]
MAY_BE_EMPTY = {"search"}


class CleanedField(forms.Field):
    """A form's field that reads its text by one of the cleaners of drafts.py."""

    def __init__(self, *, cleaner: Callable[[object], str | None], **options: Any) -> None:
        self.cleaner = cleaner
        super().__init__(**options)

    def to_python(self, value: Any) -> str | None:
        return None if value in self.empty_values else self.cleaner(value)


class CleanedFilter(filters.CharFilter):
    field_class = CleanedField


class InstantField(forms.Field):
    def to_python(self, value: Any) -> datetime | None:
        if value in self.empty_values:
            return None
        if not (value.isascii() and value.isdecimal() and len(value) <= 15 and int(value) <= MAX_MILLISECONDS):
            raise ValidationError(
                _("Send milliseconds since 1970 UTC, from 0 to %(limit)d.") % {"limit": MAX_MILLISECONDS}, "invalid"
            )
        return EPOCH + timedelta(milliseconds=int(value))


class InstantFilter(filters.Filter):
    field_class = InstantField


def _clean_holder_name(value: object) -> str:
    return drafts.fold(drafts.clean_holder(value) or drafts.UNKNOWN)


class DeviceFilter(filters.FilterSet):
    base_filters: dict[str, filters.Filter]

    device_name = CleanedFilter(cleaner=drafts.clean_text)
    device_mac = CleanedFilter(cleaner=drafts.clean_mac)
    device_type = CleanedFilter(cleaner=drafts.clean_type)
    device_holder = CleanedFilter(cleaner=_clean_holder_name)
    search = CleanedFilter(cleaner=drafts.clean_text)
    updated_since = InstantFilter(field_name="updated_at", lookup_expr="gte")
    created_since = InstantFilter(field_name="created_at", lookup_expr="gte")
    ordering = filters.ChoiceFilter(
        choices=[(ordering, ordering) for ordering in ORDERINGS],
        error_messages={
            "invalid_choice": format_lazy(gettext_lazy("Send one of: {orderings}."), orderings=", ".join(ORDERINGS))
        },
    )

    class Meta:
        model = Device
        fields: list[str] = []

    def __init__(self, data: QueryDict) -> None:
        """Keep the filters that were sent: django-filter makes a form field of each, for every request."""
        self.base_filters = {name: made for name, made in self.base_filters.items() if name in data}
        super().__init__(data)

    def problems(self) -> list[Problem]:
        """Return an error for each invalid value."""
        if not self.base_filters:
            return []
        return [
            Problem(name, error.code or "invalid", error.messages[0])
            for name, errors in self.form.errors.as_data().items()
            for error in errors
        ]

    def select(self, reach: Reach) -> Selection:
        """Return the devices within the scope that the filters select, in their order, after `problems` found none."""
        values = self.form.cleaned_data if self.base_filters else {}
        conditions = {name: value for name, value in values.items() if name in LOOKUPS}
        if "device_holder" in conditions:
            conditions["device_holder"] = _hospital_id(conditions["device_holder"], reach)
        if reach.own:
            conditions["scope"] = reach.own.pk
        return Selection(reach, conditions, values.get("search") or "", values.get("ordering") or "id")


def _hospital_id(name: str, reach: Reach) -> int | None:
    """Return the id of the hospital with this folded name, 0 if none within the scope has it, None for `unknown`."""
    if name == drafts.UNKNOWN:
        return None
    hospital = Hospital.objects.within(reach).called([name]).get(name)
    return hospital.pk if hospital else 0


LIST_PARAMETERS = {*DeviceFilter.base_filters, "page", "size", "after", "before"}


def check_parameters(request: Request, known: set[str], ignored: Set[str] = frozenset()) -> list[Problem]:
    """Return a problem for what would be passed over in silence: a parameter that is unknown, stands twice or is empty.

    A misspelt filter would otherwise return every hospital's devices.
    """
    problems = []
    for name, values in request.query_params.lists():
        if name in ignored:
            continue
        if name not in known:
            problems.append(Problem(name, "unknown_parameter", _known(known | ignored)))
        elif len(values) > 1:
            problems.append(Problem(name, "repeated", _("This parameter may be sent once only.")))
        elif not values[0] and name not in MAY_BE_EMPTY:
            problems.append(Problem(name, "blank", _("This parameter has no value: send one, or leave it out.")))
    return problems


def choice(request: Request, name: str, allowed: Sequence[str], problems: list[Problem]) -> str:
    """Return the parameter's value, or the first that is allowed; add what is wrong to the problems."""
    value = request.query_params.get(name) or allowed[0]  # check_parameters tells that a value is missing
    if value not in allowed:
        message = _("Send one of: {orderings}.").format(orderings=", ".join(allowed))
        problems.append(Problem(name, "invalid_choice", message))
        return allowed[0]
    return value


def whole_number(
    sent: QueryDict, name: str, low: int, high: int, problems: list[Problem], default: int | None = None
) -> int:
    """Return the parameter's number, or the default where it was not sent; add what is wrong to the problems."""
    text = sent.get(name)
    if not text:
        return low if default is None else default  # not sent, or check_parameters has told that it has no value
    if text.isascii() and text.isdecimal() and len(text) <= 19 and low <= int(text) <= high:
        return int(text)
    message = _("Send a whole number from %(low)d to %(high)d.") % {"low": low, "high": high}
    problems.append(Problem(name, "out_of_range", message))
    return low


def _known(known: set[str]) -> str:
    if not known:
        return _("This address takes no parameters.")
    return _("There is no parameter of this name. Known here: %(known)s.") % {"known": ", ".join(sorted(known))}
