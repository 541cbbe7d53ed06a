"""GET, PUT, PATCH and DELETE of one device."""

from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from devices.models import Device
from devices.tests.support.client import Api, errors
from devices.tests.support.factories import device_payload, register


@pytest.fixture
def device(db: None) -> Device:
    return register(device_payload(1, device_holder="RS Harapan"))[0]


def test_detail_returns_an_object(api: Api, device: Device) -> None:
    response = api.get(f"/api/device/{device.pk}")
    assert response.status_code == 200
    assert response.json()["data"]["device_name"] == "Cuff 1"


@pytest.mark.parametrize("query", ["page=1&size=20", "page=abc", "size=0", "page=", "page=1&page=2"])
def test_page_and_size_are_accepted_without_effect(api: Api, device: Device, query: str) -> None:
    assert api.get(f"/api/device/{device.pk}?{query}").json() == api.get(f"/api/device/{device.pk}").json()


def test_detail_rejects_unknown_parameters(api: Api, device: Device) -> None:
    assert errors(api.delete(f"/api/device/{device.pk}?dryrun=true")) == [("dryrun", "unknown_parameter")]
    assert Device.objects.exists()


@pytest.mark.parametrize("number", ["0", "4711", str(2**63), str(10**30), "1" * 5000, "-1", "abc", "1.5"])
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_unknown_id_returns_404(api: Api, device: Device, method: str, number: str) -> None:
    response = api(method, f"/api/device/{number}", device_payload(5) if method.startswith("P") else None)
    assert (response.status_code, response.json()["status"]) == (404, "NOT_FOUND")
    assert errors(response) == [
        (None, "not_found" if number.isdigit() and len(number) < 4300 else "endpoint_not_found")
    ]


