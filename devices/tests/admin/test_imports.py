"""The pages of an import: upload, preview, confirmation, template."""

import io
from datetime import timedelta
from typing import Any

import openpyxl
import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from devices import registry
from devices.access.actor import SYSTEM
from devices.admin import imports
from devices.imports import export, preview
from devices.models import Channel, Device, Hospital, ImportPreview, ImportPreviewRow, now_ms
from devices.registry import hospitals
from devices.tests.support.factories import device_payload, register
from devices.tests.support.imports import COLUMNS, IMPORT, LIST, choose, confirm, csv, upload
from devices.values.scope import Scope


def shown(client: Client, url: str) -> list[tuple[int, str]]:
    return [(row["number"], str(row["action"])) for row in client.get(url).context["rows"]]


# --- From upload to import


def test_file_is_uploaded_previewed_and_imported(operator: Client, devices: dict[str, Device]) -> None:
    url = upload(
        operator,
        device_payload(1, device_name="Renamed", device_holder="RS Baru"),
        device_payload(2, device_holder="rs sehat"),
        device_payload(4),
    )
    page = operator.get(url)
    assert shown(operator, url) == [(2, "Changed"), (3, "Unchanged"), (4, "New")]
    assert page.context["rows"][0]["fields"][0] == {
        "label": "Device name",
        "old": "Cuff 1",
        "new": "Renamed",
        "errors": None,
    }
    assert "A new hospital will be registered: RS Baru." in page.content.decode()
    assert "Import 2 rows" in page.content.decode()
    assert (Device.objects.count(), Hospital.objects.count()) == (3, 2)

    response = confirm(operator, url)
    assert response.redirect_chain == [(LIST, 302)]
    assert "Imported: 1 registered, 1 changed, 1 unchanged." in response.content.decode()
    assert set(Device.objects.values_list("device_name", "device_holder__name")) == {
        ("Renamed", "RS Baru"),
        ("Cuff 2", "RS Sehat"),
        ("Cuff 3", None),
        ("Cuff 4", None),
    }
    changes = Device.history.filter(history_channel=Channel.IMPORT).order_by("history_id")
    assert [(row.history_type, row.device_name) for row in changes] == [("~", "Renamed"), ("+", "Cuff 4")]
    assert {(row.history_user.username, row.history_ip_address) for row in changes} == {("operator", "127.0.0.1")}
    assert len({row.history_request_id for row in changes}) == 1
    assert not ImportPreview.objects.exists()
    assert not ImportPreviewRow.objects.exists()


def test_second_import_of_the_same_file_changes_nothing(operator: Client) -> None:
    devices = [device_payload(number) for number in range(5)]
    confirm(operator, upload(operator, *devices))
    page = operator.get(upload(operator, *devices)).content.decode()
    assert "There is nothing to import." in page
    assert "confirm" not in page


def test_preview_can_be_confirmed_only_once(operator: Client) -> None:
    url = upload(operator, device_payload(1))
    confirm(operator, url)
    again = confirm(operator, url)
    assert again.status_code == 404
    assert "It was imported, canceled or replaced" in again.content.decode()
    assert Device.objects.count() == 1


def test_workbook_is_imported(operator: Client) -> None:
    book, file = openpyxl.Workbook(), io.BytesIO()
    book.active.append(["Daftar alat"])
    book.active.merge_cells("A1:D1")
    for row in (["ID", "MAC", "TYPE", "HOLDER"], ["Cuff 1", 112233445566, "consumer", "RS Harapan"]):
        book.active.append(row)
    book.save(file)
    url = choose(operator, file.getvalue(), "alat.xlsx")["location"]
    assert shown(operator, url) == [(3, "New")]
    confirm(operator, url)
    assert Device.objects.get().device_mac == "11:22:33:44:55:66"


def test_edited_export_changes_only_the_edited_values(operator: Client, devices: dict[str, Device]) -> None:
    for ending in (".xlsx", ".csv"):
        registry.update(Device.objects.filter(pk=devices["free"].pk), {"device_name": "=1+1"}, SYSTEM)
        exported = b"".join(export.download(Device.objects.all(), ending))
        if ending == ".csv":
            edited = exported.replace(b"Cuff 1", b"Ward 3").replace(b"00:00:00:00:00:01", b"D061AED45894")
        else:
            book, file = openpyxl.load_workbook(io.BytesIO(exported)), io.BytesIO()
            sheet: Any = book.active
            sheet["B2"], sheet["C2"] = "Ward 3", "D061AED45894"
            book.save(file)
            edited = file.getvalue()
        url = choose(operator, edited, f"x{ending}")["location"]
        assert [kind for _number, kind in shown(operator, url)] == ["Changed", "Unchanged", "Unchanged"], ending
        confirm(operator, url)
        device = Device.objects.get(pk=devices["a"].pk)
        assert (device.device_name, device.device_mac) == ("Ward 3", "D0:61:AE:D4:58:94")
        registry.update(Device.objects.filter(pk=device.pk), device_payload(1), SYSTEM)  # type: ignore[arg-type]


