"""Pages in a browser."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.management import call_command
from django.db import connection
from playwright.sync_api import (
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
)

from devices.tests.support.server import served_from, serving

NARROW, WIDE = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


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


Visit = Callable[..., Page]


def act(page: Page, action: str, *chosen: str) -> None:
    for name in chosen:
        page.get_by_role("row", name=name).get_by_role("checkbox").check()
    page.locator("#changelist-form select[name=action]").select_option(label=action)
    page.get_by_role("button", name="Run").click()


def choose(page: Page, field: str, name: str, typed: str) -> None:
    """Find a hospital by a part of its name, as one does in a box with many."""
    page.locator(f"[name={field}] + .select2").click()
    page.locator(".select2-search__field").fill(typed)
    page.get_by_role("option", name=name).click()


SEEN = os.environ.get("SCREENSHOTS")  # a folder to look at the pages in


def look(page: Page, name: str, viewport: Any) -> None:
    if SEEN:
        page.screenshot(path=Path(SEEN, f"{name}-{viewport['width']}.png"), full_page=True)


def sign_in(page: Page, name: str, password: str) -> None:
    page.get_by_label("E-mail or user name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
