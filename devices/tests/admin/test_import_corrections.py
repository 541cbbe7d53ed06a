"""Imports of files with errors: explanations, suggestions, the file with its errors, and omitting invalid rows."""

import io
from typing import Any

import openpyxl
import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from devices.access.actor import SYSTEM
from devices.models import Device, Hospital, ImportPreview
from devices.registry import hospitals
from devices.tests.support.factories import device_payload, register
from devices.tests.support.imports import COLUMNS, IMPORT, LIST, choose, confirm, upload


def problems(client: Client, url: str, **headers: Any) -> list[str]:
    rows = client.get(f"{url}?action=invalid", **headers).context["rows"]
    return [f"{problem['label']}: {problem['text']}" for row in rows for problem in row["problems"]]


def file_with_errors(client: Client, url: str, **extra: Any) -> tuple[bytes, list[list[Any]]]:
    response = client.get(f"{url}errors.xlsx", **extra)
    assert response["content-disposition"] == 'attachment; filename="devices-errors.xlsx"'
    sheet = openpyxl.load_workbook(io.BytesIO(response.content)).worksheets[0]
    return response.content, [list(row) for row in sheet.iter_rows(values_only=True)]


# --- Explanations


@pytest.mark.parametrize(("language", "words"), [("en", "No hospital"), ("id", "Tanpa rumah sakit")])
def test_device_without_a_hospital_is_shown_in_the_words_of_the_page(
    operator: Client, devices: dict[str, Device], language: str, words: str
) -> None:
    url = upload(operator, device_payload(9), device_payload(3, device_holder="RS Harapan"), device_payload(8))
    page = operator.get(f"{url}?action=all", headers={"accept-language": language})
    assert [row["fields"][3]["new"] for row in page.context["rows"]] == [words, "RS Harapan", words]
    assert page.context["rows"][1]["fields"][3]["old"] == words
    assert "unknown" not in page.content.decode().partition("<tbody>")[2]


def test_similar_hospital_of_the_scope_is_suggested(ratna: Client, rs_b: Hospital) -> None:
    names = ["RS Harpan", "rs  harapann", "RS Sehatt", "RS Jauh Sekali", "RS Sehat"]
    url = upload(ratna, *(device_payload(number, device_holder=name) for number, name in enumerate(names)))
    texts = problems(ratna, url)
    assert ["Did you mean “RS Harapan”?" in text for text in texts] == [True, True, False, False, False]
    assert all("Write one of them: RS Harapan." in text for text in texts[2:])
    page = ratna.get(url).content.decode()
    assert page.count("RS Sehat") == 2  # the values of the file


def test_similar_name_of_a_new_hospital_is_questioned_for_an_operator(operator: Client, rs_a: Hospital) -> None:
    hospitals.get_or_create(["RS Contoh 1"], SYSTEM)
    names = ["RS Harpan", "RS Contoh 2", "RS Jauh Sekali"]
    url = upload(operator, *(device_payload(number, device_holder=name) for number, name in enumerate(names)))
    assert operator.get(url).context["similar_hospitals"] == [("RS Harpan", "RS Harapan")]
    assert "“RS Harpan” is not registered. Did you mean “RS Harapan”?" in operator.get(url).content.decode()


def test_taken_name_or_mac_links_to_the_device_in_the_scope_only(ratna: Client, devices: dict[str, Device]) -> None:
    extra = register(device_payload(7, device_holder="RS Harapan"))[0]
    url = upload(
        ratna,
        device_payload(20, device_name="Cuff 1"),
        {"id": extra.pk, **device_payload(21, device_mac=devices["a"].device_mac)},
        device_payload(22, device_name="Cuff 2"),
        device_payload(2, device_name="Other"),
        columns=("id", *COLUMNS),
    )
    rows = ratna.get(url).context["rows"]
    links = [problem["device"] and problem["device"]["url"] for row in rows for problem in row["problems"]]
    own = f"{LIST}{devices['a'].pk}/change/"
    assert links == [own, own, None, None]
    page = ratna.get(url).content.decode()
    assert f'<a href="{own}" class="underline">Cuff 1</a>' in page
    assert f"{LIST}{devices['b'].pk}/" not in page


def test_errors_say_what_to_write(ratna: Client, rs_b: Hospital) -> None:
    rs_b.admins.add(User.objects.get(first_name="Ibu Ratna"))
    content = "device_name;device_mac;device_type;device_holder\n;000000000001;CONSUMER;RS Harapan\nA;000000000002;;\n"
    url = choose(ratna, content.encode())["location"]
    assert problems(ratna, url) == [
        "Device name: This cell is empty. Write a value.",
        "Type: This cell is empty. Write a value.",
        "Hospital: You manage several hospitals. Write one of them: RS Harapan, RS Sehat.",
    ]
    for text in problems(ratna, url, headers={"accept-language": "id"}):
        assert "Tulis" in text
        assert "Kirim" not in text