# --- Preview


def test_invalid_row_is_explained_and_prevents_the_import(operator: Client) -> None:
    url = upload(
        operator, device_payload(1), device_payload(2, device_mac="1.0E+11"), device_payload(3, device_type="PHONE")
    )
    page = operator.get(url)
    assert shown(operator, url) == [(3, "Invalid"), (4, "Invalid")]
    assert "Converted by Excel to a number" in page.content.decode()
    assert "This is not a valid device type." in page.content.decode()
    assert "2 rows of 3 are invalid." in page.content.decode()
    assert 'name="confirm"' not in page.content.decode()
    confirm(operator, url)
    assert not Device.objects.exists()


def test_rows_are_filtered_by_action_and_paginated(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "ROWS_PER_PAGE", 2)
    register(device_payload(1), device_payload(2))
    url = upload(operator, *(device_payload(number) for number in range(1, 6)), device_payload(2, device_name="x"))
    context = operator.get(f"{url}?action=all").context
    assert [(name, count) for name, _label, count, _chosen in context["tabs"]] == [
        ("all", 6),
        ("new", 3),
        ("changed", 0),
        ("unchanged", 2),
        ("invalid", 1),
    ]
    assert [number for number, _kind in shown(operator, f"{url}?action=all&page=2")] == [4, 5]
    assert shown(operator, f"{url}?action=new&page=2") == [(6, "New")]
    assert shown(operator, f"{url}?action=changed") == []
    assert shown(operator, f"{url}?action=nonsense&page=x") == [(2, "Unchanged"), (3, "Unchanged")]
    assert shown(operator, url) == [(7, "Invalid")]  # invalid rows are shown first


def test_page_size_and_query_count_do_not_depend_on_the_file(operator: Client) -> None:
    counts = []
    upload(operator, device_payload(1))  # the next file replaces it
    for number in (1, 1_000):
        with CaptureQueriesContext(connection) as queries:
            url = upload(operator, *(device_payload(n) for n in range(number)))
        counts.append(len(queries))
        with CaptureQueriesContext(connection) as queries:
            page = operator.get(url)
        counts.append(len(queries))
    assert counts[:2] == counts[2:]
    assert len(page.content) < 300_000
    assert len(page.context["rows"]) == 100


def test_cell_content_is_escaped_in_the_preview(operator: Client) -> None:
    page = operator.get(upload(operator, device_payload(1, device_name="<script>alert(1)</script>"))).content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_names_of_new_hospitals_are_escaped_and_truncated(operator: Client) -> None:
    url = upload(operator, *(device_payload(n, device_holder=f"<i>RS {n}</i>") for n in range(1, 101)))
    page = operator.get(f"{url}?action=invalid").content.decode()
    assert "100 new hospitals will be registered: &lt;i&gt;RS " in page
    assert ("<i>RS" in page, "RS 99" in page, "…" in page) == (False, False, True)


def test_preview_shows_notes_about_the_file(operator: Client) -> None:
    text = "device_name;device_mac;device_type;Catatan\nCuff Müller;000000000001;CONSUMER;x".encode("cp1252")
    page = operator.get(choose(operator, text)["location"]).content.decode()
    assert "Ignored columns: Catatan." in page
    assert "read as Windows-1252" in page
    assert "no column for the hospital" in page
    assert "Cuff Müller" in page


def test_row_errors_are_shown_in_the_language_of_the_viewer(operator: Client) -> None:
    url = upload(operator, device_payload(1, device_mac="12/05/2026"))
    assert "Converted by Excel to a date" in operator.get(url).content.decode()
    page = operator.get(url, headers={"accept-language": "id"}).content.decode()
    assert "Diubah oleh Excel menjadi tanggal" in page
    assert "Registri sudah berubah" not in page
    assert "Converted by Excel to a date" in operator.get(url).content.decode()


# --- Changes between preview and confirmation


def test_outdated_preview_is_refreshed_and_not_imported(operator: Client, devices: dict[str, Device]) -> None:
    url = upload(operator, device_payload(1, device_name="Renamed"), device_payload(9))
    registry.update(Device.objects.filter(pk=devices["a"].pk), {"device_type": "CORPORATE"}, SYSTEM)
    response = confirm(operator, url)
    assert response.redirect_chain == [(url, 302)]
    assert "The registry has changed since this preview" in response.content.decode()
    assert not Device.history.filter(history_channel=Channel.IMPORT).exists()
    assert response.context["rows"][0]["fields"][2]["old"] == "Corporate"
    confirm(operator, url)
    assert Device.objects.get(pk=devices["a"].pk).device_name == "Renamed"


