"""Import a file, from its upload to the changed devices."""

import io
from typing import Any

import openpyxl
import pytest
from django.contrib.auth.models import User
from playwright.sync_api import FilePayload, Page, expect

from devices.models import Device
from devices.tests.support.admin.browser import NARROW, WIDE, Visit

LIST = "/admin/devices/device/"
HEADERS = ["ID", "MAC", "TYPE", "HOLDER"]
DROP = """([text, name]) => {
  const files = new DataTransfer();
  files.items.add(new File([text], name));
  return files;
}"""


def workbook(*rows: list[Any]) -> FilePayload:
    book, file = openpyxl.Workbook(), io.BytesIO()
    for row in (["Daftar alat, November 2026"], [], HEADERS, *rows):
        book.active.append(row)
    book.save(file)
    return {"name": "alat.xlsx", "mimeType": "application/octet-stream", "buffer": file.getvalue()}


def choose(page: Page, file: FilePayload) -> None:
    page.locator("#file").set_input_files(file)
    page.locator("form[data-working] button").click()


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_file_is_corrected_previewed_and_imported(
    visit: Visit, ratna: User, devices: dict[str, Device], viewport: Any, color_scheme: str
) -> None:
    page = visit(f"{LIST}import/", ratna, viewport=viewport, color_scheme=color_scheme)
    changed = ["Cuff of ward 3", "00:00:00:00:00:01", "CORPORATE", None]
    choose(page, workbook(changed, ["Cuff 9", 100000000000, "CONSUMER", None]))
    expect(page.get_by_text("1 row of 2 is invalid.")).to_be_visible()
    expect(page.get_by_text("Converted by Excel to a number")).to_be_visible()
    expect(page.get_by_role("button", name="Import")).to_have_count(0)

    page.get_by_role("link", name="Choose another file").click()
    choose(page, workbook(changed, ["Cuff 9", "000000000009", "CONSUMER", None]))
    page.get_by_role("link", name="Changed 1").click()
    row = page.locator(".import-rows tbody tr")
    expect(row).to_have_count(1)
    expect(row.locator("del").first).to_contain_text("Cuff 1")
    expect(row.locator("ins").first).to_have_text("Cuff of ward 3")
    assert Device.objects.get(pk=devices["a"].pk).device_name == "Cuff 1"

    page.get_by_role("button", name="Import 2 rows").click()
    expect(page.get_by_text("Imported: 1 registered, 1 changed, 0 unchanged.")).to_be_visible()
    assert Device.objects.get(pk=devices["a"].pk).device_name == "Cuff of ward 3"


def test_dropped_file_is_imported_and_too_large_one_is_rejected(visit: Visit, ratna: User) -> None:
    page = visit(f"{LIST}import/", ratna, locale="id")
    zone = page.locator("[data-drop]")
    large = page.evaluate_handle(DROP, ["x" * (11 * 1024 * 1024), "besar.csv"])
    zone.dispatch_event("drop", {"dataTransfer": large})
    expect(page.get_by_role("alert")).to_contain_text("lebih dari 10 MB")
    small = page.evaluate_handle(DROP, ["Nama;Alamat MAC;Jenis\nCuff 1;D061AED45894;CONSUMER", "alat.csv"])
    zone.dispatch_event("drop", {"dataTransfer": small})
    expect(page.get_by_role("alert")).to_be_hidden()
    expect(zone).to_contain_text("alat.csv")
    page.get_by_role("button", name="Pratinjau").click()
    page.get_by_role("button", name="Impor 1 baris").click()
    expect(page.get_by_text("Impor selesai: 1 didaftarkan")).to_be_visible()
    assert Device.objects.get().device_holder.name == "RS Harapan"


def test_upload_shows_progress_and_ignores_a_second_click(visit: Visit, ratna: User) -> None:
    page = visit(f"{LIST}import/", ratna)
    working = page.get_by_role("status").filter(has_text="reading the file")
    expect(working).to_be_hidden()
    sent = []
    page.on("request", lambda request: sent.append(request) if request.method == "POST" else None)
    page.locator("#file").set_input_files(workbook(["Cuff 1", "000000000001", "CONSUMER", None]))
    # Only the event of the first click, without the request that follows: the page stays open.
    page.locator("form[data-working]").evaluate("form => form.dispatchEvent(new Event('submit', {cancelable: true}))")
    expect(working).to_be_visible()
    page.locator("form[data-working]").evaluate("form => form.requestSubmit()")
    expect(working).to_be_visible()
    assert sent == []
