"""A key with allowed networks works from addresses in these networks only."""

from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from devices.api import long_polling
from devices.audit import denials
from devices.models import ApiKey, AuditEvent
from devices.tests.support.client import errors, issue
from devices.tests.support.factories import device_payload, register

pytestmark = pytest.mark.django_db
DEVICES = "/api/devices"
NETWORKS = "10.0.0.0/8 192.0.2.7 2001:db8::/32"
INSIDE = ["10.1.2.3", "192.0.2.7", "2001:db8::1", "::ffff:10.1.2.3"]
OUTSIDE = ["192.0.2.8", "11.0.0.1", "2001:db9::1", "::ffff:192.0.2.8", ""]  # "": a unix socket


def send(text: str, address: str, method: str = "GET", path: str = DEVICES, **headers: str) -> Any:
    headers = {"x-api-key": text, **headers}
    return Client().generic(method, path, b"[]", "application/json", REMOTE_ADDR=address, headers=headers)


@pytest.fixture
def key() -> str:
    return issue("ward app", allowed_networks=NETWORKS, rate="5/h").text


@pytest.mark.parametrize("address", INSIDE)
def test_address_in_a_network_is_allowed(key: str, address: str) -> None:
    assert send(key, address).status_code == 200


@pytest.mark.parametrize("address", OUTSIDE)
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", DEVICES), ("POST", DEVICES), ("DELETE", "/api/device/1"), ("GET", "/api/nowhere"), ("TRACE", DEVICES)],
)
def test_other_address_is_denied_without_a_word_about_networks(key: str, address: str, method: str, path: str) -> None:
    response = send(key, address, method, path)
    assert (response.status_code, errors(response)) == (403, [(None, "address_not_allowed")])
    text = response.content.decode() + str(response.headers)
    assert not [part for part in ("10.0.", "192.0.", "2001:", "/8") if part in text]
    assert "RateLimit" not in response


def test_key_without_networks_works_from_every_address() -> None:
    text = issue("app").text
    assert [send(text, address).status_code for address in INSIDE + OUTSIDE] == [200] * 9


def test_denied_requests_consume_no_permit_and_do_not_count_as_use(key: str) -> None:
    for _number in range(10):
        assert send(key, "192.0.2.8").status_code == 403
    assert ApiKey.objects.get().last_used_at is None
    assert send(key, "10.0.0.1")["RateLimit"].startswith('"default";r=4;')


def test_address_is_the_one_that_the_trusted_proxies_have_written(key: str, settings: Any) -> None:
    settings.TRUSTED_PROXIES = 1
    assert send(key, "172.16.0.1", **{"x-forwarded-for": "192.0.2.8, 10.0.0.1"}).status_code == 200
    assert send(key, "172.16.0.1", **{"x-forwarded-for": "10.0.0.1, 192.0.2.8"}).status_code == 403
    assert send(key, "10.0.0.1", **{"x-forwarded-for": "unknown"}).status_code == 403
    settings.TRUSTED_PROXIES = 0
    assert send(key, "192.0.2.8", **{"x-forwarded-for": "10.0.0.1"}).status_code == 403


def test_denials_are_recorded_with_key_and_address_and_limited(key: str) -> None:
    for number in range(200):
        send(key, f"198.51.100.{number % 100}")
    events = list(AuditEvent.objects.order_by("pk"))
    assert len(events) == denials.MAX_ROWS_PER_MINUTE + 1
    first, last = events[0], events[-1]
    assert (first.api_key_id, first.ip_address) == (ApiKey.objects.get().pk, "198.51.100.0")
    details = {"reason": "address", "status": 403, "method": "GET", "route": "api/devices"}
    assert (first.action, first.details) == ("denied", details)
    assert last.details == {"from": "many others"}


def test_audit_log_says_that_the_address_is_not_allowed(key: str, operator: Client) -> None:
    send(key, "192.0.2.8")
    for language, text in {
        "en": "sent a request from an IP address that the key does not allow",
        "id": "mengirim permintaan dari alamat IP yang tidak diizinkan untuk kunci itu",
    }.items():
        page = operator.get("/admin/devices/auditevent/", headers={"accept-language": language}).content.decode()
        assert text in page
        assert ">ward app</a>" in page


def test_waiting_request_checks_the_networks_again(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def change_networks(_key_id: int, _read: Any, page: Any, _seconds: int) -> Any:
        ApiKey.objects.update(allowed_networks="192.0.2.0/24")
        return page

    monkeypatch.setattr(long_polling, "wait_for_changes", change_networks)
    response = send(key, "10.0.0.1", path="/api/devices/changes?since=now&wait=1")
    assert (response.status_code, errors(response)) == (403, [(None, "address_not_allowed")])
    assert AuditEvent.objects.get().details["reason"] == "address"


def test_networks_need_no_further_query(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    [device] = register(device_payload(1))
    for text in (issue("open").text, issue("limited", allowed_networks=NETWORKS).text):
        send(text, "10.0.0.1")  # writes the time of the last use
        with django_assert_num_queries(2):
            assert send(text, "10.0.0.1", path=f"/api/device/{device.pk}").status_code == 200
