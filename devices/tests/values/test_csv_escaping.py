"""Escaped texts fit the cells that an import reads, and are read back."""

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.registry import device_fields
from devices.values import csv_escaping, normalization

PARTS = [
    *(
        ";=",
        "|+",
        ';"-',
        ";'=",
        "'=",
        "'",
        '"',
        "=",
        "+",
        "-",
        "@",
        ";",
        "|",
        ",",
        "\uff1d",
        ";\uff0b",
        "\ufe63",
        "\u207a",
    ),
    *(
        "0012",
        "1E5",
        "3E2",
        "1-2",
        "Mei 2",
        "TRUE",
        "#N/A",
        "#REF!",
        "N/A",
        "null",
        "-",
        "a",
        " ",
        "\U0001f3e5",
        "e\u0301",
    ),
]
LONG = [
    ";=" * 127 + "x",
    "a;=1" * 60 + "abcdefghij",
    ";'=" * 85,
    "=" * 255,
    "'" * 255,
    "|\uff1d" * 127,
    "\u00e9;=" * 85,
]


def is_name(text: str) -> bool:
    try:
        return device_fields.clean_text(text) == text
    except ValidationError:
        return False


NAMES = (
    (st.lists(st.sampled_from(PARTS), max_size=130).map("".join) | st.text(max_size=30) | st.sampled_from(LONG))
    .map(normalization.normalize)
    .filter(is_name)
)


@pytest.mark.parametrize("name", LONG)
def test_longest_escaped_name_fits_a_cell(name: str) -> None:
    assert is_name(name)
    escaped = csv_escaping.escape(name)
    assert len(escaped) <= csv_escaping.MAX_CELL_LENGTH
    assert csv_escaping.unescape(escaped) == name


@settings(deadline=None, max_examples=300)
@given(NAMES)
def test_escaped_name_fits_a_cell_and_is_read_back(name: str) -> None:
    escaped = csv_escaping.escape(name)
    assert len(escaped) <= csv_escaping.MAX_CELL_LENGTH
    assert csv_escaping.unescape(normalization.normalize(escaped)) == name
    assert escaped[0] not in csv_escaping.FORMULA_STARTS
