"""Limit how many conflicts with devices outside its scope a caller is shown.

Names and MACs are unique in the whole registry, so a conflict shows that another hospital has a device. Without a
limit, a key could look up whole ranges of MACs. CONFLICT_RATE applies to each API key and each admin user with a scope.

A conflict is counted when it is shown, and written to the shared counter when the request has ended: a dry run or an
error rolls back what is written before. In the meantime it counts in this process. So all requests of a process share
the allowance exactly; requests that run at the same time in other processes may be shown as many again. To show the
same conflict again costs nothing: it discloses nothing new, and a client that retries does not use up the allowance.

If the shared counter fails, each process counts by itself. It does not fail open as the rates of requests do (decision
13): a caller may be able to keep the counter busy. Nor does it refuse everything: devices could not be registered.
"""

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from devices import audit, counters, rates
from devices.counters import FirstThatCounts
from devices.leases import REMEMBERED, Window, window_of
from devices.origin import Origin
from devices.rates import Rate

SHOWN = 10_000  # conflicts of an account that a process remembers

Conflict = tuple[str, object]  # field and value


@dataclass(slots=True, eq=False)
class Account:
    """What a caller has been shown in a window."""

    name: str
    window: Window
    used: int = 0  # in all processes, as far as this one knows
    pending: int = 0  # in this process, not in the shared counter yet
    shown: set[int] = field(default_factory=set)  # hashes of conflicts

    @property
    def left(self) -> int:
        return max(0, self.window.limit - self.used - self.pending)


@dataclass(slots=True)
class Found:
    """What a request was shown, for the audit log."""

    conflicts: set[Conflict] = field(default_factory=set)
    unchecked: int = 0  # devices that were not compared
    accounts: set[Account] = field(default_factory=set)


class Accounts:
    """The accounts that a process knows. Its threads may call it at any time."""

    def __init__(self, counter: FirstThatCounts, clock: Callable[[], float] = time.time) -> None:
        self.counter = counter
        self.clock = clock
        self.lock = threading.Lock()
        self.accounts: dict[str, Account] = {}

    def get(self, name: str, rate: Rate) -> Account:
        """Return the account of the current window. Ask the shared counter if this process does not know it yet."""
        window = window_of(rate, self.clock())
        with self.lock:
            known = self.accounts.get(name)
            if known and known.window == window:
                return known
            if len(self.accounts) >= REMEMBERED:
                self.accounts = {each.name: each for each in self.accounts.values() if each.pending}
            account = self.accounts[name] = Account(name, window)
        self._refresh(account)
        return account

    def show(self, account: Account, conflicts: Sequence[Conflict]) -> tuple[set[Conflict], int | None]:
        """Return those that may be shown, and how many were looked at when the allowance was used up, if it is."""
        self._refresh(account)
        shown = set()
        with self.lock:
            end = None if account.left else 0
            for place, conflict in enumerate(conflicts, start=1):
                if hash(conflict) in account.shown:
                    shown.add(conflict)
                elif account.left:
                    account.pending += 1
                    shown.add(conflict)
                    if len(account.shown) < SHOWN:
                        account.shown.add(hash(conflict))
                    end = end if account.left else place
        return shown, end

    def settle(self, account: Account) -> None:
        """Write to the shared counter what is pending. Call it outside the request's transaction."""
        with self.lock:
            number, account.pending = account.pending, 0
            account.used += number
        if not number:
            return
        granted = self.counter.lease(account.name, account.window, number, exactly=True)
        with self.lock:
            if granted is None:  # the next request of this caller tries it again
                account.used -= number
                account.pending += number
            else:
                account.used = max(account.used, granted.used)

    def _refresh(self, account: Account) -> None:
        used = self.counter.used(account.name, account.window)
        with self.lock:
            account.used = max(account.used, used or 0)


@cache
def accounts() -> Accounts:
    return Accounts(counters.shared())


def show(origin: Origin, conflicts: Sequence[Conflict]) -> tuple[set[Conflict], int | None]:
    """Return which conflicts outside the scope the caller may be shown, from the first on, and use up as many.

    The number is how many were looked at when the allowance was used up, 0 if it was before. None: it is not.
    """
    found = _found()
    account = _account(origin)
    shown, end = accounts().show(account, conflicts) if account else (set(conflicts), None)
    found.conflicts |= shown
    if account:
        found.accounts.add(account)
        if audit.current_request.get() is None:
            accounts().settle(account)
    return shown, end


def note_unchecked(number: int) -> None:
    """Count devices that were refused without being compared."""
    _found().unchecked += number


def is_used_up(origin: Origin) -> bool:
    """Tell whether nothing of this caller may be compared with devices outside its scope any more."""
    account = _account(origin)
    return account is not None and not account.left


def retry_after() -> int:
    """Return the seconds until the window ends."""
    rate = rates.read(settings.CONFLICT_RATE)
    now = accounts().clock()
    return max(1, math.ceil(window_of(rate, now).ends_at - now)) if rate else 1


def settle(request: HttpRequest) -> dict[str, Any]:
    """Count for good what the request was shown, and return what the audit log needs: nothing if it was shown none."""
    found = getattr(request, "conflicts_found", None)
    if found is None:
        return {}
    for account in found.accounts:
        accounts().settle(account)
    numbers = {"conflicts": len(found.conflicts), "unchecked": found.unchecked}
    return numbers if any(numbers.values()) else {}


def _found() -> Found:
    request = audit.current_request.get()
    found: Found = getattr(request, "conflicts_found", None) or Found()
    if request is not None:
        request.conflicts_found = found  # type: ignore[attr-defined]
    return found


def _account(origin: Origin) -> Account | None:
    """Return the caller's account; None if nothing is outside its scope or conflicts are not limited."""
    rate = rates.read(settings.CONFLICT_RATE)
    if rate is None or origin.reach.hospitals is None:
        return None
    name = f"conflicts:key:{origin.api_key.pk}" if origin.api_key else f"conflicts:user:{origin.user_id}"
    return accounts().get(name, rate)
