"""The effects of the rows of a file on the registry, and the permissions for them."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices.access.actor import IMPORT, SYSTEM, Actor
from devices.imports import plan
from devices.imports.plan import Outcome, PlannedRow, RowAction
from devices.models import Channel, Device, Hospital
from devices.registry import hospitals
from devices.registry.hospital_checks import OTHER_HOSPITAL_OF_USER
from devices.tests.support.factories import device_payload, register
from devices.tests.support.imports import rows
from devices.values.errors import ValidationFailed
from devices.values.scope import UNRESTRICTED, Scope

pytestmark = pytest.mark.django_db


def planned(scope: Scope, *values: dict[str, Any]) -> list[PlannedRow]:
    return plan.make_plan(rows(*values), Actor(Channel.IMPORT, scope=scope))


def errors(row: PlannedRow) -> list[tuple[str | None, str]]:
    return [(problem.field, problem.code) for problem in row.problems]


def devices_now() -> list[tuple[str, str]]:
    return list(Device.objects.order_by("pk").values_list("device_name", "device_mac"))


def mac(number: int) -> str:
    return str(device_payload(number)["device_mac"])


@pytest.fixture
def of_a(rs_a: Hospital) -> Scope:
    return Scope((rs_a,))


@pytest.fixture
def of_both(rs_a: Hospital, rs_b: Hospital) -> Scope:
    return Scope((rs_a, rs_b))


def test_row_is_new_changed_unchanged_or_invalid(devices: dict[str, Device]) -> None:
    planned_rows = planned(
        UNRESTRICTED,
        device_payload(1, device_holder="rs harapan "),
        device_payload(2, device_name="Renamed"),
        device_payload(4, device_holder="RS Baru"),
        device_payload(5, device_type="PHONE"),
    )
    assert [row.action for row in planned_rows] == [
        RowAction.UNCHANGED,
        RowAction.CHANGED,
        RowAction.NEW,
        RowAction.INVALID,
    ]
    assert (planned_rows[1].old["device_name"], planned_rows[1].new["device_name"]) == ("Cuff 2", "Renamed")
    assert [problem.index for problem in planned_rows[3].problems] == [5]
    assert not Hospital.objects.filter(name="RS Baru").exists()


def test_row_with_an_id_can_change_name_and_mac(devices: dict[str, Device]) -> None:
    values = {"id": devices["a"].pk, **device_payload(9)}
    assert plan.import_devices(rows(values), IMPORT) == Outcome(changed=1)
    assert devices_now()[0] == ("Cuff 9", mac(9))


def test_row_without_an_id_is_matched_by_mac_or_registers(devices: dict[str, Device]) -> None:
    planned_rows = planned(UNRESTRICTED, {"id": None, **device_payload(1)}, {"id": None, **device_payload(9)})
    assert [(row.device, row.action) for row in planned_rows] == [(devices["a"], "unchanged"), (None, "new")]


@pytest.mark.parametrize("text", ["0", "-1", "seven", "7.5", "9" * 30, "0123456789012345678901", "٧"])
def test_invalid_id_is_an_error(devices: dict[str, Device], text: str) -> None:
    assert errors(planned(UNRESTRICTED, {"id": text, **device_payload(9)})[0]) == [("id", "invalid_id")]


def test_id_outside_the_scope_gets_the_error_of_an_unknown_id(devices: dict[str, Device], of_a: Scope) -> None:
    [outside, missing] = planned(of_a, {"id": devices["b"].pk, **device_payload(8)}, {"id": 2**40, **device_payload(9)})
    assert [problem.message for problem in outside.problems] == [problem.message for problem in missing.problems]
    assert (errors(outside), outside.old) == ([("id", "unknown_id")], {})


@pytest.mark.parametrize("form", ["%d", "%d.0", "%d.00", "%d,0", "%d,00", "%dE0", "%d.0E+00", "00%d"])
def test_id_is_read_in_any_unambiguous_form(devices: dict[str, Device], form: str) -> None:
    [row] = planned(UNRESTRICTED, {"id": form % devices["a"].pk, **device_payload(1)})
    assert (row.device, errors(row)) == (devices["a"], [])


@pytest.mark.parametrize(
    "form", ["%d.5", "%d.000", "%d,000", "%dE1", "-%d", "+%d", "%d.", "0x%d", "%d 0", "%d.0.0", "٣"]
)
def test_ambiguous_id_is_an_error(devices: dict[str, Device], form: str) -> None:
    [row] = planned(UNRESTRICTED, {"id": form % devices["a"].pk if "%" in form else form, **device_payload(1)})
    assert ("id", "invalid_id") in errors(row)


def test_conflict_outside_the_scope_discloses_no_hospital(devices: dict[str, Device], of_a: Scope) -> None:
    register(device_payload(4, device_name="Theirs"))
    renamed = {"id": devices["a"].pk, **device_payload(1, device_name="Theirs")}
    planned_rows = planned(of_a, device_payload(2), device_payload(3, device_name="New"), renamed)
    assert [sorted(errors(row)) for row in planned_rows] == [
        [("device_mac", "unique"), ("device_name", "unique")],
        [("device_mac", "unique")],
        [("device_name", "unique")],
    ]
    text = " ".join(str(problem.message) for row in planned_rows for problem in row.problems)
    assert "Sehat" not in text
    assert [row.old for row in planned_rows[:2]] == [{}, {}]


def test_new_device_gets_the_only_hospital_of_the_scope(of_a: Scope, rs_a: Hospital) -> None:
    plan.import_devices(rows(device_payload(1)), Actor(Channel.IMPORT, scope=of_a))
    assert Device.objects.get().device_holder == rs_a


def test_new_device_needs_a_hospital_if_the_scope_has_several(devices: dict[str, Device], of_both: Scope) -> None:
    planned_rows = planned(
        of_both,
        device_payload(9),
        device_payload(1, device_type="CORPORATE"),
        device_payload(8, device_holder="RS Sehat"),
    )
    assert [errors(row) for row in planned_rows] == [[("device_holder", "required")], [], []]
    assert "device_holder" not in planned_rows[1].item


@pytest.mark.parametrize("holder", ["RS Sehat", "RS Baru", "unknown"])
def test_hospital_outside_the_scope_is_forbidden(devices: dict[str, Device], of_a: Scope, holder: str) -> None:
    planned_rows = planned(of_a, device_payload(9, device_holder=holder), device_payload(1, device_holder=holder))
    assert [errors(row) for row in planned_rows] == [[("device_holder", "forbidden")]] * 2
    assert {str(problem.message) for row in planned_rows for problem in row.problems} == {str(OTHER_HOSPITAL_OF_USER)}


def test_rows_for_the_same_device_are_duplicates(devices: dict[str, Device]) -> None:
    pk = devices["a"].pk
    planned_rows = planned(
        UNRESTRICTED,
        device_payload(1),
        {"id": pk, **device_payload(8)},
        device_payload(9),
        device_payload(9, device_name="x"),
        device_payload(7),
    )
    assert [errors(row) for row in planned_rows] == [[], [("id", "duplicate")], [], [("device_mac", "duplicate")], []]
    assert planned_rows[1].problems[0].message == "Row 2 of the file is about the same device."


def test_devices_can_exchange_names_and_macs(devices: dict[str, Device]) -> None:
    a, b, free = (devices[name].pk for name in ("a", "b", "free"))
    values = (
        {"id": a, **device_payload(2)},
        {"id": b, **device_payload(1, device_name="Cuff 3")},
        {"id": free, **device_payload(3, device_name="Cuff 1")},
    )
    assert plan.import_devices(rows(*values), IMPORT) == Outcome(changed=3)
    assert devices_now() == [("Cuff 2", mac(2)), ("Cuff 3", mac(1)), ("Cuff 1", mac(3))]
    assert Device.history.filter(history_type="~").count() == 3
    assert not Device.history.filter(device_name__startswith="~").exists()


def test_new_device_can_use_a_released_name(devices: dict[str, Device]) -> None:
    values = (device_payload(9, device_name="Cuff 1"), device_payload(1, device_name="Retired cuff"))
    assert plan.import_devices(rows(*values), IMPORT) == Outcome(new=1, changed=1)


def test_value_that_a_device_keeps_is_a_conflict(devices: dict[str, Device]) -> None:
    planned_rows = planned(
        UNRESTRICTED,
        {"id": devices["a"].pk, **device_payload(3, device_name="Cuff 2")},
        device_payload(2, device_type="CORPORATE"),
    )
    assert [sorted(errors(row)) for row in planned_rows] == [[("device_mac", "unique")], [("device_name", "duplicate")]]


def test_invalid_row_prevents_the_import(devices: dict[str, Device]) -> None:
    with pytest.raises(ValidationFailed):
        plan.import_devices(rows(device_payload(7), device_payload(8, device_mac="x")), IMPORT)
    assert Device.objects.count() == 3


def test_planning_writes_nothing_and_needs_a_constant_number_of_queries(devices: dict[str, Device]) -> None:
    counts = []
    for number in (1, 300):
        values = [{"id": devices["a"].pk, **device_payload(1)}, *(device_payload(n + 10) for n in range(number))]
        with CaptureQueriesContext(
            connection,
        ) as queries:
            planned(UNRESTRICTED, *values)
        assert {query["sql"].split()[0].strip("(") for query in queries.captured_queries} == {"SELECT"}
        counts.append(len(queries))
    assert counts[0] == counts[1] == 3


def test_former_name_of_a_hospital_changes_nothing(devices: dict[str, Device], rs_a: Hospital) -> None:
    hospitals.rename(rs_a, "RS Harapan Kita", SYSTEM)
    [row] = planned_rows = planned(UNRESTRICTED, device_payload(1, device_holder="RS Harapan"))
    assert (row.action, row.new["device_holder"]) == (RowAction.UNCHANGED, "RS Harapan Kita")
    assert plan.new_hospitals(planned_rows) == []


def test_plan_lists_new_hospitals(devices: dict[str, Device]) -> None:
    planned_rows = planned(
        UNRESTRICTED,
        device_payload(7, device_holder="RS Baru"),
        device_payload(8, device_holder="rs baru"),
        device_payload(9, device_holder="RS Sehat"),
        device_payload(10, device_holder="RS Salah", device_type="PHONE"),
        device_payload(11, device_holder="unknown"),
    )
    assert plan.new_hospitals(planned_rows) == ["RS Baru"]
