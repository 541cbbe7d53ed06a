"""Keep a copy of a registry's devices with the change feed of its API. This is an example of a client.

It writes the devices and the cursor in one transaction. So it can be killed at any time, and continues with the first
change that it has not applied. It connects only to the registry's host, without a proxy, and follows no redirects.
"""

import codecs
import json
import re
import socket
import sqlite3
import ssl
import time
from collections.abc import Callable
from contextlib import closing
from http import HTTPStatus
from http.client import (
    BadStatusLine,
    HTTPConnection,
    HTTPException,
    HTTPResponse,
    HTTPSConnection,
    RemoteDisconnected,
    UnknownProtocol,
)
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from devices.values.loopback import is_loopback

PATH = "/api/devices/changes"
SIZE = 500  # changes of a page
WAIT = 30  # seconds that the registry waits for a change
PAUSE = 1.0  # seconds after an error, or after an empty page that the registry returned without waiting
TIMEOUT = WAIT + 30.0  # seconds
RETRIED_STATUSES = {408, 429, 500, 502, 503, 504}
MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
BROKEN_TLS = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)  # the connection ended


class Stopped(Exception):
    """A retry is useless, or `once` allows none. The message has the reason, but neither the key nor a password."""


class _Expired(Exception):
    """The cursor has expired: changes after it have been pruned, or a backup was restored."""


class _Unavailable(Exception):
    """The registry is temporarily unavailable."""


class Replica:
    """The devices and the cursor, in an SQLite database."""

    def __init__(self, path: Path) -> None:
        self.database = sqlite3.connect(path)
        self.database.execute("PRAGMA journal_mode=WAL")
        self.database.execute("CREATE TABLE IF NOT EXISTS devices (id INTEGER PRIMARY KEY, device TEXT NOT NULL)")
        self.database.execute("CREATE TABLE IF NOT EXISTS progress (one INTEGER PRIMARY KEY, cursor TEXT)")

    def close(self) -> None:
        self.database.close()

    @property
    def cursor(self) -> str | None:
        """The cursor of the last applied page; None for an empty replica."""
        row = self.database.execute("SELECT cursor FROM progress").fetchone()
        return row[0] if row else None

    def __len__(self) -> int:
        return int(self.database.execute("SELECT count(*) FROM devices").fetchone()[0])

    def apply(self, changes: list[dict[str, Any]], cursor: str) -> None:
        """Apply the changes of a page, and store its cursor, in one transaction."""
        with self.database:
            for change in changes:
                device = change["device"]
                if change["action"] == "deleted":
                    self.database.execute("DELETE FROM devices WHERE id = ?", [device["id"]])
                else:
                    text = json.dumps(device, ensure_ascii=False)
                    self.database.execute("INSERT OR REPLACE INTO devices VALUES (?, ?)", [device["id"], text])
            self.database.execute("INSERT OR REPLACE INTO progress VALUES (1, ?)", [cursor])

    def clear(self) -> None:
        """Delete all devices and the cursor."""
        with self.database:
            self.database.execute("DELETE FROM devices")
            self.database.execute("DELETE FROM progress")

    def write(self, path: Path) -> None:
        """Write the devices as JSON lines, ordered by id. The file is replaced atomically."""
        new = path.with_name(f"{path.name}.new")
        with new.open("w", encoding="utf-8") as file:
            for (device,) in self.database.execute("SELECT device FROM devices ORDER BY id"):
                file.write(f"{device}\n")
        new.replace(path)


def read_key(path: Path) -> str:
    """Return the API key of a file: the only line that is neither empty nor a comment (`#`).

    The file may begin with the byte order mark of UTF-8 or UTF-16, which editors of Windows write.

    Raises:
        OSError: the file cannot be read.
        Stopped: the file has no key, or more than one line.
    """
    content = path.read_bytes()
    mark = next((mark for mark in MARKS if content.startswith(mark)), b"")
    try:
        text = content[len(mark) :].decode(MARKS.get(mark, "utf-8"))
    except UnicodeDecodeError:
        raise Stopped("The key file is not text in UTF-8 or UTF-16.") from None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    keys = [line for line in lines if not line.startswith("#")]
    if len(keys) != 1:
        raise Stopped(f"The key file must contain one line with an API key. It has {len(keys)}.")
    return keys[0]


