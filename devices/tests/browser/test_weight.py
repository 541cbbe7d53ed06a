"""The bytes that a browser needs before the first text. At 400 kbit/s, 50 kB take one second."""

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page

from devices.tests.support.admin.browser import Visit
from devices.tests.support.factories import device_payload, register

BLOCKING = 60_000  # first text within 2 s: two requests of 400 ms each, and 1.2 s at 50 kB/s
UNUSED = ("chart.js", "htmx", "Inter", "Material-Symbols-Outlined", "xregexp", "alpine.sort")

LOADED = """() => [performance.getEntriesByType("navigation")[0], ...performance.getEntriesByType("resource")]
  .map((entry) => ({ url: entry.name, bytes: entry.encodedBodySize, type: entry.initiatorType,
    blocks: entry.renderBlockingStatus === "blocking" || entry.entryType === "navigation" }))"""


@pytest.fixture
def long_list(committed: None) -> None:
    register(*(device_payload(n, device_name=f"Tensimeter {n}", device_holder="RS Harapan") for n in range(50)))


@pytest.mark.parametrize("path", ["login/", "", "devices/device/", "devices/device/add/", "devices/historicaldevice/"])
def test_first_text_needs_few_bytes(visit: Visit, operator: User, long_list: None, path: str) -> None:
    page = visit(f"/admin/{path}", None if path == "login/" else operator)
    page.wait_for_load_state("networkidle")
    files = page.evaluate(LOADED)
    blocking = {file["url"]: file["bytes"] for file in files if file["blocks"]}
    assert sum(blocking.values()) < BLOCKING, blocking
    assert [file["url"] for file in files for name in UNUSED if name in file["url"]] == []


def test_list_is_compressed(visit: Visit, operator: User, long_list: None) -> None:
    page = visit("/healthz", operator)
    response = page.goto("/admin/devices/device/")
    assert response is not None
    assert response.headers["content-encoding"] == "gzip"
    [html] = [file for file in page.evaluate(LOADED) if file["url"].endswith("/device/")]
    assert html["bytes"] * 8 < len(response.body())


def test_second_page_loads_no_file_again(visit: Visit, operator: User, long_list: None) -> None:
    page = visit("/admin/devices/device/", operator)
    page.wait_for_load_state("networkidle")
    page.goto("/admin/devices/device/?q=Tensi")
    page.wait_for_load_state("networkidle")
    loaded = page.evaluate(
        'performance.getEntriesByType("resource").filter((r) => r.transferSize && r.name.includes("/static/"))'
        ".map((r) => r.name)"
    )
    # Chromium decides when it loads the icon of the tab, and can cancel it on one page and load it on the next.
    assert [url for url in loaded if "favicon" not in url] == []


def icons_without_glyph(page: Page) -> list[str]:
    """Return the names of icons that the font does not have: they are shown as words, which are wide."""
    page.evaluate("document.fonts.ready")
    script = """icons => icons.filter(icon => icon.checkVisibility() && !icon.children.length
      && icon.textContent.trim() && icon.scrollWidth > 2 * parseFloat(getComputedStyle(icon).fontSize))
      .map(icon => icon.textContent.trim())"""
    found: list[str] = page.locator(".material-symbols-outlined").evaluate_all(script)
    return found


def test_font_has_all_icons(visit: Visit, operator: User, long_list: None) -> None:
    page = visit("/admin/", operator)
    paths = ["", "devices/device/", "devices/device/?q=none", "devices/device/add/", "devices/device/import/"]
    paths += ["devices/hospital/", "devices/staffuser/", "devices/apikey/", "devices/auditevent/", "sessions/"]
    for path in paths:
        page.goto(f"/admin/{path}")
        assert icons_without_glyph(page) == [], path
    page.evaluate("document.querySelector('.material-symbols-outlined').textContent = 'no_such_icon'")
    assert icons_without_glyph(page) == ["no_such_icon"]
