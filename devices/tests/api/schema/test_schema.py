import json
import re
from typing import Any

import pytest
from django.test import Client
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

import cexup
from devices.models import Hospital
from devices.tests.support.client import Api
from devices.tests.support.factories import device_payload
from devices.values.normalization import MAX_LENGTH


@pytest.fixture
def schema(client: Client) -> Any:
    response = client.get("/api/schema")
    assert response.status_code == 200
    return json.loads(response.content)


def test_schema_is_valid_openapi_31(schema: Any) -> None:
    assert schema["openapi"].startswith("3.1.")
    validate(schema)


def test_schema_version_is_the_project_version(schema: Any) -> None:
    assert schema["info"]["version"] == cexup.__version__


def test_operation_ids_are_stable(schema: Any) -> None:
    operations = {
        (method, path): operation["operationId"]
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    }
    assert operations == {
        ("get", "/api/devices"): "getAll",
        ("post", "/api/devices"): "create",
        ("post", "/api/devices/batch"): "createDevicesIndividually",
        ("get", "/api/devices/changes"): "getChanges",
        ("get", "/api/key"): "getKey",
        ("get", "/api/device/{id_device}"): "get",
        ("put", "/api/device/{id_device}"): "update",
        ("patch", "/api/device/{id_device}"): "patchDevice",
        ("delete", "/api/device/{id_device}"): "retireDevice",
        ("post", "/api/device"): "createDevice",
        ("put", "/api/device"): "updateDeviceByIdOrMac",
        ("get", "/api"): "getIndex",
        ("post", "/api/devices/lookup"): "lookupDevices",
        ("get", "/api/device/{id_device}/changes"): "getDeviceChanges",
        ("get", "/api/hospitals"): "getAllHospitals",
        ("get", "/api/hospital/{hospital_id}"): "getHospital",
    }


def test_component_names_are_stable(schema: Any) -> None:
    assert set(schema["components"]["schemas"]) == {
        "ApiError",
        "ApiErrorResponse",
        "BulkResponse",
        "BulkResult",
        "Change",
        "ChangeFeedPagination",
        "ChangeFeedResponse",
        "Device",
        "DeviceChangesPagination",
        "DeviceChangesResponse",
        "DeviceListResponse",
        "DeviceRequest",
        "DeviceResponse",
        "DeviceType",
        "EmptyResponse",
        "Hospital",
        "HospitalListResponse",
        "HospitalReference",
        "HospitalResponse",
        "IdentifiedDeviceRequest",
        "MergedHospitalResponse",
        "ApiIndex",
        "IndexResponse",
        "Links",
        "ApiOperation",
        "KeyRateLimit",
        "KeyResponse",
        "KeySettings",
        "LookupRequest",
        "LookupResponse",
        "LookupResult",
        "Pagination",
        "PatchedDeviceRequest",
        "PreconditionFailedResponse",
        "RegisteredDevice",
        "RegisteredDevicesResponse",
        "RegisteredHospital",
        "UpdatedDeviceResponse",
    }


def test_schema_describes_the_device_fields(schema: Any) -> None:
    components = schema["components"]["schemas"]
    assert components["DeviceRequest"]["required"] == ["device_mac", "device_name", "device_type"]
    assert components["Device"]["properties"]["device_name"]["maxLength"] == MAX_LENGTH
    assert list(components["Device"]["properties"]) == [
        "id",
        "device_name",
        "device_mac",
        "device_type",
        "device_holder",
        "created_at",
        "updated_at",
    ]
    path = schema["paths"]["/api/device/{id_device}"]["get"]
    assert [p["name"] for p in path["parameters"] if p["in"] != "header"] == ["id_device", "page", "size"]
    by_name = {parameter["name"]: parameter for parameter in path["parameters"]}
    assert by_name["id_device"]["schema"]["format"] == "int64"


def test_security_scheme_describes_how_to_get_a_key(schema: Any) -> None:
    scheme = schema["components"]["securitySchemes"]["ApiKey"]
    assert (scheme["type"], scheme["in"], scheme["name"]) == ("apiKey", "header", "x-api-key")
    for text in ("operator", "*API keys*", "create_api_key", "shown only once", "`x-api-key`"):
        assert text in scheme["description"]


def test_responses_match_the_schema(api: Api, schema: Any) -> None:
    created = api.post("/api/devices", [device_payload(1), device_payload(2, device_holder="RS Harapan")])
    first, second = (device["id"] for device in created.json()["data"])
    device = "/api/device/{id_device}"
    hospital, rs_a = "/api/hospital/{hospital_id}", Hospital.objects.get(name="RS Harapan")
    responses = [
        ("/api/hospitals", "get", api.get("/api/hospitals")),
        ("/api/hospitals", "get", api.get("/api/hospitals?size=0")),
        (hospital, "get", api.get(f"/api/hospital/{rs_a.pk}")),
        (hospital, "get", api.get("/api/hospital/4711")),
        ("/api/devices", "post", created),
        ("/api/device", "post", api.post("/api/device", device_payload(1))),
        ("/api/devices/batch", "post", api.post("/api/devices/batch", [device_payload(1), device_payload(7)])),
        ("/api/devices", "post", api.post("/api/devices?dry_run=true", [device_payload(8)])),
        ("/api/devices", "get", api.get("/api/devices?size=1")),
        ("/api/devices", "get", api.get("/api/devices?page=9")),
        ("/api/devices", "get", api.get("/api/devices?size=0")),
        (device, "get", api.get(f"/api/device/{first}")),
        (device, "put", api.put(f"/api/device/{first}", device_payload(3))),
        (device, "put", api.put(f"/api/device/{first}", device_payload(3), **{"if-match": '"x"'})),
        (device, "patch", api.patch(f"/api/device/{first}", {"device_name": ""})),
        ("/api/device", "put", api.put("/api/device", device_payload(4, id=second))),
        (device, "delete", api.delete(f"/api/device/{first}")),
        (device, "get", api.get(f"/api/device/{first}")),
        ("/api/devices/changes", "get", api.get("/api/devices/changes?size=2")),
        ("/api/devices/changes", "get", api.get("/api/devices/changes?since=x")),
        ("/api/devices", "get", Api(None).get("/api/devices")),
        ("/api", "get", api.get("/api")),
    ]
    for path, method, response in responses:
        documented = schema["paths"][path][method]["responses"][str(response.status_code)]
        body = documented["content"]["application/json"]["schema"] | {"components": schema["components"]}
        Draft202012Validator(body).validate(response.json())


def test_each_documented_list_parameter_is_accepted(api: Api, schema: Any) -> None:
    api.post("/api/devices", device_payload(1))
    for path in ("/api/devices", "/api/hospitals"):
        for parameter in schema["paths"][path]["get"]["parameters"]:
            if parameter["in"] == "query":
                [example] = parameter["schema"]["examples"]
                response = api.get(f"{path}?{parameter['name']}={example}")
                assert response.status_code == 200, parameter["name"]


@pytest.mark.parametrize("path", ["/api/docs", "/api/docs/", "/api/schema/"])
def test_documentation_needs_no_key_and_no_other_host(client: Client, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 200
    assert not re.findall(rb"(?:src|href)=\"(?:https?:)?//", response.content)


def test_documentation_page_has_the_title_and_icon_of_the_project(client: Client) -> None:
    page = client.get("/api/docs").content.decode()
    assert "<title>Cexup Device Registry API</title>" in page
    assert 'rel="icon" href="/static/devices/favicon' in page


def test_documentation_ignores_an_invalid_key() -> None:
    assert Api("wrong").get("/api/schema").status_code == 200