@pytest.mark.parametrize("number", [1, 2])
def test_device_registered_since_the_preview_is_not_registered_again(operator: Client, number: int) -> None:
    url = upload(operator, device_payload(1))
    register(device_payload(1, device_mac=device_payload(number)["device_mac"]))
    page = confirm(operator, url).content.decode()
    assert "The registry has changed" in page
    assert Device.objects.count() == 1


def test_hospital_merged_since_the_preview_is_not_registered_again(
    operator: Client, rs_a: Hospital, rs_b: Hospital
) -> None:
    url = upload(operator, device_payload(1, device_holder="RS Sehat"))
    hospitals.merge([rs_b], rs_a, SYSTEM)
    confirm(operator, url)
    assert not Device.objects.exists()
    confirm(operator, url)
    assert Device.objects.get().device_holder == rs_a


def test_canceled_import_is_deleted(operator: Client) -> None:
    url = upload(operator, device_payload(1))
    assert operator.post(url, {"cancel": "yes"})["location"] == IMPORT
    assert operator.get(url).status_code == 404
    assert not ImportPreviewRow.objects.exists()
    assert not Device.objects.exists()


def test_new_file_replaces_the_previous_preview_of_the_user(operator: Client, ratna: Client) -> None:
    first, hers = upload(operator, device_payload(1)), upload(ratna, device_payload(3))
    second = upload(operator, device_payload(2))
    assert [operator.get(url).status_code for url in (first, second)] == [404, 200]
    assert ratna.get(hers).status_code == 200


def test_preview_expires_after_an_hour_and_the_next_upload_deletes_it(operator: Client, ratna: Client) -> None:
    url = upload(operator, device_payload(1))
    ImportPreview.objects.update(created_at=now_ms() - timedelta(minutes=61))
    assert operator.get(url).status_code == confirm(operator, url).status_code == 404
    upload(ratna, device_payload(2))
    assert ImportPreviewRow.objects.count() == 1


# --- Permissions and scope


def test_preview_of_another_user_is_not_found(operator: Client, ratna: Client) -> None:
    url = upload(operator, device_payload(1, device_name="Secret"))
    missing = ratna.get(f"{IMPORT}00000000-0000-4000-8000-000000000000/")
    for response in (ratna.get(url), confirm(ratna, url), ratna.post(url, {"cancel": "yes"})):
        assert response.status_code == missing.status_code == 404
        assert "Secret" not in response.content.decode()
    assert operator.get(url).status_code == 200
    assert not Device.objects.exists()


@pytest.mark.parametrize("path", [IMPORT, f"{IMPORT}template.csv", f"{IMPORT}00000000-0000-4000-8000-000000000000/"])
def test_import_requires_permissions_and_a_hospital(path: str, ratna: Client, rs_a: Hospital, client: Client) -> None:
    assert client.get(path).status_code == 302
    user = User.objects.create_user("nurse", is_staff=True)
    client.force_login(user)
    assert client.get(path).status_code == client.post(path).status_code == 403
    user.user_permissions.set(Permission.objects.all())
    assert client.get(path).status_code == 403
    assert ratna.get(path).status_code in (200, 404)


def test_import_of_a_hospital_admin_discloses_no_other_hospital(ratna: Client, devices: dict[str, Device]) -> None:
    url = upload(
        ratna,
        device_payload(2, device_name="Mine"),
        device_payload(8, device_name="Cuff 3"),
        {"id": devices["b"].pk, **device_payload(7)},
        {"id": 999_999, **device_payload(6)},
        device_payload(9, device_holder="RS Sehat"),
        device_payload(10, device_holder="RS Entah"),
        device_payload(1, device_type="CORPORATE"),
        device_payload(11),
        columns=("id", *COLUMNS),
    )
    page = ratna.get(f"{url}?action=all")
    rows = page.context["rows"]
    assert [str(row["action"]) for row in rows] == ["Invalid"] * 6 + ["Changed", "New"]
    assert [row["errors"] for row in rows[2:4]] == [
        ["No device has this ID. Leave the cell empty to register a new device."]
    ] * 2
    assert rows[4]["fields"][3]["errors"] == rows[5]["fields"][3]["errors"]
    assert rows[7]["fields"][3]["new"] == "RS Harapan"
    assert "Cuff 2" not in page.content.decode()
    assert page.content.decode().count("RS Sehat") == 1  # the value from her own file


def test_confirmation_uses_the_current_hospitals_of_the_user(ratna: Client, rs_a: Hospital, rs_b: Hospital) -> None:
    url = upload(ratna, device_payload(1))
    rs_a.admins.clear()
    assert confirm(ratna, url).status_code == 403
    rs_b.admins.add(User.objects.get(first_name="Ibu Ratna"))
    assert "The registry has changed" in confirm(ratna, url).content.decode()
    assert not Device.objects.exists()


