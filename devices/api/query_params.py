"""Read the query parameters of a request, and report all errors together."""

from collections.abc import Sequence, Set

from django.utils.translation import gettext as _
from rest_framework.request import Request

from devices.values.error_codes import ErrorCode
from devices.values.errors import FieldError, ValidationFailed

MAY_BE_EMPTY = {"search"}
# The first value of each is documented. Python writes `True`, and forms of web pages send 1.
BOOLEANS = {"true": True, "false": False, "True": True, "False": False, "1": True, "0": False}


class QueryParams:
    """The query parameters of one request. Methods collect the errors; call `raise_errors` at the end."""

    def __init__(self, request: Request, known: Set[str], ignored: Set[str] = frozenset()) -> None:
        """Add an error for each parameter that is unknown, repeated or empty.

        If a misspelled filter were ignored, the response would have the devices of all hospitals.
        """
        self.request, self.sent = request, request.query_params
        self.errors: list[FieldError] = []
        for name, values in self.sent.lists():
            if name in ignored:
                continue
            if name not in known:
                self.add(name, ErrorCode.UNKNOWN_PARAMETER, _describe(known | ignored))
            elif len(values) > 1:
                self.add(name, ErrorCode.REPEATED, _("Send this parameter only once."))
            elif not values[0] and name not in MAY_BE_EMPTY:
                self.add(name, ErrorCode.BLANK, _("This parameter is empty. Give it a value, or omit it."))

    def choice(self, name: str, allowed: Sequence[str]) -> str:
        """Return the value of the parameter, by default the first allowed value."""
        value = self.sent.get(name) or allowed[0]
        if value not in allowed:
            self.add(
                name, ErrorCode.INVALID_CHOICE, _("This must be one of: {choices}.").format(choices=", ".join(allowed))
            )
        return value

    def boolean(self, name: str) -> bool:
        """Return the value of the parameter, by default False. Add an error if it is not one of BOOLEANS."""
        text = self.sent.get(name) or "false"
        if text not in BOOLEANS:
            self.choice(name, ("false", "true"))
        return BOOLEANS.get(text, False)

    def integer(self, name: str, low: int, high: int, default: int) -> int:
        """Return the value of the parameter, or the default. Add an error if it is not an integer in the range."""
        text = self.sent.get(name)
        if not text:
            return default
        if text.isascii() and text.isdecimal() and len(text) <= 19 and low <= int(text) <= high:
            return int(text)
        message = _("This must be an integer from %(low)d to %(high)d.") % {"low": low, "high": high}
        self.add(name, ErrorCode.OUT_OF_RANGE, message)
        return default

    def raise_errors(self) -> None:
        if self.errors:
            raise ValidationFailed(self.errors)

    def add(self, name: str, code: ErrorCode, message: str) -> None:
        self.errors.append(FieldError(name, code, message))


def _describe(known: Set[str]) -> str:
    if not known:
        return _("This endpoint has no query parameters.")
    return _("Unknown parameter. Supported parameters: %(known)s.") % {"known": ", ".join(sorted(known))}
