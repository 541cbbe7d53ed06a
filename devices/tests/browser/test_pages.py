"""Every page there is: in both languages, wide and narrow, light and dark."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.urls import URLPattern, URLResolver

from cexup.urls import urlpatterns
from devices import registry
from devices.access.actor import SYSTEM
from devices.accounts import users
from devices.models import AuditEvent, Device
from devices.tests.support.browser import NARROW, WIDE, Visit, Watch
from devices.tests.support.client import issue

# By the name of its route. What stands in braces, `things` has.
PAGES = {
    "index": "/admin/",
    "app_list": "/admin/devices/",
    "change_password": "/admin/password_change/",
    "password_change_done": "/admin/password_change/done/",
    "two_factor_settings": "/admin/two-factor/set-up/",
    "your_sessions": "/admin/sessions/",
    "devices_device_changelist": "/admin/devices/device/",
    "devices_device_add": "/admin/devices/device/add/",
    "devices_device_download_trail": "/admin/devices/device/{device}/audit-trail/",
    "devices_device_change": "/admin/devices/device/{device}/change/",
    "devices_device_delete": "/admin/devices/device/{device}/delete/",
    "devices_device_history": "/admin/devices/device/{device}/history/",
    "devices_device_import_file": "/admin/devices/device/import/",
    "devices_historicaldevice_changelist": "/admin/devices/historicaldevice/",
    "devices_historicaldevice_download_trail": "/admin/devices/historicaldevice/{change}/audit-trail/",
    "devices_hospital_changelist": "/admin/devices/hospital/",
    "devices_hospital_add": "/admin/devices/hospital/add/",
    "devices_hospital_download_trail": "/admin/devices/hospital/{hospital}/audit-trail/",
    "devices_hospital_change": "/admin/devices/hospital/{hospital}/change/",
    "devices_hospital_history": "/admin/devices/hospital/{hospital}/history/",
    "devices_staffuser_changelist": "/admin/devices/staffuser/",
    "devices_staffuser_add": "/admin/devices/staffuser/add/",
    "devices_staffuser_download_trail": "/admin/devices/staffuser/{person}/audit-trail/",
    "devices_staffuser_change": "/admin/devices/staffuser/{person}/change/",
    "devices_staffuser_history": "/admin/devices/staffuser/{person}/history/",
    "devices_apikey_changelist": "/admin/devices/apikey/",
    "devices_apikey_add": "/admin/devices/apikey/add/",
    "devices_apikey_download_trail": "/admin/devices/apikey/{key}/audit-trail/",
    "devices_apikey_change": "/admin/devices/apikey/{key}/change/",
    "devices_apikey_history": "/admin/devices/apikey/{key}/history/",
    "devices_auditevent_changelist": "/admin/devices/auditevent/",
    "devices_auditevent_change": "/admin/devices/auditevent/{event}/change/",
    "devices_auditevent_history": "/admin/devices/auditevent/{event}/history/",
}
SIGNED_OUT = {"login": "/admin/login/", "set_password": "{link}"}
ELSEWHERE = {  # shown by other tests, after what leads to them
    "devices_device_import_preview",
    "two_factor",
}
NO_PAGES = {  # parts of pages, files, and what only leads on
    "autocomplete",
    "devices_device_import_template",
    "jsi18n",
    "logout",
    "password_change",  # Django's own, at the address of `change_password`
    "search",
    "set_language",
    "view_on_site",
}
REFUSED = {  # to everybody: the registry has verbs of its own for these, or none
    *(f"devices_historicaldevice_{page}" for page in ("add", "change", "delete", "history")),
    *(f"devices_{model}_{page}" for model in ("auditevent",) for page in ("add", "delete")),
    *(f"devices_{model}_delete" for model in ("hospital", "staffuser", "apikey")),
}

SWITCH = """async (scheme) => {
  Alpine.$data(document.documentElement).switchTheme(scheme);
  await Alpine.nextTick();
  document.getAnimations().forEach((animation) => animation.finish());
}"""

# The text that one can hardly read: its contrast to what is behind it, by WCAG 2's formula, is less than 3.
FAINT = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const read = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const over = (top, below) => [0, 1, 2].map((i) => (top[i] * top[3] + below[i] * (255 - top[3])) / 255);
  const behind = (element) => {
    if (!element) return [255, 255, 255];
    const colour = read(getComputedStyle(element).backgroundColor);
    return colour[3] == 255 ? [...colour.slice(0, 3)] : over(colour, behind(element.parentElement));
  };
  const faint = new Set();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    const text = texts.currentNode.textContent.trim();
    if (!text || !element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    if (element.closest("script, style, option, select, .material-symbols-outlined")) continue;
    const ground = behind(element);
    const [one, other] = [light(ground), light(over(read(getComputedStyle(element).color), ground))];
    if ((Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05) < 3) faint.add(text.slice(0, 40));
  }
  return [...faint];
}"""