def replicate(
    url: str, key: str, copy: Replica, out: Path | None, *, once: bool = False, log: Callable[[str], object]
) -> int:
    """Apply all changes to the copy, and wait for more. Write the copy to `out` whenever it is complete.

    With `once`, return the number of devices as soon as there are no further changes. Otherwise continue forever, also
    if the registry is temporarily unavailable.

    Raises:
        Stopped: the key or the URL is malformed, the URL uses plain HTTP to another machine, the server is not a
            registry or has no valid certificate, or it rejects the request or redirects it. With `once`: also if the
            registry is not available.
        OSError: a file cannot be written.
    """
    name = _check_url(url)
    if not re.fullmatch("[!-~]+", key):
        raise Stopped("The key file must contain only an API key, in visible ASCII characters.")
    is_written = False
    while True:
        started = time.monotonic()
        try:
            changes, cursor = _fetch(url, key, copy.cursor, 0 if once else WAIT)
        except _Expired:
            log("The registry cannot continue after the cursor of this copy. Starting again from the beginning.")
            copy.clear()
            continue
        except (_Unavailable, OSError, HTTPException) as error:
            reason = _temporary_reason(error, name)
            if once:
                raise Stopped(f"{name} is not available ({reason}). Run the command again later.") from None
            log(f"{name} is not available ({reason}). Retrying.")
            time.sleep(PAUSE)
            continue
        if cursor != copy.cursor:
            copy.apply(changes, cursor)
            is_written = is_written and not changes
        if out and not is_written and len(changes) < SIZE:
            copy.write(out)
            is_written = True
        if not changes:
            if once:
                return len(copy)
            time.sleep(max(0.0, PAUSE - (time.monotonic() - started)))


def _fetch(url: str, key: str, cursor: str | None, wait: int) -> tuple[list[dict[str, Any]], str]:
    """Return the changes after a cursor, and the next cursor. Without a cursor, start at the beginning.

    Raises:
        _Expired, _Unavailable, Stopped: by the status of the response.
        OSError, HTTPException: the connection failed.
    """
    query = {"size": SIZE, "wait": wait} | ({"since": cursor} if cursor else {})
    with closing(_connection(url)) as connection:
        path = f"{urlsplit(url).path.rstrip('/')}{PATH}?{urlencode(query)}"
        connection.request("GET", path, headers={"x-api-key": key})
        response = connection.getresponse()
        body = response.read()
    if response.status == HTTPStatus.GONE:
        raise _Expired
    if response.status in RETRIED_STATUSES:
        raise _Unavailable(f"status {response.status}")
    if response.status != HTTPStatus.OK:
        raise Stopped(f"{_name(url)} {_describe_error(response, body)}".replace(key, "(key)"))
    try:
        page = json.loads(body)
        [next_cursor] = parse_qs(urlsplit(page["pagination"]["next"]).query)["since"]
        return page["data"], next_cursor
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Stopped(f"{_name(url)} returned 200. This is not the response of a registry.") from None


def _check_url(url: str) -> str:
    """Return the scheme, host and port of the URL, for messages: other parts could be secret."""
    try:
        parts = urlsplit(url)
        _port = parts.port  # raises ValueError
        (parts.hostname or "").encode("idna")  # raises UnicodeError, a ValueError
    except ValueError:
        raise Stopped("The URL is malformed. Use a URL such as https://registry.example.org.") from None
    if parts.scheme not in ("https", "http") or not parts.hostname or not re.fullmatch("[!-~]+", url):
        raise Stopped("The URL must begin with https:// and a host name, such as https://registry.example.org.")
    if parts.username is not None or parts.query or parts.fragment:
        raise Stopped("The URL must have neither a user nor parameters, such as https://registry.example.org.")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise Stopped(f"{_name(url)} is not encrypted, so others on the network could read the key. Use https://.")
    return _name(url)


def _name(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _connection(url: str) -> HTTPConnection:
    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    return kind(parts.netloc, timeout=TIMEOUT)


def _temporary_reason(error: Exception, name: str) -> str:
    """Return why the registry is not available, without any text of the request, which contains the key.

    Raises:
        Stopped: a retry cannot repair the error.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        raise Stopped(f"{name} has no valid certificate ({error.verify_message.rstrip('.')}).") from None
    if isinstance(error, ssl.SSLError) and not isinstance(error, BROKEN_TLS):
        raise Stopped(f"{name} does not respond with TLS. Check the scheme and the port of the URL.") from None
    if isinstance(error, socket.gaierror) and error.errno != socket.EAI_AGAIN:
        raise Stopped(f"{name} has no address. Check the host name of the URL.") from None
    if isinstance(error, (BadStatusLine, UnknownProtocol)) and not isinstance(error, RemoteDisconnected):
        raise Stopped(f"{name} does not respond with HTTP. Check the scheme and the port of the URL.") from None
    if isinstance(error, _Unavailable):
        return str(error)
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


def _describe_error(response: HTTPResponse, body: bytes) -> str:
    """Return the end of a sentence that begins with the registry's URL."""
    if location := response.getheader("Location"):
        return f"redirects to {urlsplit(location).hostname or 'another path'}. Redirects are not followed."
    try:
        return f"returned {response.status}: {json.loads(body)['message']}"
    except (ValueError, KeyError, TypeError):
        return f"returned {response.status}. This is not the response of a registry."
