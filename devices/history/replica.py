"""Keep a copy of a registry's devices by following its changes over the API: an example of a client.

The devices and the cursor are written in one transaction. So it may be killed at any time, and continues with the first
change that it has not applied. It connects to the registry's host only, without a proxy, and follows no redirect.
"""

import json
import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from devices.values.loopback import is_loopback

PATH = "/api/devices/changes"
SIZE, WAIT = 500, 30
PAUSE = 1.0  # seconds, after an error, and if the registry does not let us wait
TIMEOUT = WAIT + 30.0
TRY_AGAIN = {429, 500, 502, 503, 504}


class Stopped(Exception):
    """The registry refuses the request, and would refuse the next. The message says why."""


class _Expired(Exception):
    """The cursor is too old."""


class _Unavailable(Exception):
    """The registry does not answer now."""


class Replica:
    """The devices and the cursor, in a SQLite database."""

    def __init__(self, path: Path) -> None:
        self.database = sqlite3.connect(path)
        self.database.execute("PRAGMA journal_mode=WAL")
        self.database.execute("CREATE TABLE IF NOT EXISTS devices (id INTEGER PRIMARY KEY, device TEXT NOT NULL)")
        self.database.execute("CREATE TABLE IF NOT EXISTS progress (one INTEGER PRIMARY KEY, cursor TEXT)")

    def close(self) -> None:
        self.database.close()

    @property
    def cursor(self) -> str | None:
        row = self.database.execute("SELECT cursor FROM progress").fetchone()
        return row[0] if row else None

    def __len__(self) -> int:
        return int(self.database.execute("SELECT count(*) FROM devices").fetchone()[0])

    def apply(self, changes: list[dict[str, Any]], cursor: str) -> None:
        with self.database:  # a transaction
            for change in changes:
                device = change["device"]
                if change["action"] == "deleted":
                    self.database.execute("DELETE FROM devices WHERE id = ?", [device["id"]])
                else:
                    text = json.dumps(device, ensure_ascii=False)
                    self.database.execute("INSERT OR REPLACE INTO devices VALUES (?, ?)", [device["id"], text])
            self.database.execute("INSERT OR REPLACE INTO progress VALUES (1, ?)", [cursor])

    def clear(self) -> None:
        with self.database:
            self.database.execute("DELETE FROM devices")
            self.database.execute("DELETE FROM progress")

    def write(self, path: Path) -> None:
        """Write the devices as JSON lines. The file is replaced as a whole."""
        new = path.with_name(f"{path.name}.new")
        with new.open("w", encoding="utf-8") as file:
            for (device,) in self.database.execute("SELECT device FROM devices ORDER BY id"):
                file.write(f"{device}\n")
        new.replace(path)


def replicate(
    url: str, key: str, copy: Replica, out: Path | None, *, once: bool = False, log: Callable[[str], object]
) -> int:
    """Apply all changes to the copy, write it to `out` whenever it is complete, and wait for more.

    With `once`, return the number of devices as soon as there is nothing new.

    Raises:
        Stopped: the key is malformed, the URL is plain HTTP to another machine, or the registry refuses or redirects.
    """
    if not re.fullmatch("[!-~]+", key):
        raise Stopped("The key file must contain an API key alone: visible ASCII characters.")
    written = False
    while True:
        started = time.monotonic()
        try:
            changes, cursor = _fetch(url, key, copy.cursor, 0 if once else WAIT)
        except _Expired:
            log("The registry has pruned what we have not seen yet: beginning again.")
            copy.clear()
            continue
        except (_Unavailable, OSError, HTTPException, ValueError) as error:
            log(f"The registry does not answer ({error}): trying again.")
            time.sleep(PAUSE)
            continue
        if cursor != copy.cursor:
            copy.apply(changes, cursor)
            written = written and not changes
        if out and not written and len(changes) < SIZE:
            copy.write(out)
            written = True
        if not changes:
            if once:
                return len(copy)
            time.sleep(max(0.0, PAUSE - (time.monotonic() - started)))


def _fetch(url: str, key: str, cursor: str | None, wait: int) -> tuple[list[dict[str, Any]], str]:
    """Return the changes after a cursor, and the next cursor."""
    query = {"size": SIZE, "wait": wait} | ({"since": cursor} if cursor else {})
    with closing(_connection(url)) as connection:
        path = f"{urlsplit(url).path.rstrip('/')}{PATH}?{urlencode(query)}"
        connection.request("GET", path, headers={"x-api-key": key})
        response = connection.getresponse()
        body = response.read()
    if response.status == HTTPStatus.GONE:
        raise _Expired
    if response.status in TRY_AGAIN:
        raise _Unavailable(f"{response.status} {response.reason}")
    if response.status != HTTPStatus.OK:
        raise Stopped(f"{url} {_refusal(response, body)}")
    page = json.loads(body)
    [following] = parse_qs(urlsplit(page["pagination"]["next"]).query)["since"]
    return page["data"], following


def _connection(url: str) -> HTTPConnection:
    parts = urlsplit(url)
    if parts.scheme == "https":
        return HTTPSConnection(parts.netloc, timeout=TIMEOUT)
    if parts.scheme == "http" and is_loopback(parts.hostname or ""):
        return HTTPConnection(parts.netloc, timeout=TIMEOUT)
    raise Stopped(f"{url} is not encrypted: use https://, so that nobody on the way can read the key.")


def _refusal(response: HTTPResponse, body: bytes) -> str:
    if location := response.getheader("Location"):
        return f"redirects to {urlsplit(location).hostname or 'another path'}, which is not followed."
    try:
        return f"answers {response.status}: {json.loads(body)['message']}"
    except (ValueError, KeyError, TypeError):
        return f"answers {response.status}: this is not the response of a registry."
