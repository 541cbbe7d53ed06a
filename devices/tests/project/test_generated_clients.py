"""What `make clients` and `make test-clients` depend on, checked without Node.js, Java and the network."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from clients.generate import EXPECTED_WARNINGS, FOLDER, report_warnings
from clients.walk.steps import STEPS, Operation, Response, operations, walk
from devices.api import long_polling
from devices.tests.support.client import Api, issue
from devices.tests.support.services.server import ROOT

PAGE = ROOT / "docs" / "api" / "clients.md"
PACKAGES = json.loads((FOLDER / "package.json").read_text())["devDependencies"]
PYTHON = dict(re.findall(r"^([a-z-]+)(?:\[\w+\])?==(\S+)$", (FOLDER / "requirements.in").read_text(), re.MULTILINE))
GENERATORS = ("openapi-generator-cli", "openapi-python-client", "openapi-typescript", "@hey-api/openapi-ts")
TOOLS = ("openapi-fetch", "openapi-to-postmanv2", "newman", "@redocly/cli", "@stoplight/spectral-cli")
# Names that a language or its standard library has: generators rename a component, or it hides the other class.
RESERVED = {
    *("Any", "Array", "Boolean", "Class", "Client", "Data", "Date", "Double", "Enum", "Error", "ErrorResponse", "File"),
    *("Float", "Function", "Index", "Int", "Integer", "List", "Long", "Map", "Nothing", "Null", "Number", "Object"),
    *("Operation", "Optional", "Request", "Response", "Result", "Self", "Set", "String", "Type", "URL", "Unit", "Void"),
}


@pytest.fixture
def schema(outsider: Api) -> dict[str, Any]:
    return outsider.get("/api/schema").json()


@pytest.mark.django_db
def test_requests_of_the_clients_return_what_they_expect(
    schema: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each operation of the schema is requested: a forgotten one fails."""
    monkeypatch.setattr(long_polling, "_slots", long_polling.Slots(total=0, per_key=0))
    api = Api(issue("walk").text)
    documented = operations(schema)
    paths = {operation.id: request.split() for request, operation in documented.items()}

    def send(operation: Operation, parameters: dict[str, Any], body: Any) -> Response:
        method, path = paths[operation.id]
        places = {parameter["name"]: parameter["in"] for parameter in operation.definition.get("parameters", [])}
        assert parameters.keys() <= places.keys(), (
            f"{operation.id} has no parameter {parameters.keys() - places.keys()}"
        )
        headers = {name: value for name, value in parameters.items() if places[name] == "header"}
        query = {name: value for name, value in parameters.items() if places[name] == "query"}
        url = path.format(**parameters) + (f"?{urlencode(query)}" if query else "")
        response = api(method, url, body, **headers)
        assert str(response.status_code) in operation.definition["responses"], f"{operation.id} {response.status_code}"
        plain = {name.lower(): value for name, value in response.headers.items()}
        return Response(response.status_code, plain, response.json() if response.content else None)

    walk(send, documented)


@pytest.mark.django_db
@pytest.mark.parametrize("request_name", ["GET /api/key", "GET /api/other"])
def test_walk_fails_if_the_schema_and_the_steps_have_different_operations(
    schema: dict[str, Any], request_name: str
) -> None:
    documented = operations(schema)
    if not documented.pop(request_name, None):
        documented[request_name] = Operation("getOther", {})
    with pytest.raises(SystemExit, match=request_name):
        walk(lambda *_: pytest.fail("no request is sent"), documented)


@pytest.mark.django_db
def test_names_of_the_schema_do_not_collide_in_generated_clients(schema: dict[str, Any]) -> None:
    ids = [operation.id for operation in operations(schema).values()]
    assert len({each.lower() for each in ids}) == len(ids)
    assert RESERVED & schema["components"]["schemas"].keys() == set()
    # The client typescript-fetch has an interface with the parameters of each operation.
    interfaces = {f"{each[0].upper()}{each[1:]}Request" for each in ids}
    assert interfaces & schema["components"]["schemas"].keys() == set()


def test_steps_name_what_they_do_once() -> None:
    descriptions = [step["does"] for step in STEPS]
    assert len(set(descriptions)) == len(descriptions)


def test_each_package_of_the_clients_is_pinned() -> None:
    locked = json.loads((FOLDER / "package-lock.json").read_text())["packages"]
    assert locked.pop("")["devDependencies"] == PACKAGES
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in PACKAGES.values())
    assert {name: locked[f"node_modules/{name}"]["version"] for name in PACKAGES} == PACKAGES
    assert all(each.get("integrity", "").startswith("sha512-") for each in locked.values() if not each.get("inBundle"))


def test_linters_fail_for_a_warning() -> None:
    """Redocly ends without an error after a warning, unless its rules are strict."""
    assert "  - recommended-strict\n" in (FOLDER / "redocly.yaml").read_text()
    assert '"--fail-severity", "hint"' in (FOLDER / "generate.py").read_text()


@pytest.mark.parametrize(
    "line", ["[main] WARN  o.o.codegen - Unknown type", "⚠️  unknown type", "Warning: x", "Error in generating model"]
)
def test_each_warning_of_a_generator_is_an_error_unless_it_is_expected(tmp_path: Path, line: str) -> None:
    log = tmp_path / "generate-x.log"
    expected = [f"[main] WARN  o.o - {text}" for text in EXPECTED_WARNINGS]
    log.write_text("\n".join([*expected, "[main] INFO  o.o - writing file Warning.kt"]))
    report_warnings(log)
    log.write_text("\n".join([*expected, line]))
    with pytest.raises(SystemExit, match=re.escape(line)):
        report_warnings(log)


@pytest.mark.parametrize("name", [*GENERATORS, *TOOLS])
def test_page_names_the_version_of_each_tool(name: str) -> None:
    version = (PACKAGES | PYTHON)[name]
    assert f"{name} {version}" in PAGE.read_text()
