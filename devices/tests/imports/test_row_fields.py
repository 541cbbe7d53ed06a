"""The words of a file: types as the pages show them, and texts that mean no hospital."""

import io
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils.translation import override

from devices.access.actor import IMPORT, Actor
from devices.imports import plan, row_fields
from devices.imports.files.cells import ExcelConversion
from devices.imports.files.spreadsheet import Row
from devices.models import ApiKey, Channel, Device, Hospital
from devices.tests.support.client import Api, errors
from devices.tests.support.factories import device_payload
from devices.tests.support.imports import choose, csv, rows
from devices.tests.support.workbooks import read_rows
from devices.values.scope import Scope

pytestmark = pytest.mark.django_db

NOTHING = [
    *(
        "-",
        "--",
        "\u2013",
        "\u2014",
        "\u2212",
        ".",
        "\u2026",
        "?",
        "/",
        "N/A",
        "n/a",
        "NA",
        "N.A.",
        "<NA>",
        "nan",
        "NaN",
    ),
    *("NULL", "null", "(null)", "None", "nil", "undefined", "kosong", "(kosong)", "Tidak Ada", "tidak  ada", "nihil"),
    *("tanpa rumah sakit", "Tanpa Rumah Sakit", "No hospital", "(blank)", "unassigned"),
    *("tdk ada", "Tdk. ada", "tak ada", "blm ada", "belum tersedia", "tanpa RS", "tidak ada data", "data kosong"),
    *("not applicable", "Not specified", "no data", "no", "tidak", "TBD", "menyusul", "xxx", "None None", "NULL,NULL"),
    *(
        "N/A\u200b",
        "\ufeffnull",
        "\u00a0-\u00a0",
        "\uff2e\uff35\uff2c\uff2c",
        "n/\u00ada",
        "\u3164",
        "\u2800",
        "\u200b",
    ),
]
FORMULA_RESULTS = [
    "0",
    "0.0",
    "0,00",
    "-0",
    "00",
    "TRUE",
    "False",
    "BENAR",
    "salah",
    "#REF!",
    "#NAME?",
    "#n/a",
    "#VALUE!",
    "#ERROR!",
    "Err:502",
    "#NAMA?",
    "#NV",
]
REAL = [
    "RS Nanda",
    "Nana",
    "RS Tidak Ada",
    "Klinik TBC",
    "Nil Desperandum",
    "RS None",
    "Klinik 0",
    "7",
    "RS-",
    "\u533b\u9662",
    "\U0001f3e5",
    "True Care",
    "N/A Klinik",
]


def planned(scope: Scope, *values: dict[str, Any]) -> list[plan.PlannedRow]:
    return plan.make_plan(rows(*values), Actor(Channel.IMPORT, scope=scope))


@pytest.mark.parametrize("text", NOTHING, ids=ascii)
def test_word_for_nothing_in_a_file_means_no_hospital(text: str) -> None:
    item, problems = row_fields.validate(device_payload(1, device_holder=text))
    assert problems == []
    assert "device_holder" not in item


@pytest.mark.parametrize("text", FORMULA_RESULTS)
def test_result_of_a_broken_formula_in_a_file_is_an_error_that_says_what_to_write(text: str) -> None:
    item, problems = row_fields.validate(device_payload(1, device_holder=text))
    assert "device_holder" not in item
    assert [(problem.field, problem.code) for problem in problems] == [("device_holder", "blank")]
    assert problems[0].message == (
        f"“{text}” is the result of a formula, not a hospital. Write the name of the hospital, or leave the cell empty."
    )


@pytest.mark.parametrize("text", REAL, ids=ascii)
def test_name_that_contains_such_a_word_is_a_hospital(text: str, api: Api) -> None:
    item, problems = row_fields.validate(device_payload(1, device_holder=text))
    assert (item["device_holder"], problems) == (text, [])
    assert api.post("/api/devices", device_payload(1, device_holder=text)).json()["data"][0]["device_holder"] == text


def test_word_for_nothing_leaves_the_hospital_of_a_device_unchanged(devices: dict[str, Device], rs_a: Hospital) -> None:
    for text in NOTHING:
        assert plan.import_devices(rows(device_payload(1, device_holder=text)), IMPORT)[plan.RowAction.UNCHANGED] == 1
    devices["a"].refresh_from_db()
    assert devices["a"].device_holder == rs_a


def test_new_device_with_a_word_for_nothing_gets_the_only_hospital_of_the_user(rs_a: Hospital) -> None:
    [row] = planned(Scope((rs_a,)), device_payload(1, device_holder="\u2013"))
    assert (row.problems, row.new["device_holder"]) == ([], rs_a.name)


def test_list_that_is_copied_from_the_page_can_be_imported(operator: Client) -> None:
    copied = "Name\tMAC address\tManufacturer\tType\tHospital\nTmp 1\t02:C0:00:00:00:24\t\u2013\tConsumer\t\u2013\n"
    assert choose(operator, copied.encode()).status_code == 302
    [row] = read_rows(copied.encode())
    assert plan.import_devices([row], IMPORT)[plan.RowAction.NEW] == 1
    assert (Device.objects.get().device_holder, Hospital.objects.count()) == (None, 0)


