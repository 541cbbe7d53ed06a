"""The description of an error code."""

from dataclasses import dataclass

LATER = "after `Retry-After` seconds"


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """The texts are Markdown. `messages` has the msgids, without their `%(…)s`; `retry` says whether to retry the
    same request."""

    status: int
    field: str
    messages: tuple[str, ...]
    meaning: str
    action: str
    retry: str = "no"
