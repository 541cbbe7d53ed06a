"""Identifiers that manufacturers use in place of MAC addresses: DEVICES_ALLOW_NON_MAC."""

from typing import Any
from urllib.parse import quote

import pytest
from django.core.exceptions import ValidationError
from django.utils.translation import override

from devices.api import mac_field
from devices.registry import device_fields
from devices.tests.support.client import Api, errors
from devices.tests.support.factories import device_payload

PUBLISHED = [  # in the vendor's documentation and mobile modules
    *("001-20210101-0001", "02-20210201-0001", "5D:6C:7E:8F", "5D:6C:7E:8H", "5D:6C:7E:8I", "5D:6C:7E:8J"),
    *("CB:CA:52:57:F8:G(", "11:FF"),
]
HINT = "If this is a manufacturer ID, the operator can allow it: DEVICES_ALLOW_NON_MAC."
EDGES = ["ABCD", "~" * 64, "FFFX", "00-0", "01:00:5E", "1-2-3-4-5-6", '"\\{}', "a%s{}", "33:33:1"]

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("code", [*PUBLISHED, *EDGES])
def test_each_route_accepts_the_id_if_the_settings_allow_it(api: Api, settings: Any, code: str) -> None:
    settings.DEVICES_ALLOW_NON_MAC = True
    sent = device_payload(1, device_mac=f" {code.lower()} ")
    created = api.post("/api/device", sent)
    assert created.status_code == 201
    [device] = created.json()["data"]
    assert device["device_mac"] == code.upper()
    assert api.get(f"/api/devices?device_mac={quote(code)}").json()["data"] == [device]
    assert api.put("/api/device", {**sent, "device_name": "x"}).json()["data"]["id"] == device["id"]
    assert api.patch(f"/api/device/{device['id']}", {"device_mac": code}).json()["data"]["device_mac"] == code.upper()
    assert errors(api.post("/api/device", device_payload(2, device_mac=code)))[0] == ("device_mac", "unique")


@pytest.mark.parametrize("code", PUBLISHED)
def test_error_says_that_the_operator_can_allow_the_id(api: Api, code: str) -> None:
    body = device_payload(1, device_mac=code)
    for response in (
        api.post("/api/device", body),
        api.put("/api/device", body),
        api.get(f"/api/devices?device_mac={quote(code)}"),
    ):
        assert errors(response) == [("device_mac", "mac")]
        assert response.json()["message"].endswith(HINT)
    [result] = api.post("/api/devices?mode=partial", body).json()["data"]
    assert result["errors"][0]["message"].endswith(HINT)


@pytest.mark.parametrize(
    "text",
    [
        "D0:61:AE:D4:58:9O",
        "D0:61:AE:D4:58",
        "D0-61-AE-D4-58-94-1",
        "belum ada",
        "hello",
        "00:00:00:00:00:00",
        "D0:61:AE:D4:58:94 2",
        "abc",
        "1" * 65,
        7,
    ],
)
def test_other_texts_get_no_hint(api: Api, text: object) -> None:
    response = api.post("/api/device", device_payload(1, device_mac=text))
    assert errors(response) == [("device_mac", "mac")]
    assert HINT not in response.json()["message"]


def test_admin_and_imports_give_no_hint() -> None:
    for clean in (device_fields.clean_mac, device_fields.CLEANERS["device_mac"]):
        with pytest.raises(ValidationError) as caught:
            clean(PUBLISHED[0])
        assert HINT not in caught.value.messages[0]


def test_hint_is_translated() -> None:
    with override("id"), pytest.raises(ValidationError) as caught:
        mac_field.clean_mac(PUBLISHED[0])
    assert caught.value.messages[0].endswith("operator dapat mengizinkannya: DEVICES_ALLOW_NON_MAC.")
