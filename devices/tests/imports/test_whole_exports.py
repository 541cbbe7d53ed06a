"""An export that is imported again without a change changes nothing."""

import io
import string

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices.access.actor import IMPORT
from devices.imports import plan
from devices.imports.export import export_rows
from devices.imports.files import spreadsheet
from devices.imports.plan import RowAction
from devices.models import Device
from devices.registry import device_fields
from devices.tests.support.factories import device_payload, register
from devices.tests.support.workbooks import read_rows
from devices.values.hospital_names import fold_name
from devices.values.normalization import MAX_LENGTH

pytestmark = pytest.mark.django_db

NAMES = [
    *("1E5", "00012", "1.23E+11", "TRUE", "false", "=1", "=1+1", '="0012"', "+62 21", "-5", "@sum", "0", "7.0", "5 %"),
    *("'x", "''x", "'=1", "'", "''", '"', '""', "'\"", '"a"', "a,b", "a;b", "a|b", "x;=1", "x|@y", 'x;"=1', "a;';=1"),
    *("_x0041_", "_x005F_x0041_", "_x000D_", "<r><t>x</t></r>", "<r>&</r>", "&amp;", "<!DOCTYPE x>", "]]>", "<br>"),
    *("1-2", "1/2", "2026-11-28", "12 Mei", "3 A", "7:30", "11:22:33", "#N/A", "#REF!", "sep=;", "ID", "device_name"),
    *("😀", "👩‍⚕️ 1", "中文", "é", "ﬁ", "½", "SpO₂", "＝1", "－1", "＠x", "ا", "a\u0301\u0323", "Ω", "ß", "İ", "SS"),
    *(
        ";=" * 127 + "x",
        "a;=1" * 60 + "abcdefghij",
        ";'=" * 85,
        "|＝" * 127,
        "é;=" * 85,
        "=" * MAX_LENGTH,
        "'" * MAX_LENGTH,
        '"' * MAX_LENGTH,
        "," * MAX_LENGTH,
        "é" * MAX_LENGTH,
        "😀" * MAX_LENGTH,
    ),
    *("D0:61:AE:D4:58:94", "112233445566", "123456789012345678", "0x1F", "1,5", "Rp 5.000", "(5)", "$5", "NaN", "inf"),
]
TEXTS = (
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    | st.text("=+-@'\";|,_x0041 \t<r>/E.:%&", max_size=30)
    | st.text(string.digits + ".,:/-E+ _x'", max_size=12)
)


def are_unchanged(names: list[str], ending: str) -> bool:
    """Register devices and hospitals of these names, export them, and return whether an import would change nothing."""
    different = {fold_name(name): name for name in names if _is_valid(name)}.values()
    items = [
        device_payload(number, device_name=name, device_holder=name) for number, name in enumerate(different, start=1)
    ]
    with transaction.atomic():
        register(*items)
        file = io.BytesIO()
        assert spreadsheet.write(file, ending, export_rows(Device.objects.all())) == len(items)
        planned = plan.make_plan(read_rows(file.getvalue()), IMPORT)
        transaction.set_rollback(True)
    changed = [(row.old, row.new, row.problems) for row in planned if row.action != RowAction.UNCHANGED]
    assert changed == []
    return len(planned) == len(items)


def _is_valid(name: str) -> bool:
    item, problems = device_fields.validate(device_payload(1, device_name=name, device_holder=name))
    return not problems and item["device_name"] == item.get("device_holder") == name


@pytest.mark.parametrize("ending", spreadsheet.ENDINGS)
def test_export_of_difficult_names_is_imported_unchanged(ending: str) -> None:
    assert are_unchanged(NAMES, ending)


@pytest.mark.parametrize("ending", spreadsheet.ENDINGS)
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(TEXTS.map(lambda text: " ".join(text.split())[:MAX_LENGTH]), min_size=1, max_size=60))
def test_export_of_any_names_is_imported_unchanged(ending: str, names: list[str]) -> None:
    assert are_unchanged(names, ending)
