"""Parse the body of a request. device_fields.py validates the fields of a device."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request

from devices.access import scopes
from devices.api import mac_field
from devices.api.authentication import key_of
from devices.api.exceptions import TooManyItems
from devices.api.field_names import to_snake_case
from devices.models import MAX_ID
from devices.registry import device_fields
from devices.registry.device_fields import DeviceData
from devices.values.error_codes import ErrorCode
from devices.values.errors import FieldError, ValidationFailed

MAX_LOOKUP = 1000  # MAC addresses of one lookup


def parse_devices(request: Request) -> tuple[list[DeviceData], list[FieldError]]:
    """Return the posted devices and the errors of their fields. A single object is one device.

    For a key of one hospital, `unknown` counts as omitted: each device in its scope is of that hospital.

    Raises:
        ValidationFailed: the body or the array is empty.
        TooManyItems: the array has more than API_MAX_DEVICES items.
    """
    body = _read_body(request)
    rows = body if isinstance(body, list) else [body]
    if not rows:
        raise ValidationFailed([FieldError(None, ErrorCode.EMPTY, _("The array is empty. Send at least one device."))])
    if len(rows) > settings.API_MAX_DEVICES:
        raise TooManyItems(len(rows), settings.API_MAX_DEVICES)
    items, problems = [], []
    for index, row in enumerate(rows):
        item, found = _parse_row(row, device_fields.REQUIRED_FIELDS)
        items.append(item)
        if found:
            problems += [replace(problem, index=index) for problem in found]
    _omit_unknown(request, items)
    return items, problems


def parse_device(request: Request, required: tuple[str, ...]) -> tuple[DeviceData, list[FieldError]]:
    """Return the device of the body, and the errors of its fields. A body without a known field is an error.

    `unknown` is the same as in `parse_devices`.
    """
    item, problems = _parse_row(_read_body(request), required)
    if not item and not problems:
        problems = [
            FieldError(None, ErrorCode.NO_KNOWN_FIELD, _("The body has no field of a device. Send at least one."))
        ]
    _omit_unknown(request, [item])
    return item, problems


def _omit_unknown(request: Request, items: Iterable[DeviceData]) -> None:
    """Remove the `device_holder` that is `unknown`, if the key has one hospital."""
    if scopes.scope_for_key(key_of(request)).default_hospital:
        for item in items:
            if item.get("device_holder", "") is None:
                del item["device_holder"]


def parse_lookup(request: Request) -> dict[str, int | str]:
    """Return the filter for the device that the body identifies by `id`, or else by `device_mac`.

    Raises:
        ValidationFailed: both are missing, or the value is malformed.
    """
    body = _read_body(request)
    row = to_snake_case(body) if isinstance(body, dict) else {}
    if row.get("id") is not None:
        return {"pk": _parse_id(row["id"])}
    mac = {"device_mac": row["device_mac"]} if "device_mac" in row else {}
    item, problems = device_fields.validate(mac, ("device_mac",), mac_field.CLEANERS)
    if problems:
        hint = FieldError("id", ErrorCode.REQUIRED, _("Identify the device by its id or its device_mac."))
        raise ValidationFailed([hint, *problems] if problems[0].code == ErrorCode.REQUIRED else problems)
    return {"device_mac": item["device_mac"]}


def _parse_id(sent: object) -> int:
    """Return the id. 7.0 is 7: JSON has one type of number, and some clients write each number with a decimal point."""
    number = int(sent) if isinstance(sent, float) and sent.is_integer() else sent
    if type(number) is not int or not 0 < number <= MAX_ID:
        raise ValidationFailed([FieldError("id", ErrorCode.INVALID_ID, _("This must be a positive integer."))])
    return number


def _read_body(request: Request) -> Any:
    body = request.data
    if request.META.get("CONTENT_LENGTH") in (None, "", "0"):
        raise ValidationFailed([FieldError(None, ErrorCode.BODY_REQUIRED, _("The request has no body. Send JSON."))])
    return body


def _parse_row(row: Any, required: tuple[str, ...]) -> tuple[DeviceData, list[FieldError]]:
    if not isinstance(row, dict):
        message = _('Expected a JSON object such as {"device_name": "…", "device_mac": "…", "device_type": "…"}.')
        return {}, [FieldError(None, ErrorCode.INVALID_TYPE, message)]
    return device_fields.validate(to_snake_case(row), required, mac_field.CLEANERS)


def parse_macs(request: Request) -> list[Any]:
    """Return the array `device_mac` of the body, as the client sent it. The field can have either spelling.

    Raises:
        ValidationFailed: the body has no such array, or it is empty.
        TooManyItems: the array has more than MAX_LOOKUP items.
    """
    body = _read_body(request)
    if not isinstance(body, dict):
        message = _('Expected a JSON object such as {"device_mac": ["D0:61:AE:D4:58:94"]}.')
        raise ValidationFailed([FieldError(None, ErrorCode.INVALID_TYPE, message)])
    row = to_snake_case(body)
    sent = row.get("device_mac")
    if isinstance(sent, list) and len(sent) > MAX_LOOKUP:
        raise TooManyItems(len(sent), MAX_LOOKUP)
    if not isinstance(sent, list) or not sent:
        raise ValidationFailed([_explain_no_macs(row)])
    return sent


def _explain_no_macs(row: Mapping[str, Any]) -> FieldError:
    code, message = ErrorCode.EMPTY, _("The array is empty. Send at least one MAC address.")
    if "device_mac" not in row:
        code, message = ErrorCode.REQUIRED, _("This field is required.")
    elif row["device_mac"] is None:
        code, message = ErrorCode.NULL, _("This field must not be null.")
    elif not isinstance(row["device_mac"], list):
        code, message = ErrorCode.INVALID_TYPE, _("This must be an array.")
    return FieldError("device_mac", code, message)