def test_query_count_of_the_preview_does_not_depend_on_the_number_of_errors(ratna: Client, rs_a: Hospital) -> None:
    counts = set()
    register(*(device_payload(n, device_holder=rs_a.name) for n in range(60)))
    for number in (2, 50):
        items = [device_payload(n + 100, device_name=f"Cuff {n}", device_holder=f"RS Harpan{n}") for n in range(number)]
        url = upload(ratna, *items, device_payload(99, device_name="Cuff 59"))
        with CaptureQueriesContext(connection) as queries:
            ratna.get(url)
        counts.add(len(queries))
    assert len(counts) == 1


# --- The file with its errors


def broken(client: Client) -> str:
    return upload(
        client,
        device_payload(1, device_name="=1+1"),
        device_payload(2, device_mac="1.0E+11"),
        device_payload(3, device_type="PHONE", device_holder="RS Harpan"),
    )


@pytest.mark.parametrize(("language", "header"), [("en", "Error"), ("id", "Kesalahan")])
def test_file_with_errors_has_the_same_rows_and_a_column_that_an_import_ignores(
    ratna: Client, language: str, header: str
) -> None:
    accept: dict[str, Any] = {"headers": {"accept-language": language}}
    content, rows = file_with_errors(ratna, broken(ratna), **accept)
    assert rows[0][-1] == header
    assert [row[0] for row in rows[1:]] == ["'=1+1", "Cuff 2", "Cuff 3"]
    assert not rows[1][-1]
    assert not rows[2][1]  # the number would look like a typed text
    assert "1.0E+11" in rows[2][-1]
    assert "RS Harapan" in rows[3][-1]
    again = choose(ratna, content, "devices-errors.xlsx", **accept)["location"]
    page = ratna.get(f"{again}?action=all", **accept)
    assert page.context["notes"]["ignored_columns"] == [header]
    assert [row["variant"] for row in page.context["rows"]] == ["success", "danger", "danger"]
    assert page.context["rows"][0]["fields"][0]["new"] == "=1+1"


def test_corrected_file_with_errors_is_imported(ratna: Client) -> None:
    content, _rows = file_with_errors(ratna, broken(ratna))
    book, file = openpyxl.load_workbook(io.BytesIO(content)), io.BytesIO()
    sheet: Any = book.worksheets[0]
    sheet["B3"], sheet["C4"], sheet["D4"] = "D0:61:AE:D4:58:94", "CORPORATE", "RS Harapan"
    book.save(file)
    confirm(ratna, choose(ratna, file.getvalue(), "x.xlsx")["location"])
    assert set(Device.objects.values_list("device_name", flat=True)) == {"=1+1", "Cuff 2", "Cuff 3"}


def test_file_with_errors_keeps_ids_and_no_column_that_the_file_did_not_have(
    ratna: Client, devices: dict[str, Device]
) -> None:
    payload = {"id": devices["a"].pk, **device_payload(1, device_type="PHONE")}
    url = upload(ratna, payload, columns=("id", "device_name", "device_mac", "device_type"))
    _content, rows = file_with_errors(ratna, url)
    assert rows[0] == ["ID", "Device name", "MAC address", "Type", "Error"]
    assert rows[1][:4] == [str(devices["a"].pk), "Cuff 1", "00:00:00:00:00:01", "PHONE"]


def test_file_with_errors_is_for_its_user_only(ratna: Client, operator: Client, client: Client) -> None:
    url = broken(operator)
    assert ratna.get(f"{url}errors.xlsx").status_code == 404
    assert client.get(f"{url}errors.xlsx").status_code == 302


# --- Omitting invalid rows


def test_correct_rows_are_imported_without_the_invalid_ones(ratna: Client) -> None:
    url = broken(ratna)
    assert "Continue with the 1 correct row" in ratna.get(url).content.decode()
    assert ratna.post(url, {"omit_invalid": "yes"})["location"] == url
    assert not Device.objects.exists()
    page = ratna.get(url)
    assert [row["number"] for row in page.context["rows"]] == [2]
    assert "2 invalid rows were omitted." in page.content.decode()
    assert "Import 1 row" in page.content.decode()
    confirm(ratna, url)
    assert list(Device.objects.values_list("device_name", flat=True)) == ["=1+1"]


def test_row_that_needs_a_omitted_row_becomes_invalid_and_is_not_imported(operator: Client) -> None:
    taken = register(device_payload(1))[0]
    url = upload(
        operator,
        {"id": taken.pk, **device_payload(1, device_name="Renamed", device_type="PHONE")},
        device_payload(2, device_name="Cuff 1"),
        device_payload(3),
        columns=("id", *COLUMNS),
    )
    for _ in range(3):
        operator.post(url, {"omit_invalid": "yes"})
    assert [row["number"] for row in operator.get(f"{url}?action=all").context["rows"]] == [4]
    confirm(operator, url)
    assert set(Device.objects.values_list("device_name", flat=True)) == {"Cuff 1", "Cuff 3"}


