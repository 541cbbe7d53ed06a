"""Run the examples of the documentation, and check that the reference has every endpoint."""

import json
import os
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from devices.crypto import cursors
from devices.models import ApiKey, ChangeFeed, Hospital
from devices.tests.support.client import Api, issue
from devices.tests.support.clock import set_clock

ROOT = Path(__file__).resolve().parents[3]
API_PAGES = sorted((ROOT / "docs" / "api").glob("*.md"))

# A request as a curl command, and its response as JSON or, to show headers too, as HTTP. An author can also write the
# request as HTTP: `make docs` turns it into a curl command.
EXAMPLE = re.compile(
    r"```(?:sh\n(?=curl )|http\n(?=[A-Z]+ /))(?P<request>(?:(?!```)(?s:.))*)```\n\n"
    r"```(?P<form>json|http)\n(?P<response>(?s:.*?))```"
)
DEFAULTS = {"x-api-key": "KEY", "content-type": "application/json"}
HEADER = re.compile(r"^([\w-]+): ?(.*)$", re.MULTILINE)
DEVICES = [  # each page starts with them: see docs/api/README.md
    {"device_name": "E86 5894", "device_mac": "D0:61:AE:D4:58:94", "device_type": "CONSUMER"},
    {
        "device_name": "E86 5895",
        "device_mac": "D0:61:AE:D4:58:95",
        "device_type": "CORPORATE",
        "device_holder": "RS Harapan",
    },
    {
        "device_name": "E86 5896",
        "device_mac": "D0:61:AE:D4:58:96",
        "device_type": "CONSUMER",
        "device_holder": "RS Sehat",
    },
]


class Sent(NamedTuple):
    """The request of an example. Headers that each request has are omitted. The body is JSON, as it is shown."""

    method: str
    path: str
    headers: dict[str, str]
    body: str

    @classmethod
    def parse(cls, text: str) -> "Sent":
        return cls._parse_curl(text) if text.startswith("curl ") else cls._parse_http(text)

    @classmethod
    def _parse_http(cls, text: str) -> "Sent":
        head, _, body = text.partition("\n\n")
        method, path = head.split()[:2]
        return cls(method, path, dict(HEADER.findall(head.partition("\n")[2])), body.rstrip("\n"))

    @classmethod
    def _parse_curl(cls, text: str) -> "Sent":
        words = iter(shlex.split(text.replace("\\\n", " "))[1:])
        method, path, headers, body = "", "", {}, ""
        for word in words:
            if word == "-H":
                name, value = next(words).split(": ", 1)
                headers[name] = value.removeprefix("$")
            elif word == "-X":
                method = next(words)
            elif word == "-d":
                body = next(words)
            elif word == "--head":
                method = "HEAD"
            elif word != "-i":
                path = word.removeprefix("$REGISTRY")
        for name, value in DEFAULTS.items():
            if headers.get(name) == value:
                del headers[name]
        return cls(method or ("POST" if body else "GET"), path, headers, body)

    def as_curl(self, *, with_head: bool) -> str:
        """Return the command. `with_head`: it shows the headers of the response."""
        first = ["curl"]
        if self.method == "HEAD":
            first.append("--head")
        elif with_head:
            first.append("-i")
        if self.method not in ("HEAD", "POST" if self.body else "GET"):
            first += ["-X", self.method]
        headers = {"x-api-key": DEFAULTS["x-api-key"]} | self.headers
        if self.body:
            headers = {"x-api-key": "", "content-type": DEFAULTS["content-type"]} | headers
        lines = [" ".join([*first, f'"$REGISTRY{self.path}"'])]
        for name, value in headers.items():
            variable = "$" if name == "x-api-key" and value.endswith("KEY") and value != "UNKNOWN_KEY" else ""
            mark = "'" if '"' in value else '"'
            lines.append(f"-H {mark}{name}: {variable}{value}{mark}")
        if self.body:
            lines.append("-d '" + self.body.replace("'", "'\\''") + "'")
        return " \\\n  ".join(lines) + "\n"


