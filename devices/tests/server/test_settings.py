"""Settings are trimmed. One that cannot be right prevents the start, with its name in one sentence."""

import http.client
import os
import re
import runpy
import socket
import subprocess
import sys
from contextlib import closing
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.utils.module_loading import import_string
from environs import ValidationError

from cexup import environment
from devices.tests.support.logs import FORMATTERS
from devices.tests.support.services.server import ROOT, has_ipv6, served_from, serving

KEY, OLD_KEY = "k" * 40, "o" * 40
PRIVATE = "hunter2"
# Values that cannot be right, by setting. "x y" stands for any text where a number or a name is expected.
MALFORMED = {
    "SECRET_KEY": [f"{PRIVATE}-short"],
    "SECRET_KEY_FALLBACKS": [
        f"{OLD_KEY},{PRIVATE}-short",
        f"{OLD_KEY}, ",
        f",{OLD_KEY}",
        f"'{OLD_KEY}',",
        f"{OLD_KEY};{KEY}",
        f"{OLD_KEY} {KEY}",
        f"{OLD_KEY}\n{KEY}",
    ],
    "DATABASE_URL": ["", "x y", "mysql://u:hunter2@h/x", "hunter2://u@h/x", "postgres://u:hunter2@h:port/x"],
    "DATABASE_CONN_MAX_AGE": ["", "x y", "-1", "1.5"],
    "DATABASE_CONNECT_TIMEOUT": ["", "x y", "0", "301"],
    "DATABASE_LOCK_TIMEOUT": ["", "x y", "-1", "3601"],
    "DATABASE_STATEMENT_TIMEOUT": ["", "x y", "-1", "3601"],
    "ALLOWED_HOSTS": [
        *("https://a.test", "a.test:8000", "a;b", "a b", "a.test/x", "*.a.test", "a*.test", '"a.test"', "'a.test'"),
        *(
            "ok.test,a_b.test",
            "[::1]:8000",
            "[::1",
            "::g",
            "a..test",
            "-a.test",
            "b.test\nc.test",
            "ok.test, rumah–sakit",
        ),
        *("..a.test", "user@a.test", "a.test.", "[a.test]"),
    ],
    "CSRF_TRUSTED_ORIGINS": [
        "a.test",
        "https://a.test/",
        "https://a.test/x",
        "ftp://a.test",
        "https://a*.test",
        "*",
        "https://",
    ],
    "CORS_ALLOWED_ORIGINS": [
        *("a.test", "https://a.test/", "https://a.test/x", "https://a.test?x", "https://*.a.test", "*", "https://"),
        *("https://a.test; https://b.test", "https://a.test https://b.test", "https://u@a.test", "https://a.test:port"),
        *('"https://a.test"', "://a.test", "https:/a.test", "https://a.test:"),
    ],
    "OPERATOR_EMAIL": ["help", "help@rs", "a@b.example,c@d.example", "x y"],
    "OPERATOR_WHATSAPP": ["0812 3456 7890", "+62", "wa.me/62812", "+62 812 x"],
    "TRUSTED_PROXIES": ["", "x y", "-1", "11", "10.0.0.1"],
    "HTTPS": ["", "x y", "2"],
    "HSTS_SECONDS": ["", "x y", "-1", "1e3"],
    "SIGN_IN_RATE": ["", "x y", "30", "30/week", "-1/min"],
    "SIGN_IN_RATE_ALL": ["", "x y"],
    "BREACHED_PASSWORDS": ["/nonexistent", "/dev"],
    "EMAIL_URL": ["", "x y", "mail.example.org", "smtp://u:hunter2@h:port", "hunter2://h"],
    "DEFAULT_FROM_EMAIL": ["", "x y", "registry", "a@", "a@b@c", "a@b.test\nBcc: c@d.test"],
    "STAFF_OTP": ["", "x y", "REQUIRED", "1"],
    "API_FIRST_PAGE": ["", "x y", "2", "-1"],
    "API_RATE": ["", "x y", "6000"],
    "API_FAILED_RATE": ["", "x y"],
    "CONFLICT_RATE": ["", "x y"],
    "REDIS_URL": [
        "x y",
        "127.0.0.1:6379",
        "http://h",
        "redis://:hunter2@h:port",
        "redis://",
        "unix://",
        "redis://[::1",
    ],
    "FEED_WAITERS": ["", "x y", "-1", "1001"],
    "FEED_WAITERS_PER_KEY": ["", "x y", "0", "1001"],
    "DEVICES_ALLOW_NON_MAC": ["", "x y", "2"],
    "AUDIT_YEARS": ["", "x y", "0", "101"],
    "IMPORT_MAX_MB": ["", "x y", "0", "101"],
    "DEBUG": ["", "x y", "maybe"],
    "LOG_LEVEL": ["", "x y", "LOUD", "info"],
    "LOG_FORMAT": ["", "x y", "JSON", "text"],
    "ACCESS_LOG": ["", "x y", "2"],
    "OTEL_EXPORTER_OTLP_ENDPOINT": ["x y", "127.0.0.1:4318", "grpc://h:4317", "http://", "http://u:hunter2@h:port"],
    "TIME_ZONE": ["", "x y", "WIB", "asia/nowhere", "../etc/passwd", "/etc/localtime", "Asia", "UTC+7", "a\0b"],
    "METRICS_PORT": ["", "x y", "-1", "65536", "8000"],
    "METRICS_HOST": ["", "x y", "http://a.test", "127.0.0.1:9108", "::g"],
    "HOST": ["", "x y", "http://a.test", "a.test:80", "127.0.0.1:80", "[::1", "::g", "[::1]:80", "/run/socket"],
    "PORT": ["", "x y", "0", "70000", "-1", "80.5", "8000,8001"],
    "WEB_CONCURRENCY": ["", "x y", "0", "-1"],
    "WEB_THREADS": ["", "x y", "0"],
    "WEB_BACKLOG": ["", "x y", "0", "70000"],
    "WEB_MAX_REQUESTS": ["", "x y", "-1"],
}
ONLY_GUNICORN = {"WEB_CONCURRENCY", "WEB_THREADS", "WEB_BACKLOG", "WEB_MAX_REQUESTS"}
FREE_TEXT = {"OPERATOR_NAME"}  # any value can be right
CASES = [(name, value) for name, values in MALFORMED.items() for value in values]


