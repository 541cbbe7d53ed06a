"""All pages in both languages, wide and narrow, light and dark."""

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
from devices.tests.support.admin.browser import NARROW, WIDE, Visit, Watch, violations
from devices.tests.support.client import issue

# By the name of the route. The fixture `objects` has the values in braces.
PAGES = {
    "index": "/admin/",
    "app_list": "/admin/devices/",
    "change_password": "/admin/password_change/",
    "password_change_done": "/admin/password_change/done/",
    "two_factor_settings": "/admin/two-factor/set-up/",
    "your_sessions": "/admin/sessions/",
    "help": "/admin/help/",
    "devices_device_changelist": "/admin/devices/device/",
    "devices_device_add": "/admin/devices/device/add/",
    "devices_device_download_trail": "/admin/devices/device/{device}/audit-trail/",
    "devices_device_change": "/admin/devices/device/{device}/change/",
    "devices_device_delete": "/admin/devices/device/{device}/delete/",
    "devices_device_history": "/admin/devices/device/{device}/history/",
    "devices_device_retired": "/admin/devices/device/retired/",
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
    "devices_staffuser_download_trail": "/admin/devices/staffuser/{staffuser}/audit-trail/",
    "devices_staffuser_change": "/admin/devices/staffuser/{staffuser}/change/",
    "devices_staffuser_new_link": "/admin/devices/staffuser/{staffuser}/new-link/",
    "devices_staffuser_reset_two_factor_of": "/admin/devices/staffuser/{staffuser}/reset-two-factor/",
    "devices_staffuser_history": "/admin/devices/staffuser/{staffuser}/history/",
    "devices_apikey_changelist": "/admin/devices/apikey/",
    "devices_apikey_add": "/admin/devices/apikey/add/",
    "devices_apikey_download_trail": "/admin/devices/apikey/{key}/audit-trail/",
    "devices_apikey_revoke_key": "/admin/devices/apikey/{key}/revoke/",
    "devices_apikey_rotate_key": "/admin/devices/apikey/{key}/rotate/",
    "devices_apikey_change": "/admin/devices/apikey/{key}/change/",
    "devices_apikey_history": "/admin/devices/apikey/{key}/history/",
    "devices_auditevent_changelist": "/admin/devices/auditevent/",
    "devices_auditevent_change": "/admin/devices/auditevent/{event}/change/",
    "devices_auditevent_history": "/admin/devices/auditevent/{event}/history/",
}
SIGNED_OUT = {"login": "/admin/login/", "set_password": "{link}"}
OTHER_TESTS = {  # opened by other tests
    "devices_staffuser_link",
    "devices_device_import_preview",
    "devices_device_restore",
    "two_factor",
}
NO_PAGES = {  # parts of pages, files, and redirects
    "autocomplete",
    "devices_device_export_found",
    "devices_device_import_errors",
    "devices_device_import_template",
    "jsi18n",
    "logout",
    "password_change",  # Django's page, which `change_password` replaces
    "search",
    "set_language",
    "view_on_site",
}
FORBIDDEN = {  # for all users: the registry has other actions, or none
    *(f"devices_historicaldevice_{page}" for page in ("add", "change", "delete", "history")),
    *(f"devices_{model}_{page}" for model in ("auditevent",) for page in ("add", "delete")),
    *(f"devices_{model}_delete" for model in ("hospital", "staffuser", "apikey")),
}

RULES_CHECKED = ((WIDE, "light"), (NARROW, "dark"))  # the other two have the same elements and colors

SWITCH = """async (scheme) => {
  Alpine.$data(document.documentElement).switchTheme(scheme);
  await Alpine.nextTick();
  document.getAnimations().forEach((animation) => animation.finish());
}"""

