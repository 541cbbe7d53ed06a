"""Log records: one line each, bounded, escaped, in UTC."""

import io
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

from cexup import logs
from cexup.logs import CUT, LINE_LENGTH, MESSAGE_LENGTH, TRACEBACK_LENGTH, GunicornLogger, LineFormatter
from devices.tests.support.client import Api

FORGED = "2026-01-01T00:00:00.000+00:00 INFO devices.audit.audit_log [-] FORGED"
LINE_BREAKS = ["\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
CONTROLS = ["\x00", "\x08", "\x1b[2K\x1b[1A", "\x7f", "\x9b1A", "\u202e", "\ud800", "\ufeff"]


def line(message: str, *args: object, error: BaseException | None = None) -> str:
    record = logging.LogRecord("devices", logging.INFO, __file__, 1, message, args, None)
    if error:
        record.exc_info = type(error), error, error.__traceback__
    return LineFormatter().format(record)


def error(text: str) -> RuntimeError:
    try:
        raise RuntimeError(text)
    except RuntimeError as raised:
        return raised


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """The output of a handler with the formatter of the application."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(LineFormatter())
    logging.getLogger().addHandler(handler)
    yield written
    logging.getLogger().removeHandler(handler)


@pytest.mark.parametrize("character", LINE_BREAKS + CONTROLS)
def test_control_characters_are_escaped(character: str) -> None:
    written = line("Not Found: %s", f"/api/x{character}{FORGED}")
    assert written.isprintable()
    assert len(written.splitlines()) == 1
    assert f"/api/x{character.encode('unicode_escape', 'surrogatepass').decode()}{FORGED}" in written


@pytest.mark.parametrize("character", LINE_BREAKS)
def test_each_line_of_a_traceback_is_indented(character: str) -> None:
    written = line("It failed", error=error(f"x{character}{FORGED}"))
    first, *others = written.splitlines()
    assert first.endswith("It failed")
    assert "    Traceback (most recent call last):" in others
    assert all(each.startswith("    ") and each.isprintable() for each in others)


def test_path_cannot_forge_a_log_record(db: None, stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: Any, **_kwargs: Any) -> None:
        raise OperationalError

    monkeypatch.setattr("devices.api.authentication.find_active_key", fail)
    assert Api("x" * 20).get(f"/api/x%0A%1b[2K{FORGED.replace(' ', '%20')}").status_code == 503
    assert "The database failed a request: /api/x\\n\\x1b[2K2026" in stream.getvalue()
    assert not re.search("^2026-01-01", stream.getvalue(), re.MULTILINE)
    assert "\x1b" not in stream.getvalue()


def test_log_record_begins_with_its_time_in_utc() -> None:
    written = datetime.fromisoformat(line("x").split()[0])
    assert written.utcoffset() == datetime.now(UTC).utcoffset()
    assert abs((datetime.now(UTC) - written).total_seconds()) < 3600  # the TIME_ZONE of the settings differs by hours


def test_gunicorn_logs_in_the_same_format() -> None:
    config = Config()
    config.set("accesslog", "-")
    logger = GunicornLogger(config)
    for log in (logger.error_log, logger.access_log):
        assert log.handlers
        for handler in log.handlers:
            assert isinstance(handler.formatter, LineFormatter)


def test_django_has_no_other_log_handlers() -> None:
    logging_settings: dict[str, Any] = django_settings.LOGGING
    assert [handler["formatter"] for handler in logging_settings["handlers"].values()] == ["line"]
    for name in ("django", "django.server", "django.request", "django.security.DisallowedHost"):
        assert logging.getLogger(name).handlers == []
        assert logging.getLogger(name).propagate


def test_text_is_cut_before_patterns_run(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(logs, "redacted", lambda text: seen.append(len(text)) or text)
    for text in ("a" * 100_000, "a b " * 100_000, "\n" * 100_000, "a@" * 100_000):
        seen.clear()
        written = line("%s", text, error=error(text))
        assert seen[0] <= MESSAGE_LENGTH + len(CUT)
        assert sum(seen) < MESSAGE_LENGTH + 2 * TRACEBACK_LENGTH
        assert len(written) < 10 * (MESSAGE_LENGTH + TRACEBACK_LENGTH)  # an escape or an indent adds characters
        assert max(map(len, written.splitlines()[1:])) < LINE_LENGTH + 100
        assert CUT in written


def test_long_traceback_keeps_its_end() -> None:
    written = line("It failed", error=error("x\n" * 100_000 + "the last line"))
    assert written.splitlines()[-1] == "    the last line"


@pytest.mark.parametrize("secret", ["ratna@rs.example", "postgres://registry:hunter2@localhost/x"])
@pytest.mark.parametrize("before", ["x ", "xx", "x/"])
def test_cut_leaves_no_part_of_a_secret(secret: str, before: str) -> None:
    for length in range(MESSAGE_LENGTH - len(secret) - 5, MESSAGE_LENGTH + 5):
        written = line("%s", f"{before * (length // 2)}{'/' * (length % 2)}/{secret} and so on")
        assert "hunter" not in written
        assert "ratna" not in written


def test_unknown_host_is_logged_in_one_short_line(stream: io.StringIO, outsider: Api) -> None:
    assert outsider.get("/api/devices", host="a" * 8_000).status_code == 400
    assert outsider.get("/admin/", host="b" * 8_000).status_code == 400
    written = stream.getvalue()
    assert "Traceback" not in written
    assert [each.split()[2] for each in written.splitlines()] == ["django.security.DisallowedHost"] * 2
    assert len(written) < 2 * (MESSAGE_LENGTH + 200)


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
    stream: io.StringIO, ratna: Client, path: str, status: int
) -> None:
    assert ratna.get(path).status_code == status
    written = stream.getvalue()
    [line] = written.splitlines()
    assert re.match(r"\S+ (WARNING django\.request|ERROR django\.security\.\w+) \[\w{32}\] ", line)


def test_rejected_form_is_logged_in_one_line_without_a_traceback(
    stream: io.StringIO, ratna: Client, settings: Any
) -> None:
    assert Client(enforce_csrf_checks=True).post("/admin/login/", {}).status_code == 403
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 2
    assert ratna.post("/admin/devices/device/add/", {"a": "1", "b": "2", "c": "3"}).status_code == 400
    lines = stream.getvalue().splitlines()
    assert [each.split()[2] for each in lines] == ["django.security.csrf", "django.security.TooManyFieldsSent"]


def test_server_error_is_logged_with_its_traceback(
    stream: io.StringIO, ratna: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: Any, **_kwargs: Any) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr("devices.admin.dashboard.dashboard", fail)
    ratna.raise_request_exception = False
    assert ratna.get("/admin/").status_code == 500
    assert "RuntimeError: broken" in stream.getvalue()


def test_log_record_has_the_id_of_its_request() -> None:
    token = logs.current_request_id.set("request-7")
    try:
        assert " INFO devices [request-7] It works" in line("It works")
    finally:
        logs.current_request_id.reset(token)
