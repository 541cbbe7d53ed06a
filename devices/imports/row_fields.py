"""Validate the fields of a row of a file. A file has the words of the admin's pages, and results of formulas."""

from collections.abc import Mapping
from functools import lru_cache

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import override

from devices.registry import device_fields
from devices.registry.device_fields import DeviceData
from devices.values import hospital_names
from devices.values.device_types import DEVICE_TYPES, DeviceType
from devices.values.error_codes import ErrorCode
from devices.values.errors import FieldError

FORMER_LABELS = {"konsumen": DeviceType.CONSUMER, "korporat": DeviceType.CORPORATE}


def validate(cells: Mapping[str, str]) -> tuple[DeviceData, list[FieldError]]:
    """Return the valid fields of a row, normalized, and the errors of the other fields."""
    item, problems = device_fields.validate(cells, cleaners=_CLEANERS)
    holder = cells.get("device_holder", "")
    if holder and _is_formula_result(holder):
        message = _(
            "“%(text)s” is the result of a formula, not a hospital. Write the name of the hospital, or leave the cell "
            "empty."
        )
        problems.append(FieldError("device_holder", ErrorCode.BLANK, message % {"text": holder}))
    return item, problems


def clean_type(value: object) -> str:
    """Return the type for the API's value, or for the word of the admin's pages in any of its languages."""
    if value in DEVICE_TYPES:  # imports read a million of these
        return str(value)
    text = device_fields.clean_text(value)
    if kind := _types_by_word().get(hospital_names.fold_name(text)):
        return kind
    labels = [str(kind.label) for kind in DeviceType]
    message = _("This is not a valid device type. Write “%(first)s” or “%(second)s”.")
    raise ValidationError(message % dict(zip(("first", "second"), labels, strict=True)), ErrorCode.INVALID_CHOICE)


_CLEANERS = {**device_fields.CLEANERS, "device_type": clean_type}
_is_formula_result = lru_cache(maxsize=1000)(hospital_names.is_formula_result)


@lru_cache(maxsize=1)
def _types_by_word() -> dict[str, str]:
    """Return the types by each word for them, in lower case."""
    words = {kind.value.casefold(): kind.value for kind in DeviceType} | {
        word: kind.value for word, kind in FORMER_LABELS.items()
    }
    for language, _name in settings.LANGUAGES:
        with override(language):
            words |= {hospital_names.fold_name(str(kind.label)): kind.value for kind in DeviceType}
    return words
