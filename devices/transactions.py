"""One transaction for a whole verb, and again where another writer was in the way."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import IntegrityError, OperationalError, connection, transaction

from devices import sql
from devices.problems import Problem, Refused

DEADLOCK = "40P01"  # https://www.postgresql.org/docs/current/errcodes-appendix.html
ATTEMPTS = 5

P = ParamSpec("P")
R = TypeVar("R")


def in_one_transaction(verb: Callable[P, R]) -> Callable[P, R]:
    """Run the verb in a transaction, and again if another writer was in the way and may be gone by now.

    That is: PostgreSQL ended it to resolve a deadlock, or refused a row for another that has vanished meanwhile.
    Who tries again waits for the others who do, or lists that overlap would go on ending each other.
    Within somebody else's transaction it is only a part of it: that transaction is lost, and theirs to repeat.
    """
    return in_one_transaction_or(_unexplained)(verb)


def in_one_transaction_or(explain: Callable[..., list[Problem]]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Do as `in_one_transaction`; where the database refuses a row, `explain` is given the arguments and says why.

    It is asked when all has been taken back, in no transaction or in that of the caller.

    Raises:
        Refused: with what `explain` returned, if anything.
    """

    def decorate(verb: Callable[P, R]) -> Callable[P, R]:
        @wraps(verb)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            attempts = 1 if connection.in_atomic_block else ATTEMPTS
            for attempt in range(1, attempts + 1):
                try:
                    with transaction.atomic():
                        if attempt > 1:
                            sql.queue_up()
                        return verb(*args, **kwargs)
                except IntegrityError as error:
                    if problems := explain(*args, **kwargs):
                        raise Refused(problems) from error
                    if attempt == attempts:
                        raise
                except OperationalError as error:
                    if getattr(error.__cause__, "sqlstate", None) != DEADLOCK or attempt == attempts:
                        raise
            raise AssertionError("the last attempt returns or raises")

        return run

    return decorate


def _unexplained(*_args: object, **_kwargs: object) -> list[Problem]:
    return []
