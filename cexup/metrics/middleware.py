"""Observe each request, and the time of its statements."""

from collections.abc import Callable
from time import perf_counter
from typing import Any

from django.core.exceptions import MiddlewareNotUsed
from django.db import connection
from django.http import HttpRequest, HttpResponseBase

from cexup.metrics.recorder import recorder


class Statements:
    """A wrapper of statements that adds up their seconds."""

    __slots__ = ("seconds",)

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        began = perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            self.seconds += perf_counter() - began


class MetricsMiddleware:
    """Observes each request. It ends with its response; a download continues after it.

    Only the middleware of logs and traces is outside of this one.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        found = recorder()
        if found is None:
            raise MiddlewareNotUsed
        self.get_response, self.recorder = get_response, found

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        statements = Statements()
        self.recorder.running.add(statements)
        began = perf_counter()
        try:
            with connection.execute_wrapper(statements):
                response = self.get_response(request)
        finally:
            self.recorder.running.discard(statements)
        self.recorder.record(request, response, perf_counter() - began, statements.seconds)
        return response
