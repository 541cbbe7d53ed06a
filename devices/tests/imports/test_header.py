"""Find the columns of a file."""

import io

import pytest
from django.utils import translation

from devices.imports.files import header, spreadsheet
from devices.tests.support.workbooks import CELLS, LINE, read_error, read_rows


@pytest.mark.parametrize(
    "columns",
    [
        "device_name;device_mac;device_type;device_holder",
        "DEVICE NAME;Device-MAC;deviceType;Device-Holder",
        "ID;MAC;TYPE;HOLDER",
        "Name;MAC address;Type;Hospital",
        "Device name;MAC address;Type;Hospital",
        "Nama;Alamat MAC;Jenis;Rumah sakit",
        "Nama perangkat;Alamat MAC;Jenis;Rumah sakit",
        "NAMA_PERANGKAT;alamatMAC;jenis;Rumah Sakit",
    ],
)
def test_column_headers_are_accepted_in_all_forms_and_languages(columns: str) -> None:
    assert read_rows(f"{columns}\n{';'.join(LINE)}".encode())[0].cells == CELLS


@pytest.mark.parametrize(
    "above",
    [
        "Daftar alat RS Harapan;;;\nNovember 2026;;;\n\nID;MAC;TYPE;HOLDER\n",
        "Alat;;;Tempat\nID;MAC;TYPE;HOLDER\n",
    ],
)
def test_titles_and_merged_cells_can_be_above_the_header(above: str) -> None:
    text = f"{above}{';'.join(LINE)}\n{above.splitlines()[-1]}\n{';'.join(LINE)}\n"
    assert [row.cells for row in read_rows(text.encode())] == [CELLS, CELLS]


def test_id_is_the_registry_id_if_another_column_is_the_name() -> None:
    assert read_rows(b"ID,MAC,TYPE\n7,x,y")[0].cells == {"device_name": "7", "device_mac": "x", "device_type": "y"}
    assert read_rows(b"ID,device_name,MAC,TYPE\n7,Cuff,x,y")[0].cells["id"] == "7"
    assert read_rows(b"Nama,ID,MAC,TYPE\nCuff,7,x,y")[0].cells["id"] == "7"


def test_unknown_columns_are_ignored() -> None:
    with spreadsheet.open_sheet(io.BytesIO(b"device_name,Ward,MAC,TYPE,NOTE\nCuff,?,x,y,z")) as sheet:
        assert sheet.ignored_columns == ["Ward", "NOTE"]
        assert not sheet.has_hospitals
        assert next(sheet.rows).cells["device_name"] == "Cuff"


def test_ignored_column_is_reported_without_nul() -> None:
    content = b"device_name,device_mac,device_type,no\0te\nCuff,D061AED45894,CONSUMER,x\n"
    with spreadsheet.open_sheet(io.BytesIO(content)) as sheet:
        assert sheet.ignored_columns == ["note"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The file is empty. It must have the columns Device name, MAC address, Type, Hospital."),
        ("ID;MAK;TYPE;HOLDER\n", "The column “MAK” is unknown. Did you mean “MAC address”?"),
        (
            "ID;TYPE;HOLDER\n",
            "Missing columns: MAC address. Expected: Device name, MAC address, Type, Hospital "
            "(or ID, MAC, TYPE, HOLDER). Found: ID, TYPE, HOLDER.",
        ),
        ("ID;MAC;TYPE;HOLDR\n", "The column “HOLDR” is unknown. Did you mean “Hospital”?"),
        ("ID;MAC;TYPE;TYPE\n", "More than one column is “Type”: TYPE, TYPE."),
        ("MAC;device_mac;TYPE;ID\n", "More than one column is “MAC address”: MAC, device_mac."),
    ],
)
def test_missing_or_misspelled_column_is_reported(text: str, message: str) -> None:
    assert message in read_error(text.encode())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Berkas harus memiliki kolom Nama perangkat, Alamat MAC, Jenis, Rumah sakit."),
        ("ID;TYPE;HOLDER\n", "Kolom yang tidak ada: Alamat MAC."),
        ("Nama perangkat;Alamat MCA;Jenis\n", "Apakah maksudnya “Alamat MAC”?"),
        ("Nama perangkat;Alamat MAC;Jenis;TYPE\n", "Ada lebih dari satu kolom “Jenis”: Jenis, TYPE."),
    ],
)
def test_messages_name_columns_in_the_language_of_the_reader(text: str, message: str) -> None:
    with translation.override("id"):
        assert message in read_error(text.encode())


def test_labels_of_columns_are_in_the_current_language() -> None:
    columns = (header.ID, *header.COLUMNS)
    with translation.override("en"):
        assert list(map(header.label, columns)) == ["ID", "Device name", "MAC address", "Type", "Hospital"]
    with translation.override("id"):
        assert list(map(header.label, columns)) == ["ID", "Nama perangkat", "Alamat MAC", "Jenis", "Rumah sakit"]
