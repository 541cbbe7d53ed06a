"""Authentication with API keys, and the life of a key."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django import urls
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import DatabaseError, models
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from devices.access.actor import SYSTEM
from devices.accounts import api_keys
from devices.api import authentication
from devices.crypto import keys
from devices.models import ApiKey, Device, Hospital
from devices.tests.support.admin.api_keys import LEGACY_KEY, mistype
from devices.tests.support.client import Api, errors, issue
from devices.tests.support.factories import device_payload, register
from devices.values.errors import ValidationFailed

UNUSABLE: dict[str, Callable[[str], str | None]] = {
    "none": lambda text: None,
    "empty": lambda text: "",
    "mistyped": mistype,
    "unknown": lambda text: keys.generate(),
    "cut short": lambda text: text[:20],
    "an unknown legacy key": lambda text: LEGACY_KEY,
    "100 kB": lambda text: "x" * 100_000,
    "with a newline": lambda text: text + "\n",
    "not ASCII": lambda text: "kunci-é-kunci-é-kunci",
    "a lone surrogate": lambda text: "kunci-\udcff-kunci-kunci",
    "SQL": lambda text: "' OR 1=1 -- ' OR 1=1 --",
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_unusable_key_returns_the_same_401_as_no_key(db: None, outsider: Api, case: str) -> None:
    api = Api(UNUSABLE[case](issue("app").text))
    assert_same_401(api, outsider)


def test_revoked_and_expired_keys_return_the_same_401_as_no_key(db: None, outsider: Api) -> None:
    revoked = issue("revoked")
    api_keys.revoke(revoked.key, SYSTEM)
    assert_same_401(Api(revoked.text), outsider)
    assert_same_401(Api(issue("expired", expires_at=timezone.now()).text), outsider)


def assert_same_401(api: Api, outsider: Api) -> None:
    for method, path in (
        ("GET", "/api/devices"),
        ("POST", "/api/devices"),
        ("PUT", "/api/device"),
        ("GET", "/api/device/1"),
        ("DELETE", "/api/device/1"),
        ("GET", "/api/nowhere"),
        ("TRACE", "/api/devices"),
    ):
        response = api(method, path, [device_payload(1)] if method == "POST" else None)
        assert response.status_code == 401
        assert response.json() == outsider.get("/api/devices").json()
        assert response["WWW-Authenticate"] == "x-api-key"
        assert errors(response) == [("x-api-key", "not_authenticated")]
    assert not Device.objects.exists()


def test_mistyped_key_is_rejected_without_a_query(
    outsider: Api, db: None, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    outsider.get("/api/devices")  # writes the audit event of the first denial in a minute
    with django_assert_num_queries(0):
        assert Api(mistype(keys.generate())).get("/api/devices").status_code == 401


def test_read_only_key_can_read_and_cannot_write(reader: Api) -> None:
    [device] = register(device_payload(1))
    assert reader.get(f"/api/device/{device.pk}").status_code == 200
    for method, path in (
        ("POST", "/api/devices"),
        ("POST", "/api/device"),
        ("PUT", "/api/device"),
        ("PUT", f"/api/device/{device.pk}"),
        ("PATCH", f"/api/device/{device.pk}"),
        ("DELETE", f"/api/device/{device.pk}"),
    ):
        response = reader(method, path, device_payload(2))
        assert (response.status_code, errors(response)) == (403, [(None, "read_only")]), (method, path)
    assert list(Device.objects.values_list("device_name", flat=True)) == ["Cuff 1"]


def test_key_is_valid_until_it_expires(db: None) -> None:
    issued = issue("app", expires_at=timezone.now() + timedelta(hours=1))
    assert Api(issued.text).get("/api/devices").status_code == 200
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert Api(issued.text).get("/api/devices").status_code == 401


def test_revocation_takes_effect_on_the_next_request(db: None) -> None:
    issued = issue("app")
    api = Api(issued.text)
    assert api.get("/api/devices").status_code == 200
    assert api_keys.revoke(issued.key, SYSTEM) is True
    assert api.get("/api/devices").status_code == 401
    assert api_keys.revoke(issued.key, SYSTEM) is False


def test_legacy_key_can_be_imported(db: None) -> None:
    assert Api(LEGACY_KEY).get("/api/devices").status_code == 401
    key = api_keys.import_key(LEGACY_KEY, "first web client", SYSTEM, all_hospitals=True)
    assert Api(LEGACY_KEY).get("/api/devices").status_code == 200
    assert (key.legacy, key.prefix) == (True, "")
    with pytest.raises(ValidationError, match=r"This API key is already registered\."):
        api_keys.import_key(LEGACY_KEY, "again", SYSTEM)


def test_concurrent_second_import_of_a_legacy_key_fails(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    api_keys.import_key(LEGACY_KEY, "first web client", SYSTEM, all_hospitals=True)
    monkeypatch.setattr(api_keys, "check_legacy", lambda text: None)  # as if both requests had passed the check already
    with pytest.raises(ValidationFailed) as refused:
        api_keys.import_key(LEGACY_KEY, "again", SYSTEM)
    assert [problem.code for problem in refused.value.problems] == ["unique"]
    assert ApiKey.objects.count() == 1


@pytest.mark.parametrize(
    "text", ["short", "x" * 256, "kunci-é-kunci-kunci-kunci", "a b" * 10, "cxp_" + "x" * 55, "cxt_" + "x" * 55]
)
def test_text_that_is_not_a_legacy_key_is_not_imported(db: None, text: str) -> None:
    with pytest.raises(ValidationError, match="16 to 255 printable ASCII characters"):
        api_keys.import_key(text, "app", SYSTEM)
    assert not ApiKey.objects.exists()


def test_rotation_copies_the_settings_and_expires_the_old_key(rs_a: Any) -> None:
    old = issue("app", hospitals=[rs_a], read_only=True, naming="camelCase")
    new = api_keys.rotate(old.key, SYSTEM, timedelta(hours=2))
    for name in ("name", "scope_hospitals", "read_only", "naming"):
        assert getattr(new.key, name) == getattr(old.key, name)
    assert new.text != old.text
    assert new.key.expires_at is None
    assert old.key.expires_at is not None
    assert timedelta(minutes=119) < old.key.expires_at - timezone.now() < timedelta(minutes=121)
    assert Api(old.text).get("/api/devices").status_code == Api(new.text).get("/api/devices").status_code == 200


def test_rotation_keeps_the_expiry_and_rejects_a_revoked_key(db: None) -> None:
    end = timezone.now() + timedelta(minutes=5)
    old = issue("app", expires_at=end)
    assert api_keys.rotate(old.key, SYSTEM).key.expires_at == end
    assert old.key.expires_at == end
    api_keys.revoke(old.key, SYSTEM)
    with pytest.raises(ValidationFailed) as refused:
        api_keys.rotate(old.key, SYSTEM)
    assert "revoked or expired" in str(refused.value.problems[0].message)


def test_only_the_digest_and_the_prefix_of_a_key_are_stored(db: None) -> None:
    issued = issue("app")
    for model in (ApiKey, ApiKey.history.model):
        for row in model.objects.values():
            assert issued.text not in str(row)
            assert issued.text[13:53] not in str(row)
    assert ApiKey.objects.get().prefix == issued.text[4:12]
    history = {field.name for field in ApiKey.history.model._meta.fields}
    assert "digest" not in history
    assert issued.text not in repr(issued) + repr(issued.key)


def last_use() -> datetime:
    used_at = ApiKey.objects.get().last_used_at
    assert used_at is not None
    return used_at


def test_last_use_is_written_once_a_minute(db: None, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    issued = issue("app")
    api = Api(issued.text)
    api.get("/api/devices")
    first = last_use()
    assert abs(timezone.now() - first) < timedelta(minutes=1)
    api.get("/api/devices")
    assert last_use() == first
    ApiKey.objects.update(last_used_at=first - timedelta(seconds=61))
    api.get("/api/devices")
    assert last_use() > first


def test_last_use_is_written_with_the_address_of_the_client(db: None) -> None:
    issued = issue("app")
    assert ApiKey.objects.get().last_used_ip_address is None
    Client().get("/api/devices", headers={"x-api-key": issued.text}, REMOTE_ADDR="192.0.2.7")
    assert ApiKey.objects.get().last_used_ip_address == "192.0.2.7"
    assert "last_used_ip_address" not in {field.name for field in ApiKey.history.model._meta.fields}


def test_second_use_within_a_minute_takes_no_extra_query(
    db: None, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    api = Api(issue("app").text)
    register(device_payload(1))
    api.get("/api/devices")
    with django_assert_num_queries(2):  # the key, the list
        api.get("/api/devices")


def test_failed_write_of_last_use_fails_no_request_and_is_retried_after_a_minute(
    api: Api, reader: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_args: Any, **_kwargs: Any) -> None:
        raise DatabaseError("read-only")

    monkeypatch.setattr(models.QuerySet, "update", fail)
    for client in (api, reader, api):
        assert client.get("/api/devices").status_code == 200
    assert caplog.text.count("could not be written") == 1
    tick = time.monotonic() + 61
    monkeypatch.setattr(time, "monotonic", lambda: tick)
    assert api.get("/api/devices").status_code == 200
    assert caplog.text.count("could not be written") == 2


def test_uses_of_many_keys_keep_no_state_in_the_process(db: None) -> None:
    before = {name: str(value) for name, value in vars(authentication).items()}
    for number in range(5):
        Api(issue(f"app {number}").text).get("/api/devices")
    assert ApiKey.objects.exclude(last_used_at=None).count() == 5
    assert {name: str(value) for name, value in vars(authentication).items()} == before


def test_api_view_without_permissions_requires_a_key(db: None) -> None:
    class WithoutPermissions(APIView):
        def get(self, request: Any) -> None:
            raise AssertionError("reached")

    response = WithoutPermissions.as_view()(APIRequestFactory().get("/"))
    assert response.status_code == 401


@pytest.mark.urls(__name__)
def test_plain_view_without_permissions_requires_a_login(db: None, client: Client) -> None:
    assert client.get("/without-permissions").status_code == 302
    client.force_login(get_user_model().objects.create_user("user"))
    assert client.get("/without-permissions").content == b"reached"


urlpatterns = [
    urls.path("without-permissions", lambda request: HttpResponse("reached")),
    urls.path("admin/", admin.site.urls),
]


def test_columns_of_a_key_are_in_the_order_of_the_model() -> None:
    """Model.from_db takes the values in this order. It ignores the order of the names."""
    for model, names in ((ApiKey, authentication.KEY), (Hospital, authentication.HOSPITAL)):
        assert names == [field.name for field in model._meta.concrete_fields if field.name in names]
