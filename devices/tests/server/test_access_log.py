"""The fields of a request in its log records, and the access log, in both formats."""

import gc
import io
import logging
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote_from_bytes

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cexup import logs, request_context
from cexup.access_log import AccessLogMiddleware
from cexup.logs import JSON_LENGTH
from devices import registry
from devices.access import client_ip
from devices.audit.audit_log import Action
from devices.models import AuditEvent, Device, Hospital, StaffUser
from devices.tests.support.client import Api, issue
from devices.tests.support.factories import device_payload, register
from devices.tests.support.logs import FORMATTERS, captured, records

pytestmark = pytest.mark.django_db

LOGGER = "cexup.access_log"
MIDDLEWARE = f"{LOGGER}.AccessLogMiddleware"
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SECRET_QUERY = "/api/devices?key=hunter2&search=ratna%40rs.example"


@pytest.fixture(autouse=True)
def _access_log(settings: Any) -> Iterator[None]:
    settings.ACCESS_LOG = True
    settings.MIDDLEWARE = [MIDDLEWARE, *settings.MIDDLEWARE]
    token = logs.current_request_fields.set(logs.no_fields)
    yield
    logs.current_request_fields.reset(token)


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    with captured("json") as written:
        yield written


def test_response_has_one_record_with_its_request(stream: io.StringIO, rs_a: Hospital) -> None:
    key = issue("ward app", hospitals=[rs_a])
    [device] = register(device_payload(1, device_holder="RS Harapan"))
    trace = f"00-{TRACE}-{SPAN}-01"
    assert Api(key.text, traceparent=trace, x_request_id="r-1").get(f"/api/device/{device.pk}").status_code == 200
    [record] = records(stream)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", record.pop("time"))
    assert 0 < record.pop("duration_ms") < 60_000
    assert record == {
        "level": "INFO",
        "logger": LOGGER,
        "message": "A request ended.",
        "request_id": "r-1",
        "trace_id": TRACE,
        "span_id": SPAN,
        "method": "GET",
        "route": "api/device/<int:id_device>",
        "status": 200,
        "key_id": key.key.pk,
        "hospital_id": rs_a.pk,
        "ip_address": "127.0.0.1",
    }


def test_line_format_has_the_same_fields() -> None:
    with captured("line") as stream:
        assert Api("x" * 20, x_request_id="r-2").get("/api/devices").status_code == 401
    [line] = [each for each in stream.getvalue().splitlines() if f"INFO {LOGGER}" in each]
    found = re.fullmatch(
        r"\S+ INFO cexup\.access_log \[r-2\] A request ended\. method=GET route=api/devices ip_address=127\.0\.0\.1 "
        r"status=401 duration_ms=[\d.]+",
        line,
    )
    assert found, line


def test_key_of_several_hospitals_has_no_hospital(stream: io.StringIO, rs_a: Hospital, rs_b: Hospital) -> None:
    for key in (issue("both", hospitals=[rs_a, rs_b]), issue("all")):
        Api(key.text).get("/api/devices")
        record = records(stream)[-1]
        assert record["key_id"] == key.key.pk
        assert "hospital_id" not in record


def test_key_outside_its_networks_is_named(stream: io.StringIO) -> None:
    key = issue("elsewhere", allowed_networks="192.0.2.0/24")
    assert Api(key.text).get("/api/devices").status_code == 403
    assert {record["key_id"] for record in records(stream)} == {key.key.pk}


def test_address_is_that_of_the_client(stream: io.StringIO, settings: Any) -> None:
    settings.TRUSTED_PROXIES = 1
    Api(None, x_forwarded_for="198.51.100.1, 203.0.113.7").get("/api/devices")
    assert records(stream, LOGGER)[0]["ip_address"] == "203.0.113.7"


