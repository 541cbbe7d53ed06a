import json
import re
from typing import Any

import pytest
from django.test import Client
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

import cexup
from devices.tests.support.client import Api
from devices.tests.support.factories import device_payload
from devices.values.normalization import MAX_LENGTH


@pytest.fixture
def schema(client: Client) -> Any:
    response = client.get("/api/schema")
    assert response.status_code == 200
    return json.loads(response.content)


def test_the_schema_is_openapi_31_and_valid(schema: Any) -> None:
    assert schema["openapi"].startswith("3.1.")
    validate(schema)


def test_the_schema_has_the_version_of_the_project(schema: Any) -> None:
    assert schema["info"]["version"] == cexup.__version__


def test_the_documented_operation_ids_are_kept(schema: Any) -> None:
    operations = {
        (method, path): operation["operationId"]
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    }
    assert operations == {
        ("get", "/api/devices"): "getAll",
        ("post", "/api/devices"): "create",
        ("get", "/api/devices/changes"): "getChanges",
        ("get", "/api/device/{id_device}"): "get",
        ("put", "/api/device/{id_device}"): "update",
        ("patch", "/api/device/{id_device}"): "change",
        ("delete", "/api/device/{id_device}"): "delete",
        ("post", "/api/device"): "createAtDevice",
        ("put", "/api/device"): "updateNamed",
    }


def test_the_schema_tells_the_fields_as_they_are(schema: Any) -> None:
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
    assert schema["components"]["securitySchemes"]["ApiKey"] == {"type": "apiKey", "in": "header", "name": "x-api-key"}


def test_every_kind_of_answer_is_as_the_schema_says(api: Api, schema: Any) -> None:
    created = api.post("/api/devices", [device_payload(1), device_payload(2, device_holder="RS Harapan")])
    first, second = (device["id"] for device in created.json()["data"])
    answers = [
        ("/api/devices", "post", created),
        ("/api/device", "post", api.post("/api/device", device_payload(1))),
        ("/api/devices", "post", api.post("/api/devices?mode=partial", [device_payload(1), device_payload(7)])),
        ("/api/devices", "post", api.post("/api/devices?dry_run=true", [device_payload(8)])),
        ("/api/devices", "get", api.get("/api/devices?size=1")),
        ("/api/devices", "get", api.get("/api/devices?page=9")),
        ("/api/devices", "get", api.get("/api/devices?size=0")),
        ("/api/device/{id_device}", "get", api.get(f"/api/device/{first}")),
        ("/api/device/{id_device}", "put", api.put(f"/api/device/{first}", device_payload(3))),
        ("/api/device/{id_device}", "put", api.put(f"/api/device/{first}", device_payload(3), **{"if-match": '"x"'})),
        ("/api/device/{id_device}", "patch", api.patch(f"/api/device/{first}", {"device_name": ""})),
        ("/api/device", "put", api.put("/api/device", device_payload(4, id=second))),
        ("/api/device/{id_device}", "delete", api.delete(f"/api/device/{first}")),
        ("/api/device/{id_device}", "get", api.get(f"/api/device/{first}")),
        ("/api/devices/changes", "get", api.get("/api/devices/changes?size=2")),
        ("/api/devices/changes", "get", api.get("/api/devices/changes?since=x")),
        ("/api/devices", "get", Api(None).get("/api/devices")),
    ]
    for path, method, answer in answers:
        documented = schema["paths"][path][method]["responses"][str(answer.status_code)]
        told = documented["content"]["application/json"]["schema"] | {"components": schema["components"]}
        Draft202012Validator(told).validate(answer.json())


def test_each_list_parameter_is_in_the_schema_and_works(api: Api, schema: Any) -> None:
    api.post("/api/devices", device_payload(1))
    for parameter in schema["paths"]["/api/devices"]["get"]["parameters"]:
        if parameter["in"] == "header":
            continue
        example = {"integer": 1, "string": "CONSUMER"}[parameter["schema"]["type"]]
        value = {"device_mac": "000000000001", "ordering": "-id"}.get(parameter["name"], example)
        assert api.get(f"/api/devices?{parameter['name']}={value}").status_code == 200, parameter["name"]


@pytest.mark.parametrize("path", ["/api/docs", "/api/docs/", "/api/schema/"])
def test_the_documentation_needs_no_key_and_no_other_host(client: Client, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 200
    assert not re.findall(rb"(?:src|href)=\"(?:https?:)?//", response.content)


def test_a_wrong_key_does_not_close_the_documentation() -> None:
    assert Api("wrong").get("/api/schema").status_code == 200
