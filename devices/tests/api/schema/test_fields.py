"""The document names each field of the responses, also those that only some responses have."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from devices.access.actor import SYSTEM
from devices.models import MAX_PAGE_SIZE, Hospital
from devices.registry import hospitals
from devices.tests.support.client import Api, issue
from devices.tests.support.factories import device_payload, register

REQUESTS: list[tuple[str, str, str, Any, int]] = [  # method, path of the document, URL, body, status
    ("get", "/api", "/api", None, 200),
    ("get", "/api/key", "/api/key", None, 200),
    ("get", "/api/devices", "/api/devices", None, 200),
    ("get", "/api/devices", "/api/devices?after=0&size=1", None, 200),
    ("get", "/api/devices", "/api/devices?sise=1", None, 400),
    ("get", "/api/devices/changes", "/api/devices/changes", None, 200),
    ("get", "/api/device/{id_device}", "/api/device/{device}", None, 200),
    ("get", "/api/device/{id_device}/changes", "/api/device/{device}/changes", None, 200),
    ("get", "/api/device/{id_device}/changes", "/api/device/{device}/changes?size=1", None, 200),
    ("get", "/api/hospitals", "/api/hospitals", None, 200),
    ("get", "/api/hospital/{hospital_id}", "/api/hospital/{hospital}", None, 200),
    ("get", "/api/hospital/{hospital_id}", "/api/hospital/{merged}", None, 410),
    ("post", "/api/devices/lookup", "/api/devices/lookup", {"device_mac": ["000000000001", "00000000000f", "x"]}, 200),
    ("post", "/api/devices", "/api/devices", [device_payload(7, device_holder="RS Baru")], 201),
    ("post", "/api/devices", "/api/devices?unknown_holder=refuse", [device_payload(7, device_holder="RS X")], 400),
    ("post", "/api/devices/batch", "/api/devices/batch", [device_payload(7, device_holder="RS Baru"), {}], 207),
    ("put", "/api/device/{id_device}", "/api/device/{device}", device_payload(1, device_holder="RS Baru"), 200),
]


def closed(value: Any) -> Any:
    """Return the document, in which no object has further fields."""
    if isinstance(value, list):
        return [closed(item) for item in value]
    if not isinstance(value, dict):
        return value
    shut = {"additionalProperties": False} if isinstance(value.get("properties"), dict) else {}
    return {name: closed(item) for name, item in value.items()} | shut


@pytest.fixture
def schema(api: Api) -> Any:
    return closed(api.get("/api/schema").json())


@pytest.fixture
def ids(rs_a: Hospital, rs_b: Hospital) -> dict[str, int]:
    """The ids of a changed device, of a hospital, and of one that was merged into it."""
    device, _other = register(device_payload(1, device_holder=rs_b.name), device_payload(2))
    ids = {"device": device.pk, "hospital": rs_a.pk, "merged": rs_b.pk}
    hospitals.merge([rs_b], rs_a, SYSTEM)
    return ids


@pytest.mark.django_db
@pytest.mark.parametrize(("method", "path", "url", "body", "status"), REQUESTS)
def test_each_field_is_documented(
    schema: Any, ids: dict[str, int], method: str, path: str, url: str, body: Any, status: int
) -> None:
    client = Api(issue("reader", page_size=MAX_PAGE_SIZE).text)
    response = client(method.upper(), url.format(**ids), body)
    assert response.status_code == status
    documented = schema["paths"][path][method]["responses"][str(status)]["content"]["application/json"]["schema"]
    Draft202012Validator({**documented, "components": schema["components"]}).validate(response.json())
