"""The page of changes: values, actors, search, filters, and restoring devices."""

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from devices import registry
from devices.access.actor import SYSTEM
from devices.admin import changes
from devices.admin.times import exact_time
from devices.models import Device, Hospital
from devices.registry import hospitals
from devices.tests.support.client import Api, issue
from devices.tests.support.factories import device_payload, register

CHANGES = "/admin/devices/historicaldevice/"


def restore(client: Client, *rows: Any) -> str:
    chosen = [row.history_id for row in rows]
    form = {"action": "restore", "_selected_action": chosen, "confirmed": len(rows)}
    return client.post(CHANGES, form, follow=True).content.decode()


def last_change(device_id: int) -> Any:
    return Device.history.filter(id=device_id).latest("history_id")


def test_history_shows_user_ip_address_and_values_before_and_after(operator: Client) -> None:
    [device] = register(device_payload(1), device_payload(2))[:1]
    Api(issue("ward app").text).patch(
        f"/api/device/{device.pk}", {"device_name": "<b>New", "device_holder": "RS Harapan"}
    )
    page = operator.get(f"/admin/devices/device/{device.pk}/history/").content.decode()
    assert "name: Cuff 1 → &lt;b&gt;New" in page
    assert "hospital: none → RS Harapan" in page
    assert "API key ward app" in page
    assert "127.0.0.1" in page
    assert "Cuff 2" not in page


@pytest.mark.parametrize("max_ids", [1000, 0])
def test_search_finds_changes_by_past_names_and_macs(
    operator: Client, max_ids: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "MAX_IDS", max_ids)  # 0: never search by ids
    renamed, removed, other = register(device_payload(1), device_payload(2), device_payload(3))
    registry.update(Device.objects.filter(pk=renamed.pk), {"device_name": "Timbangan"}, SYSTEM)
    registry.retire(Device.objects.filter(pk=removed.pk), SYSTEM)
    found = {
        "cuff 1": {(renamed.pk, "+")},
        "IMBANG": {(renamed.pk, "~")},
        "uff 2": {(removed.pk, "+"), (removed.pk, "-")},
        removed.device_mac.replace(":", "-").lower()[6:]: {(removed.pk, "+"), (removed.pk, "-")},
        "cuff": {(renamed.pk, "+"), (removed.pk, "+"), (removed.pk, "-"), (other.pk, "+")},
        "nothing like it": set(),
    }
    for text, expected in found.items():
        rows = operator.get(CHANGES, {"q": text}).context["cl"].result_list
        assert {(row.id, row.history_type) for row in rows} == expected, text


def test_list_query_count_does_not_depend_on_the_number_of_changes(operator: Client) -> None:
    counts = set()
    for start in (0, 50):
        devices = register(*map(device_payload, range(start + 1, start + 21)))
        registry.transfer(Device.objects.filter(pk__in=[device.pk for device in devices]), None, SYSTEM)
        with CaptureQueriesContext(connection) as queries:
            assert operator.get(CHANGES).status_code == 200
        counts.add(len(queries))
    assert len(counts) == 1


def test_retired_device_is_restored_with_the_same_id(operator: Client) -> None:
    [device] = register(device_payload(1))
    registry.retire(Device.objects.all(), SYSTEM)
    assert "1 device was restored." in restore(operator, last_change(device.pk))
    assert Device.objects.get().pk == device.pk
    assert last_change(device.pk).history_user.username == "operator"
    assert "None of these devices can be restored." in restore(operator, last_change(device.pk))


