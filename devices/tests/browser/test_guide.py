"""Perform the tasks of the guide docs/hospital-admins.md, and compare its words with the pages.

`make screenshots` runs this with WRITE_IMAGES=1, and saves the screenshots of the guide and of README.md.
"""

import io
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from playwright.sync_api import FilePayload, Page

from devices import registry
from devices.access import scopes
from devices.access.actor import SYSTEM, Actor
from devices.accounts import users
from devices.models import Channel, Device, Hospital
from devices.registry import hospitals
from devices.tests.support.admin.browser import Visit
from devices.tests.support.clock import set_clock

ROOT = Path(__file__).resolve().parents[3]
IMAGES = ROOT / "docs" / "images"
GUIDES = {"en": ROOT / "docs" / "hospital-admins.md", "id": ROOT / "docs" / "hospital-admins.id.md"}
SIZE = {"width": 1280, "height": 680}
LARGEST = 150_000  # bytes of a picture, so that README.md opens quickly
WEEKS = (14, 22, 9, 31, 26, 40, 18, 35, 29, 44, 37, 21)  # registered devices of each of the last weeks
NAMES = ("RSUD Melati", "Klinik Melati", "RS Harapan Ibu", "RS Sehat Sentosa", "RSIA Bunda Kasih", "RS Bakti Husada")
WARDS = ("Anggrek", "Mawar", "Teratai", "ICU", "IGD", "Perinatologi")
DEVICES = "/admin/devices/device/"

Shoot = Callable[[str], None]


@pytest.fixture
def melati_admin(committed: None, django_db_reset_sequences: None, monkeypatch: pytest.MonkeyPatch) -> User:
    """Create the data of twelve weeks in six hospitals; return the admin of two of them."""
    for week, count in enumerate(WEEKS):
        at = datetime.now(UTC) - timedelta(weeks=len(WEEKS) - 1 - week)
        set_clock(monkeypatch, partial(datetime.fromtimestamp, at.timestamp(), UTC))
        call_command("seed_devices", count, hospitals=len(NAMES), stdout=io.StringIO())
    monkeypatch.undo()
    for hospital, name in zip(Hospital.objects.order_by("name"), NAMES, strict=True):
        hospitals.rename(hospital, name, SYSTEM)
    ratna = users.invite("Ibu Ratna", "ratna@melati.example", Hospital.objects.filter(name__endswith="Melati"))
    actor = Actor(Channel.ADMIN, user_id=ratna.pk, ip_address="10.20.3.14", scope=scopes.scope_for_user(ratna))
    for number, device in enumerate(_own(6)):
        kind, _number = device.device_name.split()
        name = f"{kind} {WARDS[number]} {number + 1}"
        registry.update(Device.objects.filter(pk=device.pk), {"device_name": name}, actor)
    registry.retire(Device.objects.filter(pk=_own(7)[6].pk), actor)
    return ratna


def _own(count: int) -> list[Device]:
    return list(Device.objects.filter(device_holder__name="RSUD Melati").order_by("-pk")[:count])


def find(page: Page, shoot: Shoot) -> None:
    page.goto(DEVICES)
    page.locator("#searchbar").fill("teratai")
    with page.expect_navigation():  # the list before the search has rows too
        page.keyboard.press("Enter")
    page.locator("#result_list tbody tr").nth(0).wait_for()
    shoot("find")


def register(page: Page, shoot: Shoot) -> None:
    """Register a MAC address that another device has."""
    taken = _own(1)[0]
    page.goto(f"{DEVICES}add/")
    page.locator("#id_device_name").fill("Oximeter IGD 7")
    page.locator("#id_device_mac").fill(taken.device_mac.replace(":", "-").lower())
    page.locator("#id_device_holder + .select2").click()
    page.get_by_role("option", name="RSUD Melati").click()
    page.locator("[name=_save]").click()
    page.locator(f"a[href='{DEVICES}{taken.pk}/change/']").wait_for()
    shoot("register")


def correct(page: Page, shoot: Shoot) -> None:
    page.goto(f"{DEVICES}{_own(1)[0].pk}/change/")
    shoot("correct")


def transfer(page: Page, shoot: Shoot) -> None:
    page.goto(DEVICES)
    for row in range(3):
        page.locator("#result_list tbody input.action-select").nth(row).check()
    page.locator("#changelist-form select[name=action]").select_option("transfer")
    shoot("select")
    page.get_by_role("button", name=re.compile("Run|Jalankan")).click()
    page.locator("[name=device_holder] + .select2").click()
    page.get_by_role("option", name="Klinik Melati").click()
    shoot("transfer")


