"""The overview: each number is correct, limited to the scope, and linked to the list that it counts."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from devices import registry
from devices.access.actor import SYSTEM
from devices.accounts import users
from devices.models import ApiKey, Device, Hospital
from devices.registry import hospitals
from devices.tests.support.client import issue
from devices.tests.support.factories import device_payload, register


@pytest.fixture(autouse=True)
def _nothing_cached() -> None:
    cache.clear()


def metrics(client: Client, name: str) -> dict[str, tuple[int, str]]:
    return {str(metric.label): (metric.number, metric.url) for metric in client.get("/admin/").context[name]}


def numbers(client: Client, name: str) -> dict[str, int]:
    return {label: number for label, (number, _url) in metrics(client, name).items()}


def listed(client: Client, url: str) -> int:
    return int(client.get(url).context["cl"].result_count)


def test_each_number_equals_the_count_of_the_linked_list(operator: Client, devices: dict[str, Device]) -> None:
    ApiKey.objects.filter(pk=issue("ward app").key.pk).update(expires_at=timezone.now() + timedelta(days=3))
    Device.objects.filter(pk=devices["a"].pk).update(created_at=timezone.now() - timedelta(weeks=3))
    registry.retire(Device.objects.filter(pk=register(device_payload(9))[0].pk), SYSTEM)
    names = ("figures", "attention", "hospitals", "types", "weeks")
    links = [pair for name in names for pair in metrics(operator, name).items()]
    assert len(links) == 4 + 3 + 2 + 2 + 12
    for label, (number, url) in links:
        assert listed(operator, url) == number, label
    assert sorted(number for number, _url in metrics(operator, "weeks").values()) == [0] * 10 + [1, 2]


def test_overview_of_a_hospital_admin_is_limited_to_the_scope(
    ratna: Client, devices: dict[str, Device], rs_b: Hospital
) -> None:
    issue("ward app", hospitals=[rs_b])
    registry.retire(Device.objects.filter(pk=devices["b"].pk), SYSTEM)
    assert numbers(ratna, "figures") == {"Devices": 1, "Registered this week": 1, "Retired this week": 0}
    assert numbers(ratna, "hospitals") == {"RS Harapan": 1}
    assert numbers(ratna, "attention") == {}
    assert sum(numbers(ratna, "weeks").values()) == 1
    page = ratna.get("/admin/").content.decode()
    assert [text for text in ("Cuff 1", "Cuff 2", "Cuff 3", "RS Sehat", "Keys") if text in page] == ["Cuff 1"]


def test_weeks_of_each_scope_are_separate(operator: Client, ratna: Client, devices: Any) -> None:
    assert sum(numbers(operator, "weeks").values()) == 3
    assert sum(numbers(ratna, "weeks").values()) == 1


def test_numbers_and_charts_are_of_the_same_moment(operator: Client, ratna: Client, rs_a: Hospital) -> None:
    def expect(total: int, retired: int) -> None:
        for client in (operator, ratna):
            assert numbers(client, "figures")["Devices"] == total
            assert numbers(client, "figures")["Registered this week"] == total
            assert numbers(client, "figures")["Retired this week"] == retired
            assert sum(numbers(client, "weeks").values()) == total
            assert sum(numbers(client, "types").values()) == total

    expect(0, 0)
    [device, _other] = register(*(device_payload(number, device_holder=rs_a.name) for number in (1, 2)))
    expect(2, 0)
    registry.retire(Device.objects.filter(pk=device.pk), SYSTEM)
    expect(1, 1)
    register(device_payload(3, device_holder=rs_a.name))
    expect(2, 1)


def test_bars_are_shares_of_the_whole(operator: Client) -> None:
    items = [device_payload(number, device_holder="RS Harapan") for number in range(3)]
    register(*items, device_payload(3, device_type="CORPORATE"))
    for name in ("types", "hospitals"):
        shown = operator.get("/admin/").context[name]
        assert [metric.percent for metric in shown] == ([75, 25] if name == "types" else [75]), name
    page = operator.get("/admin/").content.decode()
    assert re.findall(r'<rect height="10" width="(\d+)"', page) == ["750", "250", "750"]
    assert page.count("75 %") == 2


def test_hospitals_without_devices_are_listed(operator: Client, ratna: Client, rs_a: Hospital, rs_b: Hospital) -> None:
    register(device_payload(1, device_holder=rs_b.name))
    assert list(numbers(operator, "hospitals").items()) == [("RS Sehat", 1), ("RS Harapan", 0)]
    assert numbers(ratna, "hospitals") == {"RS Harapan": 0}


def test_overview_names_the_user_and_their_hospitals(operator: Client, ratna: Client, rs_b: Hospital) -> None:
    page = ratna.get("/admin/").content.decode()
    assert "Welcome, Ibu Ratna" in page
    assert "You manage the devices of RS Harapan." in page
    assert "RS Sehat" not in page
    assert "You see the devices of all hospitals." in operator.get("/admin/").content.decode()


def test_hospital_admin_without_devices_is_led_to_registration_and_import(ratna: Client, rs_a: Hospital) -> None:
    text, links = "No device is registered here yet", ("/admin/devices/device/add/", "/admin/devices/device/import/")
    page = ratna.get("/admin/").content.decode()
    assert text in page
    assert all(f'href="{link}"' in page for link in links)
    register(device_payload(1, device_holder=rs_a.name))
    assert text not in ratna.get("/admin/").content.decode()


def test_first_steps_of_an_operator_are_ticked_off_and_disappear(operator: Client) -> None:
    def open_steps() -> list[str]:
        steps = operator.get("/admin/").context["steps"]
        assert ("First steps" in operator.get("/admin/").content.decode()) == bool(steps)
        return [step.label for step in steps if not step.is_done]

    steps = ["Add a hospital", "Invite its admin", "Import its devices", "Create an API key"]
    assert open_steps() == steps
    hospital = hospitals.get_or_create(["RS Harapan"], SYSTEM)["rs harapan"]
    assert open_steps() == steps[1:]
    users.invite("Ibu Ratna", "ratna@rs.example", [hospital])
    assert open_steps() == steps[2:]
    register(device_payload(1))
    assert open_steps() == steps[3:]
    issue("ward app")
    assert open_steps() == []


def test_overview_query_count_does_not_depend_on_devices_or_hospitals(operator: Client) -> None:
    counts = set()
    for start in (1, 101):
        register(*(device_payload(n, device_holder=f"RS {n}") for n in range(start, start + 100)))
        with CaptureQueriesContext(connection) as queries:
            assert operator.get("/admin/").status_code == 200
        counts.add(len(queries))
        with CaptureQueriesContext(connection) as queries:
            assert operator.get("/admin/").status_code == 200
        counts.add(len(queries) + 13)  # the weeks are not counted again until a device changes
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
