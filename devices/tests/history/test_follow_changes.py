"""`follow_changes` prints no key, and ends with one sentence if a retry is useless."""

import re
import socket
import ssl
import subprocess
import sys
from contextlib import closing
from http.client import HTTPSConnection, IncompleteRead, RemoteDisconnected
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from devices.history import replica
from devices.tests.support.services.listener import KEY, http, listening, once, responding
from devices.tests.support.services.server import ROOT

SENTENCE = r"\A[^\n]+\.\Z"


@pytest.mark.parametrize(
    "url",
    [
        *("127.0.0.1:8311", "localhost:8000", "registry.example.org", "ftp://127.0.0.1", "x", "", "//127.0.0.1", KEY),
        *("https://", "https://:443", "http://127.0.0.1:port", "http://127.0.0.1:99999", "http://[::1", "https://a..b"),
        *(f"https://{'a' * 64}.test", "http://127.0.0.1/a b", "http://127.0.0.1/é", f"http://u:{KEY}@127.0.0.1"),
        *(f"http://127.0.0.1/?key={KEY}", f"http://127.0.0.1/#{KEY}"),
    ],
)
def test_malformed_url_is_a_permanent_error_without_the_key(tmp_path: Path, url: str) -> None:
    with pytest.raises(replica.Stopped, match=SENTENCE) as stopped:
        once(url, tmp_path)
    assert KEY not in str(stopped.value)


# --- The key file


def follow(folder: Path, url: str, content: bytes, *more: str) -> str:
    """Run the command with this key file; return what it writes to stderr, and the message of its error."""
    key_file = folder / "key"
    key_file.write_bytes(content)
    arguments = [url, f"--key-file={key_file}", f"--state={folder / 'state.sqlite3'}", "--once", *more]
    err = StringIO()
    try:
        call_command("follow_changes", *arguments, stderr=err, stdout=StringIO())
    except CommandError as error:
        err.write(str(error))
    return err.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        f"# key of the ward\n{KEY}\n".encode(),
        f"\n  \n{KEY}\n# an end\n".encode(),
        f"\ufeff{KEY}\r\n".encode(),
        f"\ufeff# key\r\n\r\n{KEY}\r\n".encode("utf-16-le"),
        f"\ufeff{KEY}".encode("utf-16-be"),
        f"\u00a0{KEY}\u00a0\t ".encode(),
        KEY.encode(),
    ],
)
def test_key_is_read_from_each_usual_form_of_file(tmp_path: Path, content: bytes) -> None:
    with listening() as registry:
        assert follow(tmp_path, registry.url(), content) == ""
        assert [key for _path, key in registry.received] == [KEY]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"# only a comment\n",
        f"{KEY}\n{KEY}2\n".encode(),
        f"Key: {KEY}".encode(),
        f"{KEY}\u200b".encode(),
        f"\u201c{KEY}\u201d".encode(),
        KEY.encode("utf-16-le"),
        f"caf\u00e9 {KEY}".encode("latin-1"),
        b"\xff\xfe" + KEY.encode()[:7],
        b"\0" * 16 + KEY.encode(),
        bytes(range(256)),
        f"{KEY}\x1b[2J".encode(),
    ],
)
def test_unusable_key_file_is_a_permanent_error_without_the_key(tmp_path: Path, content: bytes) -> None:
    with listening() as registry:
        message = follow(tmp_path, registry.url(), content)
        assert registry.received == []
    assert re.search(r"\AThe key file [^\n]+\.\Z", message)
    assert "secret" not in message


