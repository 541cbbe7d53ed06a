"""The overview: each number is correct, limited to the scope, and linked to the list that it counts."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from devices.models import ApiKey, Device, Hospital
from devices.tests.support.client import issue
from devices.tests.support.factories import device_payload, register


@pytest.fixture(autouse=True)
def _nothing_cached() -> None:
    cache.clear()


def metrics(client: Client, name: str) -> dict[str, tuple[int, str]]:
    return {str(metric.label): (metric.number, metric.url) for metric in client.get("/admin/").context[name]}


def listed(client: Client, url: str) -> int:
    return int(client.get(url).context["cl"].result_count)


def test_each_number_equals_the_count_of_the_linked_list(operator: Client, devices: dict[str, Device]) -> None:
    ApiKey.objects.filter(pk=issue("ward app").key.pk).update(expires_at=timezone.now() + timedelta(days=3))
    Device.objects.filter(pk=devices["a"].pk).update(created_at=timezone.now() - timedelta(weeks=3))
    links = [pair for name in ("figures", "hospitals", "types", "weeks") for pair in metrics(operator, name).items()]
    assert len(links) == 6 + 2 + 2 + 12
    for label, (number, url) in links:
        assert listed(operator, url) == number, label
    assert sorted(number for number, _url in metrics(operator, "weeks").values()) == [0] * 10 + [1, 2]


def test_overview_of_a_hospital_admin_is_limited_to_the_scope(
    ratna: Client, devices: dict[str, Device], rs_b: Hospital
) -> None:
    issue("ward app", hospital=rs_b)
    assert {label: number for label, (number, _url) in metrics(ratna, "figures").items()} == {"devices": 1}
    assert {label: number for label, (number, _url) in metrics(ratna, "hospitals").items()} == {"RS Harapan": 1}
    assert sum(number for number, _url in metrics(ratna, "weeks").values()) == 1
    page = ratna.get("/admin/").content.decode()
    assert [text for text in ("Cuff 1", "Cuff 2", "Cuff 3", "RS Sehat", "keys") if text in page] == ["Cuff 1"]


def test_cached_weeks_are_separate_for_each_scope(operator: Client, ratna: Client, devices: Any) -> None:
    assert sum(number for number, _url in metrics(operator, "weeks").values()) == 3
    assert sum(number for number, _url in metrics(ratna, "weeks").values()) == 1


def test_overview_query_count_does_not_depend_on_devices_or_hospitals(operator: Client) -> None:
    counts = set()
    for start in (1, 101):
        register(*(device_payload(n, device_holder=f"RS {n}") for n in range(start, start + 100)))
        with CaptureQueriesContext(connection) as queries:
            assert operator.get("/admin/").status_code == 200
        counts.add(len(queries) - 12 * (start == 1))  # the weeks are cached
    assert len(counts) == 1


def test_numbers_and_dates_use_the_format_of_the_language(operator: Client) -> None:
    register(*map(device_payload, range(1200)))
    assert "1,200" in operator.get("/admin/", headers={"accept-language": "en"}).content.decode()
    assert "1.200" in operator.get("/admin/", headers={"accept-language": "id"}).content.decode()


def test_overview_of_an_empty_registry(operator: Client) -> None:
    assert "Nothing yet." in operator.get("/admin/").content.decode()


def test_latest_changes_show_the_user_or_the_channel(operator: Client) -> None:
    [device] = register(device_payload(1))  # by a command
    operator.post(
        f"/admin/devices/device/{device.pk}/change/",
        {**device_payload(1, device_type="CORPORATE"), "device_holder": ""},
    )
    changes = operator.get("/admin/").context["changes"]
    shown = [(str(change["user"]), change["source"]) for change in changes]
    assert shown == [("operator", "Admin · 127.0.0.1"), ("Command", "")]
    assert "· Command" in operator.get("/admin/").content.decode()


def test_root_redirects_to_the_overview(operator: Client) -> None:
    assert operator.get("/", follow=True).redirect_chain == [("/admin/", 302)]


def test_language_can_be_changed_before_and_after_sign_in(client: Client, operator: Client) -> None:
    for browser, page in ((client, "/admin/login/"), (operator, "/admin/")):
        response = browser.post("/language", {"language": "id", "next": page}, follow=True)
        assert 'lang="id"' in response.content.decode()


@pytest.mark.parametrize(
    ("path", "evaluates"), [("/admin/", True), ("/admin/login/", True), ("/api/docs", False), ("/api/devices", False)]
)
def test_content_security_policy_allows_no_inline_scripts(operator: Client, path: str, evaluates: bool) -> None:
    policy = operator.get(path, follow=True)["Content-Security-Policy"]
    [scripts] = [part for part in policy.split("; ") if part.startswith("script-src")]
    assert scripts == "script-src 'self'" + (" 'unsafe-eval'" if evaluates else "")
    assert policy.startswith("default-src 'self'")
