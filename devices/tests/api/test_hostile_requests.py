"""Requests of a penetration test: to exhaust CPU or memory, or to guess passwords without being counted."""

from typing import Any

import orjson
import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.contrib.auth.models import User
from django.test import Client
from django.utils.functional import SimpleLazyObject

from devices.audit.audit_log import Action
from devices.models import AuditEvent, Device
from devices.tests.support.client import Api, errors
from devices.tests.support.factories import device_payload

CODECS = ["punycode", "unicode_escape", "raw_unicode_escape", "idna", "utf-7", "utf-16", "hex", "undefined", "latin-1"]
LOGIN = "/admin/login/"


def post(client: Client, path: str, charset: str, **fields: str) -> Any:
    """Post the fields as UTF-8 multipart that claims another charset."""
    parts = "".join(
        f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()
    )
    content_type = f"multipart/form-data; boundary=x; charset={charset}"
    return client.generic("POST", path, f"{parts}--x--\r\n".encode(), content_type)


@pytest.mark.django_db
@pytest.mark.parametrize("charset", CODECS)
@pytest.mark.parametrize("path", [LOGIN, "/language", "/admin/set-password/MQ/x/"])
def test_form_is_decoded_as_utf_8_for_each_charset(client: Client, path: str, charset: str) -> None:
    response = post(client, path, charset, language="id", username="\\ud800", password="caf\u00e9")
    assert response.status_code < 500
    assert response.wsgi_request.POST["password"] == "caf\u00e9"
    assert response.wsgi_request.POST["username"] == "\\ud800"


@pytest.mark.django_db
def test_wrong_password_is_counted_for_each_charset(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PBKDF2PasswordHasher, "iterations", 1)
    User.objects.create_superuser("keeper", password="pagi-cerah-7")
    hostile = {"username": "keeper", "password": "wrong", "x": "\\ud800"}
    statuses = [post(client, LOGIN, "unicode_escape", **hostile).status_code for _ in range(6)]
    assert statuses == [200, 200, 200, 200, 429, 429]
    assert AuditEvent.objects.filter(action=Action.SIGN_IN_FAILED).count() == 4
    assert AuditEvent.objects.filter(action=Action.SIGN_IN_LOCKED).exists()


@pytest.mark.parametrize("charset", CODECS)
def test_query_string_is_decoded_as_utf_8_for_each_charset(api: Api, charset: str) -> None:
    response = api.client.get(
        "/api/devices?search=caf%C3%A9", headers=api.headers, content_type=f"application/json; charset={charset}"
    )
    assert (response.status_code, response.json()["data"]) == (200, [])


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
