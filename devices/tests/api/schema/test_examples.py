"""The OpenAPI document is usable without other documentation: examples, descriptions, short patterns."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from devices.models import Device
from devices.tests.support.client import Api
from devices.tests.support.factories import register
from devices.tests.support.formats import FORMATS, with_patterns

LONGEST_PATTERN = 120  # characters
SENTENCE = re.compile(r"[A-Z`].*\.", re.DOTALL)
DEVICE = {"device_name": "E86 5894", "device_mac": "D0:61:AE:D4:58:94", "device_type": "CONSUMER"}


@pytest.fixture
def schema(api: Api) -> Any:
    return api.get("/api/schema").json()


def operations(schema: Any) -> Iterator[tuple[str, str, Any]]:
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every object in this JSON value."""
    if isinstance(value, dict):
        yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(child)


def bodies(operation: Any) -> Iterator[tuple[str, Any]]:
    """Yield the name and the media type object of each request body and response body."""
    if "requestBody" in operation:
        yield "request", operation["requestBody"]["content"]["application/json"]
    for status, response in operation["responses"].items():
        if status != "304":
            yield status, response["content"]["application/json"]


def values(body: Any) -> list[Any]:
    return [example["value"] for example in body["examples"].values()]


def validator(schema: Any, part: Any) -> Draft202012Validator:
    """Return a validator for a part of the document, in which formats are patterns."""
    return Draft202012Validator(with_patterns({**part, "components": schema["components"]}))


def test_each_body_has_examples_that_match_its_schema(schema: Any) -> None:
    for method, path, operation in operations(schema):
        for name, body in bodies(operation):
            assert body.get("examples"), (method, path, name)
            for value in values(body):
                validator(schema, body["schema"]).validate(value)


def test_each_operation_can_deny_a_key_from_another_address(schema: Any) -> None:
    for method, path, operation in operations(schema):
        denied = operation["responses"]["403"]["content"]["application/json"]
        codes = {value["errors"][0]["code"] for value in values(denied)}
        assert "address_not_allowed" in codes, (method, path)


def test_each_parameter_and_header_has_an_example_that_matches_its_schema(schema: Any) -> None:
    for method, path, operation in operations(schema):
        headers = [item for response in operation["responses"].values() for item in response["headers"].items()]
        parameters = [(parameter["name"], parameter) for parameter in operation.get("parameters", ())]
        for name, parameter in (*parameters, *headers):
            assert parameter["schema"].get("examples"), (method, path, name)
            for value in parameter["schema"]["examples"]:
                validator(schema, parameter["schema"]).validate(value)
            assert SENTENCE.fullmatch(parameter["description"]), (method, path, name)


def test_example_of_each_response_has_the_status_of_the_response(schema: Any) -> None:
    for _method, _path, operation in operations(schema):
        for name, body in bodies(operation):
            if name != "request":
                assert {str(value["code"]) for value in values(body)} == {name}


def test_optional_parameters_have_no_example_that_swagger_ui_would_send(schema: Any) -> None:
    for _method, _path, operation in operations(schema):
        for parameter in operation.get("parameters", ()):
            assert not {"example", "examples"} & parameter.keys()
            assert "example" not in parameter["schema"]


def test_api_accepts_each_example_of_a_request_body(api: Api, schema: Any) -> None:
    for method, path, operation in operations(schema):
        for name, body in bodies(operation):
            for value in values(body) if name == "request" else ():
                assert status_of_request(api, method, path, value) in (200, 201, 207), (method, path, value)


def status_of_request(api: Api, method: str, path: str, body: Any) -> int:
    """Send the request, about a registered device if it is an update, and retire what is registered then."""
    if method != "POST":
        [device] = register(DEVICE)
        path = path.replace("{id_device}", str(device.pk))
        body = {**body, "id": device.pk} if "id" in body else body
    status: int = api(method, path, body).status_code
    for device in Device.objects.all():
        api.delete(f"/api/device/{device.pk}")
    return status


def test_each_operation_has_a_summary_and_a_description(schema: Any) -> None:
    for method, path, operation in operations(schema):
        assert 3 < len(operation["summary"]) <= 80, (method, path)
        assert SENTENCE.fullmatch(operation["description"]), (method, path)
        for status, response in operation["responses"].items():
            assert SENTENCE.fullmatch(response["description"]), (method, path, status)


def test_each_tag_has_a_description(schema: Any) -> None:
    described = {tag["name"]: tag["description"] for tag in schema["tags"]}
    used = {tag for _method, _path, operation in operations(schema) for tag in operation["tags"]}
    assert used == described.keys()
    assert all(SENTENCE.fullmatch(description) for description in described.values())


def test_each_component_and_field_has_a_description(schema: Any) -> None:
    for name, component in schema["components"]["schemas"].items():
        assert SENTENCE.fullmatch(component["description"]), name
        for field, described in component.get("properties", {}).items():
            assert {"$ref", "items", "description"} & described.keys(), (name, field)


def test_no_pattern_is_longer_than_a_reader_can_follow(schema: Any) -> None:
    patterns = {node["pattern"] for node in nodes(schema) if isinstance(node.get("pattern"), str)}
    assert patterns
    assert all(len(pattern) <= LONGEST_PATTERN for pattern in patterns)


def test_each_format_of_the_project_is_described(schema: Any) -> None:
    formats = {node["format"] for node in nodes(schema) if isinstance(node.get("format"), str)}
    assert formats - FORMATS.keys() == {"int64", "uri", "entity-tags"}
    for name in (formats & FORMATS.keys()) | {"entity-tags"}:
        assert f"- `{name}`: " in schema["info"]["description"]