@pytest.mark.parametrize("name", [KEY, "folder", f"{KEY}\0"])
def test_key_in_place_of_the_key_file_is_not_printed(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(CommandError, match="--key-file cannot be read") as failed:
        call_command("follow_changes", "https://127.0.0.1", f"--key-file={tmp_path / name}", "--state=x", "--once")
    assert KEY not in str(failed.value)


# --- Permanent and temporary errors


@pytest.mark.parametrize(
    ("scheme", "response", "reason"),
    [
        ("https", http(400), "does not respond with TLS"),
        ("http", b"\x15\x03\x01\x00\x02\x02\x46", "does not respond with HTTP"),
        ("http", b"220 mail.example.org ESMTP\r\n", "does not respond with HTTP"),
        ("http", http(200, "<html>"), "not the response of a registry"),
        ("http", http(200, "[]"), "not the response of a registry"),
        ("http", http(200, '{"data": []}'), "not the response of a registry"),
        ("http", http(200, '{"data": [], "pagination": {"next": null}}'), "not the response of a registry"),
        ("http", http(400, '{"message": "Bad."}'), "returned 400: Bad."),
        ("http", http(401, f'{{"message": "No {KEY}."}}'), "returned 401: No (key)."),
        ("http", http(403, "<html>"), "returned 403"),
        ("http", http(404), "returned 404"),
    ],
)
def test_permanent_error_ends_the_command(tmp_path: Path, scheme: str, response: bytes, reason: str) -> None:
    with (
        responding(response) as address,
        closing(replica.Replica(tmp_path / "state.sqlite3")) as copy,
        pytest.raises(replica.Stopped, match=SENTENCE) as stopped,
    ):
        replica.replicate(f"{scheme}://{address}", KEY, copy, None, log=pytest.fail)  # also without `once`
    assert reason in str(stopped.value)
    assert KEY not in str(stopped.value)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "has no address"),
        (ssl.SSLCertVerificationError("certificate verify failed"), "has no valid certificate"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER]"), "does not respond with TLS"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), "is not available (Temporary failure)"),
        (ConnectionRefusedError(111, "Connection refused"), "is not available (Connection refused)"),
        (TimeoutError("timed out"), "is not available (TimeoutError)"),
        (ssl.SSLEOFError(8, "EOF occurred"), "is not available (EOF occurred)"),
        (RemoteDisconnected(KEY), "is not available (RemoteDisconnected)"),
        (IncompleteRead(KEY.encode()), "is not available (IncompleteRead)"),
    ],
)
def test_once_ends_after_the_first_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    def fail(*_args: Any, **_options: Any) -> None:
        raise error

    if isinstance(error, ssl.SSLCertVerificationError):
        error.verify_message = "self-signed certificate"
    monkeypatch.setattr(HTTPSConnection, "request", fail)
    with pytest.raises(replica.Stopped, match=SENTENCE) as stopped:
        once("https://registry.example.org", tmp_path)
    assert reason in str(stopped.value)
    assert KEY not in str(stopped.value)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_temporary_error_is_retried_and_ends_the_command_with_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(replica, "PAUSE", 0.01)
    logged: list[str] = []

    def log(message: str) -> None:
        logged.append(message)
        if len(logged) == 3:
            raise KeyboardInterrupt

    with responding(http(status)) as address, closing(replica.Replica(tmp_path / "state.sqlite3")) as copy:
        with pytest.raises(KeyboardInterrupt):
            replica.replicate(f"http://{address}", KEY, copy, None, log=log)
        with pytest.raises(replica.Stopped, match=rf"is not available \(status {status}\)"):
            replica.replicate(f"http://{address}", KEY, copy, None, once=True, log=pytest.fail)
    assert logged == [f"http://{address} is not available (status {status}). Retrying."] * 3


def test_file_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "no-database").write_text("x" * 5000)
    with listening() as registry:
        for option in (f"--out={tmp_path / 'missing' / 'copy'}", f"--state={tmp_path / 'no-database'}", "--state=/"):
            message = follow(tmp_path, registry.url(), KEY.encode(), option)
            assert "cannot be" in message


def test_process_ends_with_status_1_and_one_sentence(tmp_path: Path, server_environment: dict[str, str]) -> None:
    (tmp_path / "key").write_bytes(f"{KEY}\n{KEY}".encode())
    files = [f"--key-file={tmp_path / 'key'}", f"--state={tmp_path / 'state'}"]
    command = [sys.executable, "manage.py", "follow_changes", "http://127.0.0.1:1", *files]
    result = subprocess.run(
        command, cwd=ROOT, env=server_environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert (result.returncode, len(result.stderr.splitlines())) == (1, 1)
    assert KEY not in result.stderr + result.stdout
