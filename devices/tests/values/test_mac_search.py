"""The API and the admin find a device by each form of its MAC address, or of a part of it."""

import pytest
from django.test import Client

from devices.tests.support.client import Api
from devices.tests.support.factories import device_payload, register

FOUND = [
    "B0 49 5F 4D CA 18",
    "b0_49_5f_4d_ca_18",
    "MAC: B0:49:5F:4D:CA:18",
    "\uff22\uff10\uff1a\uff14\uff19\uff1a\uff15\uff26",
    "B0\u201349\u20135F",
    "b0 49 5f",
    "b0_49",
    "49:5f4d",
    "5f4dca",
    "DCA18",
    "\u200bCA:18",
    "B0495",
    "[b0:49:5f:4d:ca:18]",
]
NOT_FOUND = ["B0 4A", "MAC: 18", "B1", "MAC", "DCA19"]


@pytest.mark.parametrize("text", FOUND, ids=ascii)
def test_device_is_found_by_each_form_of_its_address(text: str, api: Api, operator: Client) -> None:
    register(device_payload(1, device_mac="B0:49:5F:4D:CA:18"), device_payload(2, device_mac="C1:5A:60:5E:DB:29"))
    assert search(text, api, operator) == [["Cuff 1"]] * 3


@pytest.mark.parametrize("text", NOT_FOUND)
def test_other_texts_do_not_find_the_device(text: str, api: Api, operator: Client) -> None:
    register(device_payload(1, device_mac="B0:49:5F:4D:CA:18"))
    assert search(text, api, operator) == [[], [], []]


def search(text: str, api: Api, operator: Client) -> list[list[str]]:
    """Return the names of the devices that the API, the list of devices and the history find."""
    found = api.client.get("/api/devices", {"search": text}, headers=api.headers).json()["data"]
    pages = [operator.get(f"/admin/devices/{page}/", {"q": text}) for page in ("device", "historicaldevice")]
    lists = [[row.device_name for row in page.context["cl"].result_list] for page in pages]
    return [[row["device_name"] for row in found], *lists]
