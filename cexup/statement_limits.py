"""The time limit of a SQLite statement of a request. PostgreSQL has `statement_timeout` for that (gunicorn.conf.py)."""

from collections.abc import Callable
from time import monotonic
from typing import Any

from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.db import connection
from django.http import HttpRequest, HttpResponse

# Steps of SQLite's virtual machine between two looks at the clock: 10 to 50 ms. The usual list has fewer, so that it
# never looks: each look has to take Python's lock from the other threads.
STEPS = 100_000


class SQLiteStatementLimitMiddleware:
    """Interrupt a statement that runs longer than DATABASE_STATEMENT_TIMEOUT.

    SQLite rolls the transaction back, which frees the write lock. Django raises an OperationalError, so the client
    receives 503 with Retry-After. A command does not pass this middleware, and has no limit. Neither has a download
    that is sent after the response has begun: it takes as long as the client needs to read it.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.seconds = settings.DATABASE_STATEMENT_TIMEOUT
        if connection.vendor != "sqlite" or not self.seconds:
            raise MiddlewareNotUsed

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with connection.execute_wrapper(self.limit):
            try:
                return self.get_response(request)
            finally:
                if connection.connection is not None:
                    connection.connection.set_progress_handler(None, 0)

    def limit(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        end = monotonic() + self.seconds
        context["connection"].connection.set_progress_handler(lambda: monotonic() > end, STEPS)
        return execute(sql, params, many, context)
