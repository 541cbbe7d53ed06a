"""Problems of what a client sent, in one shape for the API, the admin, an import and a command."""

from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus

from django.utils.functional import Promise

# RFC 9110's names where Python's differ from version to version.
STATUS_NAMES = {413: "CONTENT_TOO_LARGE", 414: "URI_TOO_LONG", 422: "UNPROCESSABLE_CONTENT"}

UNIQUE = "unique"  # another registered device has it
DUPLICATE = "duplicate"  # an earlier item of the same list has it
FORBIDDEN = "forbidden"  # this caller may not
CONFLICT_LIMIT = "conflict_limit"  # not compared: too many conflicts outside the scope were shown


@dataclass(frozen=True, slots=True)
class FieldError:
    """One error: `field` is None if it belongs to no field, `index` if it belongs to no item of a list."""

    field: str | None
    code: str
    message: str | Promise
    index: int | None = None


class ValidationFailed(Exception):
    """Nothing was written, because of these problems: every one, not only the first."""

    def __init__(self, problems: Iterable[FieldError]) -> None:
        self.problems = list(problems)
        super().__init__(f"{len(self.problems)} problems")

    @property
    def status(self) -> int:
        """429 if a limit kept a device from being compared, 409 for conflicts only, 403 if also forbidden, else 400."""
        codes = {problem.code for problem in self.problems}
        if CONFLICT_LIMIT in codes:
            return 429
        if codes == {UNIQUE}:
            return 409
        return 403 if codes <= {UNIQUE, FORBIDDEN} else 400


def raise_error(problems: Iterable[FieldError]) -> None:
    """Raise Refused if there are problems."""
    if problems := list(problems):
        raise ValidationFailed(problems)


def status_name(code: int) -> str:
    """Return the `status` of an envelope: the HTTP status' name in capitals."""
    return STATUS_NAMES.get(code) or HTTPStatus(code).name