def test_restore_requires_confirmation_and_restores_all_or_none(operator: Client) -> None:
    devices = register(device_payload(1), device_payload(2), device_payload(3))
    registry.retire(Device.objects.all(), SYSTEM)
    chosen: dict[str, Any] = {"action": "restore", "select_across": "1", "_selected_action": "1"}
    page = operator.post(CHANGES, chosen).content.decode()
    assert "3 devices will be registered again" in page
    assert not Device.objects.exists()
    [other] = register(device_payload(2, device_name="Other"))
    page = operator.post(CHANGES, {**chosen, "confirmed": "3"}, follow=True).content.decode()
    assert "Cuff 2: A device with this MAC address is already registered." in page
    assert list(Device.objects.all()) == [other]
    registry.retire(Device.objects.all(), SYSTEM)
    page = operator.post(CHANGES, {**chosen, "confirmed": "4"}, follow=True).content.decode()
    assert "Cuff 2: A device with this MAC address" in page
    chosen = {"action": "restore", "_selected_action": [last_change(device.pk).pk for device in devices]}
    operator.post(CHANGES, {**chosen, "confirmed": "3"})
    assert list(Device.objects.order_by("pk")) == list(devices)


def test_restore_reports_a_name_that_another_device_now_has(operator: Client) -> None:
    [device] = register(device_payload(1))
    registry.retire(Device.objects.all(), SYSTEM)
    register(device_payload(1))
    page = restore(operator, last_change(device.pk))
    assert "A device with this name is already registered." in page
    assert Device.objects.count() == 1


def test_user_without_permissions_can_neither_view_nor_restore(db: None, client: Client) -> None:
    [device] = register(device_payload(1))
    registry.retire(Device.objects.all(), SYSTEM)
    nurse = get_user_model().objects.create_user("nurse", is_staff=True)
    client.force_login(nurse)
    assert client.get(CHANGES).status_code == 403
    nurse.user_permissions.add(Permission.objects.get(codename="view_historicaldevice"))
    restore(client, last_change(device.pk))
    assert not Device.objects.exists()


def test_hospital_filter_finds_changes_and_shows_merged_names(
    operator: Client, devices: dict[str, Device], rs_a: Hospital, rs_b: Hospital
) -> None:
    registry.transfer(Device.objects.filter(pk=devices["a"].pk), rs_b, SYSTEM)
    page = operator.get(f"{CHANGES}?device_holder__id__exact={rs_a.pk}")
    assert {row.device_name for row in page.context["cl"].result_list} == {"Cuff 1"}
    hospitals.merge([rs_b], rs_a, SYSTEM)
    hospitals.rename(rs_a, "RSUD Harapan", SYSTEM)
    page = operator.get(f"{CHANGES}?id={devices['a'].pk}")
    assert "its hospital was renamed" in page.content.decode()
    hospitals.rename(rs_a, "RS Harapan", SYSTEM)
    page = operator.get(f"{CHANGES}?id={devices['a'].pk}")
    assert "hospital: RS Harapan → RS Sehat" in page.content.decode()
    assert "hospital: RS Sehat → RS Harapan" in page.content.decode()


def test_search_finds_a_change_by_name_mac_and_request_id(operator: Client) -> None:
    [device] = register(device_payload(1, device_mac="D0:61:AE:D4:58:94"), device_payload(2))[:1]
    Api(issue("ward app").text).patch(f"/api/device/{device.pk}", {"device_type": "CORPORATE"})
    request_id = last_change(device.pk).history_request_id
    for text, types in {"uff 1": ["~", "+"], "d061.aed4": ["~", "+"], request_id: ["~"], "zzz": []}.items():
        found = operator.get(CHANGES, {"q": text}).context["cl"].result_list
        assert [(row.id, row.history_type) for row in found] == [(device.pk, kind) for kind in types]


@pytest.mark.parametrize(("action", "types"), [("registered", ["+", "+"]), ("retired", ["-"])])
def test_filter_finds_changes_by_action(operator: Client, action: str, types: list[str]) -> None:
    register(device_payload(1), device_payload(2))
    registry.retire(Device.objects.filter(device_name="Cuff 1"), SYSTEM)
    rows = operator.get(CHANGES, {"action": action}).context["cl"].result_list
    assert [row.history_type for row in rows] == types


def test_changes_have_the_same_format_of_dates_as_other_pages(operator: Client) -> None:
    [device] = register(device_payload(1))
    expected = exact_time(last_change(device.pk).history_date)
    for page in (CHANGES, f"/admin/devices/device/{device.pk}/history/", f"/admin/devices/device/{device.pk}/change/"):
        assert expected in operator.get(page).content.decode()
