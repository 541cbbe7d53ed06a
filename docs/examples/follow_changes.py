"""Keep a copy of a registry's devices by following its change feed: an example of an API client.

    API_KEY=cxp_… python follow_changes.py https://registry.example.org

It needs the standard library only. Devices and cursor are written in one transaction, so it may be killed at any time:
it continues with the first change that it has not applied. It uses no proxy and follows no redirect, so the key is sent
to the registry's host only.
"""

import argparse
import ipaddress
import json
import os
import re
import sqlite3
import sys
import time
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

SIZE, WAIT = 500, 30  # changes of a page, seconds
PAUSE = 1.0  # seconds, after an error, and if the registry does not let us wait
TRY_AGAIN = {429, 500, 502, 503, 504}


class Stopped(Exception):
    """The registry would refuse the next request too. The message has the reason, and not the key."""


class Expired(Exception):
    """The registry has pruned changes after the cursor."""


class Unavailable(Exception):
    """The registry cannot respond now."""


class Copy:
    """The devices and the cursor, in a SQLite database."""

    def __init__(self, path: Path) -> None:
        self.database = sqlite3.connect(path)
        self.database.execute("CREATE TABLE IF NOT EXISTS devices (id INTEGER PRIMARY KEY, device TEXT NOT NULL)")
        self.database.execute("CREATE TABLE IF NOT EXISTS progress (one INTEGER PRIMARY KEY, cursor TEXT)")

    @property
    def cursor(self) -> str | None:
        row = self.database.execute("SELECT cursor FROM progress").fetchone()
        return row[0] if row else None

    def __len__(self) -> int:
        return self.database.execute("SELECT count(*) FROM devices").fetchone()[0]

    def apply(self, changes: list[dict], cursor: str) -> None:
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
        """Write the devices as JSON lines, by id. The file is replaced as a whole."""
        new = path.with_name(f"{path.name}.new")
        with new.open("w", encoding="utf-8") as file:
            for (device,) in self.database.execute("SELECT device FROM devices ORDER BY id"):
                file.write(f"{device}\n")
        new.replace(path)


def follow(url: str, key: str, copy: Copy, out: Path | None = None, *, once: bool = False) -> None:
    """Apply all changes to the copy, write it to `out` whenever it is complete, and wait for more.

    With `once`, return as soon as there is nothing new.

    Raises:
        Stopped: the URL or the key is malformed, or the registry refuses the key or redirects.
    """
    if not re.fullmatch("[!-~]+", key):
        raise Stopped("API_KEY must be an API key alone: visible ASCII characters.")
    written = False
    while True:
        started = time.monotonic()
        try:
            changes, cursor = fetch(url, key, copy.cursor, 0 if once else WAIT)
        except Expired:
            print("The registry has pruned changes after the cursor: beginning again.", file=sys.stderr)
            copy.clear()
            continue
        except (Unavailable, OSError, HTTPException, ValueError) as error:
            print(f"The registry does not respond ({error}): trying again.", file=sys.stderr)
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
                return
            time.sleep(max(0.0, PAUSE - (time.monotonic() - started)))


def fetch(url: str, key: str, cursor: str | None, wait: int) -> tuple[list[dict], str]:
    """Return the changes after a cursor, and the next cursor."""
    query = {"size": SIZE, "wait": wait} | ({"since": cursor} if cursor else {})
    path = f"{urlsplit(url).path.rstrip('/')}/api/devices/changes?{urlencode(query)}"
    with closing(connect(url)) as connection:
        connection.request("GET", path, headers={"x-api-key": key})
        response = connection.getresponse()
        body = response.read()
    if response.status == 410:
        raise Expired
    if response.status in TRY_AGAIN:
        raise Unavailable(f"{response.status} {response.reason}")
    if location := response.getheader("Location"):
        target = urlsplit(location).hostname or "another path"
        raise Stopped(f"{url} redirects to {target}, which is not followed.")
    if response.status != 200:
        raise Stopped(f"{url} responds with {response.status}: {body[:500]!r}")
    page = json.loads(body)
    [following] = parse_qs(urlsplit(page["pagination"]["next"]).query)["since"]
    return page["data"], following


def connect(url: str) -> HTTPConnection:
    parts = urlsplit(url)
    if parts.scheme == "https":
        return HTTPSConnection(parts.netloc, timeout=WAIT + 30)
    if parts.scheme == "http" and is_loopback(parts.hostname or ""):
        return HTTPConnection(parts.netloc, timeout=WAIT + 30)
    raise Stopped(f"{url} is not encrypted: use https://, so that nobody on the way can read the key.")


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def main() -> None:
    parser = argparse.ArgumentParser(description="Keep a copy of a registry's devices. API_KEY has the key.")
    parser.add_argument("url", metavar="URL", help="such as https://registry.example.org")
    parser.add_argument(
        "--state", type=Path, default="state.sqlite3", help="SQLite database of the copy and its cursor"
    )
    parser.add_argument("--out", type=Path, help="the copy, a JSON object per line, by id")
    parser.add_argument("--once", action="store_true", help="stop when there is nothing new, instead of waiting")
    options = parser.parse_args()
    os.umask(0o077)  # the files are readable by their owner only
    copy = Copy(options.state)
    try:
        follow(options.url, os.environ.get("API_KEY", ""), copy, options.out, once=options.once)
    except Stopped as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        return
    print(f"{len(copy)} devices.")


if __name__ == "__main__":
    main()
