"""Send the requests of steps.json with a generated client: shared by the clients in Python.

A step has the parameters of one request, the status of the response, values that the response must have (`expect`), and
values that later steps need (`save`). A value `$name` is a saved value. A path such as `data.0.id` leads to a value in
the response: `headers` are its headers, and `length` is the length of an array.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).resolve().parent
GENERATED = FOLDER.parent / "generated"
STEPS: list[dict[str, Any]] = json.loads((FOLDER / "steps.json").read_text())
TIMEOUT = 40  # seconds: longer than the longest `wait`


class Operation(NamedTuple):
    """An operation of the schema."""

    id: str
    definition: dict[str, Any]


class Response(NamedTuple):
    """A response, as the generated client returned it."""

    status: int
    headers: Mapping[str, str]
    body: Any  # JSON


Send = Callable[[Operation, dict[str, Any], Any], Response]  # the parameters by name, and the body


def operations(schema: dict[str, Any] | None = None) -> dict[str, Operation]:
    """Return the operations of the schema by method and path, such as `GET /api/devices`.

    The default is the schema from which the clients were generated.
    """
    if schema is None:
        schema = json.loads((GENERATED / "schema.json").read_text())
    return {
        f"{method.upper()} {path}": Operation(operation["operationId"], operation)
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    }


def walk(send: Send, documented: dict[str, Operation]) -> str:
    """Send each request of steps.json, and check its response. Exactly the operations of the schema must be requested.

    Returns a summary. A wrong response raises SystemExit with a description.
    """
    saved: dict[str, Any] = {}
    requested = {step["request"] for step in STEPS}
    if different := documented.keys() ^ requested:
        raise SystemExit(f"either steps.json or the schema does not have {', '.join(sorted(different))}")
    for step in STEPS:
        operation = documented[step["request"]]
        parameters = _parameters(step, saved)
        response = send(operation, parameters, step.get("body"))
        _check(step, response, saved)
        saved |= {name: _value(response, path) for name, path in step.get("save", {}).items()}
    return f"{len(STEPS)} requests, {len(requested)} operations"


def _parameters(step: dict[str, Any], saved: dict[str, Any]) -> dict[str, Any]:
    given = [item for place in ("path", "query", "headers") for item in step.get(place, {}).items()]
    return {name: _filled(value, saved) for name, value in given}


def _check(step: dict[str, Any], response: Response, saved: dict[str, Any]) -> None:
    expected = {path: _filled(value, saved) for path, value in step.get("expect", {}).items()}
    found = {path: _value(response, path) for path in expected}
    if response.status != step["status"] or found != expected:
        raise SystemExit(
            f"{step['does']} ({step['request']}): expected {step['status']} {expected}, got {response.status} {found} "
            f"in {json.dumps(response.body)[:2000]}"
        )


def _filled(value: Any, saved: dict[str, Any]) -> Any:
    return saved[value[1:]] if isinstance(value, str) and value.startswith("$") else value


def _value(response: Response, path: str) -> Any:
    if path.startswith("headers."):
        return response.headers.get(path.removeprefix("headers."))
    value = response.body
    for part in path.split("."):
        if isinstance(value, list):
            value = len(value) if part == "length" else value[int(part)] if int(part) < len(value) else None
        else:
            value = value.get(part) if isinstance(value, dict) else None
    return value
