"""An export that nobody has touched changes nothing when it is imported again."""

import io
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import transaction
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from devices import registry
from devices.access.actor import IMPORT, SYSTEM
from devices.imports import export, plan
from devices.imports.files import spreadsheet
from devices.models import Device
from devices.registry import device_fields
from devices.tests.support.workbooks import read_rows
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


@pytest.mark.django_db
@pytest.mark.parametrize("ending", spreadsheet.ENDINGS)
@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(NAMES, min_size=1, max_size=12, unique=True))
@example(names=LONG)
@example(names=[name for name in dict.fromkeys(PARTS) if is_name(name)])
def test_untouched_export_imports_without_a_change(ending: str, names: list[str]) -> None:
    items: list[Any] = [
        {"device_name": name, "device_mac": f"02:00:00:00:00:{number:02X}", "device_type": "CONSUMER"}
        | ({} if device_fields.counts_as_omitted(name) else {"device_holder": name})
        for number, name in enumerate(names, 1)
    ]
    with transaction.atomic():
        registry.register(items, SYSTEM)
        file = io.BytesIO()
        spreadsheet.write(file, ending, export.export_rows(Device.objects.all()))
        planned = plan.make_plan(read_rows(file.getvalue()), IMPORT)
        assert [(row.new, row.problems) for row in planned if row.action != plan.RowAction.UNCHANGED] == []
        assert len(planned) == len(names)
        transaction.set_rollback(True)