def settings_with(file: str = "cexup/settings.py", **variables: str) -> dict[str, Any]:
    """Return the settings that these environment variables give."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        return runpy.run_path(str(ROOT / file))


def run(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    clean = {"PATH": os.environ["PATH"], "ENV_FILE": os.devnull, "SECRET_KEY": KEY, "PORT": "1"}
    environment = {**clean, **variables}
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_each_setting_of_the_example_has_malformed_values() -> None:
    example = (ROOT / ".env.example").read_text()
    assert set(MALFORMED) == set(re.findall(r"^#? ?([A-Z_]+)=", example, re.MULTILINE)) - FREE_TEXT


@pytest.mark.parametrize(("name", "value"), CASES)
def test_setting_that_cannot_be_right_is_named_in_one_sentence(name: str, value: str) -> None:
    if "\0" in value:
        with pytest.raises(ValidationError):
            environment.is_time_zone(value)
        return
    file = "gunicorn.conf.py" if name in ONLY_GUNICORN else "cexup/settings.py"
    with pytest.raises((ValueError, SystemExit)) as failed:
        settings_with(file, **{name: value})
    sentence = environment.explain(failed.value) if isinstance(failed.value, ValueError) else str(failed.value)
    assert f"{name}: " in sentence
    assert re.fullmatch(r"[^\n\[{]+\.", sentence)
    assert PRIVATE not in sentence


@pytest.mark.parametrize(
    ("command", "name", "value"),
    [
        *((["manage.py", "check"], name, MALFORMED[name][1]) for name in ("ALLOWED_HOSTS", "TIME_ZONE", "PORT")),
        *((["manage.py", "quickstart"], name, MALFORMED[name][1]) for name in ("SECRET_KEY_FALLBACKS", "EMAIL_URL")),
        *(
            (["-m", "gunicorn", "-c", "gunicorn.conf.py"], name, MALFORMED[name][1])
            for name in (
                "HOST",
                "PORT",
                "WEB_THREADS",
                "LOG_FORMAT",
                "ALLOWED_HOSTS",
                "CORS_ALLOWED_ORIGINS",
                "TIME_ZONE",
            )
        ),
    ],
)
def test_no_command_and_no_server_starts_with_a_malformed_setting(command: list[str], name: str, value: str) -> None:
    result = run(*command, **{name: value})
    assert result.returncode == 1
    [sentence] = [line for line in result.stderr.splitlines() if not re.match(r"[0-9-]{10}T", line)]
    assert sentence.startswith(f"Invalid settings: {name}: ")
    assert "Traceback" not in result.stderr + result.stdout


def test_server_does_not_start_if_another_process_uses_the_port_of_the_metrics(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        result = run("-m", "gunicorn", "-c", "gunicorn.conf.py", METRICS_PORT=port, TMPDIR=str(tmp_path))
    assert result.returncode == 1
    [sentence] = [line for line in result.stderr.splitlines() if not re.match(r"[0-9-]{10}T", line)]
    assert sentence.startswith(f"Invalid settings: METRICS_PORT: 127.0.0.1:{port} or {tmp_path}/registry-metrics-")
    assert "Address already in use" in sentence


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("ALLOWED_HOSTS", "127.0.0.1, second.test", ["127.0.0.1", "second.test"]),
        ("ALLOWED_HOSTS", " a.test ,\n\tb.test,, ", ["a.test", "b.test"]),
        ("ALLOWED_HOSTS", ".A.test,*,::1,[2001:DB8::1]", [".a.test", "*", "[::1]", "[2001:db8::1]"]),
        ("ALLOWED_HOSTS", "", []),
        ("SECRET_KEY_FALLBACKS", f" {OLD_KEY} ,\n{KEY} ", [OLD_KEY, KEY]),
        (
            "CSRF_TRUSTED_ORIGINS",
            "https://a.test , https://*.b.test:8443,",
            ["https://a.test", "https://*.b.test:8443"],
        ),
        ("CORS_ALLOWED_ORIGINS", "https://A.test:443, http://[::1]:8000 ,", ["https://a.test", "http://[::1]:8000"]),
        ("CORS_ALLOWED_ORIGINS", "capacitor://localhost,null,file://", ["capacitor://localhost", "null", "file://"]),
        ("TIME_ZONE", "Asia/Jakarta ", "Asia/Jakarta"),
        ("LOG_LEVEL", " WARNING\n", "WARNING"),
        ("PORT", " 8001 ", 8001),
        ("API_RATE", " 10/s ", "10/s"),
        ("REDIS_URL", " redis://127.0.0.1:6379/0 ", "redis://127.0.0.1:6379/0"),
        ("DEFAULT_FROM_EMAIL", "Registry <registry@example.org> ", "Registry <registry@example.org>"),
        ("HOST", " :: ", "[::]"),
        ("HOST", "[::1]", "[::1]"),
        ("HOST", "Localhost", "localhost"),
    ],
)
def test_spaces_line_breaks_and_empty_items_are_ignored(name: str, value: str, expected: Any) -> None:
    assert settings_with(**{name: value})[name] == expected


def test_traces_without_their_packages_are_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    assert settings_with(OTEL_EXPORTER_OTLP_ENDPOINT="")["MIDDLEWARE"] == settings.MIDDLEWARE
    traced = settings_with(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:4318")["MIDDLEWARE"]
    assert traced == ["cexup.tracing.TracingMiddleware", *settings.MIDDLEWARE]
    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(ValueError, match="OTEL_EXPORTER_OTLP_ENDPOINT") as failed:
        settings_with(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:4318")
    assert environment.explain(failed.value) == (
        "OTEL_EXPORTER_OTLP_ENDPOINT: Traces need the packages of requirements-tracing.txt. Install them first."
    )


@pytest.mark.parametrize(
    ("variables", "is_added"),
    [({}, False), ({"LOG_FORMAT": "line"}, False), ({"LOG_FORMAT": "json"}, True), ({"ACCESS_LOG": "1"}, True)],
)
def test_requests_are_described_only_if_the_log_has_them(variables: dict[str, str], is_added: bool) -> None:
    found = settings_with(**variables)
    assert ("cexup.access_log.AccessLogMiddleware" in found["MIDDLEWARE"]) is is_added
    log_format = variables.get("LOG_FORMAT", "line")
    assert found["LOGGING"]["handlers"]["stderr"]["formatter"] == log_format
    logger = settings_with("gunicorn.conf.py", **variables)["logger_class"]
    assert import_string(logger).formatter is FORMATTERS[log_format]


@pytest.mark.parametrize(("host", "allowed"), [("::1", "[::1]"), ("[::1]", "[::1]"), ("10.0.0.1", "10.0.0.1")])
def test_host_is_allowed_by_default_in_the_form_of_a_url(
    monkeypatch: pytest.MonkeyPatch, host: str, allowed: str
) -> None:
    monkeypatch.delenv("ALLOWED_HOSTS")
    assert allowed in settings_with(HOST=host)["ALLOWED_HOSTS"]
    assert settings_with("gunicorn.conf.py", HOST=host)["bind"] == f"{allowed}:{os.environ.get('PORT', '8000')}"


@pytest.mark.parametrize("host", ["::", "::1", "[::1]", "localhost", "0.0.0.0"])  # noqa: S104
def test_server_listens_on_each_form_of_address(tmp_path: Path, host: str) -> None:
    environment = {**served_from(f"sqlite:///{tmp_path / 'registry.sqlite3'}"), "HOST": host}
    client = "::1" if ":" in host else "127.0.0.1"
    if client == "::1" and not has_ipv6():
        pytest.skip("This machine has no IPv6.")
    with (
        serving(environment, client) as port,
        closing(http.client.HTTPConnection(client, port, timeout=60)) as connection,
    ):
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200


# --- The file


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("TIME_ZONE=Asia/Makassar\n".encode("utf-16"), "is not text in UTF-8"),
        ("TIME_ZONE=Asia/Makassar\n".encode("utf-16-le"), ""),
        (b"# caf\xe9\nTIME_ZONE=Asia/Makassar\n", "is not text in UTF-8"),
        (b"\xef\xbb\xbfTIME_ZONE=Asia/Makassar\n", "begins with a byte order mark"),
        (b"TIME_ZONE=Asia/Makassar\r\nLOG_LEVEL=ERROR\r\n", ""),
        ("# caf\u00e9\nTIME_ZONE = 'Asia/Makassar'".encode(), ""),
    ],
)
def test_file_in_another_encoding_is_read_or_reported(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "env"
    file.write_bytes(content)
    if not reason and b"\0" not in content:
        assert settings_with(ENV_FILE=str(file))["TIME_ZONE"] == "Asia/Makassar"
        return
    for command in (["manage.py", "check"], ["-m", "gunicorn", "-c", "gunicorn.conf.py"]):
        result = run(*command, ENV_FILE=str(file))
        assert result.returncode == 1
        assert result.stderr.startswith("Invalid settings: ENV_FILE: ")
        assert reason in result.stderr
        assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("path", ["/nonexistent", "/tmp"])  # noqa: S108
def test_file_that_cannot_be_read_is_reported(path: str) -> None:
    result = run("manage.py", "check", ENV_FILE=path)
    assert (result.returncode, len(result.stderr.splitlines())) == (1, 1)
    assert f"ENV_FILE: {path} cannot be read" in result.stderr
    result = run("manage.py", "check", SECRET_KEY_FILE=path)
    assert (result.returncode, len(result.stderr.splitlines())) == (1, 1)
    assert "SECRET_KEY_FILE" in result.stderr
