"""The port of the metrics: what it responds to, and what happens if it cannot be used."""

import http.client
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from cexup.metrics import server
from cexup.metrics.server import CLIENTS, Server
from devices.tests.support.services.faults import eventually
from devices.tests.support.services.server import has_ipv6


class OneMetric(Collector):
    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails

    def collect(self) -> Iterator[GaugeMetricFamily]:
        if self.fails:
            raise RuntimeError("no values")
        yield GaugeMetricFamily("registry_one", "One.", value=1)

    def describe(self) -> Iterator[GaugeMetricFamily]:
        yield GaugeMetricFamily("registry_one", "One.")


@contextmanager
def served(host: str = "127.0.0.1", *, fails: bool = False) -> Iterator[tuple[int, list[None]]]:
    """Serve one metric; yield the port, and a list that grows when the worker has to count."""
    registry, published = CollectorRegistry(), list[None]()
    registry.register(OneMetric(fails=fails))
    with Server(host, 0, registry, lambda: published.append(None)) as running:
        thread = threading.Thread(target=running.serve_forever, args=[0.01])
        thread.start()
        yield running.server_address[1], published
        running.shutdown()
        thread.join()


def respond(host: str, port: int, method: str, path: str) -> http.client.HTTPResponse:
    with closing(http.client.HTTPConnection(host.strip("[]"), port, timeout=30)) as client:
        client.request(method, path)
        response = client.getresponse()
        response.read()
        return response


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_only_get_metrics_has_a_response_with_metrics(host: str) -> None:
    if host == "[::1]" and not has_ipv6():
        pytest.skip("This machine has no IPv6.")
    with served(host) as (port, published):
        response = respond(host, port, "GET", "/metrics")
        assert response.status == 200
        assert int(response.headers["Content-Length"]) > 20
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        statuses = [respond(host, port, *request).status for request in (("GET", "/"), ("POST", "/metrics"))]
        assert statuses == [404, 501]
    assert published


def test_failure_of_a_scrape_is_logged_and_the_next_one_is_served(caplog: pytest.LogCaptureFixture) -> None:
    with served(fails=True) as (port, _published):
        for _ in range(2):
            with pytest.raises(http.client.RemoteDisconnected):
                respond("127.0.0.1", port, "GET", "/metrics")
    assert [record.getMessage() for record in caplog.records] == ["A scrape of the metrics failed."] * 2


def test_connections_cannot_use_up_the_threads_of_a_worker() -> None:
    """The port needs no key, and a worker has descriptors and threads for its requests to lose."""
    with served() as (port, _published), ExitStack() as silent:
        for _ in range(CLIENTS):
            silent.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            respond("127.0.0.1", port, "GET", "/metrics")
        silent.close()
        eventually(lambda: is_served(port))


def is_served(port: int) -> bool:
    try:
        return respond("127.0.0.1", port, "GET", "/metrics").status == 200
    except (http.client.RemoteDisconnected, ConnectionResetError):
        return False


def test_client_that_disconnects_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Otherwise each scan of the port would write a traceback."""
    with served() as (port, published):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close() sends a reset
            client.sendall(b"GET")
        assert respond("127.0.0.1", port, "GET", "/metrics").status == 200
        eventually(lambda: len(published) > 5)
    assert not caplog.records


def test_all_workers_listen_on_the_port() -> None:
    """The second server would fail without SO_REUSEPORT."""
    with served() as (port, _published), Server("127.0.0.1", port, CollectorRegistry(), lambda: None):
        pass


def test_worker_serves_without_metrics_if_the_port_is_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, settings: Any
) -> None:
    gauge = SimpleNamespace(set=lambda number: None)
    own = SimpleNamespace(threads=gauge, publish=lambda: None)
    monkeypatch.setattr(server, "recorder", lambda: own)
    with socket.create_server(("127.0.0.1", 0)) as other:
        settings.METRICS_PORT = other.getsockname()[1]
        server.start(4)
    assert "The metrics are not served. METRICS_PORT cannot be used." in caplog.text
    assert not [thread for thread in threading.enumerate() if thread.name == "metrics"]
