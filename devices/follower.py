"""Follow the changes of a registry over its API, and keep a copy: what a ward system would do.

The one rule: the copy and the cursor are written in one transaction. Killed at any instant, it goes on with the change
after the last one that it did, as long as it lives and as often as it dies.
"""

import json
import sqlite3
import time
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener, getproxies

from devices.loopback import is_loopback

PATH = "/api/devices/changes"
SIZE, WAIT = 500, 30
PAUSE = 1.0  # seconds, after an error, and when the registry does not let us wait
TIMEOUT = WAIT + 30.0
GONE, TRY_AGAIN = 410, {429, 500, 502, 503, 504}
REDIRECTS = {301, 302, 303, 307, 308}


class _NoRedirects(HTTPRedirectHandler):
    """Follow no redirect: urllib would send the x-api-key header along to any host."""

    def redirect_request(self, *_args: Any) -> None:
        return None


def _opener() -> Any:
    """Return an opener that sends a request to the registry's host only, or through a proxy for HTTPS.

    A proxy for plain HTTP would receive the key. Through one for HTTPS the connection is encrypted end to end.
    """
    proxies = {scheme: proxy for scheme, proxy in getproxies().items() if scheme == "https"}
    return build_opener(_NoRedirects, ProxyHandler(proxies))


class Stopped(Exception):
    """The registry refuses us, and will do so the next time; the message says why."""


class Copy:
    """The devices and the cursor, in a SQLite database of their own."""

    def __init__(self, path: Path) -> None:
        self.database = sqlite3.connect(path, isolation_level=None)

    def __enter__(self) -> Self:
        self.database.execute("PRAGMA journal_mode=WAL")
        self.database.execute("CREATE TABLE IF NOT EXISTS devices (id INTEGER PRIMARY KEY, device TEXT NOT NULL)")
        self.database.execute("CREATE TABLE IF NOT EXISTS progress (one INTEGER PRIMARY KEY, cursor TEXT)")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.database.close()

    @property
    def cursor(self) -> str | None:
        row = self.database.execute("SELECT cursor FROM progress").fetchone()
        return row[0] if row else None

    def do(self, changes: list[dict[str, Any]], cursor: str) -> None:
        """Do as the changes say, and note the cursor behind them: both or neither."""
        self.database.execute("BEGIN IMMEDIATE")
        for change in changes:
            device = change["device"]
            if change["action"] == "deleted":
                self.database.execute("DELETE FROM devices WHERE id = ?", [device["id"]])
            else:
                text = json.dumps(device, ensure_ascii=False)
                self.database.execute("INSERT OR REPLACE INTO devices VALUES (?, ?)", [device["id"], text])
        self.database.execute("INSERT OR REPLACE INTO progress VALUES (1, ?)", [cursor])
        self.database.execute("COMMIT")

    def begin_again(self) -> None:
        self.database.executescript("BEGIN IMMEDIATE; DELETE FROM devices; DELETE FROM progress; COMMIT")

    def count(self) -> int:
        return int(self.database.execute("SELECT count(*) FROM devices").fetchone()[0])

    def write(self, path: Path) -> None:
        """Write the devices as JSON lines: the file is the old copy or the new one, never a part of it."""
        new = path.with_name(f"{path.name}.new")
        with new.open("w", encoding="utf-8") as file:
            for (device,) in self.database.execute("SELECT device FROM devices ORDER BY id"):
                file.write(f"{device}\n")
        new.replace(path)


def follow(
    url: str, key: str, copy: Copy, out: Path | None, *, once: bool = False, tell: Callable[[str], object]
) -> int:
    """Do every change of the registry to the copy; return how many devices it has, `once` there is nothing new.

    1. Ask for what is behind the cursor, and wait for it if that is nothing.
    2. Do it, and note the next cursor.
    3. When there is nothing more, write the copy out. When the cursor is too old, drop the copy and begin again.

    Raises:
        Stopped: the URL is plain HTTP to another machine, the registry refuses the key or redirects, or what is there
            is no registry.
    """
    _check_encrypted(url)
    written = False
    while True:
        asked = time.monotonic()
        try:
            changes, following = _ask(_address(url, copy.cursor, 0 if once else WAIT), key)
        except _Gone:
            tell("The registry has pruned what we have not seen yet: beginning again.")
            copy.begin_again()
            continue
        except _Silent as silent:
            tell(f"The registry does not answer ({silent}): trying again.")
            time.sleep(PAUSE)
            continue
        if following != copy.cursor:
            copy.do(changes, following)
            written = written and not changes
        if len(changes) == SIZE:
            continue
        if out and not written:
            copy.write(out)
            written = True
        if not changes:
            if once:
                return copy.count()
            time.sleep(max(0.0, PAUSE - (time.monotonic() - asked)))  # if there was no place to wait


class _Gone(Exception):
    """The cursor is too old."""


class _Silent(Exception):
    """The registry does not answer now; it may in a moment."""


def _ask(address: str, key: str) -> tuple[list[dict[str, Any]], str]:
    """Return the next changes, and the cursor behind them."""
    try:
        request = Request(address, headers={"x-api-key": key})  # noqa: S310  (_check_encrypted)
        with _opener().open(request, timeout=TIMEOUT) as response:
            body = json.load(response)
    except HTTPError as error:
        with error:  # it is the response, and has a socket
            raise _refusal(address, error) from error
    except (OSError, HTTPException, ValueError) as error:
        raise _Silent(error) from error
    [cursor] = parse_qs(urlsplit(body["pagination"]["next"]).query)["since"]
    return body["data"], cursor


def _refusal(address: str, error: HTTPError) -> Exception:
    """Return what a response with an error, or a redirect, means for us."""
    if error.code == GONE:
        return _Gone()
    if error.code in TRY_AGAIN:
        return _Silent(error)
    if error.code in REDIRECTS:
        return Stopped(f"{address} redirects to {_host(error)}, which is not followed.")
    return Stopped(f"{address} answers {error.code}: {_message(error)}")


def _check_encrypted(url: str) -> None:
    """Check that no other machine can read the key.

    Raises:
        Stopped: it is not an https:// URL, nor http:// to this machine.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        raise Stopped(f"{url} is not encrypted: use https://, so that nobody on the way can read the key.")


def _host(error: HTTPError) -> str:
    return urlsplit(error.headers.get("Location") or "").hostname or "another path"


def _address(url: str, cursor: str | None, wait: int) -> str:
    asked: dict[str, Any] = {"size": SIZE, "wait": wait} | ({"since": cursor} if cursor else {})
    return f"{url.rstrip('/')}{PATH}?{urlencode(asked)}"


def _message(error: HTTPError) -> str:
    try:
        return str(json.load(error)["message"])
    except (ValueError, KeyError, TypeError, OSError):
        return "this is no registry's answer."
