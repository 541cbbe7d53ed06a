"""An import, from the choice of a file to the devices that it changed."""

import io
from typing import Any

import openpyxl
import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from devices.models import Device
from devices.tests.support.browser import NARROW, WIDE, Visit

LIST = "/admin/devices/device/"
HEADINGS = ["ID", "MAC", "TYPE", "HOLDER"]
DROP = """([text, name]) => {
  const files = new DataTransfer();
  files.items.add(new File([text], name));
  return files;
}"""


def workbook(*lines: list[Any]) -> dict[str, Any]:
    book, file = openpyxl.Workbook(), io.BytesIO()
    for line in (["Daftar alat, November 2026"], [], HEADINGS, *lines):
        book.active.append(line)
    book.save(file)
    return {"name": "alat.xlsx", "mimeType": "application/octet-stream", "buffer": file.getvalue()}


def choose(page: Page, file: dict[str, Any]) -> None:
    page.locator("#file").set_input_files(file)
    page.locator("form[data-working] button").click()


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_a_file_is_corrected_looked_at_and_imported(
    visit: Visit, ratna: User, devices: dict[str, Device], viewport: Any, color_scheme: str
) -> None:
    page = visit(f"{LIST}import/", ratna, viewport=viewport, color_scheme=color_scheme)
    changed = ["Cuff of ward 3", "00:00:00:00:00:01", "CORPORATE", None]
    choose(page, workbook(changed, ["Cuff 9", 100000000000, "CONSUMER", None]))
    expect(page.get_by_text("1 line of 2 is wrong.")).to_be_visible()
    expect(page.get_by_text("Excel has turned this into a number")).to_be_visible()
    expect(page.get_by_role("button", name="Import")).to_have_count(0)

    page.get_by_role("link", name="Choose another file").click()
    choose(page, workbook(changed, ["Cuff 9", "000000000009", "CONSUMER", None]))
    page.get_by_role("link", name="Changed 1").click()
    line = page.locator(".import-rows tbody tr")
    expect(line).to_have_count(1)
    expect(line.locator("del").first).to_contain_text("Cuff 1")
    expect(line.locator("ins").first).to_have_text("Cuff of ward 3")
    assert Device.objects.get(pk=devices["a"].pk).device_name == "Cuff 1"

    page.get_by_role("button", name="Import 2 lines").click()
    expect(page.get_by_text("Imported: 1 registered, 1 changed, 0 unchanged.")).to_be_visible()
    assert Device.objects.get(pk=devices["a"].pk).device_name == "Cuff of ward 3"


def test_a_file_is_dropped_and_one_that_is_too_large_is_told_at_once(visit: Visit, ratna: User) -> None:
    page = visit(f"{LIST}import/", ratna, locale="id")
    zone = page.locator("[data-drop]")
    large = page.evaluate_handle(DROP, ["x" * (11 * 1024 * 1024), "besar.csv"])
    zone.dispatch_event("drop", {"dataTransfer": large})
    expect(page.get_by_role("alert")).to_contain_text("lebih dari 10 MB")
    small = page.evaluate_handle(DROP, ["Nama;Alamat MAC;Jenis\nCuff 1;D061AED45894;CONSUMER", "alat.csv"])
    zone.dispatch_event("drop", {"dataTransfer": small})
    expect(page.get_by_role("alert")).to_be_hidden()
    expect(zone).to_contain_text("alat.csv")
    page.get_by_role("button", name="Lihat apa yang akan terjadi").click()
    page.get_by_role("button", name="Impor 1 baris").click()
    expect(page.get_by_text("Impor selesai: 1 didaftarkan")).to_be_visible()
    assert Device.objects.get().device_holder.name == "RS Harapan"


def test_a_page_that_is_at_work_shows_it_and_takes_no_second_click(visit: Visit, ratna: User) -> None:
    page = visit(f"{LIST}import/", ratna)
    working = page.get_by_role("status").filter(has_text="being read")
    expect(working).to_be_hidden()
    sent = []
    page.on("request", lambda request: sent.append(request) if request.method == "POST" else None)
    page.locator("#file").set_input_files(workbook(["Cuff 1", "000000000001", "CONSUMER", None]))
    # The first click's own event, without what the browser does after it: the page stays, to be looked at.
    page.locator("form[data-working]").evaluate("form => form.dispatchEvent(new Event('submit', {cancelable: true}))")
    expect(working).to_be_visible()
    page.locator("form[data-working]").evaluate("form => form.requestSubmit()")
    expect(working).to_be_visible()
    assert sent == []
