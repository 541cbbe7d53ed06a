"""The metrics that each worker counts. The number of their series is limited."""

import logging
import os
import threading
from collections import deque
from functools import cache
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from prometheus_client import Counter, Gauge, Histogram, values

from cexup import worker
from cexup.metrics import files
from devices.api import long_polling, urls
from devices.values.error_codes import ErrorCode
from devices.values.outages import OutageCause, cause_of

logger = logging.getLogger(__name__)

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)  # seconds
OTHER = "other"
MAX_FINISHED = 100_000  # requests that are kept until they are counted: more than a worker processes in a minute
METHODS = {"GET": "GET", "HEAD": "GET"} | {name: name for name in ("POST", "PUT", "PATCH", "DELETE")}
DOCUMENTS, ADMIN, STATIC, HEALTH = "documents", "admin", "static", "health"
LIMITS = (
    ErrorCode.TOO_MANY_REQUESTS,
    ErrorCode.TOO_MANY_FAILED_KEYS,
    ErrorCode.TOO_MANY_STORED_RESPONSES,
    ErrorCode.CONFLICT_LIMIT,
)


def methods_by_route() -> dict[str, frozenset[str]]:
    """Return the values of the label `route`, and the methods of each. A route of the API is its pattern in urls.py."""
    read, write = frozenset({"GET"}), frozenset({"GET", "POST"})
    found = {OTHER: frozenset[str](), ADMIN: write, STATIC: read, HEALTH: read, DOCUMENTS: read}
    for route, view in urls.routes.items():
        if actions := getattr(view, "actions", None):  # a viewset
            found[f"api/{route}"] = frozenset(method.upper() for method in actions)
    return found


# The pattern of the URL, the method, the status, and the seconds of the request and of its statements.
Finished = tuple[str, str, int, float, float]
UNAVAILABLE = 503  # has its own value of the label `status`, because it is an outage and no error of the code


class Series(NamedTuple):
    """The series that one kind of request changes. Finding them takes longer than changing them."""

    requests: Counter
    duration: Histogram
    statements: Counter


