"""Traces with OpenTelemetry, if OTEL_EXPORTER_OTLP_ENDPOINT is set. Decision 45 has the reasons.

Django loads the middleware in each worker after the fork, and so the exporter and its thread start there. Spans go to a
queue of limited length. If the collector does not respond, the queue drops spans; a request never waits.

A span has only the attributes that this module names. So it contains no path, query string, header, parameter of a
statement or message of an error.
"""

import os
import re
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from django.conf import settings
from django.db import connection
from django.http import HttpRequest
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from cexup import __version__, environment, logs, request_context
from cexup.middleware import HEALTH_CHECKS

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"}
STATEMENT_LENGTH = 2_000  # characters
LITERAL = re.compile(r"'(?:[^']|'')*+(?:'|\Z)")  # also one that the limit has cut
SHUTDOWN_SECONDS = 5.0  # how long the end of a worker may wait for the collector


def exporter() -> SpanExporter:
    """Return the exporter of this process. It reads the standard variables, also those of the settings file."""
    environment.export(settings.BASE_DIR / ".env", "OTEL_")
    os.environ.setdefault(ENDPOINT, settings.OTEL_EXPORTER_OTLP_ENDPOINT)
    return OTLPSpanExporter()


started: list[TracerProvider] = []  # of this process, at most one


def start(exporter: SpanExporter) -> TracerProvider:
    """Return a provider whose spans a thread sends to the exporter.

    OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES take precedence over the name and version of the registry.
    """
    own = Resource({"service.name": "registry", "service.version": __version__})
    resource = Resource.create().merge(own).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    started.append(provider)
    return provider


def finish() -> None:
    """Send the last spans of a worker, and give up after SHUTDOWN_SECONDS. gunicorn.conf.py calls this function.

    The SDK itself would wait for 30 seconds. In `atexit`, Python 3.12 cannot start a thread.
    """
    for provider in started:
        thread = threading.Thread(target=provider.shutdown, daemon=True)
        thread.start()
        thread.join(SHUTDOWN_SECONDS)


class TracingMiddleware:
    """Make a span for each request, and one for each statement that it sends to the database.

    Health checks have none. A download has no spans after its response has begun.
    """

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.provider = start(exporter())
        self.tracer = self.provider.get_tracer("cexup", __version__)

    def __call__(self, request: HttpRequest) -> Any:
        if request.path_info in HEALTH_CHECKS:
            return self.get_response(request)
        method = request.method if request.method in METHODS else "HTTP"
        with self._span(str(method), SpanKind.SERVER, _caller(request)) as span:
            ids = span.get_span_context()
            if ids.is_valid:  # not with OTEL_SDK_DISABLED
                request.trace = request_context.Trace(  # type: ignore[attr-defined]
                    f"{ids.trace_id:032x}", f"{ids.span_id:016x}", ids.trace_flags.sampled
                )
            if not span.is_recording():
                return self.get_response(request)
            with connection.execute_wrapper(self.query):
                response = self.get_response(request)
            _describe(span, str(method), request, response.status_code)
        return response

    def _span(
        self, name: str, kind: SpanKind, context: Context | None = None, attributes: dict[str, str] | None = None
    ) -> AbstractContextManager[Span]:
        """Return a span that does not record exceptions: their messages may have a row of the database."""
        return self.tracer.start_as_current_span(
            name, context, kind, attributes, record_exception=False, set_status_on_exception=False
        )

    def query(self, execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        """Run a statement in a span. This is a wrapper as `connection.execute_wrapper` takes it."""
        text = LITERAL.sub("?", sql[:STATEMENT_LENGTH]) if isinstance(sql, str) else ""  # without parameters
        operation = text.split(maxsplit=1)[0].upper() if text.strip() else "SQL"
        attributes = {
            "db.system.name": connection.vendor,
            "db.namespace": str(settings.DATABASES["default"]["NAME"]),
            "db.operation.name": operation,
            "db.query.text": text,
        }
        with self._span(operation, SpanKind.CLIENT, attributes=attributes) as span:
            try:
                return execute(sql, params, many, context)
            except Exception as error:
                span.set_status(StatusCode.ERROR)
                span.set_attribute("error.type", type(error.__cause__ or error).__name__)
                raise


def _caller(request: HttpRequest) -> Context:
    """Return the context of the caller's span. `tracestate` and `baggage` are ignored: they can contain anything."""
    trace = request_context.parse_traceparent(request.META.get("HTTP_TRACEPARENT", ""))
    if trace is None:
        return Context()
    flags = TraceFlags(TraceFlags.SAMPLED if trace.sampled else TraceFlags.DEFAULT)
    ids = SpanContext(int(trace.trace_id, 16), int(trace.span_id, 16), is_remote=True, trace_flags=flags)
    return set_span_in_context(NonRecordingSpan(ids), Context())


def _describe(span: Span, method: str, request: HttpRequest, status: int) -> None:
    route = request_context.route_of(request)
    span.update_name(f"{method} {route}" if route else method)
    known = {
        "http.request.method": method if method != "HTTP" else "_OTHER",
        "http.route": route,
        "http.response.status_code": status,
        "registry.request_id": logs.current_request_id.get(),
        **{f"registry.{name}": value for name, value in request_context.caller_of(request).items()},
    }
    span.set_attributes({name: value for name, value in known.items() if value is not None})
    if status >= 500:
        span.set_status(StatusCode.ERROR)
        span.set_attribute("error.type", str(status))
