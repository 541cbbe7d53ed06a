"""Read a text file of cells, with any usual delimiter and in any encoding in which Excel saves it."""

import codecs
import csv
import io
import itertools
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from django.utils.translation import gettext as _

from devices import headings
from devices.headings import Unreadable
from devices.xlsx_reader import MAX_COLUMNS

DELIMITERS = ",;\t|"
BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
WINDOWS = "cp1252"  # what Excel writes for “CSV” on a PC in Western Europe or Indonesia
AT_ONCE = 64 * 1024  # bytes, or characters
MAX_RECORD = 2**20  # characters of one record, whose cells are in memory together


def encoding_of(file: BinaryIO) -> str:
    """Return the encoding of the byte-order mark; without one UTF-16, UTF-8 or else Windows-1252.

    Raises:
        Unreadable: it is none of them.
    """
    file.seek(0)
    head = file.read(AT_ONCE)
    for mark, encoding in BOMS.items():
        if head.startswith(mark):
            return _one_of(file, encoding)
    for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if head and head[first::2].count(0) > len(head) // 5:  # Latin letters are half zeros in UTF-16
            return _one_of(file, encoding)
    return _one_of(file, "utf-8", WINDOWS)


def lines(file: BinaryIO, encoding: str) -> Iterator[tuple[int, list[str]]]:
    """Give each record's cells with the number of the line on which it begins, from 1.

    Raises:
        Unreadable: the file is no CSV, or a record is too long.
    """
    file.seek(0)
    text = io.TextIOWrapper(file, encoding=encoding, newline="")
    begins, length = 1, 0

    def counted() -> Iterator[str]:
        nonlocal length
        while line := text.readline(MAX_RECORD + 1):
            length += len(line)
            if length > MAX_RECORD:
                raise Unreadable(_("The file is no list of devices: line %(line)d is too long.") % {"line": begins})
            yield line

    try:
        sample = text.read(AT_ONCE).splitlines(keepends=True)
        delimiter = delimiter_of(sample[: headings.LINES_SEARCHED])
        text.seek(0)
        reader = csv.reader(counted(), delimiter=delimiter, strict=True)
        for cells in reader:
            yield begins, cells
            begins, length = reader.line_num + 1, 0
    except csv.Error as error:
        raise _no_csv(error, begins) from error
    finally:
        text.detach()


def _one_of(file: BinaryIO, *encodings: str) -> str:
    for encoding in encodings:
        file.seek(0)
        try:
            for _text in codecs.iterdecode(iter(lambda: file.read(AT_ONCE), b""), encoding):
                pass
        except UnicodeDecodeError:
            continue
        return encoding
    raise Unreadable(_("The file is neither XLSX nor text in a known encoding. Save it as XLSX, or as “CSV UTF-8”."))


def delimiter_of(first: Sequence[str]) -> str:
    """Return the delimiter with which most headings are found in one of these lines."""

    def found(delimiter: str) -> tuple[int, int]:
        try:
            records = list(itertools.islice(csv.reader(first, delimiter=delimiter), headings.LINES_SEARCHED))
        except csv.Error:  # lines() reports it if it is so with each delimiter
            return -1, 0
        most = max((headings.known_in(record[:MAX_COLUMNS]) for record in records), default=0)
        return most, "".join(first[:1]).count(delimiter)

    return max(DELIMITERS, key=found)


def divided(text: str, delimiter: str, line: int) -> list[str]:
    """Return the cells of one line.

    Raises:
        Unreadable: a line ends within it.
    """
    try:
        return next(csv.reader([text], delimiter=delimiter), [])
    except csv.Error as error:
        raise _no_csv(error, line) from error


def _no_csv(error: csv.Error, line: int) -> Unreadable:
    return Unreadable(_("The file is no CSV: %(error)s, near line %(line)d.") % {"error": error, "line": line})