class Examples:
    """A registry with three devices, whose clock advances one second per request."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = datetime(2021, 11, 2, 2, 48, 2, 937000, tzinfo=UTC)
        set_clock(patch, lambda: self.now)
        patch.setattr(cursors, "token_bytes", bytes)
        ChangeFeed.objects.create(pk=1, key=b"manual".ljust(32))
        self.api = Api(issue("examples").text, **{"Host": "registry.example.org", "X-Forwarded-Proto": "https"})
        assert self.api.post("/api/devices", DEVICES).status_code == 201
        self.keys = {
            "HOSPITAL_KEY": issue("hospital", hospitals=[Hospital.objects.get(name="RS Harapan")]).text,
            "SEVERAL_HOSPITALS_KEY": issue("several", hospitals=list(Hospital.objects.all())).text,
            "READ_ONLY_KEY": issue("read-only", read_only=True).text,
            "CAMEL_CASE_KEY": issue("camelCase", naming=ApiKey.Naming.CAMEL_CASE).text,
            "IMPORTED_KEY": issue("both", naming=ApiKey.Naming.BOTH).text,
        }

    def run(self, example: re.Match[str]) -> str:
        """Return the example with the response that the registry returns."""
        sent = Sent.parse(example["request"])
        headers = dict(sent.headers)
        if "x-api-key" in headers:
            headers["x-api-key"] = self.keys.get(headers["x-api-key"], headers["x-api-key"])
        self.now += timedelta(seconds=1)
        body = json.loads(sent.body) if sent.body else None
        response = self.api(sent.method, sent.path, body, **headers)
        shown = json.dumps(response.json(), indent=2, ensure_ascii=False) + "\n" if response.content else ""
        shows_head = example["form"] == "http"
        if shows_head:
            shown = self.head(response, example["response"]) + (f"\n{shown}" if shown else "")
        return f"```sh\n{sent.as_curl(with_head=shows_head)}```\n\n```{example['form']}\n{shown}```"

    def head(self, response: Any, shown: str) -> str:
        """Return the status line, and the headers that the page shows."""
        names = [name for name, _value in HEADER.findall(shown.partition("\n\n")[0])]
        lines = [f"HTTP/1.1 {response.status_code} {response.reason_phrase}"]
        return "\n".join(lines + [f"{name}: {response[name]}" for name in names]) + "\n"


@pytest.mark.django_db(transaction=True, reset_sequences=True)
@pytest.mark.parametrize("page", API_PAGES, ids=lambda page: page.stem)
def test_api_examples_return_what_the_page_shows(page: Path, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["registry.example.org"]
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    text = page.read_text()
    written = EXAMPLE.sub(Examples(monkeypatch).run, text)
    if os.environ.get("WRITE_DOCS"):
        page.write_text(written)
    examples = list(EXAMPLE.finditer(text))
    assert written.count("```http") == sum(example["form"] == "http" for example in examples)
    assert written == page.read_text()


def test_examples_of_concurrency_show_each_result_of_an_etag() -> None:
    text = (ROOT / "docs" / "api" / "concurrency.md").read_text()
    assert re.findall(r"^HTTP/1.1 (\d+)", text, re.MULTILINE) == ["200", "200", "412", "304"]
    sent = re.findall(r"-H 'If-(?:None-)?Match: (\S+)'", text)
    assert sent, "the page has no conditional request"
    assert set(sent) <= set(re.findall(r"^ETag: (\S+)", text, re.MULTILINE))


@pytest.mark.django_db
def test_page_about_the_schema_has_every_operation(outsider: Api) -> None:
    paths = outsider.get("/api/schema").json()["paths"]
    text = (ROOT / "docs" / "api" / "schema.md").read_text()
    assert re.findall(r"^\| `(\w+)`(?: \(deprecated\))? \| `([A-Z]+) (/\S+)` \|$", text, re.MULTILINE) == [
        (operation["operationId"], method.upper(), path)
        for path, methods in paths.items()
        for method, operation in methods.items()
    ]


@pytest.mark.django_db
def test_reference_has_every_endpoint_and_parameter(outsider: Api) -> None:
    schema = outsider.get("/api/schema").json()
    text = (ROOT / "docs" / "api" / "reference.md").read_text()
    sections = dict(re.findall(r"^## ([A-Z]+ /\S+)\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE))
    operations = {
        f"{method.upper()} {path}": {parameter["name"] for parameter in operation.get("parameters", ())}
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    }
    assert sections.keys() == operations.keys()
    for name, parameters in operations.items():
        queries = {parameter for parameter in parameters if parameter.islower() and f"{{{parameter}}}" not in name}
        assert {parameter for parameter in queries if f"`{parameter}`" not in sections[name]} == set(), name


def test_first_calls_of_the_readme_work_when_pasted(server: int, server_environment: dict[str, str]) -> None:
    [session] = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    session = session.replace(".venv/bin/python", sys.executable).replace(":8000", f":{server}")
    result = subprocess.run(
        ["bash", "-euc", session],
        cwd=ROOT,
        env=server_environment,
        capture_output=True,
        text=True,
        check=True,
    )
    responses = [json.loads(line) for line in result.stdout.splitlines()]
    assert [response["code"] for response in responses] == [201, 200, 200, 200]
    names = [response["data"][0]["device_name"] for response in (responses[1], responses[3])]
    assert names == ["E86 5894", "Ward 3, bed 2"]
