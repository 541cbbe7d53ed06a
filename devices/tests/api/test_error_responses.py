"""Each error code is returned with the status, the field and a message that docs/errors.md shows."""

import io
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import OperationalError
from gunicorn.config import Config
from gunicorn.http.errors import InvalidRequestLine, LimitRequestHeaders, LimitRequestLine

from cexup.worker import EnvelopeWorker
from devices.access.actor import SYSTEM
from devices.api import throttling
from devices.api.error_reference import ERRORS
from devices.db import locks
from devices.models import Hospital
from devices.registry import hospitals
from devices.tests.support.admin.api_keys import LEGACY_KEY
from devices.tests.support.client import Api, issue
from devices.tests.support.factories import device_payload, register
from devices.values.error_codes import ErrorCode
from devices.values.rates import Rate

DEVICES = "/api/devices"
KEY = {"idempotency-key": "one"}


class Setup:
    """A registry with two devices, and a client of each kind."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
        self.monkeypatch, self.settings = monkeypatch, settings
        self.device, self.other = register(device_payload(1), device_payload(2, device_holder="RS Sehat"))
        self.api = Api(issue("app").text)
        self.url = f"/api/device/{self.device.pk}"

    def hospital_key(self, **options: Any) -> Api:
        hospital, _created = Hospital.objects.get_or_create(name="RS Harapan")
        return Api(issue("hospital", hospitals=[hospital], **options).text)

    def fail(self, target: str, error: Exception) -> None:
        def raise_error(*_args: Any, **_options: Any) -> None:
            raise error

        self.monkeypatch.setattr(target, raise_error)

    def put(self, **fields: Any) -> Any:
        return self.api.put(self.url, {**device_payload(1), **fields})


def too_many_requests(at: Setup) -> Any:
    api = Api(issue("slow", rate="1/h").text)
    return [api.get(DEVICES), api.get(DEVICES)][1]


def too_many_failed_keys(at: Setup) -> Any:
    at.settings.API_FAILED_RATE = "1/h"
    return [Api(LEGACY_KEY).get(DEVICES), Api(LEGACY_KEY).get(DEVICES)][1]


def too_many_stored_responses(at: Setup) -> Any:
    at.monkeypatch.setattr(throttling, "STORAGE", Rate(1, "d"))
    at.api.post(DEVICES, device_payload(3), **KEY)
    return at.api.post(DEVICES, device_payload(4), **{"idempotency-key": "two"})


def conflict_limit(at: Setup) -> Any:
    at.settings.CONFLICT_RATE = "1/d"
    key = at.hospital_key()
    key.post(DEVICES, device_payload(8, device_name="Cuff 2"))
    return key.post(DEVICES, device_payload(9))


def merged(at: Setup) -> Any:
    former, successor = hospitals.get_or_create(["RS Lama", "RS Sehat"], SYSTEM).values()
    hospitals.merge([former], successor, SYSTEM)
    return at.api.get(f"/api/hospital/{former.pk}")


def https_required(at: Setup) -> Any:
    at.settings.SECURE_SSL_REDIRECT = True
    return at.api.get(DEVICES)


def access_denied(at: Setup) -> Any:
    at.fail("cexup.middleware.language_of", PermissionDenied())
    return at.api.get(DEVICES)


def internal_error(at: Setup) -> Any:
    at.fail("devices.registry.register", RuntimeError())
    return at.api.post(DEVICES, device_payload(3))


def unavailable(at: Setup) -> Any:
    at.fail("devices.registry.register", OperationalError())
    return at.api.post(DEVICES, device_payload(3))


def still_running(at: Setup) -> Any:
    at.monkeypatch.setattr(locks, "try_lock", lambda _name: False)
    return at.api.post(DEVICES, device_payload(3), **KEY)


def key_reused(at: Setup) -> Any:
    at.api.post(DEVICES, device_payload(3), **KEY)
    return at.api.post(DEVICES, device_payload(4), **KEY)


def retired(at: Setup) -> Any:
    at.api.delete(at.url)
    return at.api.get(at.url)


def cursor_too_old(at: Setup) -> Any:
    following = at.hospital_key().get("/api/devices/changes").json()["pagination"]["next"]
    return at.api.get(following.removeprefix("http://testserver"))


def incomplete_body(at: Setup) -> Any:
    environ: Any = {"wsgi.input": io.BytesIO(b"[]"), "CONTENT_LENGTH": "100"}
    return at.api.client.generic("POST", DEVICES, b"[]", "application/json", headers=at.api.headers, **environ)


def nested_too_deeply(at: Setup) -> Any:
    return at.api.post(DEVICES, b"[" * 300 + b"]" * 300, **KEY)


def invalid_type_of_field(at: Setup) -> Any:
    return at.put(device_name=7.5)


def manufacturer_id(at: Setup) -> Any:
    at.settings.DEVICES_ALLOW_NON_MAC = True
    return at.put(device_mac="x")


def of_several_hospitals(**settings: Any) -> Api:
    own = hospitals.get_or_create(["RS Harapan", "RS Sehat"], SYSTEM)
    return Api(issue("several", hospitals=list(own.values()), **settings).text)


def forbidden_of_several(at: Setup) -> Any:
    return of_several_hospitals().post(DEVICES, device_payload(3, device_holder="RS Baru"))


def holder_required(at: Setup) -> Any:
    return of_several_hospitals().post(DEVICES, device_payload(3))


def unknown_hospital(at: Setup) -> Any:
    key = of_several_hospitals(unknown_holder="refuse")
    return key.post(DEVICES, device_payload(3, device_holder="RS Harapn"))


CASES: list[tuple[ErrorCode, Callable[[Setup], Any]]] = [
    (ErrorCode.NOT_AUTHENTICATED, lambda at: Api(None).get(DEVICES)),
    (ErrorCode.READ_ONLY, lambda at: Api(issue("reader", read_only=True).text).post(DEVICES, device_payload(3))),
    (ErrorCode.FORBIDDEN, lambda at: at.hospital_key().post(DEVICES, device_payload(3, device_holder="RS Sehat"))),
    (ErrorCode.FORBIDDEN, forbidden_of_several),
    (ErrorCode.ACCESS_DENIED, access_denied),
    (ErrorCode.HTTPS_REQUIRED, https_required),
    (ErrorCode.TOO_MANY_REQUESTS, too_many_requests),
    (ErrorCode.TOO_MANY_FAILED_KEYS, too_many_failed_keys),
    (ErrorCode.TOO_MANY_STORED_RESPONSES, too_many_stored_responses),
    (ErrorCode.CONFLICT_LIMIT, conflict_limit),
    (ErrorCode.INVALID_HOST, lambda at: at.api.get(DEVICES, host="other.example.org")),
    (ErrorCode.TOO_MANY_PARAMETERS, lambda at: at.api.get(f"{DEVICES}?{'a=1&' * 1001}")),
    (ErrorCode.ENDPOINT_NOT_FOUND, lambda at: at.api.get("/api/nothing")),
    (ErrorCode.ENDPOINT_NOT_FOUND, lambda at: at.api.get("/api/device/x")),
    (ErrorCode.METHOD_NOT_ALLOWED, lambda at: at.api.delete(DEVICES)),
    (ErrorCode.UNSUPPORTED_MEDIA_TYPE, lambda at: at.api.client.post(DEVICES, {"a": "b"}, headers=at.api.headers)),
    (ErrorCode.BODY_REQUIRED, lambda at: at.api.post(DEVICES, None)),
    (ErrorCode.INCOMPLETE_BODY, incomplete_body),
    (ErrorCode.INVALID_JSON, lambda at: at.api.post(DEVICES, b"{")),
    (ErrorCode.NESTED_TOO_DEEPLY, nested_too_deeply),
    (ErrorCode.TOO_LARGE, lambda at: at.api.post(DEVICES, b" " * (8 * 2**20 + 1))),
    (ErrorCode.TOO_LARGE, lambda at: at.api.post(DEVICES, b"[" + b"{}," * 100_000 + b"{}]")),
    (ErrorCode.TOO_MANY_ITEMS, lambda at: at.api.post(DEVICES, [{}] * 10_001)),
    (ErrorCode.ADDRESS_NOT_ALLOWED, lambda at: Api(issue("far", allowed_networks="10.0.0.0/8").text).get(DEVICES)),
    (ErrorCode.MERGED, merged),
    (ErrorCode.EMPTY, lambda at: at.api.post(DEVICES, [])),
    (ErrorCode.NO_KNOWN_FIELD, lambda at: at.api.patch(at.url, {"color": "red"})),
    (ErrorCode.REQUIRED, lambda at: at.api.put(at.url, {"device_name": "Cuff 1", "device_type": "CONSUMER"})),
    (ErrorCode.NULL, lambda at: at.put(device_name=None)),
    (ErrorCode.BLANK, lambda at: at.put(device_name=" ")),
    (ErrorCode.BLANK, lambda at: at.api.get(f"{DEVICES}?size=")),
    (ErrorCode.INVALID_TYPE, lambda at: at.api.post(DEVICES, ["Cuff 1"])),
    (ErrorCode.INVALID_TYPE, invalid_type_of_field),
    (ErrorCode.INVALID_ID, lambda at: at.api.put("/api/device", device_payload(1, id="seven"))),
    (ErrorCode.MAX_LENGTH, lambda at: at.put(device_name="x" * 256)),
    (ErrorCode.CHARACTERS, lambda at: at.put(device_name="a\u202eb")),
    (ErrorCode.MAC, lambda at: at.put(device_mac="no")),
    (ErrorCode.MAC, manufacturer_id),
    (ErrorCode.INVALID_CHOICE, lambda at: at.put(device_type="PHONE")),
    (ErrorCode.INVALID_CHOICE, lambda at: at.api.get(f"{DEVICES}?ordering=color")),
    (ErrorCode.HOLDER_REQUIRED, holder_required),
    (
        ErrorCode.UNKNOWN_HOSPITAL,
        lambda at: at.api.post(f"{DEVICES}?unknown_holder=refuse", [device_payload(3, device_holder="RS Baru")]),
    ),
    (ErrorCode.UNKNOWN_HOSPITAL, unknown_hospital),
    (ErrorCode.OUT_OF_RANGE, lambda at: at.api.get(f"{DEVICES}?size=1001")),
    (ErrorCode.INVALID_TIMESTAMP, lambda at: at.api.get(f"{DEVICES}?updated_since=2026-01-01")),
    (ErrorCode.CURSOR, lambda at: at.api.get(f"{DEVICES}/changes?since=x")),
    (ErrorCode.UNKNOWN_PARAMETER, lambda at: at.api.get(f"{DEVICES}?sise=1")),
    (ErrorCode.REPEATED, lambda at: at.api.get(f"{DEVICES}?size=1&size=2")),
    (ErrorCode.MUTUALLY_EXCLUSIVE, lambda at: at.api.get(f"{DEVICES}?page=1&after=2")),
    (ErrorCode.MUTUALLY_EXCLUSIVE, lambda at: at.api.get(f"{DEVICES}?after=2&ordering=-id")),
    (ErrorCode.UNIQUE, lambda at: at.put(device_name="Cuff 2")),
    (
        ErrorCode.DUPLICATE,
        lambda at: at.api.post(DEVICES, [device_payload(3), device_payload(4, device_name="Cuff 3")]),
    ),
    (ErrorCode.NOT_FOUND, lambda at: at.api.get("/api/device/4711")),
    (ErrorCode.RETIRED, retired),
    (ErrorCode.CURSOR_TOO_OLD, cursor_too_old),
    (ErrorCode.ETAG, lambda at: at.api.delete(at.url, **{"if-match": "x"})),
    (ErrorCode.IF_MATCH_NOT_SUPPORTED, lambda at: at.api.post(DEVICES, device_payload(3), **{"if-match": "*"})),
    (ErrorCode.OUTDATED, lambda at: at.api.delete(at.url, **{"if-match": '"x"'})),
    (ErrorCode.INVALID_IDEMPOTENCY_KEY, lambda at: at.api.delete(at.url, **{"idempotency-key": ""})),
    (ErrorCode.STILL_RUNNING, still_running),
    (ErrorCode.KEY_REUSED, key_reused),
    (ErrorCode.INTERNAL_ERROR, internal_error),
    (ErrorCode.UNAVAILABLE, unavailable),
]
OF_GUNICORN = {
    ErrorCode.URI_TOO_LONG: LimitRequestLine(5000, 4094),
    ErrorCode.HEADERS_TOO_LARGE: LimitRequestHeaders("limit"),
    ErrorCode.MALFORMED_REQUEST: InvalidRequestLine("nonsense"),
}
OF_NGINX_ALONE = {ErrorCode.REQUEST_TIMEOUT, ErrorCode.TOO_MANY_CONCURRENT_REQUESTS}


def assert_documented(code: ErrorCode, status: int, body: dict[str, Any]) -> None:
    info = ERRORS[code]
    [error] = body["errors"]
    assert (error["code"], status, body["code"]) == (code, info.status, info.status)
    fields = set(re.findall(r"`([\w-]+)`", info.field)) | ({"null"} if info.field.startswith("null") else set())
    if fields:
        assert (error["field"] or "null") in fields
    assert body["message"] == error["message"]
    patterns = [re.sub(r"\\\{[^{}\"]*\\\}", ".+", re.escape(message)) for message in info.messages]
    assert any(re.fullmatch(pattern, error["message"]) for pattern in patterns), error["message"]


@pytest.mark.django_db
@pytest.mark.parametrize(("code", "request_"), CASES, ids=lambda value: str(value) if value in set(ErrorCode) else "")
def test_error_is_returned_as_documented(
    code: ErrorCode, request_: Callable[[Setup], Any], monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    response = request_(Setup(monkeypatch, settings))
    assert_documented(code, response.status_code, response.json())
    assert (response.status_code in (429, 503) or code == ErrorCode.STILL_RUNNING) == ("Retry-After" in response)


@pytest.mark.parametrize(("code", "exception"), OF_GUNICORN.items())
def test_error_of_gunicorn_is_returned_as_documented(code: ErrorCode, exception: Exception) -> None:
    class Connection:
        sent = b""

        def sendall(self, data: bytes) -> None:
            self.sent += data

    worker, connection = object.__new__(EnvelopeWorker), Connection()
    worker.cfg, worker.log = Config(), type("Log", (), {"warning": lambda *_args, **_extra: None})()
    worker.handle_error(None, connection, ("127.0.0.1", 1), exception)
    head, _, body = connection.sent.decode().partition("\r\n\r\n")
    assert_documented(code, int(head.split()[1]), json.loads(body))


def test_each_code_has_a_case() -> None:
    assert {code for code, _request in CASES} | OF_GUNICORN.keys() | OF_NGINX_ALONE == set(ErrorCode)
