"""Find the address of a client behind proxies that write it in different formats, and count requests by it."""

import logging
from typing import Any

import pytest
from django.test import RequestFactory

from devices.access import client_ip
from devices.tests.support.admin.api_keys import LEGACY_KEY
from devices.tests.support.client import Api

V6 = "2001:db8:1:2::7"


@pytest.fixture(autouse=True)
def _no_recent_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_ip, "_warned_at", -client_ip.WARN_EVERY)


def address(entry: str | None, remote: str = "10.0.0.1") -> str | None:
    headers = {} if entry is None else {"x-forwarded-for": entry}
    return client_ip.client_ip(RequestFactory().get("/", headers=headers, REMOTE_ADDR=remote))


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7:4711", "192.0.2.7"),
        ('"192.0.2.7:4711"', "192.0.2.7"),
        (V6, V6),
        (f"[{V6}]", V6),
        (f"[{V6}]:4711", V6),
        (f'"[{V6}]:4711"', V6),
        ("[fe80::1%eth0]:4711", "fe80::1"),
        ("[::ffff:192.0.2.7]:4711", "192.0.2.7"),
        ("198.51.100.1, 192.0.2.7:1", "192.0.2.7"),
        (f"[{V6.upper()}]", V6),
        (f'"{V6}"', V6),
        ("[fe80::1%25eth0]", "fe80::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("[192.0.2.7]:1", "192.0.2.7"),
        ("for=192.0.2.7", "192.0.2.7"),
        (f'For="[{V6}]:4711"', V6),
        ("for=192.0.2.7;proto=https;by=198.51.100.1", "192.0.2.7"),
        (f'proto=https; For="[{V6}]:4711"', V6),
        ("192.0.2.7,", "192.0.2.7"),
        ("192.0.2.7:4711 , ", "192.0.2.7"),
        (",,192.0.2.7\t", "192.0.2.7"),
        ("unknown, 192.0.2.7", "192.0.2.7"),
    ],
)
def test_address_is_read_in_all_formats_of_proxies(settings: Any, entry: str, expected: str) -> None:
    settings.TRUSTED_PROXIES = 1
    assert address(entry) == expected


@pytest.mark.parametrize(
    "entry",
    ["unknown", "_hidden", "192.0.2.7:", "192.0.2.7:x", "192.0.2.7:٣", f"[{V6}]x", "a:1", "1:2:3", "proto=https", ";"],
)
def test_malformed_entry_has_no_address(settings: Any, entry: str) -> None:
    settings.TRUSTED_PROXIES = 1
    assert address(entry) is None


@pytest.mark.parametrize("entry", ["unknown", "_hidden", "192.0.2.7.9", '"192.0.2.7', "for=unknown", "0xC0000207", "%"])
@pytest.mark.parametrize("client", ["198.51.100.66", "198.51.100.66:1, ,", '"[2001:db8::66]"'])
def test_client_cannot_choose_its_address_if_the_entry_of_the_proxy_has_none(
    settings: Any, entry: str, client: str
) -> None:
    settings.TRUSTED_PROXIES = 1
    assert address(f"{client}, {entry}") is None
    settings.TRUSTED_PROXIES = 2
    assert address(f"{client}, {entry}, 192.0.2.8:443") is None


@pytest.mark.parametrize("separator", [",", ", ", ":80, ", " ,, ,", ":80,\t"])
def test_entries_are_counted_from_the_last_proxy(settings: Any, separator: str) -> None:
    header = separator.join(["198.51.100.66", "192.0.2.7", "192.0.2.8", "192.0.2.9"]) + ","
    for settings.TRUSTED_PROXIES, expected in ((1, "192.0.2.9"), (2, "192.0.2.8"), (3, "192.0.2.7")):
        assert address(header) == expected


def test_missing_address_logs_a_warning_once_a_minute(
    settings: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.TRUSTED_PROXIES = 1
    for number in range(50):
        address(f"unknown-{number}")
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == "X-Forwarded-For has no client address where TRUSTED_PROXIES=1 expects it."
    monkeypatch.setattr(client_ip, "_warned_at", client_ip._warned_at - client_ip.WARN_EVERY)
    address("unknown")
    assert len(caplog.records) == 2


@pytest.mark.parametrize(("entry", "proxies"), [(None, 1), ("", 1), (" , ,", 1), ("192.0.2.7", 2), ("192.0.2.7,,", 2)])
def test_fewer_entries_than_proxies_log_a_warning(
    settings: Any, caplog: pytest.LogCaptureFixture, entry: str | None, proxies: int
) -> None:
    settings.TRUSTED_PROXIES = proxies
    assert address(entry, remote="10.0.0.1") == "10.0.0.1"
    assert len(caplog.records) == 1


def test_valid_address_logs_no_warning(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    settings.TRUSTED_PROXIES = 1
    address("192.0.2.7:4711")
    settings.TRUSTED_PROXIES = 0
    assert address("x", remote="") is None  # a Unix socket
    assert caplog.records == []


def test_a_site_is_the_48_of_an_ipv6_address() -> None:
    def networks(address: str) -> list[str | None]:
        return client_ip.client_networks(RequestFactory().get("/", REMOTE_ADDR=address))

    assert networks(V6) == ["2001:db8:1:2::", "2001:db8:1::/48"]
    assert networks("2001:db8:1:ffff::1") == ["2001:db8:1:ffff::", "2001:db8:1::/48"]
    assert networks("192.0.2.7") == ["192.0.2.7"]
    assert networks("") == [None]


# --- Failed keys


@pytest.fixture
def limited(settings: Any, db: None) -> None:
    settings.API_FAILED_RATE, settings.TRUSTED_PROXIES = "2/h", 1


def attempt(entry: str, times: int = 1) -> list[int]:
    api = Api(LEGACY_KEY, **{"x-forwarded-for": entry})
    return [api.get("/api/devices").status_code for _ in range(times)]


@pytest.mark.usefixtures("limited")
def test_clients_behind_a_proxy_that_adds_ports_are_counted_separately() -> None:
    assert attempt("192.0.2.1:1001", 1) + attempt("192.0.2.1:1002", 2) == [401, 401, 429]
    assert attempt("192.0.2.2:1001") == attempt("[2001:db8::1]:1001") == [401]


@pytest.mark.usefixtures("limited")
def test_ipv6_site_has_ten_times_the_failures_of_a_network() -> None:
    statuses = [status for n in range(15) for status in attempt(f"2001:db8:1:{n:x}::1", 2)]
    assert statuses == [401] * 20 + [429] * 10
    assert attempt("2001:db8:2::1") == [401]
    assert attempt("192.0.2.1") == [401]


@pytest.mark.usefixtures("limited")
def test_network_does_not_use_up_the_limit_of_its_site() -> None:
    assert attempt("2001:db8:1:1::1", 40).count(401) == 2
    assert [status for n in range(2, 11) for status in attempt(f"2001:db8:1:{n:x}::1", 2)] == [401] * 18
