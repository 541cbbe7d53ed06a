"""Requests of a penetration test: to exhaust CPU or memory, or to guess passwords without being counted."""

import json
from urllib.parse import urlencode

import orjson
import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.contrib.auth.models import User
from django.utils.functional import SimpleLazyObject

from devices.audit.audit_log import Action
from devices.models import AuditEvent, Device
from devices.tests.support.client import Api, errors
from devices.tests.support.factories import device_payload, register
from devices.tests.support.wsgi import Response, through_wsgi

# Each kind of codec that Python has, and values that name none.
CODECS = [
    *("base64", "hex", "zip", "bz2", "uu", "rot13", "idna", "punycode", "undefined"),
    *("unicode_escape", "raw_unicode_escape", "utf-7", "utf-16", "utf-32", "cp037", "iso-8859-1", "us-ascii"),
    *("utf-8", '"utf-8"', "UTF8", "nonsense", '"', "x;charset=hex", "x; charset*=hex''%41", "\xe9", "x" * 5_000),
]
LOGIN = "/admin/login/"
TOKEN = "t" * 32
STAR = "caf%C3%A9"


def post_form(path: str, form: str, charset: str, **fields: str) -> Response:
    """Post the fields as UTF-8, with a valid CSRF token, in a form that claims another charset."""
    fields |= {"csrfmiddlewaretoken": TOKEN}
    if form == "application/x-www-form-urlencoded":
        body = urlencode(fields)
    else:
        part = '--x\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
        body = "".join(part.format(*field) for field in fields.items()) + "--x--\r\n"
    content_type = f"{form}; charset={charset}"
    return through_wsgi("POST", f"{path}?next=/{STAR}", body.encode(), content_type, cookie=f"csrftoken={TOKEN}")


@pytest.mark.django_db
@pytest.mark.parametrize("charset", CODECS)
@pytest.mark.parametrize("form", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_form_is_decoded_as_utf_8_for_each_charset(charset: str, form: str) -> None:
    response = post_form(LOGIN, form, charset, username="\\ud800 caf\u00e9", password="x")
    assert response.status == 200
    assert 'value="\\ud800 caf\u00e9"' in response.body.decode()
    assert post_form("/language", form, charset, language="id").status == 302
    assert post_form("/admin/set-password/MQ/x/", form, charset, new_password1="x").status == 200


@pytest.mark.django_db
def test_wrong_password_is_counted_for_each_charset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PBKDF2PasswordHasher, "iterations", 1)
    User.objects.create_superuser("keeper", password="pagi-cerah-7")
    hostile = {"username": "keeper", "password": "wrong", "x": "\\ud800"}
    multipart = "multipart/form-data; boundary=x"
    statuses = [post_form(LOGIN, multipart, "unicode_escape", **hostile).status for _ in range(6)]
    assert statuses == [200, 200, 200, 200, 429, 429]
    assert AuditEvent.objects.filter(action=Action.SIGN_IN_FAILED).count() == 4
    assert AuditEvent.objects.filter(action=Action.SIGN_IN_LOCKED).exists()


@pytest.mark.parametrize("charset", CODECS)
@pytest.mark.parametrize("media_type", ["application/json", "text/plain", "multipart/form-data"])
def test_query_string_is_decoded_as_utf_8_for_each_charset(api: Api, charset: str, media_type: str) -> None:
    register(device_payload(1, device_name="Caf\u00e9"))
    for path in (f"/api/devices?search={STAR}", f"/api/devices?device_name=C{STAR[1:]}&size=1"):
        response = through_wsgi("GET", path, b"", f"{media_type}; charset={charset}", **api.headers)
        assert response.status == 200
        assert [device["device_name"] for device in response.json()["data"]] == ["Caf\u00e9"]
        assert response.headers["X-Request-ID"]
        assert through_wsgi("GET", path, b"", f"{media_type}; charset={charset}").status == 401


@pytest.mark.parametrize(
    "charset", ["utf-8", '"utf-8"', "UTF8", "", "us-ascii", "iso-8859-1", "windows-1252", "utf-16"]
)
def test_json_is_utf_8_for_each_charset(api: Api, charset: str) -> None:
    """RFC 8259: the charset has no effect. The body must be UTF-8, also if the client claims another charset."""
    content_type = f"application/json; charset={charset}"
    body = json.dumps(device_payload(1, device_name="Caf\u00e9"), ensure_ascii=False)
    response = through_wsgi("POST", "/api/devices?dry_run=true", body.encode(), content_type, **api.headers)
    assert (response.status, response.json()["data"][0]["device_name"]) == (201, "Caf\u00e9")
    other = through_wsgi("POST", "/api/devices", body.encode("latin-1"), content_type, **api.headers)
    assert (other.status, other.json()["errors"][0]["code"]) == (400, "invalid_json")


@pytest.mark.parametrize("charset", ["nonsense", "base64", "hex", "rot13", "x;charset=hex", "\xe9", "x" * 5_000, "\0"])
def test_body_with_an_unknown_charset_is_rejected(api: Api, charset: str) -> None:
    content_type = f"application/json; charset={charset}"
    response = through_wsgi("POST", "/api/devices", json.dumps(device_payload(1)).encode(), content_type, **api.headers)
    assert (response.status, response.json()["errors"][0]["code"]) == (415, "unsupported_media_type")
    assert through_wsgi("GET", "/api/devices", b"", content_type, **api.headers).status == 200


@pytest.mark.parametrize(
    "body", [b'{"a":[%s]}' % b",".join([b'{"a":0}'] * 100_001), b"[%s]" % b",".join([b"0"] * 500_002)]
)
def test_body_with_too_many_values_is_rejected_before_parsing(
    api: Api, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    monkeypatch.setattr(orjson, "loads", SimpleLazyObject(lambda: pytest.fail("the body was parsed")))
    response = api.post("/api/devices", body)
    assert (response.status_code, errors(response)) == (413, [(None, "too_large")])


def test_largest_valid_array_is_within_the_limit_of_values(api: Api) -> None:
    rows = [device_payload(n, id=n, created_at=1, updated_at=1, more={"a": [n, n]}) for n in range(1, 10_001)]
    assert api.post("/api/devices?dry_run=true", rows).status_code == 201
    assert not Device.objects.exists()
