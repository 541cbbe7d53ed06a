"""A real browser with a real server, and a watch on every page that a test opens.

The server is gunicorn as `make run` starts it. It uses the database of the tests, so a test can prepare data with the
functions of the registry, and read what a page has written.
"""

import fcntl
import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from playwright.sync_api import (
    Browser,
    Page,
    expect,
    sync_playwright,
)

from devices.accounts import users
from devices.models import Hospital
from devices.tests.support.admin.browser import PASSWORD, WIDE, Visit, Watch
from devices.tests.support.services.server import served_from, serving

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
AS_ROOT = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium's sandbox does not work as root
CONTEXT_OPTIONS = {"locale": "en", "timezone_id": "Asia/Jakarta", "viewport": WIDE}  # defaults
TIMEOUT = 60_000  # milliseconds for a page on a busy machine


@pytest.fixture(scope="session", autouse=True)
def browser() -> Iterator[Browser]:
    """Start Chromium before the database is created.

    Playwright runs an event loop in this thread, so Django treats the tests as asynchronous code and gives them
    separate connections. A connection from before would be a different one.
    """
    if not Path(CHROMIUM).exists():
        pytest.skip(f"{CHROMIUM} does not exist. Set CHROMIUM to the path of Chromium.")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    expect.set_options(timeout=TIMEOUT)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*AS_ROOT, "--disable-quic"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def other_origin() -> Iterator[str]:
    """The origin of a web app on another server. Each of its pages is empty."""
    with ThreadingHTTPServer(("127.0.0.1", 0), EmptyPages) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class EmptyPages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()

    def log_message(self, *_args: Any) -> None:
        """Write no log."""


@pytest.fixture(scope="session")
def address(
    django_db_setup: None,
    django_db_blocker: Any,
    tmp_path_factory: pytest.TempPathFactory,
    testrun_uid: str,
    other_origin: str,
) -> Iterator[str]:
    """The URL of the server."""
    folder = tmp_path_factory.getbasetemp().parent
    with (folder / "static.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the test processes share the folder of static files
        collected = folder / f"static-{testrun_uid}"
        if not collected.exists():  # else the server of another test process reads the files now
            call_command("collectstatic", verbosity=0, interactive=False)
            collected.touch()
    with django_db_blocker.unblock():
        name = str(connection.settings_dict["NAME"])
    url = f"sqlite:///{name}"
    if connection.vendor == "postgresql":
        url = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()
    with serving({**served_from(url), "CORS_ALLOWED_ORIGINS": other_origin}) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(autouse=True)
def committed(transactional_db: None, django_db_serialized_rollback: None) -> None:
    """Commit what a test writes, so that the server sees it, and restore the data of the migrations afterwards."""


@pytest.fixture
def watch(address: str) -> Iterator[Watch]:
    watch = Watch(urlsplit(address).netloc)
    yield watch
    assert watch.seen == []


@pytest.fixture
def visit(browser: Browser, address: str, watch: Watch, committed: None) -> Iterator[Visit]:
    """Open a page in a new browser context, which is signed in as the user, if there is one."""
    contexts = []

    def visit(path: str, user: User | None = None, **options: Any) -> Page:
        context = browser.new_context(**{**CONTEXT_OPTIONS, "base_url": address, **options})
        contexts.append(context)
        watch.attach(context)
        if user:
            context.add_cookies([{"name": "sessionid", "value": session_of(user), "url": address}])
        context.set_default_timeout(TIMEOUT)
        page = context.new_page()
        page.goto(path)
        return page

    yield visit
    for context in contexts:
        context.close()


def session_of(user: User) -> str:
    client = Client()
    client.force_login(user)
    return client.cookies["sessionid"].value


@pytest.fixture
def operator(committed: None) -> User:
    return User.objects.create_superuser("operator", password=PASSWORD)


@pytest.fixture
def ratna(rs_a: Hospital) -> User:
    """The admin of RS Harapan."""
    return users.invite("Ibu Ratna", "ratna@rs.example", [rs_a])