# Texts whose contrast with the background is less than 3, by the formula of WCAG 2.
LOW_CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const read = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const over = (top, below) => [0, 1, 2].map((i) => (top[i] * top[3] + below[i] * (255 - top[3])) / 255);
  const behind = (element) => {
    if (!element) return [255, 255, 255];
    const color = read(getComputedStyle(element).backgroundColor);
    return color[3] == 255 ? [...color.slice(0, 3)] : over(color, behind(element.parentElement));
  };
  const found = new Set();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    const text = texts.currentNode.textContent.trim();
    if (!text || !element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    if (element.closest("script, style, option, select, .material-symbols-outlined")) continue;
    const ground = behind(element);
    const [one, other] = [luminance(ground), luminance(over(read(getComputedStyle(element).color), ground))];
    if ((Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05) < 3) found.add(text.slice(0, 40));
  }
  return [...found];
}"""


# Elements without a name for screen readers: lines of Playwright's snapshot that have only a role.
NAMELESS = re.compile(r"^ *- (?:link|button|textbox|searchbox|combobox|checkbox|radio)(?::.*| \[.*)?$", re.MULTILINE)


def names(patterns: Iterable[Any]) -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from names(pattern.url_patterns)
        elif isinstance(pattern, URLPattern) and pattern.name:
            yield pattern.name


def test_all_admin_pages_are_listed() -> None:
    routes: list[Any] = urlpatterns
    others = [pattern for pattern in routes if str(pattern.pattern).startswith(("admin/", "language"))]
    found = {*names(admin.site.get_urls()), *names(others)}
    assert found == {*PAGES, *SIGNED_OUT, *OTHER_TESTS, *NO_PAGES, *FORBIDDEN}


@pytest.fixture
def objects(devices: dict[str, Device], ratna: User) -> dict[str, Any]:
    """One object for each page, with long names; the ids by route parameter."""
    long = "Rumah Sakit Umum Pusat Nasional Dr. Cipto Mangunkusumo Jakarta, Gedung A, Lantai 3"
    device = Device.objects.filter(pk=devices["a"].pk)
    registry.update(device, {"device_name": "Oxymeter-Perinatologi-0123456789-" * 3, "device_holder": long}, SYSTEM)
    registry.update(
        Device.objects.filter(pk=devices["b"].pk),
        {"device_name": "Oxymeter-Perinatologi-9876543210-" * 3, "device_holder": long},
        SYSTEM,
    )
    registry.retire(Device.objects.filter(pk=devices["b"].pk), SYSTEM)
    return {
        "device": devices["a"].pk,
        "change": Device.history.latest("history_id").pk,
        "hospital": device.get().device_holder_id,
        "staffuser": ratna.pk,
        "link": users.create_password_link(ratna),
        "key": issue(long, hospitals=[device.get().device_holder]).key.pk,
        "event": AuditEvent.objects.create(
            action=AuditEvent.Action.DENIED, details={"status": 401, "route": "api/devices"}
        ).pk,
    }


def find_problems(page: Any, watch: Watch) -> list[str]:
    """Check the page wide and narrow, light and dark, and return its problems."""
    for viewport in (WIDE, NARROW):
        page.set_viewport_size(viewport)
        nameless = NAMELESS.findall(page.locator("body").aria_snapshot())
        watch.seen += [f"no name, {viewport['width']} px: {line.strip()}" for line in nameless]
        for scheme in ("light", "dark"):
            page.evaluate(SWITCH, scheme)
            if (viewport, scheme) in RULES_CHECKED:
                watch.seen += [f"{scheme}, {viewport['width']} px: {rule}" for rule in violations(page)]
            watch.seen += [
                f"low contrast, {scheme}, {viewport['width']} px: {text}" for text in page.evaluate(LOW_CONTRAST)
            ]
    problems, watch.seen[:] = list(watch.seen), []
    return problems


@pytest.mark.parametrize("locale", ["en", "id"])
def test_pages_are_readable_and_fit_the_screen(
    visit: Visit, operator: User, objects: dict[str, Any], watch: Watch, locale: str
) -> None:
    problems = {}
    for user, pages in ((operator, PAGES), (None, SIGNED_OUT)):
        page = visit("/admin/login/", user, locale=locale)
        for name, path in pages.items():
            page.goto(path.format(**objects))
            assert page.locator("html").get_attribute("lang") == locale, name
            problems[name] = find_problems(page, watch)
    assert {name: found for name, found in problems.items() if found} == {}


def test_low_contrast_is_detected(visit: Visit) -> None:
    page = visit("/admin/login/")
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<p style=\"color: #ddd\">hardly</p>')")
    assert page.evaluate(LOW_CONTRAST) == ["hardly"]


def test_forbidden_pages_are_forbidden_for_operators(
    visit: Visit, operator: User, objects: dict[str, Any], watch: Watch
) -> None:
    watch.expected |= {403, 404}
    change = Device.history.latest("history_id").pk
    ids = {
        "hospital": objects["hospital"],
        "staffuser": objects["staffuser"],
        "apikey": objects["key"],
        "historicaldevice": change,
    }
    ids |= {"auditevent": objects["event"]}
    page = visit("/admin/", operator)
    for name in FORBIDDEN:
        app, model, view = name.split("_")
        pk = "" if view == "add" else f"{ids[model]}/"
        response = page.goto(f"/admin/{app}/{model}/{pk}{view}/")
        assert response is not None
        assert response.status in (403, 404), name
