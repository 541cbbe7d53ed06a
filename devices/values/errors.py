"""Errors in the data of a client, in one form for the API, the admin, imports and commands."""

from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus

from django.utils.functional import Promise

from devices.values.error_codes import AdminErrorCode, ErrorCode

# RFC 9110's names where Python's differ from version to version.
STATUS_NAMES = {413: "CONTENT_TOO_LARGE", 414: "URI_TOO_LONG", 422: "UNPROCESSABLE_CONTENT"}

UNIQUE = ErrorCode.UNIQUE
DUPLICATE = ErrorCode.DUPLICATE
FORBIDDEN = ErrorCode.FORBIDDEN
CONFLICT_LIMIT = ErrorCode.CONFLICT_LIMIT


@dataclass(frozen=True, slots=True)
class FieldError:
    """One error. `field` is None if it belongs to no field, `index` is None if it belongs to no item of an array.

    `suggestions` are values that the client may have meant; None if this kind of error has none.
    """

    field: str | None
    code: ErrorCode | AdminErrorCode
    message: str | Promise
    index: int | None = None
    suggestions: tuple[str, ...] | None = None


class ValidationFailed(Exception):
    """Nothing was written, because of these errors. The list has every error, not only the first."""

    def __init__(self, problems: Iterable[FieldError]) -> None:
        self.problems = list(problems)
        super().__init__(f"{len(self.problems)} problems")

    @property
    def status(self) -> int:
        """Return the HTTP status.

        - 429 if a limit prevented the comparison of a device.
        - 409 if all errors are conflicts with registered devices.
        - 403 if all are conflicts or hospitals outside the scope.
        - 400 otherwise.
        """
        codes = {problem.code for problem in self.problems}
        if CONFLICT_LIMIT in codes:
            return 429
        if codes == {UNIQUE}:
            return 409
        return 403 if codes <= {UNIQUE, FORBIDDEN} else 400


def raise_error(problems: Iterable[FieldError]) -> None:
    """Raise ValidationFailed if there is any error."""
    if problems := list(problems):
        raise ValidationFailed(problems)


def status_name(code: int) -> str:
    """Return the `status` of a response: the name of the HTTP status in capitals."""
    return STATUS_NAMES.get(code) or HTTPStatus(code).name
