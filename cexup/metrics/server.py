"""Respond to `GET /metrics` in a thread of each worker.

All workers listen on the port (SO_REUSEPORT), and the kernel chooses one for each scrape. So the port stays open during
a reload and an upgrade with SIGUSR2, and also if all threads for requests are busy.
"""

import logging
import os
import platform
import socketserver
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from cexup import __version__
from cexup.metrics import files
from cexup.metrics.database import DatabaseValues
from cexup.metrics.recorder import recorder

PUBLISH_SECONDS = 1.0
CLIENT_SECONDS = 10  # that a client may be silent
CLIENTS = 8  # connections at the same time; others are closed, so that the port cannot use up threads and descriptors

logger = logging.getLogger(__name__)


class Metrics(Collector):
    """Everything that a scrape returns."""

    def __init__(self, place: Path, database: DatabaseValues) -> None:
        self.place, self.database = place, database

    def collect(self) -> Iterator[Metric]:
        """Yield the counts of all workers, the state of the processes, and the values of the database.

        The counts of other workers are up to PUBLISH_SECONDS old.
        """
        if own := recorder():
            own.publish()
        yield from MultiProcessCollector.merge(list(files.counted(self.place)))  # type: ignore[no-untyped-call]
        running = files.workers(self.place)
        yield GaugeMetricFamily("registry_workers", "Running workers.", value=len(running))
        memory = sum(resident_bytes(pid) for pid in running.values())
        yield GaugeMetricFamily("registry_workers_resident_memory_bytes", "Memory of all workers.", value=memory)
        info = {"version": __version__, "python": platform.python_version(), "database": connection.vendor}
        build = GaugeMetricFamily("registry_build_info", "Version of the registry. The value is 1.", labels=list(info))
        build.add_metric(list(info.values()), 1)
        yield build
        yield from self.database.collect()


def resident_bytes(pid: int) -> int:
    """Return the memory of a process. Return 0 if it has ended."""
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


class Handler(BaseHTTPRequestHandler):
    """Responds with a Content-Length. Prometheus then notices a response that is cut because its worker was killed.

    The handler of prometheus_client sends none.
    """

    timeout = CLIENT_SECONDS
    server: "Server"

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(404)
            return
        body = generate_latest(self.server.registry)
        self.send_response(200)
        self.send_header("Content-Type", CONTENT_TYPE_PLAIN_0_0_4)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (a name of http.server)
        """Log nothing."""


class Server(socketserver.ThreadingTCPServer):
    """Handles each connection in a thread."""

    allow_reuse_address = allow_reuse_port = True
    daemon_threads = True  # a scrape does not delay the end of the worker

    def __init__(self, host: str, port: int, registry: CollectorRegistry, publish: Callable[[], None]) -> None:
        self.registry, self.publish = registry, publish
        self.free = threading.BoundedSemaphore(CLIENTS)
        self.address_family = files.family_of(host)
        super().__init__((host.strip("[]"), port), Handler)

    def service_actions(self) -> None:
        """Count what the worker has recorded. `serve_forever` calls this method every second."""
        self.publish()

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self.free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread could be started
            self.free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            return  # the client has gone
        logger.exception("A scrape of the metrics failed.")


def start(threads: int) -> None:
    """Serve the metrics of all workers. `threads` is the number of threads for requests of this worker.

    If the port cannot be used, the worker serves without it.
    """
    own = recorder()
    if own is None:
        return
    own.threads.set(threads)
    registry = CollectorRegistry()
    registry.register(Metrics(files.folder(settings.METRICS_PORT), DatabaseValues()))
    try:
        server = Server(settings.METRICS_HOST, settings.METRICS_PORT, registry, own.publish)
    except OSError:
        logger.exception("The metrics are not served. METRICS_PORT cannot be used.")
        return
    threading.Thread(target=server.serve_forever, args=[PUBLISH_SECONDS], daemon=True, name="metrics").start()
