"""Retire a device, take that back, and restore a device from the list of retired devices."""

import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from devices import registry
from devices.access.actor import SYSTEM
from devices.models import Device, Hospital
from devices.registry import hospitals
from devices.tests.support.factories import device_payload, register

LIST = "/admin/devices/device/"
RETIRED, RESTORE = f"{LIST}retired/", f"{LIST}retired/restore/"


def retire(*devices: Device) -> None:
    registry.retire(Device.objects.filter(pk__in=[device.pk for device in devices]), SYSTEM)


def listed(client: Client, query: str = "") -> list[str]:
    return [change.device_name for change in client.get(f"{RETIRED}{query}").context["cl"].result_list]


def undo_url(page: str) -> str:
    [url] = re.findall(rf'<a href="({RESTORE}[^"]*)"[^>]*>Undo</a>', page)
    return url


def test_message_after_a_retirement_leads_back(operator: Client) -> None:
    [device] = register(device_payload(1))
    page = operator.post(f"{LIST}{device.pk}/delete/", {"post": "yes"}, follow=True).content.decode()
    assert "1 device was retired." in page
    url = undo_url(page)
    confirmation = operator.get(url).content.decode()
    assert ("Restore 1 device" in confirmation, device.device_mac in confirmation) == (True, True)
    assert not Device.objects.exists()
    restored = operator.post(url, follow=True).content.decode()
    assert "1 device was restored." in restored
    assert f'href="{LIST}{device.pk}/change/"' in restored
    assert Device.objects.get() == device


def test_retirement_of_many_devices_is_taken_back_together(operator: Client) -> None:
    devices = register(*map(device_payload, range(30)))
    retire(devices[29])
    chosen = {"action": "retire", "_selected_action": [device.pk for device in devices[:25]], "confirmed": "25"}
    page = operator.post(LIST, chosen, follow=True).content.decode()
    restored = operator.post(undo_url(page), follow=True).content.decode()
    assert "25 devices were restored." in restored
    assert Device.objects.count() == 29


def test_undo_restores_only_what_this_user_has_retired(operator: Client, ratna: Client, rs_a: Hospital) -> None:
    [device] = register(device_payload(1, device_holder=rs_a.name))
    page = operator.post(f"{LIST}{device.pk}/delete/", {"post": "yes"}, follow=True).content.decode()
    assert "None of these devices can be restored." in ratna.post(undo_url(page), follow=True).content.decode()
    assert not Device.objects.exists()


def test_only_devices_that_are_still_retired_are_listed(operator: Client) -> None:
    devices = register(*map(device_payload, range(4)))
    retire(*devices[:3])
    registry.restore([devices[0].pk, devices[1].pk], SYSTEM)
    retire(devices[1])
    assert listed(operator) == ["Cuff 1", "Cuff 2"]


def test_button_of_the_row_restores_the_device(operator: Client) -> None:
    one, two = register(device_payload(1), device_payload(2))
    retire(one, two)
    urls = re.findall(rf'formaction="({RESTORE}[^"]*)"', operator.get(RETIRED).content.decode())
    assert len(urls) == 2
    operator.post(f"{RESTORE}?id={one.pk}")
    assert Device.objects.get() == one
    assert listed(operator) == ["Cuff 2"]


def test_selected_devices_are_restored_after_confirmation(operator: Client) -> None:
    devices = register(device_payload(1), device_payload(2))
    retire(*devices)
    chosen = [change.pk for change in operator.get(RETIRED).context["cl"].result_list]
    form = {"action": "restore", "_selected_action": chosen}
    assert "Restore 2 devices" in operator.post(RETIRED, form).content.decode()
    assert not Device.objects.exists()
    operator.post(RETIRED, form | {"confirmed": "2"})
    assert Device.objects.count() == 2