def test_detail_takes_two_queries(api: Api, device: Device, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    api.get("/api/devices")
    with django_assert_num_queries(2):  # the key, the device
        api.get(f"/api/device/{device.pk}")


def test_put_replaces_the_fields_and_keeps_an_omitted_hospital(api: Api, device: Device) -> None:
    before = api.get(f"/api/device/{device.pk}").json()["data"]
    response = api.put(f"/api/device/{device.pk}", device_payload(2, device_type="CORPORATE"))
    assert response.status_code == 200
    after = response.json()["data"]
    assert after == api.get(f"/api/device/{device.pk}").json()["data"]
    assert after | {"updated_at": 0} == {
        "id": device.pk,
        **device_payload(2, device_type="CORPORATE"),
        "device_holder": "RS Harapan",
        "created_at": before["created_at"],
        "updated_at": 0,
    }
    assert after["updated_at"] >= before["updated_at"]


def test_put_of_an_unchanged_row_writes_no_history(api: Api, device: Device) -> None:
    row = api.get(f"/api/device/{device.pk}").json()["data"]
    assert api.put(f"/api/device/{device.pk}", row).json()["data"] == row
    assert Device.history.filter(id=device.pk).count() == 1


def test_put_requires_name_mac_and_type(api: Api, device: Device) -> None:
    response = api.put(f"/api/device/{device.pk}", {"device_name": "x"})
    assert response.status_code == 400
    assert errors(response) == [("device_mac", "required"), ("device_type", "required")]
    assert "index" not in response.json()["errors"][0]


@pytest.mark.parametrize("query", ["", "?dry_run=true"])
def test_put_reports_malformed_fields_and_conflicts_together(api: Api, query: str) -> None:
    device, _other = register(device_payload(1), device_payload(2))
    response = api.put(f"/api/device/{device.pk}{query}", device_payload(2, device_type="PHONE"))
    assert response.status_code == 400
    assert errors(response) == [
        ("device_type", "invalid_choice"),
        ("device_name", "unique"),
        ("device_mac", "unique"),
    ]
    assert not any("index" in error for error in response.json()["errors"])


@pytest.mark.parametrize("body", [None, [], [device_payload(2)], "x", 7, b"{"])
@pytest.mark.parametrize("path", ["/api/device/{}", "/api/device"])
def test_put_with_a_malformed_body_returns_400(api: Api, device: Device, path: str, body: Any) -> None:
    response = api.put(path.format(device.pk), body)
    assert response.status_code == 400
    assert response.json()["errors"]
    device.refresh_from_db()
    assert device.device_name == "Cuff 1"


def test_put_without_an_id_in_the_url_identifies_the_device_by_id_or_mac(api: Api, device: Device) -> None:
    by_id = api.put("/api/device", device_payload(2, id=device.pk))
    assert (by_id.status_code, by_id.json()["data"]["device_mac"]) == (200, device_payload(2)["device_mac"])
    by_mac = api.put("/api/device", device_payload(2, device_name="Renamed", device_mac="000000000002"))
    assert (by_mac.status_code, by_mac.json()["data"]["device_name"]) == (200, "Renamed")
    assert by_mac.json()["data"]["id"] == device.pk


@pytest.mark.parametrize(
    ("fields", "status", "expected"),
    [
        ({"id": 4711}, 404, [(None, "not_found")]),
        ({"device_mac": "00:00:00:00:00:99"}, 404, [(None, "not_found")]),
        ({"id": "7"}, 400, [("id", "invalid_id")]),
        ({"id": 2**63}, 400, [("id", "invalid_id")]),
        ({"id": True}, 400, [("id", "invalid_id")]),
        ({"id": 4711.0}, 404, [(None, "not_found")]),  # JSON has one type of number
        ({"id": 7.5}, 400, [("id", "invalid_id")]),
        ({"device_mac": "zz"}, 400, [("device_mac", "mac")]),
    ],
)
def test_put_without_an_id_in_the_url_must_identify_a_device(
    api: Api, device: Device, fields: dict[str, Any], status: int, expected: list[Any]
) -> None:
    response = api.put("/api/device", device_payload(9, **fields))
    assert (response.status_code, errors(response)) == (status, expected)


def test_patch_changes_only_the_sent_fields(api: Api, device: Device) -> None:
    before = api.get(f"/api/device/{device.pk}").json()["data"]
    after = api.patch(f"/api/device/{device.pk}", {"device_holder": "unknown"}).json()["data"]
    assert after == before | {"device_holder": "unknown", "updated_at": after["updated_at"]}
    assert errors(api.patch(f"/api/device/{device.pk}", {"device_name": None})) == [("device_name", "null")]


@pytest.mark.parametrize("body", [{}, {"id": 7, "created_at": 1, "color": "red"}])
def test_patch_without_a_known_field_returns_400(api: Api, device: Device, body: dict[str, Any]) -> None:
    response = api.patch(f"/api/device/{device.pk}", body)
    assert (response.status_code, errors(response)) == (400, [(None, "no_known_field")])
    assert Device.history.filter(id=device.pk).count() == 1


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_name_or_mac_of_another_device_returns_409(api: Api, device: Device, method: str) -> None:
    register(device_payload(2))
    response = api(method, f"/api/device/{device.pk}", device_payload(3, device_name="Cuff 2"))
    assert (response.status_code, errors(response)) == (409, [("device_name", "unique")])
    response = api(method, f"/api/device/{device.pk}", device_payload(1, device_mac=device_payload(2)["device_mac"]))
    assert (response.status_code, errors(response)) == (409, [("device_mac", "unique")])
    assert Device.history.filter(id=device.pk).count() == 1


def test_retired_device_returns_410(api: Api, device: Device) -> None:
    response = api.delete(f"/api/device/{device.pk}")
    assert (response.status_code, response.json()["data"]) == (200, [])
    for method, body in (("GET", None), ("PUT", device_payload(1)), ("PATCH", {}), ("DELETE", None)):
        response = api(method, f"/api/device/{device.pk}", body)
        assert (response.status_code, response.json()["status"]) == (410, "GONE"), method
        assert errors(response) == [(None, "retired")]
    assert errors(api.put("/api/device", device_payload(1, id=device.pk))) == [(None, "retired")]
    assert api.get("/api/devices").json()["pagination"]["total"] == 0
    assert api.post("/api/devices", device_payload(1)).status_code == 201


@pytest.mark.parametrize("path", ["/api/devices", "/api/device/{}"])
def test_trailing_slash_makes_no_difference(api: Api, device: Device, path: str) -> None:
    path = path.format(device.pk)
    assert api.get(f"{path}/").json() == api.get(path).json()
