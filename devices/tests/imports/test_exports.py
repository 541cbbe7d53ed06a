"""Write files that spreadsheet programs do not execute or convert, and read them back."""

import errno
import gc
import io
import os
import re
import tempfile
import unicodedata
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from django.core.exceptions import ValidationError
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.imports.files import spreadsheet, xlsx_file
from devices.imports.files.header import UnreadableFile
from devices.registry import device_fields
from devices.tests.support.workbooks import (
    LINE,
    read_rows,
)
from devices.values import csv_escaping, normalization


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=12) | st.text(";|'=- \"x", max_size=12))
def test_escaped_text_is_read_back(text: str) -> None:
    assert csv_escaping.unescape(csv_escaping.escape(text)) == text


@pytest.mark.parametrize(
    "text", ["=1+1", "+62", "-5", "@sum", "\tx", "\rx", "0012", "1E5", "1-2", "3 A", "Mei 2", "#REF!"]
)
def test_formula_or_convertible_text_is_escaped(text: str) -> None:
    assert csv_escaping.escape(text) == f"'{text}"


@pytest.mark.parametrize("delimiter", [",", ";", "|", "\t"])
def test_no_cell_begins_like_a_formula_with_any_delimiter(delimiter: str) -> None:
    names = ["x;=1+1;y", "x|@SUM(1)", "x; -1", "a,b;+1", "=1;=1", "'=1;'=1", 'say "hi";=1', 'x;"=1+1;y']
    file = io.BytesIO()
    spreadsheet.write(file, ".csv", [[str(i), name, *LINE[1:]] for i, name in enumerate(names, 1)])
    found = [cell for line in file.getvalue().decode("utf-8-sig").splitlines() for cell in line.split(delimiter)]
    assert not [cell for cell in found if re.match(r'[\s"]*[=+@-]', cell)]
    assert [row.cells["device_name"] for row in read_rows(file.getvalue())] == names


FORMS = "\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b\u207a\u2a75"


INVISIBLE = [
    "",
    "\ufeff",
    "\u200b",
    "\u00a0",
    "\u00ad",
    "\x01",
    "\x85",
    "\u3000",
    "\u202e",
    "\u2060 ",
    " ",
    "\U000e0020",
]


@pytest.mark.parametrize("invisible", INVISIBLE, ids=ascii)
def test_formula_after_invisible_characters_is_escaped(invisible: str) -> None:
    for begin in ["\t", "\r", *csv_escaping.FORMULA_STARTS]:
        for text in (f"{invisible}{begin}1", f"{begin}{invisible}1"):
            assert csv_escaping.escape(text) == f"'{text}", ascii(text)
            assert csv_escaping.unescape(csv_escaping.escape(text)) == text


@pytest.mark.parametrize("invisible", INVISIBLE, ids=ascii)
@pytest.mark.parametrize("delimiter", [";", "|", '; "'])
def test_formula_after_a_delimiter_is_escaped(invisible: str, delimiter: str) -> None:
    for begin in csv_escaping.FORMULA_STARTS:
        text = f"x{delimiter}{invisible}{begin}1"
        assert csv_escaping.escape(text) == f"x{delimiter}{invisible}'{begin}1", ascii(text)
        assert csv_escaping.unescape(csv_escaping.escape(text)) == text


def test_all_unicode_forms_of_formula_characters_are_known() -> None:
    forms = {
        character for character in map(chr, range(0x110000)) if unicodedata.normalize("NFKC", character)[:1] in "=+@-"
    }
    assert forms == set(csv_escaping.FORMULA_STARTS)


def _is_name(text: str) -> bool:
    try:
        return device_fields.clean_text(text) == text
    except ValidationError:
        return False


CHARACTERS = st.characters(exclude_categories=["Cc", "Cs"]) | st.sampled_from(["=", "'", ";", "|", '"', " ", *FORMS])


NAMES = st.lists(
    st.text(CHARACTERS, min_size=1, max_size=12).map(normalization.normalize).filter(_is_name), min_size=1, max_size=20
)


@pytest.mark.parametrize("ending", spreadsheet.ENDINGS)
@settings(deadline=None, max_examples=50)
@given(names=NAMES)
def test_export_of_any_names_is_read_back(ending: str, names: list[str]) -> None:
    rows = [[str(i), name, "D0:61:AE:D4:58:94", "CONSUMER", name] for i, name in enumerate(names, 1)]
    file = io.BytesIO()
    spreadsheet.write(file, ending, rows)
    for row, sent in zip(read_rows(file.getvalue()), rows, strict=True):
        item, problems = device_fields.validate(row.cells)
        assert not problems
        assert not row.conversions
        assert item["device_name"] == row.cells["device_holder"] == sent[1]


@pytest.mark.parametrize("text", ["Cuff 1", "1001", "D0:61:AE:D4:58:94", "11:22:33:44:55:66", "RS Mei Indah", "a;b|c"])
def test_harmless_text_is_not_escaped(text: str) -> None:
    assert csv_escaping.escape(text) == text


@pytest.mark.parametrize("ending", spreadsheet.ENDINGS)
def test_written_file_is_read_back(ending: str) -> None:
    names = ["=1+1", "'quoted", "a,b;c", 'say "hi"', "Müller 测试", "0012", "112233445566", "1.0E+11", "x y"]
    rows = [[str(i), name, "D0:61:AE:D4:58:94", "CONSUMER", "unknown"] for i, name in enumerate(names, 1)]
    file = io.BytesIO()
    assert spreadsheet.write(file, ending, rows) == len(names)
    assert [list(row.cells.values()) for row in read_rows(file.getvalue())] == rows


def test_written_workbook_formats_all_cells_as_text() -> None:
    file = io.BytesIO()
    spreadsheet.write(file, ".xlsx", [["7", *LINE]])
    sheet = openpyxl.load_workbook(file).active
    assert {cell.number_format for row in sheet.iter_rows() for cell in row} == {"@"}
    assert {sheet.column_dimensions[letter].number_format for letter in "ABCDE"} == {"@"}


def test_csv_is_written_in_chunks() -> None:
    pieces = list(spreadsheet.csv_chunks(["1", *LINE] for _ in range(5_000)))
    assert max(map(len, pieces)) < 100 * spreadsheet.ROWS_PER_CHUNK
    assert len(read_rows(b"".join(pieces))) == 5_000


def test_too_many_rows_for_a_worksheet_are_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xlsx_file, "MAX_ROWS", 3)
    assert spreadsheet.write(io.BytesIO(), ".xlsx", [["1", *LINE]] * 2) == 2
    with pytest.raises(UnreadableFile, match="A worksheet has room for 2 devices"):
        spreadsheet.write(io.BytesIO(), ".xlsx", [["1", *LINE]] * 3)


class FullOnce(io.BytesIO):
    """A file whose first write fails."""

    is_full = True

    def write(self, content: Any) -> int:
        if self.is_full:
            self.is_full = False
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(content)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # from zipfile, when it is deleted
def test_export_that_cannot_be_written_leaves_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(OSError, match="No space left"):
        xlsx_file.write(FullOnce(), ["id"], [["1"]])
    gc.collect()
    assert list(tmp_path.iterdir()) == []
