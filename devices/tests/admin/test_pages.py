"""The pages of devices, hospitals and API keys."""

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from devices.models import ApiKey, Channel, Device, Hospital
from devices.tests.support.client import issue
from devices.tests.support.factories import device_payload, register

LIST = "/admin/devices/device/"


def form(**fields: Any) -> dict[str, Any]:
    return {**device_payload(1, device_mac="d061aed45894"), "device_holder": "", **fields}


def test_device_pages_write_through_the_registry(operator: Client, rs_a: Hospital) -> None:
    assert operator.post(f"{LIST}add/", form()).status_code == 302
    device = Device.objects.get()
    assert device.device_mac == "D0:61:AE:D4:58:94"
    assert operator.post(f"{LIST}{device.pk}/change/", form(device_holder=rs_a.pk)).status_code == 302
    assert operator.post(f"{LIST}{device.pk}/delete/", {"post": "yes"}).status_code == 302
    changes = Device.history.order_by("history_id")
    assert [(row.history_type, row.device_holder_id) for row in changes] == [
        ("+", None),
        ("~", rs_a.pk),
        ("-", rs_a.pk),
    ]
    assert {(row.history_user.username, row.history_channel) for row in changes} == {("operator", Channel.ADMIN)}


@pytest.mark.parametrize(("language", "words"), [("en", "Retire device"), ("id", "Nonaktifkan perangkat")])
def test_device_is_retired_after_a_confirmation_page(operator: Client, language: str, words: str) -> None:
    [device] = register(device_payload(1))
    headers = {"accept-language": language}
    form_page = operator.get(f"{LIST}{device.pk}/change/", headers=headers).content.decode()
    assert f'href="{LIST}{device.pk}/delete/"' in form_page
    assert words in form_page
    page = operator.get(f"{LIST}{device.pk}/delete/", headers=headers).content.decode()
    assert (words in page, "Cuff 1" in page, f'href="{LIST}{device.pk}/change/"' in page) == (True, True, True)
    assert Device.objects.exists()
    response = operator.post(f"{LIST}{device.pk}/delete/", {"post": "yes"}, follow=True)
    assert response.redirect_chain == [(LIST, 302)]
    assert "1 device was retired." in response.content.decode()
    assert not Device.objects.exists()


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"device_mac": "12345"}, "device_mac"),
        ({"device_name": " "}, "device_name"),
        ({"device_name": "Cuff 7"}, "device_name"),
    ],
)
def test_device_error_is_reported_at_its_field(operator: Client, fields: dict[str, str], field: str) -> None:
    register(device_payload(7))
    response = operator.post(f"{LIST}add/", form(**fields))
    assert response.status_code == 200
    assert list(response.context["adminform"].form.errors) == [field]
    assert Device.objects.count() == 1


def test_search_finds_a_mac_in_any_notation(operator: Client) -> None:
    register(device_payload(1, device_mac="D0:61:AE:D4:58:94"), device_payload(2))
    page = operator.get(f"{LIST}?q=d061.aed4").content.decode()
    assert "Cuff 1" in page
    assert "Cuff 2" not in page


def test_hospital_and_api_key_pages_show_no_digest_and_keys_are_read_only(operator: Client, rs_a: Hospital) -> None:
    issued = issue("ward app", hospitals=[rs_a])
    for path in ("apikey/", f"apikey/{issued.key.pk}/change/", "hospital/", f"hospital/{rs_a.pk}/change/"):
        response = operator.get(f"/admin/devices/{path}")
        assert response.status_code == 200, path
        assert issued.key.digest not in response.content.decode()
    assert operator.post(f"/admin/devices/apikey/{issued.key.pk}/change/", {"name": "x"}).status_code == 403
    assert ApiKey.objects.get().name == "ward app"


def test_staff_without_permissions_see_no_devices(db: None, client: Client) -> None:
    client.force_login(get_user_model().objects.create_user("nurse", is_staff=True))
    for path in (LIST, f"{LIST}add/", "/admin/devices/apikey/", "/admin/devices/hospital/"):
        assert client.get(path).status_code == 403
