"""Walk through all routes with the client of openapi-python-client: `… URL KEY`."""

import pkgutil
import re
import sys
from importlib import import_module
from typing import Any, get_args, get_type_hints

from steps import GENERATED, TIMEOUT, Operation, Response, operations, walk

sys.path.insert(0, str(GENERATED / "openapi-python-client"))
import registry_client
from registry_client import api as apis

url, key = sys.argv[1:]
client = registry_client.AuthenticatedClient(
    base_url=url, token=key, auth_header_name="x-api-key", prefix="", timeout=TIMEOUT
)
modules = {
    module.name.rpartition(".")[2]: module.name
    for module in pkgutil.walk_packages(apis.__path__, f"{apis.__name__}.")
    if not module.ispkg
}


def snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).replace("-", "_").lower()


def from_json(value: Any, hint: Any) -> Any:
    """Return the value as the type of a parameter: a model, a list of models, an enum or a plain value."""
    kinds = [hint, *get_args(hint)]
    if isinstance(value, list):
        return [from_json(item, get_args(hint)[0]) for item in value]
    for kind in kinds:
        if hasattr(kind, "from_dict") and isinstance(value, dict):
            return kind.from_dict(value)
        if isinstance(kind, type) and issubclass(kind, str) and kind is not str:
            return kind(value)
    return value


def send(operation: Operation, parameters: dict[str, Any], body: Any) -> Response:
    function = import_module(modules[snake_case(operation.id)]).sync_detailed
    hints = get_type_hints(function)
    arguments = {snake_case(name): value for name, value in parameters.items()}
    if body is not None:
        arguments["body"] = body
    typed = {name: from_json(value, hints[name]) for name, value in arguments.items()}
    response = function(client=client, **typed)
    if response.content and response.parsed is None:
        raise SystemExit(f"{operation.id}: the client has no model for the response {response.status_code}")
    return Response(int(response.status_code), response.headers, response.parsed and response.parsed.to_dict())


print(walk(send, operations()))
