"""A real browser on a real server, and a watch over every page that a test opens.

The server is gunicorn as `make run` starts it, and serves from the very database that the test writes to: what a test
needs it says with the registry's own verbs, and what a page wrote it reads back.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    expect,
    sync_playwright,
)

from devices.accounts import users
from devices.models import Hospital
from devices.tests.conftest import (  # noqa: F401  (fixtures)
    devices,
    django_db_modify_db_settings,
    records_give_way_to_a_flush,
    rs_a,
    rs_b,
    served_from,
    serving,
)

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
AS_ROOT = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium's sandbox refuses root
NARROW, WIDE = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
THEIRS = {"locale": "en", "timezone_id": "Asia/Jakarta", "viewport": WIDE}  # unless a test says otherwise
PATIENCE = 15_000  # milliseconds that a page may take on a busy machine before a test gives up
PASSWORD = "pagi-cerah-7"

# What a page can only tell itself. It is put into each page before the page's own scripts.
TELL = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`the policy forbids ${event.violatedDirective} ${event.blockedURI}`));
addEventListener("load", () => {
  const look = () => {
    const beyond = document.documentElement.scrollWidth - innerWidth;
    if (beyond > 0) console.error(`at ${innerWidth} px the page scrolls ${beyond} px sideways`);
  };
  new MutationObserver(look).observe(document, { attributes: true, childList: true, subtree: true });
  addEventListener("resize", look);
  look();
});
"""


@dataclass
class Watch:
    """What pages did that none may do: say an error, scroll sideways, ask another host, or be refused what they ask."""

    host: str
    seen: list[str] = field(default_factory=list)
    expected: set[int] = field(default_factory=set)  # statuses that the test asks for on purpose

    def over(self, context: BrowserContext) -> None:
        context.add_init_script(TELL)
        context.on("console", self._said)
        context.on("weberror", lambda error: self.seen.append(f"uncaught: {error.error}"))
        context.on("request", self._asked)
        context.on("requestfailed", self._failed)
        context.on("response", self._answered)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith("Failed to load resource"):  # _answered tells those
            self.seen.append(f"console: {message.text} ({message.page and message.page.url})")

    def _asked(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.netloc != self.host and address.scheme not in ("data", "blob"):
            self.seen.append(f"another host: {request.url}")

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # what a page still loads when it is left, and every download
            self.seen.append(f"{request.failure}: {request.url}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400 and response.status not in self.expected:
            self.seen.append(f"{response.status}: {response.request.method} {response.url}")


@pytest.fixture(scope="session", autouse=True)
def browser() -> Iterator[Browser]:
    """Start Chromium before the database is made.

    Playwright runs an event loop in this thread, which Django takes for asynchronous code, though none of it is. It
    gives such code connections of its own: one that was made before would be another.
    """
    if not Path(CHROMIUM).exists():
        pytest.skip(f"There is no Chromium at {CHROMIUM}. CHROMIUM=/path names another.")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*AS_ROOT, "--disable-quic"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def address(django_db_setup: None, django_db_blocker: Any) -> Iterator[str]:
    """The address of the server."""
    call_command("collectstatic", verbosity=0, interactive=False)
    with django_db_blocker.unblock():
        name = str(connection.settings_dict["NAME"])
    url = f"sqlite:///{name}"
    if connection.vendor == "postgresql":
        url = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()
    with serving(served_from(url)) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(autouse=True)
def committed(transactional_db: None, django_db_serialized_rollback: None) -> None:
    """Let the server see what a test writes, and find again, under the same ids, what the migrations wrote."""


@pytest.fixture
def watch(address: str) -> Iterator[Watch]:
    watch = Watch(urlsplit(address).netloc)
    yield watch
    assert watch.seen == []


Visit = Callable[..., Page]


@pytest.fixture
def visit(browser: Browser, address: str, watch: Watch, committed: None) -> Iterator[Visit]:
    """Opens a browser of somebody's own, who is signed in already or, without a user, is not."""
    contexts = []

    def visit(path: str, user: User | None = None, **options: Any) -> Page:
        context = browser.new_context(**{**THEIRS, "base_url": address, **options})
        contexts.append(context)
        watch.over(context)
        if user:
            context.add_cookies([{"name": "sessionid", "value": session_of(user), "url": address}])
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
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