@pytest.mark.parametrize("text", [*NOTHING, *FORMULA_RESULTS, "", None], ids=ascii)
def test_word_for_nothing_in_a_request_counts_as_omitted(text: str | None, api: Api, api_a: Api) -> None:
    for client, number, hospital in ((api, 1, "unknown"), (api_a, 2, "RS Harapan")):
        response = client.post("/api/devices", device_payload(number, device_holder=text))
        assert response.status_code == 201, response.content
        device = response.json()["data"][0]
        assert device["device_holder"] == hospital
    path = f"/api/device/{device['id']}"
    assert api.put(path, device_payload(3, device_holder=text)).json()["data"]["device_holder"] == "RS Harapan"
    changed = api.patch(path, {"device_name": "Cuff 4", "device_holder": text}).json()["data"]
    assert (changed["device_name"], changed["device_holder"]) == ("Cuff 4", "RS Harapan")
    response = api.patch(path, {"device_holder": text})
    assert (response.status_code, errors(response)) == (400, [(None, "no_known_field")])
    assert list(Hospital.objects.values_list("name", flat=True)) == ["RS Harapan"]


@pytest.mark.parametrize("text", ["unknown", "Unknown", "un\u200bknown", "\uff55nknown", "\ufeffunknown "], ids=ascii)
def test_unknown_in_every_form_removes_the_hospital(text: str, api: Api, devices: dict[str, Device]) -> None:
    response = api.patch(f"/api/device/{devices['a'].pk}", {"device_holder": text})
    assert response.json()["data"]["device_holder"] == "unknown"
    assert plan.import_devices(rows(device_payload(2, device_holder=text)), IMPORT)[plan.RowAction.CHANGED] == 1
    assert not Device.objects.filter(pk__in=[devices["a"].pk, devices["b"].pk]).exclude(device_holder=None).exists()


@pytest.mark.parametrize("text", [*NOTHING, *FORMULA_RESULTS, "unknown", ""], ids=ascii)
def test_no_key_and_no_hospital_are_made_for_a_word_for_nothing(text: str) -> None:
    with pytest.raises(CommandError):
        call_command("create_api_key", "app", f"--hospital={text}", stdout=io.StringIO(), stderr=io.StringIO())
    assert (ApiKey.objects.count(), Hospital.objects.count()) == (0, 0)


@pytest.mark.parametrize("text", [*NOTHING, *FORMULA_RESULTS, "unknown"], ids=ascii)
def test_hospital_cannot_be_renamed_to_a_word_for_nothing(operator: Client, rs_a: Hospital, text: str) -> None:
    page = operator.post(f"/admin/devices/hospital/{rs_a.pk}/change/", {"name": text})
    assert page.status_code == 200
    rs_a.refresh_from_db()
    assert rs_a.name == "RS Harapan"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("CONSUMER", "CONSUMER"),
        ("Consumer", "CONSUMER"),
        (" consumer\u00a0", "CONSUMER"),
        ("Konsumen", "CONSUMER"),
        ("MILIK PASIEN", "CONSUMER"),
        ("Milik  pasien", "CONSUMER"),
        ("Corporate", "CORPORATE"),
        ("korporat", "CORPORATE"),
        ("Milik rumah sakit", "CORPORATE"),
        ("\uff23orporate", "CORPORATE"),
    ],
)
@pytest.mark.parametrize("language", ["en", "id"])
def test_type_in_a_file_is_a_word_of_the_pages_in_any_language(text: str, kind: str, language: str) -> None:
    with override(language):
        item, problems = row_fields.validate(device_payload(1, device_type=text))
    assert (item["device_type"], problems) == (kind, [])


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", "Write “Consumer” or “Corporate”."), ("id", "Tulis “Milik pasien” atau “Milik rumah sakit”.")],
)
def test_error_of_a_type_in_a_file_names_the_words_of_the_pages(language: str, words: str) -> None:
    with override(language):
        [problem] = row_fields.validate(device_payload(1, device_type="PHONE"))[1]
    assert (problem.code, str(problem.message).endswith(words)) == ("invalid_choice", True)


def test_api_accepts_only_the_types_of_the_contract(api: Api) -> None:
    for text in ("Konsumen", "Milik pasien"):
        response = api.post("/api/devices", device_payload(1, device_type=text))
        assert (response.status_code, errors(response)) == (400, [("device_type", "invalid_choice")])


def test_error_for_a_formula_is_shown_in_the_preview(operator: Client) -> None:
    url = choose(operator, csv(device_payload(1, device_holder="0")))["location"]
    assert "result of a formula" in operator.get(url).content.decode()
    assert not Hospital.objects.exists()


def test_row_with_a_converted_hospital_has_one_error() -> None:
    row = Row(2, device_payload(1, device_holder="#REF!"), {"device_holder": ExcelConversion.ERROR})
    [planned_row] = plan.make_plan([row], IMPORT)
    assert [problem.code for problem in planned_row.problems] == ["converted"]