def test_warning_about_a_missing_address_does_not_disturb_the_record(
    stream: io.StringIO, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address is read while a record is written, and reading it may write another record."""
    settings.TRUSTED_PROXIES = 2
    monkeypatch.setattr(client_ip, "_warned_at", -client_ip.WARN_EVERY)
    Api(None, x_forwarded_for="x, y").get("/api/docs")
    warning, response = records(stream)
    assert warning["message"].startswith("X-Forwarded-For has no client address")
    assert "ip_address" not in response


@pytest.mark.parametrize("path", ["/healthz", "/healthz/", "/readyz"])
def test_health_check_writes_nothing(stream: io.StringIO, settings: Any, client: Client, path: str) -> None:
    """Behind a proxy, a check comes from the machine itself, without the address that the record would have."""
    settings.TRUSTED_PROXIES = 1
    assert client.get(path).status_code == 200
    assert stream.getvalue() == ""


def test_user_of_the_admin_is_named(stream: io.StringIO, ratna: Client) -> None:
    user = StaffUser.objects.get(first_name="Ibu Ratna")
    assert ratna.get("/admin/devices/device/").status_code == 200
    [record] = records(stream, LOGGER)
    assert (record["user_id"], record["route"]) == (user.pk, "admin/devices/device/")
    assert user.email not in stream.getvalue()


def test_visitor_has_no_user_and_costs_no_query(stream: io.StringIO, client: Client) -> None:
    assert client.get("/admin/devices/device/").status_code == 302
    assert client.get("/admin/login/").status_code == 200
    assert [("user_id" in record) for record in records(stream, LOGGER)] == [False, False]


@pytest.mark.parametrize("log_format", FORMATTERS)
@pytest.mark.parametrize(
    "path",
    [
        "/admin/set-password/MQ/abc-def/",
        SECRET_QUERY,
        "/cxp_abcdefgh_0123456789",
        "/admin/?next=/admin/set-password/a/b/",
    ],
)
def test_access_log_has_neither_path_nor_query(log_format: str, path: str) -> None:
    with captured(log_format) as stream:
        Client().post(path, {"password": "hunter2"}, headers={"referer": f"http://testserver{path}"})
    for secret in ("abc-def", "hunter2", "ratna", "0123456789", "set-password/a"):
        assert secret not in stream.getvalue()


def test_each_record_of_a_request_has_its_fields(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: Any, **_kwargs: Any) -> Any:
        raise RuntimeError("it broke")

    monkeypatch.setattr(registry, "register", fail)
    key = issue("ward app")
    assert Api(key.text).post("/api/devices", [device_payload(1)]).status_code == 500
    found = records(stream)
    assert [record["message"] for record in found] == [
        "A request failed: /api/devices",
        "A request ended.",
        "Internal Server Error: /api/devices",
    ]
    assert {record["key_id"] for record in found} == {key.key.pk}
    assert {record["route"] for record in found} == {"api/devices"}
    assert len({record["request_id"] for record in found}) == 1
    assert found[0]["traceback"].endswith("RuntimeError: it broke")
    assert [record.get("status") for record in found] == [None, 500, 500]


def test_access_log_is_off_by_default(stream: io.StringIO, settings: Any) -> None:
    settings.ACCESS_LOG = False
    Api(None).get("/api/docs")
    assert records(stream, LOGGER) == []


def test_request_is_not_kept_after_its_response() -> None:
    def respond(_request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    request = RequestFactory().post("/x", b"x" * 1000, content_type="text/plain")
    AccessLogMiddleware(respond)(request)
    assert logs.current_fields()["method"] == "POST"
    del request
    gc.collect()
    assert logs.current_fields() == {}


def test_a_record_makes_no_query(
    rs_a: Hospital, ratna: Client, django_assert_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record may be about a database that does not respond."""
    key = issue("ward app", hospitals=[rs_a])
    seen = []

    def describe(request: HttpRequest) -> dict[str, Any]:
        with django_assert_num_queries(0):
            seen.append(request_context.caller_of(request))
        return {}

    monkeypatch.setattr(request_context, "describe", describe)
    with captured("json"):
        Api(key.text).get("/api/devices")
        ratna.get("/admin/devices/device/")
        ratna.get("/admin/login/")
        ratna.get("/healthz")
    assert {(fields["key_id"], fields["user_id"] is not None) for fields in seen} == {
        (key.key.pk, False),
        (None, True),
        (None, False),
    }


def test_history_and_audit_log_have_the_id_of_the_request(stream: io.StringIO, api: Api) -> None:
    assert api.post("/api/devices", [device_payload(1)], x_request_id="r-7").status_code == 201
    assert Api("x" * 20, x_request_id="r-8").get("/api/devices").status_code == 401
    assert [record["request_id"] for record in records(stream, LOGGER)] == ["r-7", "r-8"]
    assert Device.history.get().history_request_id == "r-7"
    assert AuditEvent.objects.get(action=Action.DENIED).request_id == "r-8"


@hypothesis_settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(path=st.binary(max_size=50) | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")), data=st.data())
def test_each_line_is_a_json_object_for_any_path(outsider: Api, path: bytes, data: st.DataObject) -> None:
    repeated = quote_from_bytes(path) * data.draw(st.sampled_from([1, 1_000]))
    with captured("json") as stream:
        outsider.get(f"/api/{repeated}", x_request_id=repeated[:200], traceparent=repeated[:200])
    [record] = records(stream, LOGGER)
    assert record["status"] in (400, 401, 404)
    assert stream.getvalue().isascii()
    assert all(len(line) <= JSON_LENGTH for line in stream.getvalue().splitlines())


# --- traceparent


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", True),
        (f"00-{TRACE}-{SPAN}-ff", True),
        (f"cc-{TRACE}-{SPAN}-01", True),  # a later version
        (f"cc-{TRACE}-{SPAN}-01-more", True),
        (f"cc-{TRACE}-{SPAN}-01more", False),
        (f"00-{TRACE}-{SPAN}-01-more", False),
        (f"ff-{TRACE}-{SPAN}-01", False),
        (f"00-{'0' * 32}-{SPAN}-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (f"00-{TRACE.upper()}-{SPAN}-01", False),
        (f"00-{TRACE[:-1]}-{SPAN}-01", False),
        (f"00-{TRACE[:-1]}ä-{SPAN}-01", False),
        (f"00-{TRACE[:-1]}٣-{SPAN}-01", False),
        (f" 00-{TRACE}-{SPAN}-01", False),
        (f"00-{TRACE}-{SPAN}-01\n", False),
        (f"00-{TRACE}-{SPAN}-01,00-{TRACE}-{SPAN}-01", False),  # two headers
        (f"cc-{TRACE}-{SPAN}-01-{'x' * 100_000}", False),
        (f"00-{TRACE}-{SPAN}", False),
        ("", False),
        ("cxp_abcdefgh_0123456789", False),
    ],
)
def test_only_a_valid_traceparent_is_used(text: str, valid: bool) -> None:
    found = request_context.parse_traceparent(text)
    assert found == ((TRACE, SPAN, text[53:55] in ("01", "ff")) if valid else None)


def test_invalid_traceparent_is_not_logged(stream: io.StringIO) -> None:
    Api(None, traceparent="00-hunter2").get("/api/devices")
    assert "trace_id" not in records(stream, LOGGER)[0]
    assert "hunter2" not in stream.getvalue()


def test_level_of_the_log_does_not_turn_the_access_log_off() -> None:
    assert logging.getLogger().level == logging.WARNING
    assert logging.getLogger(LOGGER).isEnabledFor(logging.INFO)