def test_error_of_a_taken_name_is_shown_and_nothing_is_restored(operator: Client) -> None:
    [device] = register(device_payload(1))
    retire(device)
    register(device_payload(2, device_name="Cuff 1"))
    page = operator.post(f"{RESTORE}?id={device.pk}", follow=True).content.decode()
    assert "Cuff 1: A device with this name is already registered." in page
    assert Device.objects.count() == 1


def test_retired_devices_of_other_hospitals_are_not_shown(
    ratna: Client, devices: dict[str, Device], rs_b: Hospital
) -> None:
    retire(*devices.values())
    assert listed(ratna) == ["Cuff 1"]
    for query in ("?q=Cuff+2", "?q=sehat", f"?q={devices['b'].device_mac}", "?q=unknown"):
        assert listed(ratna, query) == []
    assert "RS Sehat" not in ratna.get(RETIRED).content.decode()
    for other in ("b", "free"):
        for method in (ratna.get, ratna.post):
            assert method(f"{RESTORE}?id={devices[other].pk}")["Location"] == RETIRED
    assert not Device.objects.exists()


def test_device_that_was_transferred_away_cannot_be_restored(
    ratna: Client, devices: dict[str, Device], rs_b: Hospital
) -> None:
    registry.transfer(Device.objects.filter(pk=devices["a"].pk), rs_b, SYSTEM)
    retire(devices["a"])
    assert listed(ratna) == []


def test_name_of_another_hospitals_admin_is_not_shown(ratna: Client, rs_a: Hospital, operator: Client) -> None:
    [device] = register(device_payload(1, device_holder=rs_a.name))
    operator.post(f"{LIST}{device.pk}/delete/", {"post": "yes"})
    rows = re.findall(r'<td class="field-user[^>]*>(.*?)</td>', ratna.get(RETIRED).content.decode(), re.DOTALL)
    assert [" ".join(re.sub("<[^>]*>", "", row).split()) for row in rows] == ["operator"]
    page = ratna.get(RETIRED).content.decode()
    assert "operator@" not in page


@pytest.mark.parametrize("text", ["igd tensimeter", "B0 49 5F 4D CA 18", "dca18", "harapan", "lama"])
def test_search_finds_retired_devices_like_registered_ones(operator: Client, rs_a: Hospital, text: str) -> None:
    [device, other] = register(
        device_payload(1, device_name="Tensimeter IGD 1", device_mac="B0:49:5F:4D:CA:18", device_holder=rs_a.name),
        device_payload(2),
    )
    hospitals.rename(rs_a, "RS Harapan Lama", SYSTEM)
    retire(device, other)
    assert listed(operator, f"?q={text}") == ["Tensimeter IGD 1"]


def test_device_of_a_merged_hospital_is_listed_for_the_remaining_one(
    ratna: Client, rs_a: Hospital, rs_b: Hospital
) -> None:
    [device] = register(device_payload(1, device_holder=rs_b.name))
    retire(device)
    hospitals.merge([rs_b], rs_a, SYSTEM)
    page = ratna.get(RETIRED).content.decode()
    assert ("Cuff 1" in page, "RS Harapan" in page) == (True, True)
    ratna.post(f"{RESTORE}?id={device.pk}")
    assert Device.objects.get().device_holder == rs_a


@pytest.mark.parametrize("query", ["?id=x", "?id=99999999999999999999999", "?id=-1", "?request=%00", "", "?id=1&id=2"])
def test_invalid_address_restores_nothing(operator: Client, query: str) -> None:
    [device] = register(device_payload(1))
    retire(device)
    if query != "?request=%00":  # rejected by the middleware
        assert operator.post(f"{RESTORE}{query}")["Location"] == RETIRED
    assert not Device.objects.exists()


def test_number_of_queries_does_not_depend_on_the_number_of_retired_devices(operator: Client) -> None:
    counts = set()
    for start in (0, 100):
        retire(*register(*map(device_payload, range(start, start + (5 if start == 0 else 40)))))
        with CaptureQueriesContext(connection) as queries:
            operator.get(RETIRED)
        counts.add(len(queries))
    assert len(counts) == 1
