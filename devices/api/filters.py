"""The query parameters of a list. Their values are validated like the fields of a device."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_filters import rest_framework as filters

from devices.api import mac_field
from devices.api.hospital_queries import HospitalSelection
from devices.api.queries import LOOKUPS, Selection
from devices.models import Device, Hospital
from devices.registry import device_fields
from devices.values import hospital_names
from devices.values.error_codes import ErrorCode
from devices.values.errors import FieldError
from devices.values.scope import Scope

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_MILLISECONDS = 253_402_300_799_999  # the end of the year 9999, the last year that a database can store
ORDERINGS = [sign + field for field in ("id", "device_name", "updated_at") for sign in ("", "-")]
HOSPITAL_ORDERINGS = [sign + field for field in ("id", "hospital_name", "updated_at") for sign in ("", "-")]


class CleanedField(forms.Field):
    """A form field that is validated by a function of device_fields.py."""

    def __init__(self, *, cleaner: Callable[[object], str | None], **options: Any) -> None:
        self.cleaner = cleaner
        super().__init__(**options)

    def to_python(self, value: Any) -> str | None:
        return None if value in self.empty_values else self.cleaner(value)


class CleanedFilter(filters.CharFilter):
    field_class = CleanedField


class TimestampField(forms.Field):
    def to_python(self, value: Any) -> datetime | None:
        if value in self.empty_values:
            return None
        if not (value.isascii() and value.isdecimal() and len(value) <= 15 and int(value) <= MAX_MILLISECONDS):
            raise ValidationError(
                _("Send milliseconds since 1970 UTC as an integer from 0 to %(limit)d, not an ISO 8601 date.")
                % {"limit": MAX_MILLISECONDS},
                ErrorCode.INVALID_TIMESTAMP,
            )
        return EPOCH + timedelta(milliseconds=int(value))


class TimestampFilter(filters.Filter):
    field_class = TimestampField


def _clean_holder_name(value: object) -> str:
    return hospital_names.fold_name(device_fields.clean_holder(value) or hospital_names.NO_HOSPITAL)


def _ordering(orderings: list[str]) -> filters.ChoiceFilter:
    message = format_lazy(gettext_lazy("This must be one of: {choices}."), choices=", ".join(orderings))
    choices = [(ordering, ordering) for ordering in orderings]
    return filters.ChoiceFilter(choices=choices, error_messages={"invalid_choice": message})


class ListFilter(filters.FilterSet):
    """The filters of a list. Call `find_errors` first."""

    base_filters: dict[str, filters.Filter]

    def __init__(self, data: QueryDict) -> None:
        """Keep only the filters of this request: django-filter creates a form field for each filter."""
        self.base_filters = {name: made for name, made in self.base_filters.items() if name in data}
        super().__init__(data)

    def find_errors(self) -> list[FieldError]:
        """Return an error for each invalid value."""
        if not self.base_filters:
            return []
        return [
            FieldError(name, ErrorCode(str(error.code)), error.messages[0])
            for name, errors in self.form.errors.as_data().items()
            for error in errors
        ]

    @property
    def values(self) -> dict[str, Any]:
        """The values by name of the filter."""
        return self.form.cleaned_data if self.base_filters else {}


class DeviceFilter(ListFilter):
    device_name = CleanedFilter(cleaner=device_fields.clean_text)
    device_mac = CleanedFilter(cleaner=mac_field.read_mac)
    device_type = CleanedFilter(cleaner=device_fields.clean_type)
    device_holder = CleanedFilter(cleaner=_clean_holder_name)
    search = CleanedFilter(cleaner=device_fields.clean_text)
    updated_since = TimestampFilter(field_name="updated_at", lookup_expr="gte")
    created_since = TimestampFilter(field_name="created_at", lookup_expr="gte")
    ordering = _ordering(ORDERINGS)

    class Meta:
        model = Device
        fields: list[str] = []

    def select(self, scope: Scope) -> Selection:
        """Return the devices in scope that match the filters, in the requested order. Call `find_errors` first."""
        values = self.values
        conditions = {name: value for name, value in values.items() if name in LOOKUPS}
        if "device_holder" in conditions:
            conditions["device_holder"] = _hospital_id(conditions["device_holder"], scope)
        if scope.default_hospital:
            conditions["scope"] = scope.default_hospital.pk
        elif scope.hospital_ids is not None:
            conditions["hospitals"] = scope.hospital_ids
        return Selection(scope, conditions, values.get("search") or "", values.get("ordering") or "id")


class HospitalFilter(ListFilter):
    name = CleanedFilter(cleaner=_clean_holder_name)
    search = CleanedFilter(cleaner=device_fields.clean_text)
    updated_since = TimestampFilter(field_name="updated_at", lookup_expr="gte")
    created_since = TimestampFilter(field_name="created_at", lookup_expr="gte")
    ordering = _ordering(HOSPITAL_ORDERINGS)

    class Meta:
        model = Hospital
        fields: list[str] = []

    def select(self, scope: Scope) -> HospitalSelection:
        """Return the hospitals in scope that match the filters, in the requested order. Call `find_errors` first."""
        values = self.values
        conditions = {name: value for name, value in values.items() if name in ("updated_since", "created_since")}
        if "name" in values:
            conditions["id"] = _hospital_id(values["name"], scope) or 0
        return HospitalSelection(scope, conditions, values.get("search") or "", values.get("ordering") or "id")


def _hospital_id(name: str, scope: Scope) -> int | None:
    """Return the id of the hospital in scope with this folded name, 0 if there is none, None for `unknown`."""
    if name == hospital_names.NO_HOSPITAL:
        return None
    hospital = Hospital.objects.in_scope(scope).by_name([name]).get(name)
    return hospital.pk if hospital else 0