def import_a_file(page: Page, shoot: Shoot) -> None:
    page.goto(f"{DEVICES}import/")
    shoot("import")
    book, file = openpyxl.Workbook(), io.BytesIO()
    book.active.append(["id", "device_name", "device_mac", "device_type", "device_holder"])
    for number, device in enumerate(_own(4)):
        holder = "Klinik Melati" if number == 1 else "RSUD Melati"
        book.active.append([device.pk, f"Oximeter Dahlia {number + 1}", device.device_mac, "CORPORATE", holder])
    book.active.append([None, "Cuff Dahlia 5", "D0:61:AE:D4:58:94", "CORPORATE", "RSUD Melati"])
    book.save(file)
    chosen: FilePayload = {"name": "alat.xlsx", "mimeType": "application/octet-stream", "buffer": file.getvalue()}
    page.locator("#file").set_input_files(chosen)
    page.locator("form[data-working] button").click()
    page.locator(".import-rows").wait_for()
    shoot("preview")


def show_history(page: Page, shoot: Shoot) -> None:
    page.goto(f"{DEVICES}{_own(1)[0].pk}/history/")
    shoot("history")


def restore(page: Page, shoot: Shoot) -> None:
    page.goto(f"{DEVICES}retired/")
    page.locator("#result_list tbody input.action-select").first.check()
    page.locator("#changelist-form select[name=action]").select_option("restore")
    shoot("restore")


TASKS = (find, register, correct, transfer, import_a_file, show_history, restore)


WORDS = """() => [
  document.body.innerText,
  document.querySelector("#changelist-filter")?.textContent,
  ...[...document.querySelectorAll("option")].map((option) => option.textContent),
  ...[...document.querySelectorAll("[placeholder]")].map((box) => box.placeholder),
].join(" ")"""


@pytest.mark.parametrize("language", GUIDES)
def test_words_of_the_guide_are_on_the_pages(visit: Visit, melati_admin: User, tmp_path: Path, language: str) -> None:
    folder = IMAGES / language if os.environ.get("WRITE_IMAGES") else tmp_path
    words: list[str] = []

    def shoot_of(page: Page) -> Shoot:
        def shoot(name: str) -> None:
            page.wait_for_load_state("networkidle")
            words.append(page.evaluate(WORDS))
            page.screenshot(path=folder / f"{name}.png", animations="disabled", caret="hide")

        return shoot

    signed_out = visit("/admin/login/", locale=language, viewport=SIZE)
    shoot_of(signed_out)("sign-in")
    page = visit("/admin/", melati_admin, locale=language, viewport=SIZE)
    page.wait_for_load_state("networkidle")  # the button opens the menu when its script has run
    page.get_by_role("button", name="Ibu Ratna").click()
    page.locator("#logout-form").wait_for()
    words.append(page.evaluate(WORDS))
    page.goto("/admin/two-factor/set-up/")
    words.append(page.evaluate(WORDS))
    visit("/admin/", melati_admin, locale=language)  # another session, which can be ended
    page.goto("/admin/sessions/")
    words.append(page.evaluate(WORDS))
    page.goto("/admin/")
    shoot_of(page)("overview")
    for task in TASKS:
        task(page, shoot_of(page))
    shown = "\n".join(words).casefold()
    bold = [
        " ".join(phrase.split()) for phrase in re.findall(r"\*\*(.+?)\*\*", GUIDES[language].read_text(), re.DOTALL)
    ]
    assert [phrase for phrase in bold if phrase.casefold() not in shown] == []


@pytest.mark.parametrize("language", GUIDES)
def test_guide_shows_all_pictures_and_all_exist(language: str) -> None:
    shown = set(re.findall(r"\]\(images/(\S+?\.png)\)", GUIDES[language].read_text()))
    pictures = list((IMAGES / language).glob("*.png"))
    assert shown == {f"{language}/{path.name}" for path in pictures}
    assert [path.name for path in pictures if path.stat().st_size > LARGEST] == []


def test_guides_have_the_same_tasks() -> None:
    outlines = {len(re.findall(r"^#+ ", guide.read_text(), re.MULTILINE)) for guide in GUIDES.values()}
    pictures = {tuple(re.findall(r"images/../(\S+?\.png)", guide.read_text())) for guide in GUIDES.values()}
    assert (len(outlines), len(pictures)) == (1, 1)


def test_pictures_of_the_readme_exist() -> None:
    shown: list[Any] = re.findall(r"\]\((docs/images/\S+?\.png)\)", (ROOT / "README.md").read_text())
    assert shown
    assert [path for path in shown if not (ROOT / path).exists()] == []
