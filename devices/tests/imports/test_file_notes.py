"""The preview and the command report worksheets, and hidden rows and columns."""

import io
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from devices.models import Device, ImportPreviewRow
from devices.tests.support.imports import choose, confirm
from devices.tests.support.workbooks import HEADER


@pytest.fixture
def building() -> bytes:
    """A workbook with lists on two worksheets, notes, a hidden list, and hidden rows and columns."""
    book, file = openpyxl.Workbook(), io.BytesIO()
    for number, name in enumerate(["Lantai 1", "Lantai 2", "Catatan", "Lama"], start=1):
        sheet: Any = book.create_sheet(name)
        rows = [["Kosongkan"]] if name == "Catatan" else [HEADER, *(line(number, place) for place in (1, 2))]
        for row in rows:
            sheet.append(row)
    book.remove(book.worksheets[0])
    book["Lama"].sheet_state = "hidden"
    book["Lantai 2"].row_dimensions[3].hidden = True
    book["Lantai 2"].column_dimensions["C"].hidden = True
    book.save(file)
    return file.getvalue()


def line(floor: int, place: int) -> list[str]:
    return [f"Bed {floor}-{place}", f"02:C0:00:00:{floor:02X}:{place:02X}", "CONSUMER", ""]


@pytest.mark.parametrize(
    ("language", "notes"),
    [
        (
            "en",
            [
                "2 worksheets were read: Lantai 1, Lantai 2.",
                "Worksheets without column headers were ignored: Catatan.",
                "Hidden worksheets were not read: Lama.",
                "1 row is hidden in Excel, such as by a filter. It is read too.",
                "These columns are hidden in Excel, and are read too: TYPE.",
                "Lantai 2, row 3",
            ],
        ),
        (
            "id",
            [
                "2 lembar kerja dibaca: Lantai 1, Lantai 2.",
                "Lembar kerja tanpa judul kolom diabaikan: Catatan.",
                "Lembar kerja tersembunyi tidak dibaca: Lama.",
                "1 baris tersembunyi di Excel",
                "Kolom berikut tersembunyi di Excel, tetapi ikut dibaca: TYPE.",
                "Lantai 2, baris 3",
            ],
        ),
    ],
)
def test_preview_reports_worksheets_and_hidden_rows(
    operator: Client, building: bytes, language: str, notes: list[str]
) -> None:
    url = choose(operator, building, "devices.xlsx")["location"]
    page = operator.get(url, headers={"accept-language": language}).content.decode()
    for note in notes:
        assert note in page
    assert ImportPreviewRow.objects.count() == 4


def test_all_worksheets_are_imported(operator: Client, building: bytes) -> None:
    url = choose(operator, building, "devices.xlsx")["location"]
    numbers = [row["number"] for row in operator.get(url).context["rows"]]
    assert numbers == ["Lantai 1, row 2", "Lantai 1, row 3", "Lantai 2, row 2", "Lantai 2, row 3"]
    confirm(operator, url)
    assert Device.objects.count() == 4


def test_preview_of_a_plain_file_reports_nothing(operator: Client) -> None:
    content = "\n".join(";".join(row) for row in (HEADER, line(1, 1))).encode()
    page = operator.get(choose(operator, content)["location"])
    assert "hidden in Excel" not in page.content.decode()
    assert [row["number"] for row in page.context["rows"]] == [2]


@pytest.mark.django_db
def test_command_reports_worksheets_and_hidden_rows(
    building: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "devices.xlsx"
    path.write_bytes(building)
    call_command("import_devices", str(path), "--dry-run")
    assert capsys.readouterr().err.splitlines() == [
        "Worksheets that were read: Lantai 1, Lantai 2.",
        "Ignored worksheets without column headers: Catatan.",
        "Hidden worksheets that were not read: Lama.",
        "Hidden columns that were read: TYPE.",
        "Hidden rows that were read: 1.",
    ]


@pytest.mark.django_db
def test_command_names_the_worksheet_of_an_error(
    building: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    book, file = openpyxl.load_workbook(io.BytesIO(building)), io.BytesIO()
    book["Lantai 2"]["B3"] = "x"
    book["Lantai 2"]["A2"] = "Bed 1-1"
    book.save(file)
    path = tmp_path / "devices.xlsx"
    path.write_bytes(file.getvalue())
    with pytest.raises(CommandError, match="2 rows have errors"):
        call_command("import_devices", str(path))
    errors = capsys.readouterr().err
    assert "Lantai 2, row 2: device_name: The same name is in Lantai 1, row 2." in errors
    assert "Lantai 2, row 3: device_mac: " in errors
    assert not Device.objects.exists()
