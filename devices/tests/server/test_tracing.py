"""Traces with OpenTelemetry: spans of requests and statements, without secrets, and without an effect on requests."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from cexup import environment, tracing
from devices import registry
from devices.accounts import users
from devices.crypto import keys
from devices.models import Hospital, StaffUser
from devices.tests.support.client import Api, issue
from devices.tests.support.factories import device_payload
from devices.tests.support.logs import captured, records
from devices.tests.support.services.server import served_from, serving

pytestmark = pytest.mark.django_db

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HTTP = {"http.request.method", "http.route", "http.response.status_code", "error.type", "registry.request_id"}
HTTP |= {"registry.key_id", "registry.hospital_id", "registry.user_id"}
DATABASE = {"db.system.name", "db.namespace", "db.operation.name", "db.query.text", "error.type"}


class Spans(InMemorySpanExporter):
    """The spans that the middleware has made so far."""

    providers: list[Any]

    def read(self) -> list[ReadableSpan]:
        for provider in self.providers:
            provider.force_flush()
        return list(self.get_finished_spans())

    def of_requests(self) -> list[ReadableSpan]:
        return [span for span in self.read() if span.kind == SpanKind.SERVER]

    def of_statements(self) -> list[ReadableSpan]:
        return [span for span in self.read() if span.kind == SpanKind.CLIENT]


@pytest.fixture
def spans(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spans]:
    """Turn the traces on, with an exporter in memory."""
    spans = Spans()
    spans.providers = []
    monkeypatch.setattr(tracing, "started", spans.providers)
    monkeypatch.setattr(tracing, "exporter", lambda: spans)
    settings.ACCESS_LOG = True
    settings.MIDDLEWARE = [
        "cexup.tracing.TracingMiddleware",
        "cexup.access_log.AccessLogMiddleware",
        *settings.MIDDLEWARE,
    ]
    yield spans
    tracing.finish()


def text_of(spans: list[ReadableSpan]) -> str:
    """Return everything that an exporter could send."""
    return "\n".join(span.to_json() for span in spans)


def test_request_has_a_span_with_its_route(spans: Spans, rs_a: Hospital) -> None:
    key = issue("ward app", hospitals=[rs_a])
    assert Api(key.text, x_request_id="r-1").get("/api/device/7?key=hunter2").status_code == 400
    [span] = spans.of_requests()
    assert span.name == "GET api/device/<int:id_device>"
    assert dict(span.attributes or {}) == {
        "http.request.method": "GET",
        "http.route": "api/device/<int:id_device>",
        "http.response.status_code": 400,
        "registry.request_id": "r-1",
        "registry.key_id": key.key.pk,
        "registry.hospital_id": rs_a.pk,
    }
    assert span.parent is None
    assert span.status.status_code == StatusCode.UNSET
    assert span.resource.attributes["service.name"] == "registry"


def test_statements_have_spans_without_their_values(spans: Spans, api: Api) -> None:
    assert api.post("/api/devices", [device_payload(1, device_name="Cuff of hunter2")]).status_code == 201
    assert api.get("/api/devices?search=hunter2&device_name=hunter2").status_code == 200
    found = spans.of_statements()
    assert {"SELECT", "INSERT"} <= {span.name for span in found}
    requests = {span.context.span_id for span in spans.of_requests()}
    assert {span.parent.span_id for span in found} == requests
    assert all(set(span.attributes or {}) <= DATABASE for span in found)
    assert {(span.attributes or {})["db.system.name"] for span in found} == {connection.vendor}
    assert "hunter2" not in text_of(found)
    assert "hunter2" not in text_of(spans.of_requests())


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("SELECT 'a' || 'it''s', x", "SELECT ? || ?, x"),
        ("SELECT 'never closed", "SELECT ?"),
        ("SELECT '" + "x" * 5_000 + "' secret", "SELECT ?"),
        ("", ""),
        (b"SELECT 'x'", ""),
    ],
)
def test_literals_of_a_statement_are_removed(spans: Spans, sql: Any, text: str) -> None:
    middleware = tracing.TracingMiddleware(lambda _request: None)
    middleware.query(lambda *_args: None, sql, None, False, {})
    [span] = spans.of_statements()
    assert (span.attributes or {})["db.query.text"] == text


def test_no_span_has_a_secret(
    spans: Spans, client: Client, ratna: Client, rs_a: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = keys.generate()
    links = [f"/admin/set-password/MQ/abc-{number}-hunter2/" for number in range(2)]
    headers = {"referer": f"http://testserver{links[0]}", "user-agent": "hunter2", "authorization": "hunter2"}
    headers |= {"tracestate": "x=hunter2", "baggage": "x=hunter2", "x-forwarded-for": "hunter2"}
    for path in (*links, f"/{text}", f"/api/devices?key={text}", "/api/hunter2", "/admin/?next=hunter2"):
        client.get(path, headers={**headers, "x-api-key": text, "cookie": "sessionid=hunter2"})
    client.post("/admin/login/", {"username": "ratna@rs.example", "password": "hunter2"}, headers=headers)
    client.generic("HUNTER2", "/api/devices")
    ratna.get("/admin/devices/device/?q=hunter2")
    found = spans.read()
    assert len(spans.of_requests()) == 9
    for secret in ("hunter2", "HUNTER2", text, "rs.example"):
        assert secret not in text_of(found)
    assert all(set(span.attributes or {}) <= HTTP | DATABASE for span in found)
    assert not any(span.events for span in found)


def test_rejected_row_is_in_no_span(
    spans: Spans, operator: Client, rs_a: Hospital, monkeypatch: Any, ratna: Client
) -> None:
    users.invite("Other", "other@rs.example", [rs_a])
    user = StaffUser.objects.get(first_name="Ibu Ratna")
    monkeypatch.setattr("devices.admin.users.UserForm.clean_email", lambda form: "other@rs.example")
    operator.raise_request_exception = False
    form = {"first_name": "Ibu Ratna", "email": "x@rs.example", "hospitals": [rs_a.pk], "is_active": "on"}
    assert operator.post(f"/admin/devices/staffuser/{user.pk}/change/", form).status_code == 500
    [failed] = [span for span in spans.of_statements() if span.status.status_code == StatusCode.ERROR]
    assert (failed.attributes or {})["error.type"] in ("UniqueViolation", "IntegrityError")
    [request] = spans.of_requests()
    assert (request.status.status_code, request.status.description) == (StatusCode.ERROR, None)
    assert "rs.example" not in text_of(spans.read())


def test_trace_of_the_caller_is_continued(spans: Spans, api: Api) -> None:
    api.get("/api/key", traceparent=f"00-{TRACE}-{SPAN}-01", tracestate="vendor=x")
    [span] = spans.of_requests()
    assert f"{span.context.trace_id:032x}" == TRACE
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == SPAN
    assert not span.context.trace_state
    assert {one.context.trace_id for one in spans.read()} == {span.context.trace_id}


@pytest.mark.parametrize("sent", ["", "00-x", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{SPAN}-01,00-{TRACE}-{SPAN}-01"])
def test_invalid_trace_of_a_caller_starts_a_new_one(spans: Spans, api: Api, sent: str) -> None:
    assert api.get("/api/key", traceparent=sent).status_code == 200
    [span] = spans.of_requests()
    assert span.parent is None
    assert f"{span.context.trace_id:032x}" != TRACE


def test_trace_that_the_caller_does_not_record_has_no_spans(spans: Spans, api: Api) -> None:
    with captured("json") as stream:
        assert api.get("/api/key", traceparent=f"00-{TRACE}-{SPAN}-00").status_code == 200
    assert spans.read() == []
    assert records(stream)[0]["trace_id"] == TRACE


def test_sampler_of_the_environment_is_used(spans: Spans, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    assert api.get("/api/key", traceparent=f"00-{TRACE}-{SPAN}-01").status_code == 200
    assert spans.read() == []


def test_log_records_have_the_ids_of_the_span(spans: Spans, monkeypatch: pytest.MonkeyPatch, api: Api) -> None:
    def fail(*_args: Any, **_kwargs: Any) -> Any:
        raise RuntimeError("it broke")

    monkeypatch.setattr(registry, "register", fail)
    with captured("json") as stream:
        assert api.post("/api/devices", [device_payload(1)]).status_code == 500
        assert api.get("/nothing", traceparent=f"00-{TRACE}-{SPAN}-01").status_code == 404
    failed, missing = spans.of_requests()
    found = {(record["trace_id"], record["span_id"]) for record in records(stream)}
    assert found == {(f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}") for span in (failed, missing)}
    assert failed.status.status_code == StatusCode.ERROR
    assert (failed.attributes or {})["error.type"] == "500"


def test_disabled_sdk_leaves_the_trace_of_the_caller_in_the_log(
    spans: Spans, monkeypatch: pytest.MonkeyPatch, api: Api
) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    with captured("json") as stream:
        assert api.get("/api/key").status_code == 200
        assert api.get("/api/key", traceparent=f"00-{TRACE}-{SPAN}-01").status_code == 200
    assert spans.read() == []
    assert [record.get("trace_id") for record in records(stream)] == [None, TRACE]


def test_health_checks_have_no_span(spans: Spans, client: Client) -> None:
    for path in ("/healthz", "/readyz", "/healthz/", "/readyz/"):
        assert client.get(path, headers={"host": "10.0.0.1"}).status_code == 200
    assert spans.read() == []


def test_wrong_host_has_a_span_and_its_usual_response(spans: Spans, outsider: Api) -> None:
    response = outsider.get("/api/devices", host="evil.example")
    assert response.status_code == 400
    assert response["X-Request-ID"]
    [span] = spans.of_requests()
    assert span.name == "GET"
    assert "evil" not in text_of([span])


# --- The exporter


@pytest.fixture
def endpoint(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A collector that accepts connections and never responds."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        settings.OTEL_EXPORTER_OTLP_ENDPOINT = url
        yield url


def test_collector_that_does_not_respond_delays_no_request(
    settings: Any, endpoint: str, monkeypatch: pytest.MonkeyPatch, api: Api
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "4")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2")
    monkeypatch.setattr(tracing, "SHUTDOWN_SECONDS", 0.1)
    monkeypatch.setattr(tracing, "started", [])
    settings.MIDDLEWARE = ["cexup.tracing.TracingMiddleware", *settings.MIDDLEWARE]
    before = set(threading.enumerate())
    with captured("json") as stream:
        for _ in range(20):  # more spans than the queue can have
            assert api.get("/api/key").status_code == 200
        tracing.finish()
        for thread in set(threading.enumerate()) - before:  # they would write to the logs of the next tests
            thread.join(60)
    assert "Queue full, dropping Span." in stream.getvalue()


def test_worker_that_ends_sends_its_last_spans(tmp_path: Path) -> None:
    received: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_args: Any) -> None:
            """Write no log."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        environment = served_from(f"sqlite:///{tmp_path / 'db'}")
        environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{server.server_port}"
        environment["OTEL_BSP_SCHEDULE_DELAY"] = "600000"  # the exporter itself would wait for ten minutes
        with serving(environment) as port, closing(HTTPConnection("127.0.0.1", port, timeout=60)) as client:
            client.request("GET", "/api/devices")  # without a key
            assert client.getresponse().status == 401
            assert received == []
        server.shutdown()
    assert b"api/devices" in received[0]


def test_end_of_a_worker_waits_only_a_limited_time(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    class Endless(InMemorySpanExporter):
        def shutdown(self) -> None:
            ended.wait(60)

    monkeypatch.setattr(tracing, "SHUTDOWN_SECONDS", 0.05)
    monkeypatch.setattr(tracing, "started", [])
    tracing.start(Endless())
    tracing.finish()  # it returns before the exporter does
    assert not ended.is_set()
    ended.set()


def test_exporter_reads_the_standard_variables_of_the_settings_file(tmp_path: Any, monkeypatch: Any) -> None:
    file = tmp_path / "env"
    file.write_text("OTEL_SERVICE_NAME=ward\nOTEL_X=from the file\nSECRET_KEY=hunter2\n")
    monkeypatch.setenv("ENV_FILE", str(file))
    monkeypatch.setenv("OTEL_X", "from the process")
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    environment.export(tmp_path / ".env", "OTEL_")
    assert os.environ["OTEL_SERVICE_NAME"] == "ward"
    assert os.environ["OTEL_X"] == "from the process"
    assert os.environ.get("SECRET_KEY") != "hunter2"
