"""One function finds all problems of a list, in a fixed order."""

from typing import Any

import pytest

from devices.access.actor import SYSTEM, Actor
from devices.models import Channel, Device, Hospital
from devices.registry.validation import Existing, find_problems
from devices.tests.support.factories import device_payload
from devices.values.error_codes import ErrorCode
from devices.values.errors import FieldError
from devices.values.scope import Scope

pytestmark = pytest.mark.django_db


@pytest.fixture
def of_both(rs_a: Hospital, rs_b: Hospital) -> Actor:
    return Actor(Channel.ADMIN, scope=Scope((rs_a, rs_b)))


def found(problems: list[FieldError]) -> list[tuple[int | None, str | None, str]]:
    return [(problem.index, problem.field, problem.code) for problem in problems]


def test_errors_are_in_the_order_of_items_fields_duplicates_scope_and_conflicts(
    devices: dict[str, Device], of_both: Actor
) -> None:
    items: list[Any] = [
        device_payload(1, device_holder="RS Lain"),
        device_payload(7, device_holder="RS Harapan"),
        device_payload(1),
    ]
    del items[2]["device_type"]
    malformed = [FieldError("device_type", ErrorCode.BLANK, "", 2)]
    assert found(find_problems(items, of_both, malformed=malformed)) == [
        (0, "device_holder", "forbidden"),
        (0, "device_name", "unique"),
        (0, "device_mac", "unique"),
        (2, "device_type", "blank"),
        (2, "device_name", "duplicate"),
        (2, "device_mac", "duplicate"),
        (2, "device_holder", "required"),
        (2, "device_name", "unique"),
        (2, "device_mac", "unique"),
    ]


def test_only_a_new_device_needs_one_of_several_hospitals(devices: dict[str, Device], of_both: Actor) -> None:
    items: list[Any] = [device_payload(7), device_payload(1)]
    assert found(find_problems(items, of_both, known={1: devices["a"].pk})) == [(0, "device_holder", "required")]


def test_malformed_hospital_is_not_also_reported_as_missing(of_both: Actor) -> None:
    malformed = [FieldError("device_holder", ErrorCode.BLANK, "", 0)]
    assert find_problems([device_payload(7)], of_both, malformed=malformed) == malformed  # type: ignore[list-item]


def test_write_without_other_errors_does_not_query_registered_devices(
    devices: dict[str, Device], django_assert_num_queries: Any
) -> None:
    items: list[Any] = [device_payload(1)]
    with django_assert_num_queries(0):
        assert find_problems(items, SYSTEM, is_write=True) == []
    assert found(find_problems([*items, *items], SYSTEM, is_write=True))[-1] == (1, "device_mac", "unique")


def test_device_can_keep_its_values_or_release_them_to_another_item(devices: dict[str, Device]) -> None:
    a, b = devices["a"], devices["b"]
    swapped: list[Any] = [device_payload(1, device_name=b.device_name), device_payload(2, device_name=a.device_name)]
    assert find_problems(swapped, SYSTEM, known={0: a.pk, 1: b.pk}) == []
    unreleased: list[Any] = [device_payload(1, device_name=b.device_name), {"device_type": "CORPORATE"}]
    assert found(find_problems(unreleased, SYSTEM, known={0: a.pk, 1: b.pk})) == [(0, "device_name", "unique")]


def test_item_matches_the_device_with_its_id_or_else_its_mac(devices: dict[str, Device], rs_a: Hospital) -> None:
    own = Actor(Channel.ADMIN, scope=Scope((rs_a,)))
    items: list[Any] = [device_payload(1), device_payload(2), device_payload(9), device_payload(8)]
    ids = {2: devices["a"].pk, 3: devices["b"].pk}

    def load(found: Any) -> dict[int, Device]:
        return {device.pk: device for device in found}

    assert Existing(items, SYSTEM).match({2: devices["free"].pk}, load) == {
        0: devices["a"],
        1: devices["b"],
        2: devices["free"],
    }
    assert Existing(items, own).match(ids, load) == {0: devices["a"], 2: devices["a"]}


def test_device_retired_before_it_is_locked_does_not_conflict(devices: dict[str, Device]) -> None:
    items: list[Any] = [device_payload(1)]
    existing = Existing(items, SYSTEM)
    assert existing.owners["device_mac"]

    def load(found: Any) -> dict[int, Device]:
        found.delete()  # by another writer, while this one waits for the lock
        return {}

    assert existing.match({}, load) == {}
    assert existing.find_conflicts({}) == ([], {})
