"""Validate and normalize the contact data of a hospital. Each field is optional: an empty text means unknown."""

import re
from collections.abc import Callable
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import DomainNameValidator, EmailValidator
from django.utils.translation import gettext_lazy as _

from devices.models import Hospital
from devices.registry import device_fields
from devices.values.error_codes import ErrorCode
from devices.values.normalization import normalize

CONTACT_FIELDS = ("address", "email", "phone", "region", "domain")

_PHONE = re.compile(r"[0-9+][0-9 ()+./,;#*-]*")
MIN_DIGITS = 3  # of a phone number: emergency numbers have three


def clean_email(text: str) -> str:
    EmailValidator()(text)
    return text


def clean_phone(text: str) -> str:
    """Return one or several phone numbers. They are not converted to another notation."""
    if not _PHONE.fullmatch(text.removeprefix("(")) or sum(map(str.isdigit, text)) < MIN_DIGITS:
        raise ValidationError(
            _("Enter a phone number with digits, spaces and these characters only: + - ( ) . / , ; # *"),
            ErrorCode.CHARACTERS,
        )
    return text


def clean_domain(text: str) -> str:
    """Return a host name in lower case, without the dot at its end."""
    domain = text.lower().removesuffix(".")
    try:
        DomainNameValidator()(domain)
    except ValidationError as error:
        message = _("Enter a host name without https:// and without a path, such as rs-harapan.example.")
        raise ValidationError(message, ErrorCode.CHARACTERS) from error
    return domain


CLEANERS: dict[str, Callable[[str], str]] = {"email": clean_email, "phone": clean_phone, "domain": clean_domain}


def clean_contact(field: str, value: str) -> str:
    """Return the normalized value of a contact field, which can be empty.

    Raises:
        ValidationError: the value is invalid or too long for the column.
    """
    if not normalize(value):
        return ""
    column: Any = Hospital._meta.get_field(field)
    text = device_fields.clean_text(value, column.max_length)
    return CLEANERS[field](text) if field in CLEANERS else text
