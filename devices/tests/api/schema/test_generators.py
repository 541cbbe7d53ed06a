"""The OpenAPI document avoids what generators of clients cannot read, or read in different ways."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator

from devices.tests.support.client import Api
from devices.values.device_types import DEVICE_TYPES

# Names of types of a language or of a generator: Kotlin, Swift, TypeScript, Dart, Python, and the code around models.
RESERVED = {
    *("Any", "Array", "Boolean", "Class", "Date", "Dictionary", "Enum", "Error", "Exception", "File", "Function"),
    *("Int", "Integer", "List", "Long", "Map", "Nothing", "Null", "Number", "Object", "Optional", "Promise", "Record"),
    *("Request", "Response", "Result", "Set", "String", "Symbol", "Type", "Unit", "Void"),
    *("ApiClient", "ApiException", "ApiResponse", "Configuration", "ErrorResponse", "ResponseError"),
}
# Names of functions that a language reserves. `get` is documented by the vendor; generators rename it to callGet.
RESERVED_FUNCTIONS = {"change", "continue", "default", "delete", "function", "import", "new", "patch", "post", "put"}
OF_THE_VENDOR = {"get", "getAll", "create", "update", "getAllHospitals"}
WIDE = re.compile(r"id|id_\w+|\w+_id|\w+_since|\w+_at|at|after|before")


@pytest.fixture
def schema(api: Api) -> Any:
    return api.get("/api/schema").json()


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every object in this JSON value, but not in an example."""
    if isinstance(value, dict):
        yield value
        value = [child for name, child in value.items() if name not in ("example", "examples")]
    for child in value if isinstance(value, list) else ():
        yield from nodes(child)


def operations(schema: Any) -> dict[str, Any]:
    return {operation["operationId"]: operation for path in schema["paths"].values() for operation in path.values()}


def parameters(schema: Any) -> Iterator[dict[str, Any]]:
    for operation in operations(schema).values():
        yield from operation.get("parameters", ())


def fields(schema: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and schema of each parameter and of each field of a component."""
    for parameter in parameters(schema):
        yield parameter["name"], parameter["schema"]
    for component in schema["components"]["schemas"].values():
        yield from component.get("properties", {}).items()


def test_server_is_the_host_of_the_document(schema: Any) -> None:
    assert [server["url"] for server in schema["servers"]] == ["/"]


def test_contact_is_the_operator(schema: Any) -> None:
    assert schema["info"]["contact"] == {"name": "The operator of this registry"}
    assert set(schema["info"]["license"]) == {"name", "identifier"}


def test_no_name_is_reserved(schema: Any) -> None:
    assert not RESERVED & schema["components"]["schemas"].keys()
    own = operations(schema).keys() - OF_THE_VENDOR
    assert not RESERVED_FUNCTIONS & own
    assert all(re.fullmatch(r"[a-z]+([A-Z][a-z]+)+", name) for name in own)


def test_each_operation_has_one_success_response(schema: Any) -> None:
    """Many generators know only the first one, and drop the body of the others."""
    for name, operation in operations(schema).items():
        statuses = [status for status in operation["responses"] if status.startswith("2")]
        assert len(statuses) == 1, name


def test_no_schema_is_a_choice_of_schemas_other_than_null(schema: Any) -> None:
    for node in nodes([schema["components"]["schemas"], schema["paths"]]):
        assert not {"anyOf", "not", "if"} & node.keys(), node
        assert {"type": "null"} in node.get("oneOf", [{"type": "null"}]), node
        kinds = node["type"] if isinstance(node.get("type"), list) else []
        assert not kinds or (len(kinds) == 2 and "null" in kinds), node


def test_no_parameter_has_a_default(schema: Any) -> None:
    """Some clients would always send it, and `page=1` excludes `after`."""
    assert not [parameter["name"] for parameter in parameters(schema) if "default" in parameter["schema"]]


def test_ids_and_timestamps_have_64_bits(schema: Any) -> None:
    numbers = [(name, field) for name, field in fields(schema) if "integer" in field.get("type", "")]
    wide = [(name, field) for name, field in numbers if WIDE.fullmatch(name)]
    assert {name for name, _field in wide} >= {"id", "id_device", "after", "updated_since", "created_at", "at"}
    assert not [name for name, field in wide if field.get("format") != "int64"]
    for name, field in numbers:
        large = max(field.get("maximum", 0), field.get("minimum", 0)) >= 2**31
        assert not large or field["format"] == "int64", name


def test_device_type_is_one_component_in_capitals(schema: Any) -> None:
    assert schema["components"]["schemas"]["DeviceType"]["enum"] == list(DEVICE_TYPES)
    kinds = [field for name, field in fields(schema) if name == "device_type"]
    assert len(kinds) > 4
    assert {field.get("$ref") for field in kinds} == {"#/components/schemas/DeviceType"}


def test_values_of_an_enum_differ_in_more_than_their_case_and_signs(schema: Any) -> None:
    for node in nodes(schema):
        if values := node.get("enum"):
            names = node.get("x-enum-varnames") or [re.sub(r"\W", "", str(value)).upper() for value in values]
            assert len(set(names)) == len(values), node


def test_ascending_order_is_first(schema: Any) -> None:
    for name, field in fields(schema):
        if name == "ordering":
            descending = [value.startswith("-") for value in field["enum"]]
            assert descending == sorted(descending)
            assert [text.endswith("_DESCENDING") for text in field["x-enum-varnames"]] == descending


def test_dry_run_is_a_boolean(schema: Any) -> None:
    kinds = [field["type"] for name, field in fields(schema) if name == "dry_run"]
    assert kinds
    assert set(kinds) == {"boolean"}


def test_arrays_are_documented_where_they_are_the_rule(schema: Any) -> None:
    for name in ("create", "createDevicesIndividually"):
        operation = operations(schema)[name]
        body = operation["requestBody"]["content"]["application/json"]["schema"]
        assert (body["type"], body["items"]) == ("array", {"$ref": "#/components/schemas/DeviceRequest"})
        assert "one device as an object" in operation["description"]


def test_deprecated_parts_are_marked(schema: Any) -> None:
    marked = {name for name, operation in operations(schema).items() if operation.get("deprecated")}
    assert "createDevice" in marked
    ignored = {p["name"]: p.get("deprecated") for p in operations(schema)["get"]["parameters"] if p["in"] == "query"}
    assert ignored == {"page": True, "size": True}


def test_limits_are_documented_on_each_response(schema: Any) -> None:
    for operation in operations(schema).values():
        for status, response in operation["responses"].items():
            assert {"RateLimit", "RateLimit-Policy", "X-Request-ID"} <= response["headers"].keys(), status


def test_document_has_the_same_order_each_time_and_lists_first() -> None:
    paths = SchemaGenerator().get_schema(public=True)["paths"]  # type: ignore[no-untyped-call]
    assert next(iter(paths)) == "/api/devices"
    assert list(paths["/api/devices"]) == ["get", "post"]
    assert list(paths["/api/device/{id_device}"]) == ["get", "put", "patch", "delete"]


def test_first_example_of_a_new_device_needs_no_hospital_and_is_registered(api_a: Api, schema: Any) -> None:
    """Swagger UI sends the first example. It neither registers a hospital nor fails for a key of one hospital."""
    for path in ("/api/devices", "/api/devices/batch"):
        body = schema["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        [device] = next(iter(body["examples"].values()))["value"]
        assert "device_holder" not in device
        response = api_a.post(path, [device])
        assert response.status_code == (201 if path == "/api/devices" else 207)
