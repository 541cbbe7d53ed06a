"""What the lines of a file do to the registry, and who may let them do it."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices import fleets, hospitals
from devices.fleets import Kind, Line, Outcome
from devices.models import Device, Hospital, Through
from devices.origin import COMMAND, IMPORT, Origin
from devices.problems import Refused
from devices.reach import EVERYTHING, Reach
from devices.spreadsheets import Row
from devices.tests.conftest import draft, register

pytestmark = pytest.mark.django_db


def rows(*lines: dict[str, Any]) -> list[Row]:
    """Lines as they are read from a file whose headings are in its first line."""
    texts = [{column: str(cell) for column, cell in line.items() if cell is not None} for line in lines]
    return [Row(number, cells, {}) for number, cells in enumerate(texts, start=2)]


def plan(reach: Reach, *lines: dict[str, Any]) -> list[Line]:
    return fleets.plan(rows(*lines), Origin(Through.IMPORT, reach=reach))


def wrong(line: Line) -> list[tuple[str | None, str]]:
    return [(problem.field, problem.code) for problem in line.problems]


def devices_now() -> list[tuple[str, str]]:
    return list(Device.objects.order_by("pk").values_list("device_name", "device_mac"))


def mac(number: int) -> str:
    return str(draft(number)["device_mac"])


@pytest.fixture
def of_a(rs_a: Hospital) -> Reach:
    return Reach((rs_a,), "not yours")


@pytest.fixture
def of_both(rs_a: Hospital, rs_b: Hospital) -> Reach:
    return Reach((rs_a, rs_b), "not yours")


def test_a_line_is_new_changed_unchanged_or_wrong(devices: dict[str, Device]) -> None:
    lines = plan(
        EVERYTHING,
        draft(1, device_holder="rs harapan "),
        draft(2, device_name="Renamed"),
        draft(4, device_holder="RS Baru"),
        draft(5, device_type="PHONE"),
    )
    assert [line.kind for line in lines] == [Kind.UNCHANGED, Kind.CHANGED, Kind.NEW, Kind.WRONG]
    assert (lines[1].old["device_name"], lines[1].new["device_name"]) == ("Cuff 2", "Renamed")
    assert [problem.index for problem in lines[3].problems] == [5]
    assert not Hospital.objects.filter(name="RS Baru").exists()


def test_a_device_named_by_its_id_may_change_its_name_and_its_mac(devices: dict[str, Device]) -> None:
    line = {"id": devices["a"].pk, **draft(9)}
    assert fleets.import_fleet(rows(line), IMPORT) == Outcome(changed=1)
    assert devices_now()[0] == ("Cuff 9", mac(9))


def test_a_line_with_an_empty_id_is_matched_by_its_mac_or_registers(devices: dict[str, Device]) -> None:
    lines = plan(EVERYTHING, {"id": None, **draft(1)}, {"id": None, **draft(9)})
    assert [(line.device, line.kind) for line in lines] == [(devices["a"], "unchanged"), (None, "new")]


@pytest.mark.parametrize("text", ["0", "-1", "seven", "7.5", "9" * 30, "0123456789012345678901", "٧"])
def test_what_is_no_id_is_wrong(devices: dict[str, Device], text: str) -> None:
    assert wrong(plan(EVERYTHING, {"id": text, **draft(9)})[0]) == [("id", "invalid")]


def test_an_id_beyond_reach_is_answered_like_one_that_is_not_there(devices: dict[str, Device], of_a: Reach) -> None:
    [beyond, missing] = plan(of_a, {"id": devices["b"].pk, **draft(8)}, {"id": 2**40, **draft(9)})
    assert [problem.message for problem in beyond.problems] == [problem.message for problem in missing.problems]
    assert (wrong(beyond), beyond.old) == ([("id", "unknown")], {})


def test_another_hospitals_name_and_mac_are_taken_and_nothing_tells_whose(
    devices: dict[str, Device], of_a: Reach
) -> None:
    register(draft(4, device_name="Theirs"))
    renamed = {"id": devices["a"].pk, **draft(1, device_name="Theirs")}
    lines = plan(of_a, draft(2), draft(3, device_name="New"), renamed)
    assert [sorted(wrong(line)) for line in lines] == [
        [("device_mac", "unique"), ("device_name", "unique")],
        [("device_mac", "unique")],
        [("device_name", "unique")],
    ]
    told = " ".join(str(problem.message) for line in lines for problem in line.problems)
    assert "Sehat" not in told
    assert [line.old for line in lines[:2]] == [{}, {}]


def test_a_new_device_of_a_hospital_admin_is_their_only_hospitals(of_a: Reach, rs_a: Hospital) -> None:
    fleets.import_fleet(rows(draft(1)), Origin(Through.IMPORT, reach=of_a))
    assert Device.objects.get().device_holder == rs_a


def test_of_several_hospitals_one_must_be_named_and_what_is_known_stays(
    devices: dict[str, Device], of_both: Reach
) -> None:
    lines = plan(of_both, draft(9), draft(1, device_type="CORPORATE"), draft(8, device_holder="RS Sehat"))
    assert [wrong(line) for line in lines] == [[("device_holder", "required")], [], []]
    assert "device_holder" not in lines[1].draft


@pytest.mark.parametrize("holder", ["RS Sehat", "RS Baru", "unknown"])
def test_a_hospital_admin_names_no_other_hospital_be_it_there_or_not(
    devices: dict[str, Device], of_a: Reach, holder: str
) -> None:
    lines = plan(of_a, draft(9, device_holder=holder), draft(1, device_holder=holder))
    assert [wrong(line) for line in lines] == [[("device_holder", "forbidden")]] * 2
    assert {str(problem.message) for line in lines for problem in line.problems} == {"not yours"}


def test_lines_about_one_device_name_each_other(devices: dict[str, Device]) -> None:
    pk = devices["a"].pk
    lines = plan(EVERYTHING, draft(1), {"id": pk, **draft(8)}, draft(9), draft(9, device_name="x"), draft(7))
    assert [wrong(line) for line in lines] == [[], [("id", "duplicate")], [], [("device_mac", "duplicate")], []]
    assert lines[1].problems[0].message == "Line 2 of the file is about the same device."


def test_devices_take_names_and_macs_from_each_other(devices: dict[str, Device]) -> None:
    a, b, free = (devices[name].pk for name in ("a", "b", "free"))
    lines = (
        {"id": a, **draft(2)},
        {"id": b, **draft(1, device_name="Cuff 3")},
        {"id": free, **draft(3, device_name="Cuff 1")},
    )
    assert fleets.import_fleet(rows(*lines), IMPORT) == Outcome(changed=3)
    assert devices_now() == [("Cuff 2", mac(2)), ("Cuff 3", mac(1)), ("Cuff 1", mac(3))]
    assert Device.history.filter(history_type="~").count() == 3
    assert not Device.history.filter(device_name__startswith="~").exists()


def test_a_new_device_takes_what_a_known_one_gives_up(devices: dict[str, Device]) -> None:
    lines = (draft(9, device_name="Cuff 1"), draft(1, device_name="Retired cuff"))
    assert fleets.import_fleet(rows(*lines), IMPORT) == Outcome(new=1, changed=1)


def test_what_a_known_device_keeps_is_taken(devices: dict[str, Device]) -> None:
    lines = plan(
        EVERYTHING, {"id": devices["a"].pk, **draft(3, device_name="Cuff 2")}, draft(2, device_type="CORPORATE")
    )
    assert [sorted(wrong(line)) for line in lines] == [[("device_mac", "unique")], [("device_name", "duplicate")]]


def test_a_wrong_line_keeps_all_from_being_imported(devices: dict[str, Device]) -> None:
    with pytest.raises(Refused):
        fleets.import_fleet(rows(draft(7), draft(8, device_mac="x")), IMPORT)
    assert Device.objects.count() == 3


def test_planning_writes_nothing_and_takes_as_many_queries_for_any_number_of_lines(devices: dict[str, Device]) -> None:
    counts = []
    for number in (1, 300):
        lines = [{"id": devices["a"].pk, **draft(1)}, *(draft(n + 10) for n in range(number))]
        with CaptureQueriesContext(
            connection,
        ) as queries:
            plan(EVERYTHING, *lines)
        assert {query["sql"].split()[0].strip("(") for query in queries.captured_queries} == {"SELECT"}
        counts.append(len(queries))
    assert counts[0] == counts[1] == 3


def test_a_former_name_means_the_hospital_and_changes_nothing(devices: dict[str, Device], rs_a: Hospital) -> None:
    hospitals.rename(rs_a, "RS Harapan Kita", COMMAND)
    [line] = lines = plan(EVERYTHING, draft(1, device_holder="RS Harapan"))
    assert (line.kind, line.new["device_holder"]) == (Kind.UNCHANGED, "RS Harapan Kita")
    assert fleets.new_hospitals(lines) == []


def test_hospitals_that_an_import_would_register_are_known_before(devices: dict[str, Device]) -> None:
    lines = plan(
        EVERYTHING,
        draft(7, device_holder="RS Baru"),
        draft(8, device_holder="rs baru"),
        draft(9, device_holder="RS Sehat"),
        draft(10, device_holder="RS Salah", device_type="PHONE"),
        draft(11, device_holder="unknown"),
    )
    assert fleets.new_hospitals(lines) == ["RS Baru"]
