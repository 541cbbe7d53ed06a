"""Limit how many conflicts with devices outside its scope a caller is shown (decision 19).

Names and MACs are unique in the whole registry, so a conflict shows that another hospital has a device. Without a
limit, a key could look up whole ranges of MACs. CONFLICT_RATE applies to each API key and each admin user with a scope.

A conflict counts in this process when it is shown, and in the shared counter when the request has ended: a dry run or
an error rolls back what is written before. If the counter fails, each process counts alone.
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
class RevealedConflicts:
    """What a request was shown, for the audit log."""

    conflicts: set[Conflict] = field(default_factory=set)
    unchecked: int = 0  # devices that were not compared
    limit: Limit | None = None


def reveal(actor: Actor, conflicts: Sequence[Conflict]) -> tuple[set[Conflict], int | None]:
    """Return which conflicts outside the scope the caller may be shown, from the first on, and use up as many.

    The number is how many were looked at when the allowance was used up, 0 if it was before. None: it is not.
    """
    limit = _limit(actor)
    shown, end = limiter().acquire_items(*limit, conflicts) if limit else (set(conflicts), None)
    found = _found()
    found.conflicts |= shown
    found.limit = limit
    return shown, end


def count_unchecked(number: int) -> None:
    """Count devices that were refused without being compared."""
    _found().unchecked += number


def is_used_up(actor: Actor) -> bool:
    """Tell whether nothing of this caller may be compared with devices outside its scope any more."""
    limit = _limit(actor)
    return limit is not None and not limiter().remaining(*limit)


def retry_after() -> int:
    """Return the seconds until the window ends."""
    rate = rates.parse_rate(settings.CONFLICT_RATE)
    return limiter().ends_in(rate) if rate else 1


def settle(request: HttpRequest) -> dict[str, Any]:
    """Count for good what the request was shown, and return what the audit log needs: nothing if it was shown none."""
    found: RevealedConflicts | None = getattr(request, "conflicts_found", None)
    if found is None:
        return {}
    if found.limit:
        limiter().flush(*found.limit)
    numbers = {"conflicts": len(found.conflicts), "unchecked": found.unchecked}
    return numbers if any(numbers.values()) else {}


def _found() -> RevealedConflicts:
    """Return what this thread's request was shown. Only requests have a scope, so a command keeps nothing."""
    request: Any = current.current_request.get()
    return vars(request).setdefault("conflicts_found", RevealedConflicts()) if request else RevealedConflicts()


def _limit(actor: Actor) -> Limit | None:
    """Return the caller's limit; None if nothing is outside its scope or conflicts are not limited."""
    rate = rates.parse_rate(settings.CONFLICT_RATE)
    if rate is None or actor.scope.hospitals is None:
        return None
    name = f"conflicts:key:{actor.api_key.pk}" if actor.api_key else f"conflicts:user:{actor.user_id}"
    return name, rate