# What a screen reader finds no name for: a line of Playwright's snapshot that says what something is and no more.
NAMELESS = re.compile(r"^ *- (?:link|button|textbox|searchbox|combobox|checkbox|radio)(?::.*| \[.*)?$", re.MULTILINE)


def names(patterns: Iterable[Any]) -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from names(pattern.url_patterns)
        elif isinstance(pattern, URLPattern) and pattern.name:
            yield pattern.name


def test_each_page_of_the_admin_is_in_the_list() -> None:
    beside = [pattern for pattern in urlpatterns if str(pattern.pattern).startswith(("admin/", "language"))]
    there = {*names(admin.site.get_urls()), *names(beside)}
    assert there == {*PAGES, *SIGNED_OUT, *ELSEWHERE, *NO_PAGES, *REFUSED}


@pytest.fixture
def things(devices: dict[str, Device], ratna: User) -> dict[str, Any]:
    """One of each that a page shows, with long names, and its id."""
    long = "Rumah Sakit Umum Pusat Nasional Dr. Cipto Mangunkusumo Jakarta, Gedung A, Lantai 3"
    mine = Device.objects.filter(pk=devices["a"].pk)
    registry.update(mine, {"device_name": "Oxymeter-Perinatologi-0123456789-" * 3, "device_holder": long}, SYSTEM)
    return {
        "device": devices["a"].pk,
        "change": Device.history.latest("history_id").pk,
        "hospital": mine.get().device_holder_id,
        "staffuser": ratna.pk,
        "link": users.create_password_link(ratna),
        "key": issue(long, hospital=mine.get().device_holder).key.pk,
        "event": AuditEvent.objects.create(
            action=AuditEvent.Action.DENIED, details={"status": 401, "route": "api/devices"}
        ).pk,
    }


def troubles_of(page: Any, watch: Watch) -> list[str]:
    """Look at the page wide and narrow, light and dark, and return what is wrong with it."""
    for viewport in (WIDE, NARROW):
        page.set_viewport_size(viewport)
        nameless = NAMELESS.findall(page.locator("body").aria_snapshot())
        watch.seen += [f"no name, {viewport['width']} px: {line.strip()}" for line in nameless]
        for scheme in ("light", "dark"):
            page.evaluate(SWITCH, scheme)
            watch.seen += [f"faint, {scheme}, {viewport['width']} px: {text}" for text in page.evaluate(FAINT)]
    troubles, watch.seen[:] = list(watch.seen), []
    return troubles


@pytest.mark.parametrize("locale", ["en", "id"])
def test_each_page_is_readable_and_as_narrow_as_the_screen(
    visit: Visit, operator: User, things: dict[str, Any], watch: Watch, locale: str
) -> None:
    troubles = {}
    for user, pages in ((operator, PAGES), (None, SIGNED_OUT)):
        page = visit("/admin/login/", user, locale=locale)
        for name, path in pages.items():
            page.goto(path.format(**things))
            assert page.locator("html").get_attribute("lang") == locale, name
            troubles[name] = troubles_of(page, watch)
    assert {name: wrong for name, wrong in troubles.items() if wrong} == {}


def test_faint_text_is_seen(visit: Visit) -> None:
    page = visit("/admin/login/")
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<p style=\"color: #ddd\">hardly</p>')")
    assert page.evaluate(FAINT) == ["hardly"]


def test_what_is_refused_is_refused_to_operators_too(
    visit: Visit, operator: User, things: dict[str, Any], watch: Watch
) -> None:
    watch.expected |= {403, 404}
    change = Device.history.latest("history_id").pk
    ids = {
        "hospital": things["hospital"],
        "staffuser": things["staffuser"],
        "apikey": things["key"],
        "historicaldevice": change,
    }
    ids |= {"auditevent": things["event"]}
    page = visit("/admin/", operator)
    for name in REFUSED:
        app, model, view = name.split("_")
        pk = "" if view == "add" else f"{ids[model]}/"
        answer = page.goto(f"/admin/{app}/{model}/{pk}{view}/")
        assert answer is not None
        assert answer.status in (403, 404), name
