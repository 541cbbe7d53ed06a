"""Log records of both formats: one line each, bounded, escaped, in UTC."""

import io
import json
import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import OperationalError
from django.test import Client
from gunicorn.config import Config
from hypothesis import given
from hypothesis import strategies as st

from cexup import log_handlers, logs
from cexup.logs import CUT, JSON_LENGTH, LINE_LENGTH, MESSAGE_LENGTH, TRACEBACK_LENGTH
from devices.tests.support.client import Api
from devices.tests.support.logs import FORMATTERS, captured

FORGED = "2026-01-01T00:00:00.000+00:00 INFO devices.audit.audit_log [-] FORGED"
LINE_BREAKS = ["\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
CONTROLS = ["\x00", "\x08", "\x1b[2K\x1b[1A", "\x7f", "\x9b1A", "\u202e", "\ud800", "\ufeff"]


@pytest.fixture(params=FORMATTERS)
def log_format(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def formatted(log_format: str, message: str, *args: object, error: BaseException | None = None) -> str:
    record = logging.LogRecord("devices", logging.INFO, __file__, 1, message, args, None)
    if error:
        record.exc_info = type(error), error, error.__traceback__
    return FORMATTERS[log_format]().format(record)


def message_of(log_format: str, text: str) -> str:
    """Return the first line of a record of the line format, or the message of a JSON object."""
    return str(json.loads(text)["message"]) if log_format == "json" else text.split("\n")[0]


def traceback_of(log_format: str, text: str) -> list[str]:
    """Return the lines of the traceback, after a check that they belong to the record."""
    if log_format == "json":
        assert len(text.splitlines()) == 1
        return str(json.loads(text).get("traceback", "")).split("\n")
    lines = text.splitlines()[1:]
    assert all(line.startswith("    ") for line in lines)
    return [line.removeprefix("    ") for line in lines]


def error(text: str) -> RuntimeError:
    try:
        raise RuntimeError(text)
    except RuntimeError as raised:
        return raised


@pytest.fixture
def stream(log_format: str) -> Iterator[io.StringIO]:
    with captured(log_format) as written:
        yield written


@pytest.mark.parametrize("character", LINE_BREAKS + CONTROLS)
def test_control_characters_are_escaped(log_format: str, character: str) -> None:
    written = formatted(log_format, "Not Found: %s", f"/api/x{character}{FORGED}")
    assert written.isprintable()
    assert len(written.splitlines()) == 1
    escaped = character.encode("unicode_escape", "surrogatepass").decode()
    assert f"/api/x{escaped}{FORGED}" in message_of(log_format, written)


@pytest.mark.parametrize("character", LINE_BREAKS)
def test_lines_of_a_traceback_belong_to_the_record(log_format: str, character: str) -> None:
    written = formatted(log_format, "It failed", error=error(f"x{character}{FORGED}"))
    assert message_of(log_format, written).endswith("It failed")
    lines = traceback_of(log_format, written)
    assert lines[0] == "Traceback (most recent call last):"
    assert all(each.isprintable() for each in lines)
    assert not any(line.startswith(FORGED) for line in written.splitlines())


def test_path_cannot_forge_a_log_record(
    db: None, log_format: str, stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: Any, **_kwargs: Any) -> None:
        raise OperationalError

    monkeypatch.setattr("devices.api.authentication.find_active_key", fail)
    assert Api("x" * 20).get(f"/api/x%0A%1b[2K{FORGED.replace(' ', '%20')}").status_code == 503
    first = message_of(log_format, stream.getvalue().splitlines()[0])
    assert "The database failed a request: /api/x\\n\\x1b[2K2026" in first
    assert not re.search("^2026-01-01", stream.getvalue(), re.MULTILINE)
    assert "\x1b" not in stream.getvalue()


def test_log_record_has_its_time_in_utc(log_format: str) -> None:
    text = formatted(log_format, "x")
    written = datetime.fromisoformat(json.loads(text)["time"] if log_format == "json" else text.split()[0])
    assert written.utcoffset() == datetime.now(UTC).utcoffset()
    assert abs((datetime.now(UTC) - written).total_seconds()) < 3600  # the TIME_ZONE of the settings differs by hours


@pytest.mark.parametrize("logger_class", [logs.GunicornLogger, logs.JsonGunicornLogger])
def test_gunicorn_logs_in_the_same_format(logger_class: type[logs.GunicornLogger]) -> None:
    config = Config()
    config.set("accesslog", "-")
    logger = logger_class(config)
    for log in (logger.error_log, logger.access_log):
        assert log.handlers
        for handler in log.handlers:
            assert type(handler.formatter) is logger_class.formatter


def test_django_has_no_other_log_handlers() -> None:
    for log_format in FORMATTERS:
        handlers: dict[str, Any] = log_handlers.configuration(log_format, "INFO")["handlers"]
        assert [handler["formatter"] for handler in handlers.values()] == [log_format]
    assert log_handlers.configuration("line", "WARNING") == django_settings.LOGGING
    for name in ("django", "django.server", "django.request", "django.security.DisallowedHost"):
        assert logging.getLogger(name).handlers == []
        assert logging.getLogger(name).propagate


def test_text_is_cut_before_patterns_run(log_format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(logs, "redacted", lambda text: seen.append(len(text)) or text)
    for text in ("a" * 100_000, "a b " * 100_000, "\n" * 100_000, "a@" * 100_000):
        seen.clear()
        written = formatted(log_format, "%s", text, error=error(text))
        assert seen[0] <= MESSAGE_LENGTH + len(CUT)
        assert sum(seen) < MESSAGE_LENGTH + 2 * TRACEBACK_LENGTH
        assert len(written) < 10 * (MESSAGE_LENGTH + TRACEBACK_LENGTH)  # an escape or an indent adds characters
        assert max(map(len, traceback_of(log_format, written))) < LINE_LENGTH + 100
        assert CUT in message_of(log_format, written)


def test_long_traceback_keeps_its_end(log_format: str) -> None:
    for line in ("x", "\U000e0001" * 500, "ö" * 900):  # a character of the second kind needs eleven in JSON
        written = formatted(log_format, "It failed", error=error(f"{line}\n" * 1_000 + "the last line"))
        assert traceback_of(log_format, written)[-1] == "the last line"
        assert log_format == "line" or len(written) <= JSON_LENGTH


@pytest.mark.parametrize("secret", ["ratna@rs.example", "postgres://registry:hunter2@localhost/x"])
@pytest.mark.parametrize("before", ["x ", "xx", "x/"])
def test_cut_leaves_no_part_of_a_secret(log_format: str, secret: str, before: str) -> None:
    for length in range(MESSAGE_LENGTH - len(secret) - 5, MESSAGE_LENGTH + 5):
        written = formatted(log_format, "%s", f"{before * (length // 2)}{'/' * (length % 2)}/{secret} and so on")
        assert "hunter" not in written
        assert "ratna" not in written


def loggers(log_format: str, stream: io.StringIO) -> list[str]:
    """Return the name of the logger of each line."""
    lines = stream.getvalue().splitlines()
    return [json.loads(line)["logger"] if log_format == "json" else line.split()[2] for line in lines]


def test_unknown_host_is_logged_in_one_short_line(log_format: str, stream: io.StringIO, outsider: Api) -> None:
    assert outsider.get("/api/devices", host="a" * 8_000).status_code == 400
    assert outsider.get("/admin/", host="b" * 8_000).status_code == 400
    assert "Traceback" not in stream.getvalue()
    assert loggers(log_format, stream) == ["django.security.DisallowedHost"] * 2
    assert len(stream.getvalue()) < 2 * (MESSAGE_LENGTH + 300)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/admin/devices/apikey/", 403),  # a page of operators
        ("/admin/devices/device/999/change/", 404),
        ("/admin/devices/device/?x=1", 400),
        ("/admin/nothing/", 404),
    ],
)
def test_rejected_page_is_logged_in_one_line_without_a_traceback(
    log_format: str, stream: io.StringIO, ratna: Client, path: str, status: int
) -> None:
    assert ratna.get(path).status_code == status
    [line] = stream.getvalue().splitlines()
    if log_format == "json":
        record = json.loads(line)
        assert re.fullmatch(
            r"WARNING django\.request|ERROR django\.security\.\w+", f"{record['level']} {record['logger']}"
        )
        assert re.fullmatch(r"\w{32}", record["request_id"])
        assert record["status"] == status
    else:
        assert re.match(r"\S+ (WARNING django\.request|ERROR django\.security\.\w+) \[\w{32}\] ", line)


def test_rejected_form_is_logged_in_one_line_without_a_traceback(
    log_format: str, stream: io.StringIO, ratna: Client, settings: Any
) -> None:
    assert Client(enforce_csrf_checks=True).post("/admin/login/", {}).status_code == 403
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 2
    assert ratna.post("/admin/devices/device/add/", {"a": "1", "b": "2", "c": "3"}).status_code == 400
    assert loggers(log_format, stream) == ["django.security.csrf", "django.security.TooManyFieldsSent"]


def test_server_error_is_logged_with_its_traceback(
    log_format: str, stream: io.StringIO, ratna: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: Any, **_kwargs: Any) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr("devices.admin.dashboard.dashboard", fail)
    ratna.raise_request_exception = False
    assert ratna.get("/admin/").status_code == 500
    assert traceback_of(log_format, stream.getvalue().strip("\n"))[-1] == "RuntimeError: broken"


def test_log_record_has_the_id_of_its_request(log_format: str) -> None:
    token = logs.current_request_id.set("request-7")
    try:
        text = formatted(log_format, "It works")
    finally:
        logs.current_request_id.reset(token)
    if log_format == "json":
        assert json.loads(text)["request_id"] == "request-7"
    else:
        assert " INFO devices [request-7] It works" in text


FORGERIES = st.sampled_from(['"}\n{"time": "x', f"\n{FORGED}"])
HOSTILE = (
    st.text(st.characters()) | st.text(st.sampled_from('\x00\x1b\u2028\u2029\ud800\udc00"\\{}\n\r%s ä😀')) | FORGERIES
)


@given(text=HOSTILE, repeated=st.integers(1, 5_000), name=HOSTILE)
def test_each_json_line_is_one_object_for_any_text(text: str, repeated: int, name: str) -> None:
    token = logs.current_request_fields.set(lambda: {"method": text * repeated, "route": name, "user_id": None})
    try:
        line = formatted("json", "Not Found: %s", text * repeated, error=error(text * repeated))
    finally:
        logs.current_request_fields.reset(token)
    assert line.isascii()
    assert line.isprintable()
    assert len(line) <= JSON_LENGTH
    record = json.loads(line)
    assert set(record) == {*("time", "level", "logger", "message", "request_id", "method", "route", "traceback")}
    assert record["logger"] == "devices"
    json.dumps(record).encode()
    assert "\0" not in "".join(map(str, record.values()))
    assert not re.search("[\ud800-\udfff]", "".join(map(str, record.values())))  # no parser rejects the line
