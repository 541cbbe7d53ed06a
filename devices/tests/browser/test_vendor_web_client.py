"""The calls of the vendor's web client, from a page on another origin, with its headers and a key that was imported.

The client is triandamai/fe_api-device with axios 0.21, which sends requests with XMLHttpRequest. If a CORS header is
missing, the page cannot read the response: it gets a network error, and the test fails.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from devices.access.actor import SYSTEM
from devices.accounts import api_keys
from devices.models import Device
from devices.tests.support.factories import device_payload, register

KEY = "MTYzNTEzMDIzNDY0MA==16351302346401637558061370"
DEVICES = 520  # more than 25 pages of the default size
# axios sends no Content-Type without a body.
AXIOS = """
([address, key]) => {
  window.axios = (method, path, body) => new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, address + path);
    const headers = {
      "Accept": "application/json, text/plain, */*",
      "X-Api-Key": key,
      "Access-Control-Allow-Origin": "*",
      ...(body === null ? {} : { "Content-Type": "application/json" }),
    };
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.onload = () => resolve({ status: request.status, data: JSON.parse(request.responseText) });
    request.onerror = () => reject(new Error("Network Error"));
    request.send(body === null ? null : JSON.stringify(body));
  });
}
"""


class VendorClient:
    """A page of the client."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        """Send the request. Return the body of the response, whose `code` is the HTTP status."""
        script = "([method, path, body]) => axios(method, path, body)"
        response = self.page.evaluate(script, [method, path, body])
        assert response["data"]["code"] == response["status"]
        return response["data"]


@pytest.fixture
def vendor(browser: Browser, address: str, other_origin: str, committed: None) -> Iterator[VendorClient]:
    api_keys.import_key(KEY, "First web client", SYSTEM, all_hospitals=True, page_size=10_000)
    context = browser.new_context()
    page = context.new_page()
    page.goto(other_origin)
    page.evaluate(AXIOS, [address, KEY])
    yield VendorClient(page)
    context.close()


def test_device_pages_of_the_vendor_work(vendor: VendorClient) -> None:
    register(*map(device_payload, range(1, DEVICES + 1)))

    # The list: one request, then the page sorts, searches and pages itself.
    listed = vendor("GET", "/api/devices")
    assert (listed["code"], len(listed["data"])) == (200, DEVICES)
    for name in ("deviceName", "deviceMac", "deviceType", "createdAt", "updatedAt"):
        assert all(row[name] for row in listed["data"])
    last_page = vendor.page.evaluate(
        "(rows) => rows.sort((a, b) => a.id - b.id).filter((row) => row.deviceName.includes('Cuff')).slice(510, 520)",
        listed["data"],
    )
    assert [row["deviceName"] for row in last_page] == [f"Cuff {number}" for number in range(511, 521)]

    # Add one device, and again.
    new = {"active": 1, "device_name": "E86 5894", "device_mac": "D0:61:AE:D4:58:94"} | {
        "device_holder": "RS Sentosa",
        "device_type": "consumer",
    }
    added = vendor("POST", "/api/device", new)
    assert (added["code"], added["data"][0]["deviceHolder"], bool(added["message"])) == (201, "RS Sentosa", True)
    again = vendor("POST", "/api/device", new)
    assert (again["code"], again["data"], bool(again["message"])) == (409, [], True)
    assert vendor("GET", "/api/devices")["data"][-1] == added["data"][0]

    # Import a spreadsheet: cells with numbers, several notations of addresses, and rows without a hospital.
    imported = vendor(
        "POST",
        "/api/devices",
        [
            {"device_name": 5894, "device_mac": "02-11-22-33-44-55", "device_type": "CONSUMER", "device_holder": 7},
            {"device_name": "E86 1", "device_mac": "D061AED45895", "device_type": "CORPORATE", "device_holder": ""},
            {"device_name": 1e15, "device_mac": 112233445566, "device_type": "consumer"},
            {"device_name": "E86 2", "device_mac": "d061.aed4.5896", "device_type": "CONSUMER", "device_holder": None},
        ],
    )
    assert (imported["code"], bool(imported["message"])) == (201, True)
    assert [(row["deviceName"], row["deviceMac"], row["deviceHolder"]) for row in imported["data"]] == [
        ("5894", "02:11:22:33:44:55", "7"),
        ("E86 1", "D0:61:AE:D4:58:95", "unknown"),
        ("1000000000000000", "11:22:33:44:55:66", "unknown"),
        ("E86 2", "D0:61:AE:D4:58:96", "unknown"),
    ]

    # Edit: the row as the client received it, the edited fields in snake_case, and fields of another service.
    row = added["data"][0]
    edits = {"device_name": "Ward 3", "role": [{"id": 1}], "role_id": 1}
    only_camel = {name: value for name, value in row.items() if "_" not in name}
    for sent in (row, only_camel):
        edited = vendor("PUT", f"/api/device/{row['id']}", {**sent, **edits})
        assert (edited["code"], edited["data"]["deviceName"]) == (200, "Ward 3")
        kept = ("deviceMac", "deviceType", "deviceHolder", "createdAt")
        assert [edited["data"][name] for name in kept] == [row[name] for name in kept]

    # Delete, and again.
    assert vendor("DELETE", f"/api/device/{row['id']}")["data"] == []
    assert vendor("DELETE", f"/api/device/{row['id']}")["code"] == 410
    assert not Device.objects.filter(pk=row["id"]).exists()


def test_pages_of_other_services_can_read_that_there_is_no_such_endpoint(vendor: VendorClient) -> None:
    calls: list[tuple[str, str, Any]] = [
        ("POST", "/api/login", {"username": "admin", "password": "secret"}),
        ("GET", "/api/users", None),
        ("GET", "/api/measurements", None),
        ("GET", "/api/api-keys/hospital/7", None),
        ("POST", "/api/api-key", {"hospital_id": 7}),
        ("DELETE", "/api/api-key/7", None),
        ("POST", "/api/hospital", {"active": 1, "name": "RS Baru", "address": "", "telp": "", "email": ""}),
        ("PUT", "/api/hospital/7", {"name": "RS Baru"}),
        ("DELETE", "/api/hospital/7", None),
    ]
    for method, path, body in calls:
        response = vendor(method, path, body)
        assert response["code"] in (404, 405), path  # 405: this registry has the path with another method
        assert (response["data"], bool(response["message"])) == ([], True)


def test_hospital_page_of_the_vendor_works(vendor: VendorClient) -> None:
    register(device_payload(1, device_holder="RS Sentosa"))
    listed = vendor("GET", "/api/hospitals")
    [hospital] = listed["data"]
    assert (listed["code"], hospital["hospital_name"]) == (200, "RS Sentosa")
    assert {"hospital_id", "domain", "email", "createdAt", "updatedAt"} <= hospital.keys()
