"""The security scheme of /api/schema, and hooks for parts of the document that drf-spectacular has no option for."""

from typing import Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension

from devices.registry.device_fields import CLEANERS

ITEM_SCHEMAS = ("Device", "RegisteredDevice")
# JSON Pointers to the id of a device in a response. Clients and test_conformance.py follow it as a link.
ID_POINTERS = {
    **dict.fromkeys(("getAll", "create", "createOne"), "/data/0/id"),
    **dict.fromkeys(("get", "update", "patch", "updateByKey"), "/data/id"),
    "getChanges": "/data/0/device/id",
}
LINK_DESCRIPTIONS = {
    "get": "Read this device.",
    "update": "Replace the fields of this device.",
    "patch": "Change some fields of this device.",
    "retire": "Retire this device.",
}


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "devices.api.authentication.ApiKeyAuthentication"
    name = "ApiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "apiKey",
            "in": "header",
            "name": "x-api-key",
            "description": "Send your API key in the header `x-api-key` of every request. An operator of the registry "
            "creates the key: in the admin under *API keys*, or with `python manage.py create_api_key NAME`. The key "
            "starts with `cxp_` and is shown only once, so store it in a safe place.",
        }


def without_trailing_slash(endpoints: list[tuple[str, str, str, Any]], **_kwargs: Any) -> list[Any]:
    """Return the endpoints without their duplicates, whose paths end with a slash."""
    return [endpoint for endpoint in endpoints if not endpoint[0].endswith("/")]


def postprocess(result: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
    """Return the document after the changes that drf-spectacular has no option for."""
    _document_create_one(result["paths"]["/api/device"]["post"])
    for path in result["paths"].values():
        for operation in path.values():
            if "requestBody" in operation:
                operation["requestBody"]["required"] = True
            for status in {"200", "201"} & operation["responses"].keys():
                if operation["operationId"] in ID_POINTERS:
                    operation["responses"][status]["links"] = _links(operation["operationId"])
    schemas = result["components"]["schemas"]
    for name in ITEM_SCHEMAS:
        schemas[name]["required"] = list(schemas[name]["properties"])  # a response has all of them
    schemas["PatchedDeviceRequest"]["anyOf"] = [{"required": [field]} for field in CLEANERS]
    schemas["DeviceOrDevicesRequest"]["description"] = "An array of devices, or one device."
    schemas["DeviceOrDevicesRequest"]["oneOf"][0] |= {"minItems": 1, "maxItems": settings.API_MAX_DEVICES}
    return result


def _document_create_one(operation: dict[str, Any]) -> None:
    """Give POST /api/device its own operationId: it is the same view as POST /api/devices."""
    operation["operationId"], operation["deprecated"] = "createOne", True
    operation["summary"] = "Register one device"
    operation["description"] = (
        "The same as `POST /api/devices`, at the URL that older clients use. It also accepts an array, and `data` of "
        "the response is always an array."
    )
    body = operation["requestBody"]["content"]["application/json"]
    body["examples"] = dict(sorted(body["examples"].items(), key=lambda item: isinstance(item[1]["value"], list)))


def _links(operation_id: str) -> dict[str, Any]:
    by_id = {"id_device": f"$response.body#{ID_POINTERS[operation_id]}"}
    if_unchanged = {"If-Match": "$response.header.ETag"} if operation_id == "get" else {}
    links = {
        target: _link(target, description, by_id | (if_unchanged if target != "get" else {}))
        for target, description in LINK_DESCRIPTIONS.items()
    }
    if operation_id == "getAll":
        links["previous"] = _link("getAll", "The page before this one.", {"before": "$response.body#/data/0/id"})
    if operation_id == "getChanges":
        since = {"since": "$response.body#/data/0/cursor"}
        links["next"] = _link("getChanges", "The changes after the first one of this page.", since)
    return links


def _link(operation_id: str, description: str, parameters: dict[str, str]) -> dict[str, Any]:
    return {"operationId": operation_id, "description": description, "parameters": parameters}
