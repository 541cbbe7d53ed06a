"""The curl, JavaScript and Python clients of docs/first-call.md run against a live server."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from devices.tests.support.services.server import ROOT

PAGE = ROOT / "docs" / "first-call.md"
PROGRAMS = {"js": "first-call.mjs", "python": "first_call.py"}
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
languages = pytest.mark.parametrize("language", [pytest.param("js", marks=needs_node), "python"])


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def run_program(language: str, url: str, key: str, folder: Path) -> str:
    [program] = blocks(language)
    path = folder / PROGRAMS[language]
    path.write_text(program)
    command = ["node" if language == "js" else sys.executable, str(path)]
    return run(command, url, key)


def run(command: list[str], url: str, key: str) -> str:
    environment = {**os.environ, "REGISTRY": url, "KEY": key}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return result.stdout


def without_numbers(envelope: dict[str, Any]) -> str:
    """Return the envelope without ids and timestamps, which depend on the other tests."""
    return re.sub(r'("id"|"\w+_at"): \d+', r"\1: 0", json.dumps(envelope, indent=2))


def printed(number: int, mac: str) -> list[str]:
    return [
        f"registered Test device {number}",
        f"found {mac}",
        f"updated Ward 5, bed {number}",
        "409 device_mac unique",
        f"retired Ward 5, bed {number}",
    ]


def test_curl_commands_return_what_the_page_shows(server: int, server_key: str) -> None:
    [variables, *commands] = blocks("bash")
    assert re.findall(r"^export (\w+)=", variables, re.MULTILINE) == ["REGISTRY", "KEY"]
    shown = [json.loads(text) for text in blocks("json")]
    assert len(shown) == len(commands) == 4
    for command, expected in zip(commands, shown, strict=True):
        response = run(["bash", "-euc", command], f"http://127.0.0.1:{server}", server_key)
        assert without_numbers(json.loads(response)) == without_numbers(expected)


@languages
def test_program_registers_finds_updates_and_retires(
    language: str, server: int, server_key: str, tmp_path: Path
) -> None:
    output = run_program(language, f"http://127.0.0.1:{server}", server_key, tmp_path)
    number = {"js": 2, "python": 3}[language]
    assert output.splitlines() == printed(number, f"02:00:00:00:00:0{number}")


class UnreliableProxy(ThreadingHTTPServer):
    """A proxy that drops the first response to a write, and returns 503 to the next write and to the first read."""

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.upstream = port
        self.reads = 0
        self.writes: list[str] = []  # the Idempotency-Key of each request that writes


class Handler(BaseHTTPRequestHandler):
    server: UnreliableProxy

    def handle_request(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if key := self.headers.get("idempotency-key"):
            self.server.writes.append(key)
            if len(self.server.writes) == 2:
                self.respond(503, b"{}", {"Retry-After": "1"})
                return
        else:
            self.server.reads += 1
            if self.server.reads == 1:
                self.respond(503, b"{}", {})
                return
        upstream = HTTPConnection("127.0.0.1", self.server.upstream, timeout=30)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        upstream.request(self.command, self.path, body, headers)
        response = upstream.getresponse()
        content = response.read()
        upstream.close()
        self.close_connection = True
        if len(self.server.writes) != 1:
            self.respond(response.status, content, {})

    def respond(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), "Connection": "close", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = handle_request  # noqa: N815  (the names that http.server calls)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def proxy(server: int) -> Iterator[UnreliableProxy]:
    with UnreliableProxy(server) as running:
        thread = Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@languages
def test_program_retries_with_the_same_idempotency_key(
    language: str, proxy: UnreliableProxy, server_key: str, tmp_path: Path
) -> None:
    output = run_program(language, f"http://127.0.0.1:{proxy.server_port}", server_key, tmp_path)
    assert "409 device_mac unique" in output
    assert output.splitlines()[0].startswith("registered")
    first, *_others = proxy.writes
    assert proxy.writes.count(first) == 3  # dropped, 503, executed
    assert len(set(proxy.writes)) == 4  # register, update, register again, retire
    assert proxy.reads == 2
