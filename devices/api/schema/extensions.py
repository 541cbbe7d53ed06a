"""The security scheme of /api/schema, and hooks for parts of the document that drf-spectacular has no option for."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
ITEM_SCHEMAS = ("Device", "RegisteredDevice")
# JSON Pointers to the id of a device in a response. Clients and test_conformance.py follow it as a link.
ID_POINTERS = {
    **dict.fromkeys(("getAll", "create", "createDevice"), "/data/0/id"),
    **dict.fromkeys(("get", "update", "patchDevice", "updateDeviceByIdOrMac"), "/data/id"),
    "getChanges": "/data/0/device/id",
}
LINK_DESCRIPTIONS = {
    "get": "Read this device.",
    "update": "Replace the fields of this device.",
    "patchDevice": "Change some fields of this device.",
    "retireDevice": "Retire this device.",
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
            "starts with `cxp_`, or with `cxt_` if it is for the sandbox. It is shown only once, so store it in a safe "
            "place.",
        }


def without_trailing_slash(endpoints: list[tuple[str, str, str, Any]], **_kwargs: Any) -> list[Any]:
    """Return the endpoints without their duplicates, whose paths end with a slash."""
    return [endpoint for endpoint in endpoints if not endpoint[0].endswith("/")]


def sort_key(endpoint: tuple[str, str, str, Any]) -> tuple[bool, str, int]:
    """Return the place of an endpoint: lists before single objects, then by path, and reads before writes."""
    path, _path_regex, method, _callback = endpoint
    kind = path.removeprefix("/api").strip("/").partition("/")[0]
    return (not kind.endswith("s"), path, METHODS.index(method))


def postprocess(result: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
    """Return the document after the changes that drf-spectacular has no option for."""
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
    schemas["PatchedDeviceRequest"]["minProperties"] = 1  # generators make a class without fields of an `anyOf`
    return result


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
        since = {"since": "$response.body#/pagination/cursor"}
        links["next"] = _link("getChanges", "The changes after this page.", since)
    return links


def _link(operation_id: str, description: str, parameters: dict[str, str]) -> dict[str, Any]:
    return {"operationId": operation_id, "description": description, "parameters": parameters}
