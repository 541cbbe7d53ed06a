"""Walk through all routes with the Python client of openapi-generator: `… URL KEY`."""

import pkgutil
import re
import sys
import warnings
from importlib import import_module
from typing import Any

from steps import GENERATED, TIMEOUT, Operation, Response, operations, walk

sys.path.insert(0, str(GENERATED / "openapi-generator-python"))
import openapi_client
from openapi_client import api as apis


def snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).replace("-", "_").lower()


def body_name(operation: Operation) -> str:
    schema = operation.definition["requestBody"]["content"]["application/json"]["schema"]
    reference: str = (schema.get("items") or schema)["$ref"]
    return snake_case(reference.rpartition("/")[2])


def enums_of(operation: Operation) -> dict[str, Any]:
    """Return the classes of parameters whose schema is a component: the client does not accept their texts."""
    return {
        parameter["name"]: getattr(openapi_client, parameter["schema"]["$ref"].rpartition("/")[2])
        for parameter in operation.definition.get("parameters", [])
        if "$ref" in parameter["schema"]
    }


url, key = sys.argv[1:]
client = openapi_client.ApiClient(openapi_client.Configuration(host=url, api_key={"ApiKey": key}))
methods = {
    name: getattr(api(client), name)
    for module in pkgutil.iter_modules(apis.__path__)
    for api in vars(import_module(f"{apis.__name__}.{module.name}")).values()
    if isinstance(api, type) and api.__name__.endswith("Api")
    for name in vars(api)
}


def send(operation: Operation, parameters: dict[str, Any], body: Any) -> Response:
    enums = enums_of(operation)
    arguments = {snake_case(name): enums.get(name, lambda text: text)(value) for name, value in parameters.items()}
    if body is not None:
        arguments[body_name(operation)] = body
    method = methods[f"{snake_case(operation.id)}_with_http_info"]
    try:
        response = method(**arguments, _request_timeout=TIMEOUT)
    except openapi_client.ApiException as error:  # for 304, too
        status, headers, data = error.status, error.headers, error.data
    else:
        status, headers, data = response.status_code, response.headers, response.data
    plain = {name.lower(): value for name, value in headers.items()}
    # Its to_dict() omits what the registry assigns, such as the id.
    return Response(status, plain, None if data is None else data.model_dump(mode="json", by_alias=True))


warnings.simplefilter("ignore", DeprecationWarning)
print(walk(send, operations()))
