"""Open pages in a browser, and record what they must not do."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import axe_playwright_python
from playwright.sync_api import (
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    ViewportSize,
    expect,
)

NARROW: ViewportSize = {"width": 390, "height": 844}
WIDE: ViewportSize = {"width": 1280, "height": 900}
PASSWORD = "pagi-cerah-7"

# Runs in each page before its scripts, and reports what only the page can detect.
REPORT = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`the policy blocked ${event.violatedDirective} ${event.blockedURI}`));
addEventListener("load", () => {
  const check = () => {
    const excess = document.documentElement.scrollWidth - innerWidth;
    if (excess <= 0) return;
    const wide = [...document.body.querySelectorAll("*")].filter((e) => e.getBoundingClientRect().right > innerWidth);
    const names = wide.slice(-3).map((e) => e.cloneNode().outerHTML.slice(0, 200));
    console.error(`at ${innerWidth} px the page scrolls ${excess} px sideways: ${names.join(", ")}`);
  };
  new MutationObserver(check).observe(document, { attributes: true, childList: true, subtree: true });
  addEventListener("resize", check);
  check();
});
"""


@dataclass
class Watch:
    """Records what pages must not do: log errors, scroll sideways, load from other hosts, or get error responses."""

    host: str
    seen: list[str] = field(default_factory=list)
    expected: set[int] = field(default_factory=set)  # statuses that the test causes on purpose

    def attach(self, context: BrowserContext) -> None:
        context.add_init_script(REPORT)
        context.on("console", self._on_console)
        context.on("weberror", lambda error: self.seen.append(f"uncaught: {error.error}"))
        context.on("request", self._on_request)
        context.on("requestfailed", self._on_failure)
        context.on("response", self._on_response)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith("Failed to load resource"):  # see _on_response
            self.seen.append(f"console: {message.text} ({message.page and message.page.url})")

    def _on_request(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.netloc != self.host and address.scheme not in ("data", "blob"):
            self.seen.append(f"another host: {request.url}")

    def _on_failure(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # a load that navigation aborted, or a download
            self.seen.append(f"{request.failure}: {request.url}")

    def _on_response(self, response: Response) -> None:
        if response.status >= 400 and response.status not in self.expected:
            self.seen.append(f"{response.status}: {response.request.method} {response.url}")


AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text()


def violations(page: Page) -> list[str]:
    """Return the rules of axe that the page violates, each with its first elements.

    https://github.com/dequelabs/axe-core. `page.evaluate` runs the script despite the policy of the page.
    """
    page.evaluate("document.getAnimations().forEach((animation) => animation.finish())")
    page.evaluate(AXE)
    found: list[dict[str, Any]] = page.evaluate("axe.run({resultTypes: ['violations']}).then((r) => r.violations)")
    return [f"{rule['id']}: {[node['html'][:150] for node in rule['nodes'][:3]]}" for rule in found]


Visit = Callable[..., Page]


def act(page: Page, action: str, *chosen: str) -> None:
    """Choose rows and an action, and wait until the page that confirms it is loaded."""
    for name in chosen:
        page.get_by_role("row", name=name).get_by_role("checkbox").check()
    page.locator("#changelist-form select[name=action]").select_option(label=action)
    with page.expect_navigation():
        page.get_by_role("button", name="Run").click()


def choose(page: Page, field: str, name: str, typed: str) -> None:
    """Find a hospital by a part of its name, and choose it."""
    page.locator(f"[name={field}] + .select2").click()
    page.locator(".select2-search__field").fill(typed)
    expect(page.locator(".loading-results")).to_have_count(0)  # the list that it replaces has the name too
    page.get_by_role("option", name=name).click()


SCREENSHOTS = os.environ.get("SCREENSHOTS")  # a folder for screenshots of some pages


def screenshot(page: Page, name: str, viewport: Any) -> None:
    if SCREENSHOTS:
        page.screenshot(path=Path(SCREENSHOTS, f"{name}-{viewport['width']}.png"), full_page=True)


def sign_in(page: Page, name: str, password: str) -> None:
    """Send the form, and wait until the page that follows is loaded."""
    page.get_by_label("Email or user name").fill(name)
    page.get_by_label("Password").fill(password)
    with page.expect_navigation():
        page.get_by_role("button", name="Log in").click()
