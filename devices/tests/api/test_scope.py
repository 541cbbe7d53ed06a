"""Keys that are limited to a hospital: each endpoint, for its own devices and those of another hospital."""

import json
from typing import Any

import pytest
from django.http import QueryDict

from devices import registry
from devices.access.actor import SYSTEM
from devices.api.filters import DeviceFilter
from devices.api.queries import Cut
from devices.models import Device, Hospital
from devices.tests.support.client import Api, errors
from devices.tests.support.factories import device_payload
from devices.values.scope import Scope


def names(response: Any) -> list[str]:
    return [device["device_name"] for device in response.json()["data"]]


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?search=cuff",
        "?device_type=CONSUMER",
        "?ordering=-id",
        "?after=0",
        f"?before={2**63 - 1}",
        "?created_since=0",
    ],
)
def test_list_and_total_have_only_devices_of_the_hospital(api_a: Api, devices: dict[str, Device], query: str) -> None:
    response = api_a.get(f"/api/devices{query}")
    assert names(response) == ["Cuff 1"]
    assert response.json()["pagination"]["total"] == 1


@pytest.mark.parametrize(
    "query",
    ["device_holder=RS%20Sehat", "device_holder=unknown", "device_name=Cuff%202", "search=sehat", "search=Cuff%203"],
)
def test_no_filter_finds_devices_outside_the_scope(api_a: Api, devices: dict[str, Device], query: str) -> None:
    response = api_a.get(f"/api/devices?{query}")
    assert (names(response), response.json()["pagination"]["total"]) == ([], 0)


@pytest.mark.parametrize("owner", ["b", "free"])
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_device_of_another_hospital_returns_404(
    api_a: Api, devices: dict[str, Device], owner: str, method: str
) -> None:
    other = devices[owner]
    response = api_a(method, f"/api/device/{other.pk}", device_payload(9) if method.startswith("P") else None)
    assert response.status_code == 404
    assert response.json() == api_a.get("/api/device/999999").json()
    assert api_a.put("/api/device", device_payload(9, id=other.pk)).status_code == 404
    assert api_a.put("/api/device", device_payload(9, device_mac=other.device_mac)).status_code == 404
    other.refresh_from_db()
    assert other.device_name != "Cuff 9"


def test_retired_device_of_another_hospital_returns_404(api_a: Api, api_b: Api, devices: dict[str, Device]) -> None:
    api_b.delete(f"/api/device/{devices['b'].pk}")
    assert api_b.get(f"/api/device/{devices['b'].pk}").status_code == 410
    assert api_a.get(f"/api/device/{devices['b'].pk}").status_code == 404


def test_hospital_key_registers_devices_of_its_hospital(api_a: Api) -> None:
    response = api_a.post("/api/devices", [device_payload(1), device_payload(2, device_holder="rs HARAPAN")])
    assert response.status_code == 201
    assert {device["device_holder"] for device in response.json()["data"]} == {"RS Harapan"}


@pytest.mark.parametrize("holder", ["RS Sehat", "RS Baru"])
def test_hospital_key_cannot_register_for_another_hospital(api_a: Api, rs_b: Hospital, holder: str) -> None:
    before = Hospital.objects.count()
    response = api_a.post("/api/devices", [device_payload(1), device_payload(2, device_holder=holder)])
    assert (response.status_code, errors(response)) == (403, [("device_holder", "forbidden")])
    assert response.json()["errors"][0]["index"] == 1
    assert not Device.objects.exists()
    assert Hospital.objects.count() == before


@pytest.mark.parametrize("holder", ["RS Sehat", "RS Baru"])
def test_hospital_key_cannot_move_a_device_to_another_hospital(
    api_a: Api, devices: dict[str, Device], holder: str
) -> None:
    path = f"/api/device/{devices['a'].pk}"
    for response in (
        api_a.patch(path, {"device_holder": holder}),
        api_a.put(path, device_payload(1, device_holder=holder)),
    ):
        assert (response.status_code, errors(response)) == (403, [("device_holder", "forbidden")])
    devices["a"].refresh_from_db()
    assert devices["a"].device_holder.name == "RS Harapan"


def test_hospital_key_updates_and_retires_devices_of_its_hospital(api_a: Api, devices: dict[str, Device]) -> None:
    path = f"/api/device/{devices['a'].pk}"
    assert api_a.put(path, device_payload(1, device_name="New", device_holder="RS Harapan")).status_code == 200
    assert api_a.delete(path).status_code == 200
    assert api_a.get(path).status_code == 410


def test_transferred_device_is_in_the_scope_of_the_new_hospital(
    api_a: Api, api_b: Api, rs_b: Hospital, devices: dict[str, Device]
) -> None:
    registry.transfer(Device.objects.filter(pk=devices["a"].pk), rs_b, SYSTEM)
    assert api_a.get(f"/api/device/{devices['a'].pk}").status_code == 404
    assert names(api_b.get("/api/devices")) == ["Cuff 1", "Cuff 2"]


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize(
    "query", ["", "device_type=consumer", "ordering=-id", "search=cuff", "device_holder=rs%20sehat"]
)
def test_list_is_within_a_scope_of_any_number_of_hospitals(
    devices: dict[str, Device], rs_a: Hospital, rs_b: Hospital, number: int, query: str
) -> None:
    scope = Scope((rs_a, rs_b)[:number])
    filters = DeviceFilter(QueryDict(query))
    assert filters.find_errors() == []
    selection = filters.select(scope)
    total, rows = selection.fetch(Cut("first", 20), "snake_case", after=None, before=None, place=0)
    expected = {device.pk for device in (devices["a"], devices["b"])[:number]}
    if "device_holder" in query:
        expected &= {devices["b"].pk}
    assert {json.loads(row)["id"] for row in rows} == expected
    assert total in (None, len(expected))
    assert selection.count() == len(expected)