def test_file_with_only_invalid_rows_has_nothing_to_continue_with(operator: Client) -> None:
    url = upload(operator, device_payload(1, device_type="PHONE"))
    assert "Continue with" not in operator.get(url).content.decode()
    operator.post(url, {"omit_invalid": "yes"})
    assert operator.get(url).context["total"] == 1


def test_preview_without_invalid_rows_is_confirmed_as_it_was_shown(operator: Client) -> None:
    url = broken(operator)
    operator.post(url, {"omit_invalid": "yes"})
    register(device_payload(50, device_name="=1+1"))
    assert "The registry has changed" in confirm(operator, url).content.decode()
    assert Device.objects.count() == 1


def test_rows_of_another_user_cannot_be_omitted(operator: Client, ratna: Client) -> None:
    url = broken(operator)
    assert ratna.post(url, {"omit_invalid": "yes"}).status_code == 404
    assert ImportPreview.objects.get().notes.get("omitted") is None


# --- Pasted rows


PASTED = "Device name\tMAC address\tType\tHospital\nCuff 1\t00-00-00-00-00-01\tConsumer\tRS Harapan\n"


def test_rows_pasted_from_a_spreadsheet_are_imported(ratna: Client) -> None:
    url = ratna.post(IMPORT, {"text": PASTED})["location"]
    assert "Import Pasted rows" in ratna.get(url).content.decode()
    confirm(ratna, url)
    assert Device.objects.get().device_mac == "00:00:00:00:00:01"


@pytest.mark.parametrize(
    ("text", "message"), [(" \n", "Paste the rows first."), ("Cuff <b>1</b>\t00-00-00-00-00-01", "Missing columns")]
)
def test_pasted_text_that_cannot_be_read_is_explained_and_kept(ratna: Client, text: str, message: str) -> None:
    page = ratna.post(IMPORT, {"text": text}).content.decode()
    assert message in page
    assert text.strip().replace("<", "&lt;").replace(">", "&gt;") in page
    assert not ImportPreview.objects.exists()


# --- The template


def template(client: Client, **extra: Any) -> Any:
    return openpyxl.load_workbook(io.BytesIO(client.get(f"{IMPORT}template.xlsx", **extra).content))


def lists(book: Any) -> dict[str, Any]:
    return {str(rule.sqref): rule for rule in book.worksheets[0].data_validations.dataValidation}


@pytest.mark.parametrize(
    ("language", "types"), [("en", '"Consumer,Corporate"'), ("id", '"Milik pasien,Milik rumah sakit"')]
)
def test_template_offers_the_types_in_the_language_of_the_page(ratna: Client, language: str, types: str) -> None:
    rules = lists(template(ratna, headers={"accept-language": language}))
    assert rules["C2:C10001"].formula1 == types


def test_template_offers_only_the_hospitals_of_the_scope(ratna: Client, operator: Client, rs_b: Hospital) -> None:
    def rule(client: Client) -> tuple[str, str | None]:
        found = lists(template(client))["D2:D10001"]
        return found.formula1, found.errorStyle

    assert rule(ratna) == ('"RS Harapan"', None)
    assert rule(operator) == ('"RS Harapan,RS Sehat"', "warning")
    assert len(template(ratna).worksheets) == 1
    hospitals.rename(rs_b, "=RS, Sehat", SYSTEM)
    assert rule(operator) == ("'Hospitals'!$A$1:$A$2", "warning")
    sheet = template(operator)["Hospitals"]
    assert sheet.sheet_state == "hidden"
    assert sorted(cell.value for cell in sheet["A"]) == ["'=RS, Sehat", "RS Harapan"]


def test_many_hospitals_are_in_a_hidden_worksheet(operator: Client) -> None:
    hospitals.get_or_create([f"Rumah Sakit Contoh {number}" for number in range(100)], SYSTEM)
    book = template(operator)
    assert lists(book)["D2:D10001"].formula1 == "'Hospitals'!$A$1:$A$100"
    assert len(book["Hospitals"]["A"]) == 100


def test_completed_template_is_imported(ratna: Client, operator: Client, rs_b: Hospital) -> None:
    hospitals.rename(rs_b, "RS, Sehat", SYSTEM)  # the operator's template has a hidden worksheet
    for number, client in enumerate((ratna, operator)):
        book, file = template(client), io.BytesIO()
        example = lists(book)["B2:B10001"].prompt.removeprefix("Example: ")
        book.worksheets[0].append([f"Cuff {number}", example[:-1] + str(number), "Corporate", "RS Harapan"])
        book.save(file)
        url = choose(client, file.getvalue(), "devices.xlsx")["location"]
        assert client.get(url).context["total"] == 1
        confirm(client, url)
    assert Device.objects.count() == 2


def test_import_page_names_the_columns_and_types_of_the_page_and_of_the_api(ratna: Client) -> None:
    page = ratna.get(IMPORT).content.decode()
    assert "The names of the API work too: device_name, device_mac, device_type, device_holder." in page
    assert "Type is “Consumer” or “Corporate”." in page
