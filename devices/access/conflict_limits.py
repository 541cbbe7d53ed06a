"""Limit how many conflicts with devices outside its scope a caller is shown (decision 19).

Names and MACs are unique in the whole registry, so a conflict shows that another hospital has a device. Without a
limit, a key could look up whole ranges of MACs. CONFLICT_RATE applies to each API key and each admin user with a scope.

This process counts a conflict when it is shown. The shared counter is updated after the request, because a dry run or
an error rolls back what the request writes. If the shared counter fails, each process counts separately.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from devices.access import current
from devices.access.actor import Actor
from devices.ratelimit.stores import limiter
from devices.values import rates
from devices.values.rates import Limit

Conflict = tuple[str, object]  # field and value


@dataclass(slots=True)
class ShownConflicts:
    """The conflicts that a request was shown, for the audit log."""

    conflicts: set[Conflict] = field(default_factory=set)
    unchecked: int = 0  # devices that were not compared
    limit: Limit | None = None


def reveal(actor: Actor, conflicts: Sequence[Conflict]) -> tuple[set[Conflict], int | None]:
    """Return the conflicts outside the scope that the caller may be shown, in order, and count them.

    The number is how many conflicts were processed when the limit was reached, 0 if it had been reached before, and
    None if it is not reached.
    """
    limit = _limit(actor)
    shown, end = limiter().acquire_items(*limit, conflicts) if limit else (set(conflicts), None)
    of_request = _of_request()
    of_request.conflicts |= shown
    of_request.limit = limit
    return shown, end


def count_unchecked(number: int) -> None:
    """Count devices that were rejected without a comparison."""
    _of_request().unchecked += number


def is_exhausted(actor: Actor) -> bool:
    """Return whether the limit is reached, so that devices of this caller must not be compared any more."""
    limit = _limit(actor)
    return limit is not None and not limiter().remaining(*limit)


def retry_after() -> int:
    """Return the seconds until the window ends."""
    rate = rates.parse_rate(settings.CONFLICT_RATE)
    return limiter().ends_in(rate) if rate else 1


def settle(request: HttpRequest) -> dict[str, Any]:
    """Write the request's count to the shared counter, and return the details for the audit log.

    The details are empty if the request was shown no conflict and no device was rejected without a comparison.
    """
    shown: ShownConflicts | None = getattr(request, "conflicts_shown", None)
    if shown is None:
        return {}
    if shown.limit:
        limiter().flush(*shown.limit)
    numbers = {"conflicts": len(shown.conflicts), "unchecked": shown.unchecked}
    return numbers if any(numbers.values()) else {}


def _of_request() -> ShownConflicts:
    """Return the conflicts of this thread's request. A command has no scope, so its result is not kept."""
    request: Any = current.current_request.get()
    return vars(request).setdefault("conflicts_shown", ShownConflicts()) if request else ShownConflicts()


def _limit(actor: Actor) -> Limit | None:
    """Return the caller's limit, or None if its scope is unrestricted or CONFLICT_RATE is unlimited."""
    rate = rates.parse_rate(settings.CONFLICT_RATE)
    if rate is None or actor.scope.hospitals is None:
        return None
    name = f"conflicts:key:{actor.api_key.pk}" if actor.api_key else f"conflicts:user:{actor.user_id}"
    return name, rate