class Recorder:
    """The metrics of one worker."""

    def __init__(self, place: Path) -> None:
        """Take a slot in the folder, and continue its counts.

        prometheus_client numbers the files by process id. It has no setting for another number, so the class of its
        values is replaced, as the documentation of MultiProcessValue allows.

        Raises:
            OSError: the folder cannot be used.
        """
        slot = files.take_slot(place)
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(place)
        values.ValueClass = values.MultiProcessValue(lambda: slot)  # type: ignore[no-untyped-call]
        self.routes = methods_by_route()
        self.series: dict[tuple[str, str, str], Series] = {}
        self.running: set[object] = set()  # an object for each request
        self.finished: deque[Finished] = deque(maxlen=MAX_FINISHED)
        self.lock = threading.Lock()
        self.requests = Counter(
            "registry_requests",
            "Requests by route, method and class of the status. 503 is separate from 5xx.",
            ["route", "method", "status"],
            registry=None,
        )
        self.duration = Histogram(
            "registry_request_duration_seconds",
            "Time from the start of a request in Django to its response, by route.",
            ["route"],
            buckets=BUCKETS,
            registry=None,
        )
        self.statements = Counter(
            "registry_database_statement_seconds",
            "Time of SQL statements by route, without connecting and COMMIT.",
            ["route"],
            registry=None,
        )
        self.unavailable = Counter(
            "registry_unavailable", "Responses with status 503 by cause.", ["cause"], registry=None
        )
        self.limited = Counter("registry_rate_limited", "Responses with status 429 by limit.", ["limit"], registry=None)
        self.starts = Counter("registry_worker_starts", "Started workers.", registry=None)
        self.in_flight = Gauge(
            "registry_requests_in_flight",
            "Requests that a worker processes now.",
            multiprocess_mode="livesum",
            registry=None,
        )
        self.threads = Gauge(
            "registry_threads",
            "Threads for requests of all workers.",
            multiprocess_mode="livesum",
            registry=None,
        )
        self.waiting = Gauge(
            "registry_feed_waiting",
            "Requests to the change feed that wait for a change.",
            multiprocess_mode="livesum",
            registry=None,
        )
        self.waiting_limit = Gauge(
            "registry_feed_waiting_limit",
            "Requests to the change feed that can wait at the same time.",
            multiprocess_mode="livesum",
            registry=None,
        )
        for gauge in (self.in_flight, self.threads, self.waiting):
            gauge.set(0)  # the slot may have the value of a worker that was killed
        self.waiting_limit.set(settings.FEED_WAITERS)
        self.starts.inc()
        self._start_at_zero()
        worker.report_rejected = self.record_rejected

    def _start_at_zero(self) -> None:
        """Create the series that alerts use. Prometheus does not see the first increase of a series that is new."""
        for cause in OutageCause:
            self.unavailable.labels(cause)
        for limit in (*LIMITS, OTHER):
            self.limited.labels(limit)
        for route, methods in self.routes.items():
            for method in methods or {OTHER}:
                self.requests.labels(route, method, "5xx")

    def record(self, request: HttpRequest, response: HttpResponseBase, seconds: float, statements: float) -> None:
        """Record a request that took this number of seconds, and its statements. `publish` counts it."""
        match = request.resolver_match
        status = response.status_code
        pattern = match.route if match else self._unresolved(request)
        self.finished.append((pattern, request.method or "", status, seconds, statements))
        if status == 429:
            limit = getattr(response, "error_code", OTHER)
            self.limited.labels(limit if limit in LIMITS else OTHER).inc()
        elif status == UNAVAILABLE:
            self.unavailable.labels(cause_of(response)).inc()

    def publish(self) -> None:
        """Count the recorded requests. server.py calls this every second, and before a scrape.

        Counting them one by one in their threads takes more than twice the CPU time: this code is then not in the
        caches of the processor.
        """
        with self.lock:
            for _ in range(len(self.finished)):
                pattern, method, status, seconds, statements = self.finished.popleft()
                key = pattern, METHODS.get(method, OTHER), class_of(status)
                try:
                    series = self.series[key]
                except KeyError:
                    series = self.series[key] = self._find(*key)
                series.requests.inc()
                series.duration.observe(seconds)
                series.statements.inc(statements)
            self.in_flight.set(len(self.running))
            self.waiting.set(long_polling.waiting())

    def record_rejected(self, status: int) -> None:
        """Count a request that was rejected before Django."""
        self.requests.labels(OTHER, OTHER, class_of(status)).inc()

    def _unresolved(self, request: HttpRequest) -> str:
        """Return the route of a request that a middleware responded to."""
        return STATIC if request.path_info.startswith(settings.STATIC_URL) else OTHER

    def _find(self, pattern: str, method: str, status: str) -> Series:
        route = self.route_of(pattern)
        label = method if method in self.routes[route] else OTHER
        return Series(
            self.requests.labels(route, label, status),
            self.duration.labels(route),
            self.statements.labels(route),
        )

    def route_of(self, pattern: str) -> str:
        """Return the label of a URL pattern. Pages of the admin have one value, and so have documents of the API."""
        route = pattern.rstrip("/")
        if route in self.routes:
            return route
        if route.removeprefix("api/") in urls.routes:
            return DOCUMENTS
        if route.startswith("admin/"):
            return ADMIN
        return HEALTH if route in ("^healthz/?$", "^readyz/?$") else OTHER


def class_of(status: int) -> str:
    """Return the value of the label `status`."""
    return str(status) if status == UNAVAILABLE else f"{status // 100}xx"


@cache
def recorder() -> Recorder | None:
    """Return the recorder of this worker. Return None if METRICS_PORT is not set, or the folder cannot be used.

    The registry then serves without metrics.
    """
    if not settings.METRICS_PORT:
        return None
    place = files.folder(settings.METRICS_PORT)
    try:
        return Recorder(place)
    except OSError:
        logger.exception("There are no metrics of this worker. %s cannot be used.", place)
        return None
