"""Parse the body of a request: its shape here, its fields in drafts.py."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request

from devices import drafts
from devices.api.authentication import key_of
from devices.api.errors import TooLarge
from devices.api.naming import in_snake_case, spelling
from devices.drafts import Draft
from devices.models import MAX_ID
from devices.problems import Problem, Refused


def read_devices(request: Request) -> tuple[list[Draft], list[Problem]]:
    """Return the posted devices, a list or one object as a list of one, and the problems of their fields.

    Raises:
        Refused: there is nothing.
        TooLarge: there are more than one request may have.
    """
    body = _read_body(request)
    rows = body if isinstance(body, list) else [body]
    if not rows:
        raise Refused([Problem(None, "empty", _("The list is empty: send at least one device."))])
    if len(rows) > settings.API_MAX_DEVICES:
        raise TooLarge(_("A list may have at most %(limit)d devices.") % {"limit": settings.API_MAX_DEVICES})
    names = spelling(key_of(request))
    read, problems = [], []
    for index, row in enumerate(rows):
        draft, wrong = _read_row(row, names, drafts.REQUIRED)
        read.append(draft)
        if wrong:
            problems += [replace(problem, index=index) for problem in wrong]
    return read, problems


def read_device(request: Request, required: tuple[str, ...]) -> tuple[Draft, list[Problem]]:
    """Return the one device of the body, and the problems of its fields. A body without a known field is a problem."""
    draft, problems = _read_row(_read_body(request), spelling(key_of(request)), required)
    if not draft and not problems:
        problems = [Problem(None, "empty", _("Send at least one field of the device."))]
    return draft, problems


def read_lookup(request: Request) -> dict[str, int | str]:
    """Return the filter that finds the device of the body: by its `id`, or else by its `device_mac`.

    Raises:
        Refused: neither is there, or it is malformed.
    """
    body = _read_body(request)
    row = in_snake_case(body, spelling(key_of(request))) if isinstance(body, dict) else {}
    if row.get("id") is not None:
        return {"pk": _read_id(row["id"])}
    draft, problems = drafts.read({"device_mac": row["device_mac"]} if "device_mac" in row else {}, ("device_mac",))
    if problems:
        hint = Problem("id", "required", _("Name the device by its id or its device_mac."))
        raise Refused([hint, *problems] if problems[0].code == "required" else problems)
    return {"device_mac": draft["device_mac"]}


def _read_id(sent: object) -> int:
    """Return the id. 7.0 is 7: JSON has one kind of number, and some clients write all of them with a point."""
    number = int(sent) if isinstance(sent, float) and sent.is_integer() else sent
    if type(number) is not int or not 0 < number <= MAX_ID:
        raise Refused([Problem("id", "invalid", _("This is not the id of a device."))])
    return number


def _read_body(request: Request) -> Any:
    body = request.data
    if request.META.get("CONTENT_LENGTH") in (None, "", "0"):
        raise Refused([Problem(None, "required", _("A body is required: send JSON."))])
    return body


def _read_row(row: Any, names: Mapping[str, str], required: tuple[str, ...]) -> tuple[Draft, list[Problem]]:
    if not isinstance(row, dict):
        return {}, [Problem(None, "invalid", _("A device must be a JSON object, with its fields by name."))]
    return drafts.read(in_snake_case(row, names), required)
