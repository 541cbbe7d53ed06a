"""The headers of every response, and the forwarded headers that are trusted."""

import http.client
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import URLPattern, URLResolver, get_resolver

from devices.tests.support.client import Api, errors
from devices.tests.support.factories import device_payload
from devices.tests.support.services.server import ROOT, served_from, serving

SAMPLES = {
    "ending": ".csv",
    "upload_id": "0b5e2b1e-0000-4000-8000-000000000000",
    "uidb64": "MQ",
    "token": "abc-def",
    "content_type_id": "1",
    "app_label": "devices",
}


def paths(patterns: Any = None, prefix: str = "/") -> Iterator[str]:
    """Yield a path for each route, also of the admin and the API."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        route = _sample(str(pattern.pattern))
        if isinstance(pattern, URLResolver):
            yield from paths(pattern.url_patterns, prefix + route)
        elif isinstance(pattern, URLPattern):
            yield prefix + route


def _sample(route: str) -> str:
    """Return a path for a route: with values for its parameters, and without the signs of a regular expression."""
    named = re.sub(r"\(\?P<(\w+)>[^)]*\)", lambda match: SAMPLES.get(match[1], "1"), route)
    filled = re.sub(r"<(?:\w+:)?(\w+)>", lambda match: SAMPLES.get(match[1], "1"), named)
    return re.sub(r"[\^$?\\]", "", filled).replace("(.)", "nothing")


PATHS = sorted(set(paths()))


def has_headers(response: Any) -> bool:
    found = response.headers
    policy = found.get("Content-Security-Policy", "")
    assert "default-src 'self'" in policy
    assert "object-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert re.search(r"script-src 'self'( 'unsafe-eval')?;", policy)
    assert "unsafe-eval" not in policy or response.request["PATH_INFO"].startswith("/admin/")
    assert found.get("X-Frame-Options") == "DENY"
    assert found.get("X-Content-Type-Options") == "nosniff"
    assert re.fullmatch(r"[\w.-]{1,128}", found.get("X-Request-ID", ""))
    return True


def test_paths_include_the_admin_and_the_api() -> None:
    assert {"/", "/healthz/", "/api/devices", "/api/device/1", "/admin/devices/device/", "/admin/login/"} <= set(PATHS)
    assert {"/admin/devices/auditevent/", "/admin/two-factor/", "/admin/set-password/MQ/abc-def/"} <= set(PATHS)
    assert len(PATHS) > 70


@pytest.mark.parametrize("role", ["operator", "ratna", "client"])
def test_every_page_has_the_headers_for_every_client(request: pytest.FixtureRequest, db: None, role: str) -> None:
    client = request.getfixturevalue(role)
    client.raise_request_exception = False
    seen = set()
    for path in PATHS:
        for method in ("get", "post", "trace"):
            response = getattr(client, method)(path)
            assert has_headers(response), path
            seen.add(response.status_code)
        if path == "/admin/logout/" and role != "client":
            client.force_login(User.objects.get(is_superuser=role == "operator"))
    assert 500 not in seen
    assert {200, 302} <= seen


@pytest.mark.parametrize("path", ["/api/devices", "/admin/", "/nothing"])
def test_unknown_host_gets_400_with_the_headers(outsider: Api, path: str) -> None:
    for headers in ({"host": "evil.example"}, {"host": "a b"}, {"host": "testserver.evil.example"}):
        response = outsider.get(path, **headers)
        assert response.status_code == 400
        assert has_headers(response)
        if path.startswith("/api/"):
            assert (response.json()["status"], errors(response)) == ("BAD_REQUEST", [(None, "invalid_host")])
    assert outsider.get("/api/devices", **{"x-forwarded-host": "evil.example"}).status_code == 401


def test_500_has_the_headers(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr("devices.registry.register", fail)
    response = api.post("/api/devices", device_payload(1))
    assert response.status_code == 500
    assert has_headers(response)


# --- A server with HTTPS, with and without a proxy


def _https(folder: Path, proxies: int) -> dict[str, str]:
    environment = served_from(f"sqlite:///{folder / 'registry.sqlite3'}")
    return environment | {"HTTPS": "1", "TRUSTED_PROXIES": str(proxies), "STAFF_OTP": "optional"}


def shell(code: str, environment: dict[str, str]) -> str:
    command = [sys.executable, "manage.py", "shell", "-v0", "-c", code]
    return subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def https_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("https")
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=_https(folder, 0), check=True)
    return folder


def get(port: int, path: str, **headers: str) -> tuple[int, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status, dict(response.getheaders())


COOKIES = """
import json
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client, override_settings

User.objects.create_superuser("operator", password="pagi-cerah")
plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
client = Client()
with override_settings(STORAGES={**settings.STORAGES, "staticfiles": plain}):
    client.get("/admin/login/", secure=True)
    form = {"username": "operator", "password": "pagi-cerah", "next": "/admin/"}
    assert client.post("/admin/login/", form, secure=True).status_code == 302
    client.post("/language", {"language": "id"}, secure=True)
    client.post("/admin/devices/device/", {"action": "retire", "index": "0"}, secure=True)  # a message: none selected
attributes = ("secure", "httponly", "samesite", "path", "domain")
flags = {name: [found[flag] for flag in attributes] for name, found in client.cookies.items()}
print(json.dumps(flags))
"""


def test_cookies_are_secure_http_only_and_same_site(https_folder: Path) -> None:
    cookies = json.loads(shell(COOKIES, _https(https_folder, 0)))
    names = ("csrftoken", "sessionid", "django_language", "device")
    assert set(cookies) == {f"__Host-{name}" for name in names}
    assert set(map(tuple, cookies.values())) == {(True, True, "Lax", "/", "")}


def test_forwarded_headers_are_ignored_without_a_trusted_proxy(https_folder: Path) -> None:
    with serving(_https(https_folder, 0)) as port:
        for headers in ({"x_forwarded_proto": "https"}, {"x_forwarded_ssl": "on"}, {"x_forwarded_protocol": "ssl"}):
            status, found = get(port, "/admin/", x_forwarded_for="192.0.2.9", **headers)
            assert status == 308
            assert found["Location"].startswith("https://")
            assert get(port, "/api/devices", x_forwarded_for="192.0.2.9", **headers)[0] == 403


def test_forwarded_headers_of_a_trusted_proxy_are_used_and_hsts_is_sent(https_folder: Path) -> None:
    with serving(_https(https_folder, 1)) as port:
        status, found = get(port, "/api/devices", x_forwarded_proto="https", x_forwarded_for="192.0.2.9")
        assert status == 401
        assert "max-age=31536000" in found["Strict-Transport-Security"]
    denied = "from devices.models import AuditEvent; print(*AuditEvent.objects.values_list('action', 'ip_address'))"
    assert "('denied', '192.0.2.9')" in shell(denied, _https(https_folder, 1))