def test_device_list_has_an_import_button(ratna: Client, operator: Client) -> None:
    for client in (ratna, operator):
        assert f'href="{IMPORT}"' in client.get(LIST).content.decode()


# --- Files that cannot be read


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "The file is empty"),
        (b"ID;MAC;TYPE\n", "The file has column headers, but no devices below them."),
        (b"ID;MAK;TYPE\na;b;c", "Did you mean “MAC address”?"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "in Excel&#x27;s old format (.xls)"),
        (b"PK\x03\x04 and no more", "not a valid XLSX workbook"),
    ],
)
def test_unreadable_file_is_explained_on_the_page(operator: Client, content: bytes, message: str) -> None:
    response = choose(operator, content)
    assert response.status_code == 200
    assert message in response.content.decode()
    assert not ImportPreview.objects.exists()


def test_upload_without_a_file_is_rejected(operator: Client) -> None:
    assert "Choose a file first." in operator.post(IMPORT).content.decode()


@pytest.mark.parametrize("times", [2, 12])
def test_too_large_file_is_rejected(operator: Client, settings: Any, times: int) -> None:
    settings.IMPORT_MAX_BYTES = 2**20
    response = choose(operator, b"x" * times * 2**20)
    assert response.status_code == 200
    assert "The file is larger than 1 MB." in response.content.decode()


def test_file_with_too_many_rows_is_rejected(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "MAX_ROWS", 2)
    assert (
        "more than 2 devices"
        in choose(operator, csv(*(device_payload(n, device_holder="") for n in range(3)))).content.decode()
    )


# --- Templates and exports


@pytest.mark.parametrize("ending", [".csv", ".xlsx"])
@pytest.mark.parametrize(
    ("language", "columns"),
    [
        ("en", ["Device name", "MAC address", "Type", "Hospital"]),
        ("id", ["Nama perangkat", "Alamat MAC", "Jenis", "Rumah sakit"]),
    ],
)
def test_template_has_the_column_headers_of_the_language_and_can_be_read(
    ratna: Client, ending: str, language: str, columns: list[str]
) -> None:
    response = ratna.get(f"{IMPORT}template{ending}", headers={"accept-language": language})
    assert response["content-disposition"] == f'attachment; filename="devices{ending}"'
    if ending == ".csv":
        assert response.content.decode("utf-8-sig").splitlines() == [",".join(columns)]
    else:
        sheet = openpyxl.load_workbook(io.BytesIO(response.content)).worksheets[0]
        assert [[cell.value for cell in row] for row in sheet.iter_rows()] == [columns]
    assert "no devices below them" in choose(ratna, response.content, f"x{ending}").content.decode()
    assert ratna.get(f"{IMPORT}template.exe").status_code == 404


@pytest.mark.parametrize(
    ("language", "headers", "message"),
    [
        ("en", "Device name, MAC address, Type and Hospital", "Missing columns: MAC address."),
        ("id", "Nama perangkat, Alamat MAC, Jenis, dan Rumah sakit", "Kolom yang tidak ada: Alamat MAC."),
    ],
)
def test_import_page_names_columns_in_the_language_of_the_user(
    ratna: Client, language: str, headers: str, message: str
) -> None:
    page = ratna.get(IMPORT, headers={"accept-language": language}).content.decode()
    assert headers in page
    response = choose(ratna, b"Nama perangkat;Jenis\nCuff 1;CONSUMER", headers={"accept-language": language})
    assert message in response.content.decode()


def test_preview_names_columns_in_the_language_of_the_user(ratna: Client) -> None:
    content = "Nama perangkat;Alamat MAC;Jenis;Rumah sakit\nCuff 1;D061AED45894;CONSUMER;RS Harapan"
    url = choose(ratna, content.encode())["location"]
    page = ratna.get(url, headers={"accept-language": "id"})
    assert page.context["headers"] == ["Nama perangkat", "Alamat MAC", "Jenis", "Rumah sakit"]
    assert shown(ratna, url) == [(2, "New")]


@pytest.mark.parametrize("ending", [".csv", ".xlsx"])
def test_download_contains_the_given_devices_and_needs_one_query(
    rs_a: Hospital, devices: dict[str, Device], ending: str
) -> None:
    with CaptureQueriesContext(connection) as queries:
        response = export.download(Device.objects.in_scope(Scope((rs_a,))), ending)
        content = b"".join(response)
    assert len(queries) == 1
    assert response["content-type"] == export.CONTENT_TYPES[ending]
    if ending == ".csv":
        assert content.decode("utf-8-sig").splitlines()[1:] == [
            f"{devices['a'].pk},Cuff 1,00:00:00:00:00:01,CONSUMER,RS Harapan"
        ]
