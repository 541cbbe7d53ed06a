"""On paper, no row and no column is lost, and the first lines say what was printed, when and by whom."""

import io
import re
from typing import Any

import pypdf
import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page

from devices.access.actor import SYSTEM
from devices.accounts import users
from devices.models import ApiKey, Hospital
from devices.registry import hospitals
from devices.tests.support.admin.browser import NARROW, Visit
from devices.tests.support.client import issue
from devices.tests.support.factories import device_payload, register

ROWS = 50
PAPER = {"width": 794, "height": 1123}  # A4 at 96 dots per inch
LONG = "Rumah Sakit Umum Pusat Nasional Dr. Cipto Mangunkusumo Jakarta, Gedung A, Lantai 3"
NAMES = {f"Tensimeter Omron ruang {number:03}" for number in range(ROWS)}
CONTROLS = ("Type to search", "Filters", "Save", "Cancel", "Skip to the content", "Search all devices")


@pytest.fixture
def printed_devices(committed: None) -> None:
    items = [device_payload(n, device_name=name, device_holder=LONG) for n, name in enumerate(sorted(NAMES))]
    register(*items)


def text_of(page: Page, **options: Any) -> str:
    """Print the page on A4, and return the text of the PDF with single spaces."""
    pages = pypdf.PdfReader(io.BytesIO(page.pdf(format="A4", **options))).pages
    return re.sub(r"\s+", " ", " ".join(page.extract_text() for page in pages))


@pytest.mark.parametrize("landscape", [False, True], ids=["portrait", "landscape"])
@pytest.mark.parametrize("path", ["device/", "device/?all=", "historicaldevice/"])
def test_all_rows_and_columns_of_a_list_are_printed(
    visit: Visit, operator: User, printed_devices: None, path: str, landscape: bool
) -> None:
    page = visit(f"/admin/devices/{path}", operator)
    last_cell = page.locator("#result_list tr.data-row > *:last-child").last.inner_text()
    text = text_of(page, landscape=landscape)
    without_spaces = text.replace(" ", "")
    assert {name for name in NAMES if name.replace(" ", "") not in without_spaces} == set()
    assert last_cell.replace(" ", "").replace("\n", "") in without_spaces
    assert [control for control in CONTROLS if control in text] == []
    page.emulate_media(media="print")
    rows = page.locator("#result_list tr").all()
    shown = [
        row.locator("xpath=*").evaluate_all("cells => cells.filter((cell) => cell.offsetWidth).length") for row in rows
    ]
    assert len(set(shown)) == 1, "the headings are over other columns"


def test_first_lines_have_the_title_the_search_the_filters_the_time_and_the_user(
    visit: Visit, ratna: User, rs_a: Hospital, watch: Any
) -> None:
    register(device_payload(1, device_name="Tensimeter 1", device_holder=rs_a.name))
    query = f"q=Tensi&device_type__exact=CONSUMER&device_holder__id__exact={rs_a.pk}&created_at_from=2020-01-31"
    page = visit(f"/admin/devices/device/?{query}", ratna)
    lines = text_of(page)[:400]
    for expected in ("Device registry", "Devices", "Search: Tensi", rs_a.name, "2020-01-31", "Ibu Ratna"):
        assert expected in lines
    assert re.search(r"\d{4}, (\d{1,2}(:\d\d)? [ap]\.m\.|noon|midnight)", lines), lines


def test_filter_of_a_hospital_outside_the_scope_does_not_print_its_name(
    visit: Visit, ratna: User, rs_b: Hospital
) -> None:
    page = visit(f"/admin/devices/device/?device_holder__id__exact={rs_b.pk}", ratna)
    assert rs_b.name not in text_of(page)


def test_other_lists_and_pages_are_printed_whole(visit: Visit, operator: User, watch: Any) -> None:
    names = {f"RS Contoh {number:03}" for number in range(ROWS)}
    found = hospitals.get_or_create(sorted(names), SYSTEM)
    keys = {f"Monitor {number:03}" for number in range(ROWS - 1)}
    for name in keys:
        issue(name)
    people = {f"Ibu Sri {number:03}" for number in range(ROWS - 1)}
    for number, name in enumerate(sorted(people)):
        users.invite(name, f"sri{number}@rs.example", list(found.values())[:1])
    page = visit("/admin/", operator)
    for path, expected in (("hospital", names), ("apikey", keys), ("staffuser", people)):
        page.goto(f"/admin/devices/{path}/")
        text = text_of(page).replace(" ", "")
        assert {name for name in expected if name.replace(" ", "") not in text} == set(), path
    page.goto(f"/admin/devices/apikey/{ApiKey.objects.latest('pk').pk}/history/")
    assert "operator" in text_of(page)
    page.goto("/admin/")
    assert "Registered per week" in text_of(page)


def test_page_that_was_opened_on_a_phone_or_in_the_dark_is_printed_alike(
    visit: Visit, operator: User, printed_devices: None
) -> None:
    page = visit("/admin/devices/device/", operator, viewport=NARROW, color_scheme="dark")
    text = text_of(page).replace(" ", "")
    assert {name for name in NAMES if name.replace(" ", "") not in text} == set()
    page.set_viewport_size({"width": 794, "height": 1123})  # A4 at 96 dpi
    page.emulate_media(media="print")
    assert page.locator("#result_list td").last.evaluate("cell => getComputedStyle(cell).color") == "rgb(0, 0, 0)"
