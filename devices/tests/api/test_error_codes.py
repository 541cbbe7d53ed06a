"""`errors[].code` is a closed list: each code is described, and the source contains no other code."""

import ast
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devices.api.error_reference import ERRORS, REFERENCE
from devices.tests.support.client import Api
from devices.tests.support.error_pages import PAGE, render
from devices.tests.support.services.server import ROOT
from devices.values.error_codes import ERROR_CODES, AdminErrorCode, ErrorCode

SOURCES = [*(ROOT / "devices").glob("*/**/*.py"), *(ROOT / "cexup").rglob("*.py")]
SOURCES = [path for path in SOURCES if not {"tests", "migrations"} & set(path.parts)]
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|\{[^{}\"]*\}")
NGINX = re.compile(r"return (\d+) '(\{.*\})';")
# Calls with an error code, and the position of the code. Messages of other calls are shown in the admin only.
WITH_CODE = {"FieldError": 1, "add": 1}


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name: str = getattr(node.func, "id", "") or getattr(node.func, "attr", "")
            yield name, node


def nginx_bodies() -> list[tuple[int, dict[str, Any]]]:
    texts = [(ROOT / "deploy" / name).read_text() for name in ("nginx.conf", "registry.locations")]
    return [(int(status), json.loads(body)) for text in texts for status, body in NGINX.findall(text)]


def test_the_reference_describes_each_code_once() -> None:
    described = [code for group in REFERENCE.values() for code in group]
    assert sorted(described) == sorted(ErrorCode)
    for code, info in ERRORS.items():
        assert 400 <= info.status < 600, code
        assert all((info.field, info.messages, info.meaning, info.action, info.retry)), code


def test_the_schema_lists_all_codes_and_is_open_for_new_ones(api: Api) -> None:
    code = api.get("/api/schema").json()["components"]["schemas"]["ApiError"]["properties"]["code"]
    assert code["examples"] == list(ERROR_CODES)
    assert re.findall(r"`([a-z_]+)`", code["description"])[: len(ERROR_CODES)] == list(ERROR_CODES)
    assert "enum" not in code


def test_docs_errors_page_has_each_code() -> None:
    if os.environ.get("WRITE_DOCS"):
        PAGE.write_text(render())
    assert PAGE.read_text() == render()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_source_file_has_a_code_as_free_text(path: Path) -> None:
    for name, call in calls(path):
        position = WITH_CODE.get(name)
        if position is not None and len(call.args) > position + 1:
            assert not isinstance(call.args[position], ast.Constant), ast.unparse(call)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Assign) and "api" in path.parts:
            names = {getattr(target, "id", "") for target in node.targets}
            assert not (names & {"default_code", "code"} and isinstance(node.value, ast.Constant)), ast.unparse(node)


@pytest.mark.parametrize(("status", "body"), nginx_bodies(), ids=lambda value: str(value)[:3])
def test_responses_of_nginx_have_codes_and_messages_of_the_reference(status: int, body: dict[str, Any]) -> None:
    [error] = body["errors"]
    info = ERRORS[ErrorCode(error["code"])]
    assert (body["code"], info.status, error["field"], body["data"]) == (status, status, None, [])
    assert error["message"] == body["message"]
    assert error["message"] in info.messages


def test_messages_of_the_reference_are_those_of_the_source() -> None:
    texts = {error["message"] for _status, body in nginx_bodies() for error in body["errors"]}
    for path in SOURCES:
        if "error_reference" not in path.parts:
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    texts.add(node.value)
                elif isinstance(node, ast.JoinedStr):
                    texts.add(
                        "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
                    )
    texts = {PLACEHOLDER.sub("{}", text) for text in texts}
    messages = {PLACEHOLDER.sub("{}", message) for info in ERRORS.values() for message in info.messages}
    assert messages - texts == set()


def test_api_and_admin_have_different_codes() -> None:
    assert set(AdminErrorCode) & set(ErrorCode) == set()
