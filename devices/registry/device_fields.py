"""Validate and normalize the fields of a device. All rules for fields are here.

The API, the forms of the admin, imports and commands use these functions. The models have the same rules as database
constraints. The data of a device is a plain dict, because a POST can have 10,000 devices.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypedDict

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from devices.values import hospital_names, mac, mac_errors, normalization
from devices.values.device_types import DEVICE_TYPES
from devices.values.error_codes import ErrorCode
from devices.values.errors import FieldError
from devices.values.hospital_names import NO_HOSPITAL

MAX_LENGTH = normalization.MAX_LENGTH


class DeviceData(TypedDict, total=False):
    """Normalized fields of a device. `device_holder` is the name of a hospital, None for no hospital."""

    device_name: str
    device_mac: str
    device_type: str
    device_holder: str | None


NO_HOSPITAL_NAME = _("“%(text)s” means no hospital. Write the name of a hospital.")
REQUIRED_FIELDS = ("device_name", "device_mac", "device_type")

normalize = normalization.normalize


def clean_text(value: object, limit: int = MAX_LENGTH) -> str:
    """Return the normalized text: 1–255 characters in one line, without invisible or private-use characters.

    An integer is read as its digits.

    limit: the maximum length, if it is not 255.

    Raises:
        ValidationError: with an ErrorCode.
    """
    text = normalize(value if isinstance(value, str) else _read_integer(value))
    if not text:
        raise ValidationError(_("This field must not be empty."), ErrorCode.BLANK)
    if len(text) > limit:
        numbers = {"limit": limit, "length": len(text)}
        message = _("This has %(length)d characters. The maximum is %(limit)d.")
        raise ValidationError(message, ErrorCode.MAX_LENGTH, numbers)
    if not (text.isascii() and text.isprintable()) and normalization.is_rejected(text):
        raise ValidationError(
            _("This contains control characters, text-direction overrides, private-use characters or invalid Unicode."),
            ErrorCode.CHARACTERS,
        )
    return text


def _read_integer(value: object) -> str:
    """Return the decimal digits of an integer: clients send cells of spreadsheets as JSON numbers (decision 33).

    True is an integer in Python, but not in JSON.

    Raises:
        ValidationError: the value is not an integer.
    """
    if value is None:
        raise ValidationError(_("This field must not be null."), ErrorCode.NULL)
    if type(value) is not int:
        raise ValidationError(_("This must be a string."), ErrorCode.INVALID_TYPE)
    return str(value)


def clean_mac(value: object) -> str:
    """Return the MAC address of a device in capitals with colons, or a manufacturer ID if the settings allow it."""
    address = read_mac(value)
    if mac.is_group(address):
        raise ValidationError(mac_errors.describe_group(address), ErrorCode.MAC)
    return address


def read_mac(value: object) -> str:
    """Return the MAC address like `clean_mac`, or an address that no device can have. Older registries contain them."""
    if not isinstance(value, str):
        value = _read_integer(value)
        if mac.parse_mac(value) and not mac.is_exact_number(value):
            raise ValidationError(
                _("Send this MAC address as a string: programs can change the digits of such a number."), ErrorCode.MAC
            )
    if not settings.DEVICES_ALLOW_NON_MAC and (address := mac.parse_mac(value)):
        return address
    text = clean_text(value)
    if settings.DEVICES_ALLOW_NON_MAC:
        if found := mac.parse_mac_or_manufacturer_id(text):
            return found
        raise ValidationError(
            _(
                "This is not a valid MAC address, nor a manufacturer ID of 4 to 64 printable ASCII characters without "
                "spaces."
            ),
            ErrorCode.MAC,
        )
    raise ValidationError(mac_errors.describe(text), ErrorCode.MAC)


def clean_type(value: object) -> str:
    if value in DEVICE_TYPES:
        return str(value)
    text = clean_text(value)
    kind = text.upper() if text.isascii() else ""  # some non-ASCII letters have an ASCII capital
    if kind not in DEVICE_TYPES:
        raise ValidationError(
            _("This is not a valid device type. Use one of: %(types)s."),
            ErrorCode.INVALID_CHOICE,
            {"types": ", ".join(DEVICE_TYPES)},
        )
    return kind


def clean_holder(value: object) -> str | None:
    """Return the normalized name of the hospital; None for `unknown`."""
    text = clean_text(value)
    return None if hospital_names.fold_name(text) == NO_HOSPITAL else text


def clean_hospital_name(value: object) -> str:
    """Return the normalized name for a hospital that is registered or renamed.

    Raises:
        ValidationError: also for a text that means no hospital, such as `-`, `N/A`, `unknown`, `0` or `#REF!`.
    """
    text = clean_text(value)
    if hospital_names.means_nothing(text) or hospital_names.is_formula_result(text):
        raise ValidationError(NO_HOSPITAL_NAME % {"text": text}, ErrorCode.BLANK)
    return text


def counts_as_omitted(holder: object) -> bool:
    """Return whether a `device_holder` names no hospital: null, an empty text, or one that means nothing.

    `unknown` is different: an update with it removes the hospital of the device.
    """
    if type(holder) is int:
        holder = str(holder)
    if not isinstance(holder, str):
        return holder is None
    return _names_nothing(holder) if len(holder) <= MAX_LENGTH else not normalize(holder)


@lru_cache(maxsize=1000)
def _names_nothing(text: str) -> bool:
    if hospital_names.fold_name(text) == NO_HOSPITAL:
        return False
    return hospital_names.means_nothing(text) or hospital_names.is_formula_result(text)


Cleaner = Callable[[object], str | None]

CLEANERS: dict[str, Cleaner] = {
    "device_name": clean_text,
    "device_mac": clean_mac,
    "device_type": clean_type,
    "device_holder": clean_holder,
}


def validate(
    row: Mapping[str, Any], required: tuple[str, ...] = REQUIRED_FIELDS, cleaners: Mapping[str, Cleaner] = CLEANERS
) -> tuple[DeviceData, list[FieldError]]:
    """Return the valid fields, normalized, and the errors of the other fields. Unknown fields are ignored.

    A `device_holder` that names no hospital is omitted. `cleaners` has the rules for another source than the API.
    """
    item: dict[str, str | None] = {}
    problems = []
    for field, clean in cleaners.items():
        if field not in row or (field == "device_holder" and counts_as_omitted(row[field])):
            if field in required:
                problems.append(FieldError(field, ErrorCode.REQUIRED, _("This field is required.")))
            continue
        try:
            item[field] = clean(row[field])
        except ValidationError as error:
            problems.append(FieldError(field, ErrorCode(str(error.code)), error.messages[0]))
    return item, problems  # type: ignore[return-value]
